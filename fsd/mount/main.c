/*
 * orch-mount: serves one workspace's FUSE mount. Started by the keeper with the store's folders as
 * descriptors; needs nobody afterwards. Here its parts are put together, nothing else.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include "core/fd.h"
#include "core/guard.h"
#include "core/log.h"
#include "fsd/mount/confine.h"
#include "fsd/mount/control.h"
#include "fsd/mount/options.h"

#define POOL_THREADS  4
#define POOL_QUEUE    65536
#define FILES_RESERVE 512 /* descriptors that are not contents */

struct mount {
	struct mnt_options options;
	struct view_packset *packs;
	struct mnt_contents *contents;
	struct orch_pool *pool;
	struct mnt_door *door;
	struct mnt_ns *ns;
	int listen_fd, signal_fd, ended_fd;
	char source[160]; /* when none was given: like nobody else's */
};

/* One line for the keeper: it waits for it. False: nobody does any more. */
static bool report(int fd, const struct orch_err *err)
{
	char line[sizeof(err->msg) + 64] = "ready\n";
	bool told;

	if (fd < 0)
		return true;
	if (err)
		snprintf(line, sizeof(line), "error %s %s\n", orch_err_name(err->code), err->msg);
	told = orch_fd_write_all(fd, line, strlen(line)) == 0;
	orch_fd_close(fd);
	return told;
}

/* As many descriptors as we may have; the number that contents may use. */
static size_t raise_files(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		return FILES_RESERVE;
	lim.rlim_cur = lim.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &lim);
	if (lim.rlim_cur > (1u << 20))
		lim.rlim_cur = 1u << 20;
	return lim.rlim_cur > 2 * FILES_RESERVE ? (size_t)lim.rlim_cur - FILES_RESERVE
						: FILES_RESERVE;
}

/* Signals come through a descriptor: no thread is ever interrupted by one. */
static int open_signals(struct orch_err *err)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	sigaddset(&set, SIGPIPE);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGIO); /* of a lease that is broken while a seal looks for mappings */
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	return fd < 0 ? orch_err_sys(err, errno, "signalfd") : fd;
}

static int open_channels(struct mount *m, struct orch_err *err)
{
	m->signal_fd = open_signals(err);
	if (m->signal_fd < 0)
		return m->signal_fd;
	m->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->ended_fd < 0)
		return orch_err_sys(err, errno, "eventfd");
	m->listen_fd = orch_sock_listen(m->options.control, SOCK_SEQPACKET, 0600, err);
	return m->listen_fd < 0 ? m->listen_fd : 0;
}

static int open_store(struct mount *m, struct orch_err *err)
{
	size_t files = raise_files();
	int r = view_packset_new(m->options.packs_fd, &m->packs, err);

	if (r < 0)
		return r;
	r = mnt_contents_new(m->options.objects_fd, files, &m->contents);
	m->pool = orch_pool_new(POOL_THREADS, POOL_QUEUE);
	if (r < 0 || !m->pool)
		return orch_err_set(err, ENOMEM, "no memory");
	return 0;
}

/* A source like nobody else's when none was given. */
static void make_source(struct mount *m)
{
	if (m->options.source)
		return;
	snprintf(m->source, sizeof(m->source), "orch:%d:%llu", (int)getpid(),
	    (unsigned long long)m->options.layer);
	m->options.source = m->source;
}

/* The one thing that needs more rights than serving does; so it comes before anything is read that
 * could be crafted. */
static int mount_and_confine(struct mount *m, struct orch_err *err)
{
	const struct mnt_options *o = &m->options;
	struct mnt_door_config door = {.mountpoint = o->mountpoint,
	    .mountpoint_fd = o->mountpoint_fd,
	    .source = o->source,
	    .read_only = o->read_only,
	    .allow_other = o->allow_other,
	    .passthrough = o->passthrough};
	int r = mnt_door_new(&m->door);

	if (r < 0)
		return orch_err_set(err, ENOMEM, "no memory");
	r = mnt_door_mount(m->door, &door, err);
	/* It would keep the file system below busy. */
	orch_fd_close(m->options.mountpoint_fd);
	if (r == 0)
		r = mnt_confine_capabilities(o->passthrough, err);
	return r < 0 ? r : mnt_confine_calls(err);
}

static int open_workspace(struct mount *m, struct orch_err *err)
{
	const struct mnt_options *o = &m->options;
	struct mnt_ns_config ns = {.layers_fd = o->layers_fd,
	    .packs = m->packs,
	    .contents = m->contents,
	    .pool = m->pool,
	    .notify = mnt_door_notify(m->door),
	    .layer = o->layer,
	    .read_only = o->read_only,
	    .after_reboot = o->after_reboot};
	struct mnt_door_parts parts = {
	    .contents = m->contents, .pool = m->pool, .ended_fd = m->ended_fd};
	int r = mnt_ns_new(&ns, &m->ns, err);

	if (r < 0)
		return r;
	parts.ns = m->ns;
	return mnt_door_start(m->door, &parts, err);
}

static int start(struct mount *m, struct orch_err *err)
{
	int r = orch_guard_install();

	if (r < 0)
		return orch_err_sys(err, -r, "guard of mapped files");
	make_source(m);
	r = open_channels(m, err);
	if (r == 0)
		r = mount_and_confine(m, err);
	if (r == 0)
		r = open_store(m, err);
	return r < 0 ? r : open_workspace(m, err);
}

/* Threads that already wait for requests end with the mount. False: it may not be taken away (confine.h): it dies
 * with us, and who started us, or the keeper after him, takes it away. */
static bool undo_mount(struct mount *m)
{
	struct orch_err err = ORCH_ERR_INIT;
	int r = m->door ? mnt_door_unmount(m->door, true, &err) : 0;

	if (r < 0 && r != -EPERM)
		orch_log_err("mount", "unmount", &err);
	return r >= 0;
}

/* Under threads that wait for requests that nobody will send. Everything that was answered is in the page cache, as
 * after a kill. */
static _Noreturn void leave(struct mount *m, int status)
{
	(void)unlink(m->options.control);
	if (m->door)
		mnt_door_let_go(m->door);
	_exit(status);
}

static void clean(void *arg)
{
	mnt_ns_clean(arg);
}

static void end(struct mount *m)
{
	if (m->listen_fd >= 0)
		(void)unlink(m->options.control);
	if (m->door)
		mnt_door_join(m->door);
	orch_pool_free(m->pool);
	mnt_ns_free(m->ns); /* which removes files that the door has registered */
	mnt_door_free(m->door);
	mnt_contents_free(m->contents);
	view_packset_free(m->packs);
	orch_fd_close(m->listen_fd);
	orch_fd_close(m->ended_fd);
	orch_fd_close(m->signal_fd);
}

static void run(struct mount *m)
{
	struct mnt_control control = {.listen_fd = m->listen_fd,
	    .signal_fd = m->signal_fd,
	    .ended_fd = m->ended_fd,
	    .ns = m->ns,
	    .door = m->door,
	    .mountpoint = m->options.mountpoint};

	if (!m->options.read_only)
		orch_pool_add(m->pool, clean, m->ns);
	if (!report(m->options.ready_fd, NULL)) {
		/* the keeper died meanwhile: the next one does not know of this mount */
		orch_log(
		    ORCH_LOG_WARN, "mount", "nobody-waits", "mountpoint=%s", m->options.mountpoint);
		if (!undo_mount(m))
			leave(m, 0);
	}
	if (mnt_control_run(&control) == MNT_ABANDONED)
		leave(m, 0);
}

int main(int argc, char **argv)
{
	struct mount m = {.listen_fd = -1, .signal_fd = -1, .ended_fd = -1};
	struct orch_err err = ORCH_ERR_INIT;
	int r = mnt_options_parse(argc, argv, &m.options, &err);
	bool undone;

	if (r < 0) {
		orch_log_err("mount", "usage", &err);
		return 2;
	}
	orch_log_setup(STDERR_FILENO, m.options.log_level, ORCH_LOG_TEXT);
	prctl(PR_SET_NAME, "orch-mount");
	r = start(&m, &err);
	if (r == 0) {
		run(&m);
	} else {
		orch_log_err("mount", "start", &err);
		undone = undo_mount(&m);
		(void)report(m.options.ready_fd, &err);
		if (!undone)
			leave(&m, 1);
	}
	end(&m);
	return r < 0;
}
