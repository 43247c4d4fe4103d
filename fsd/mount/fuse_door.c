/* The life of the door: made, mounted, unmounted, freed. See door.h, and fuse_door_priv.h for the files behind it. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "core/clock.h"
#include "core/fd.h"
#include "core/log.h"
#include "fsd/mount/fuse_door_priv.h"
#include "fsd/mount/greet.h"
#include "fsd/mount/notify.h"
#include "fsd/mount/place.h"
#include "fsd/mount/place_user.h"

#define HELLO_MS      30000
#define FUSERMOUNT_MS 30000

int mnt_door_new(struct mnt_door **out)
{
	struct mnt_door *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->queue = mnt_queue_new();
	if (!d->queue) {
		free(d);
		return -ENOMEM;
	}
	pthread_mutex_init(&d->freeze_lock, NULL);
	pthread_cond_init(&d->greeted, NULL);
	d->parked_last = &d->parked;
	d->ended_fd = -1;
	*out = d;
	return 0;
}

static void note_attr(void *priv, uint64_t id)
{
	struct mnt_door *d = priv;

	mnt_queue_attr(d->queue, id);
}

static void note_recheck(void *priv, uint64_t id)
{
	struct mnt_door *d = priv;

	mnt_queue_recheck(d->queue, id);
}

static uint64_t note_entry(void *priv, uint64_t parent, const char *name, size_t len)
{
	struct mnt_door *d = priv;

	return mnt_queue_entry(d->queue, parent, name, len);
}

static bool wait_sent(void *priv, uint64_t number, uint64_t deadline_ns)
{
	struct mnt_door *d = priv;

	return mnt_queue_wait_sent(d->queue, number, deadline_ns);
}

/* From an offset on: the kernel writes dirty pages before it drops them. */
void mnt_fuse_flush(struct mnt_door *d, fuse_ino_t ino)
{
	(void)fuse_lowlevel_notify_inval_inode(d->session, ino, 0, 0);
}

static void flush(void *priv, uint64_t id)
{
	mnt_fuse_flush(priv, id);
}

struct mnt_notify mnt_door_notify(struct mnt_door *d)
{
	return (struct mnt_notify){.attr = note_attr,
	    .recheck = note_recheck,
	    .entry = note_entry,
	    .wait_sent = wait_sent,
	    .flush = flush,
	    .priv = d};
}

static int session_make(struct mnt_door *d, struct orch_err *err)
{
	char name[] = "orch-mount", options[512];
	char *argv[] = {name, options, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(2, argv);

	snprintf(options, sizeof(options),
	    "-odefault_permissions,noatime,fsname=%s,subtype=orch%s%s", d->config.source,
	    d->config.allow_other ? ",allow_other" : "", d->config.read_only ? ",ro" : "");
	d->session = fuse_session_new(&args, &mnt_fuse_ops, sizeof(mnt_fuse_ops), d);
	fuse_opt_free_args(&args);
	return d->session ? 0 : orch_err_set(err, EINVAL, "libfuse does not take %s", options);
}

static void handle(void *arg, void *request, size_t n)
{
	struct mnt_door *d = arg;
	struct fuse_buf buf = {.mem = request, .size = n};

	mnt_requests_note(&d->requests, request, n);
	fuse_session_process_buf(d->session, &buf);
}

/* Gives libfuse the mount; fuse_fd is taken. */
static int greet(struct mnt_door *d, int fuse_fd, struct orch_err *err)
{
	struct mnt_greet g;
	bool idmap = false;
	char name[32];
	int r = mnt_greet_open(&g);

	if (r < 0) {
		orch_fd_close(fuse_fd);
		return orch_err_sys(err, -r, "socket pair");
	}
	snprintf(name, sizeof(name), "/dev/fd/%d", g.session_fd);
	if (fuse_session_mount(d->session, name) != 0) {
		mnt_greet_close(&g);
		orch_fd_close(fuse_fd);
		return orch_err_set(err, EIO, "libfuse does not take an open mount");
	}
	r = mnt_greet_run(&g, fuse_fd, orch_deadline_in_ms(HELLO_MS), handle, d, &idmap, err);
	if (r == 0)
		orch_log(ORCH_LOG_DEBUG, "mount", "greeted", "idmap=%d", idmap);
	return r;
}

/* The file system below stays free to be unmounted: the folder is held open no longer than this. */
static int mount_placed(struct mnt_door *d, struct orch_err *err)
{
	orch_auto(fd) int own = -1;
	struct mnt_place_spec s = {.folder = d->config.mountpoint_fd,
	    .source = d->config.source,
	    .allow_other = d->config.allow_other,
	    .read_only = d->config.read_only};
	int fuse_fd, r;

	if (s.folder < 0)
		s.folder = own = open(d->mountpoint, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s.folder < 0)
		return orch_err_sys(err, errno, "%s", d->mountpoint);
	r = mnt_place_mount(&s, &fuse_fd, &d->mount_id, err);
	if (r < 0)
		return r;
	d->placed = d->mounted = true;
	return greet(d, fuse_fd, err);
}

static int mount_by_user(struct mnt_door *d, struct orch_err *err)
{
	struct mnt_place_spec s = {.folder = -1,
	    .source = d->config.source,
	    .allow_other = d->config.allow_other,
	    .read_only = d->config.read_only};
	char name[32];
	int fuse_fd, r;

	r = mnt_place_by_user(d->mountpoint, &s, orch_deadline_in_ms(FUSERMOUNT_MS), &fuse_fd, err);
	if (r < 0)
		return r;
	snprintf(name, sizeof(name), "/dev/fd/%d", fuse_fd);
	if (fuse_session_mount(d->session, name) != 0) {
		orch_fd_close(fuse_fd);
		return orch_err_set(err, EIO, "libfuse does not take an open mount");
	}
	d->mounted = true;
	return 0;
}

int mnt_door_mount(struct mnt_door *d, const struct mnt_door_config *config, struct orch_err *err)
{
	int r;

	d->config = *config;
	d->mountpoint = strdup(config->mountpoint);
	if (!d->mountpoint)
		return orch_err_set(err, ENOMEM, "no memory");
	r = session_make(d, err);
	if (r < 0)
		return r;
	r = geteuid() == 0 ? mount_placed(d, err) : mount_by_user(d, err);
	if (r < 0)
		orch_err_wrap(err, "can't mount on %s", d->mountpoint);
	return r;
}

int mnt_door_unmount(struct mnt_door *d, bool lazy, struct orch_err *err)
{
	int r;

	if (!d->mounted)
		return 0;
	if (!d->placed) /* fusermount3 has made it, and we may start no program (confine.h) */
		return orch_err_set(err, EPERM, "an ordinary user's mount");
	r = mnt_place_unmount(d->mount_id, d->config.source, lazy, err);
	if (r == 0 && lazy) /* told to end by a signal: the keeper has not taken the views away */
		r = mnt_place_detach_all(d->config.source, err);
	if (r == 0)
		d->mounted = false;
	return r;
}

const struct mnt_requests *mnt_door_requests(const struct mnt_door *d)
{
	return &d->requests;
}

const char *mnt_door_data_path(const struct mnt_door *d)
{
	return d->passthrough ? "passthrough" : "process";
}

void mnt_door_free(struct mnt_door *d)
{
	if (!d)
		return;
	/* After a hello, "gone" says that somebody has unmounted already. */
	if (d->mounted && d->placed && !(d->hello && d->gone))
		(void)!mnt_place_unmount(d->mount_id, d->config.source, true, NULL);
	if (d->session)
		fuse_session_destroy(d->session);
	mnt_fuse_drop_parked(d);
	mnt_queue_free(d->queue);
	pthread_cond_destroy(&d->greeted);
	pthread_mutex_destroy(&d->freeze_lock);
	free(d->mountpoint);
	free(d);
}
