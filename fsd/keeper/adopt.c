/* Adoption of what an earlier keeper left. The mount processes are asked side by side: one that is stuck costs
 * its deadline, many cost no more. */
#include "adopt.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "cache/layer.h"
#include "cache/record.h"
#include "core/fd.h"
#include "core/log.h"
#include "core/path.h"
#include "core/pool.h"
#include "layers.h"
#include "mount_process.h"
#include "mountpoint.h"
#include "registry.h"
#include "ws_mount.h"
#include "ws_view.h"

#define MODULE	"keeper"
#define ASK_MAX 64 /* threads */

/* The living process, if it is that workspace's. */
static int meet(struct fsd_daemon *d, struct fsd_ws *ws, struct fsd_ws_record *rec,
    uint64_t deadline_ns, struct orch_err *err)
{
	struct fsd_mount_client *c = NULL;
	const struct fsd_mount_hello *h;
	int rc;

	if (ws->pidfd < 0)
		ws->pidfd = fsd_pidfd_open(&rec->process);
	if (ws->pidfd == -ESRCH)
		return orch_err_set(
		    err, ESRCH, "the mount process (pid %d) has ended", rec->process.pid);
	if (ws->pidfd < 0)
		return orch_err_sys(
		    err, -ws->pidfd, "the mount process (pid %d)", rec->process.pid);
	rc = fsd_ws_connect_by(d, rec, deadline_ns, &c, err);
	if (rc < 0)
		return rc;
	h = fsd_mount_client_hello(c);
	if (strcmp(h->workspace, rec->name) != 0 || h->pid != rec->process.pid)
		rc = orch_err_set(err, ESTALE, "its socket is served by another process");
	/* The keeper may have died after a seal or a rebase. */
	rec->layer = h->layer;
	rec->snapshot = h->snapshot;
	rec->seq = h->seq;
	fsd_mount_client_close(c);
	return rc;
}

static void clear_dead(
    struct fsd_daemon *d, struct fsd_ws *ws, struct fsd_ws_record *rec, const char *why)
{
	struct orch_err err = ORCH_ERR_INIT;

	orch_fd_close(ws->pidfd);
	ws->pidfd = -1;
	if (fsd_ws_detach(rec, &err) < 0)
		orch_log_err(MODULE, "detach", &err);
	if (!rec->at_given)
		fsd_mountpoint_discard(rec->path);
	fsd_views_discard(d, rec->name);
	if (*rec->control)
		unlink(rec->control);
	rec->state = FSD_WS_CREATED;
	rec->process = (struct orch_proc_id){0};
	snprintf(rec->error, sizeof(rec->error), "%s", why);
	orch_log(ORCH_LOG_WARN, MODULE, "not-adopted", "workspace=%s reason=%s", rec->name, why);
}

/* A mount process that lives but does not answer keeps its users; it is shown with its error, and asked
 * again later. */
static void adopt_mounted(struct fsd_daemon *d, struct fsd_ws *ws, struct fsd_ws_record *rec)
{
	struct orch_err err = ORCH_ERR_INIT;
	int rc;

	if (fsd_ws_booted_since(rec)) {
		clear_dead(d, ws, rec, "the machine was started again");
		return;
	}
	rc = meet(d, ws, rec, fsd_ws_short_deadline(d), &err);
	if (rc == 0) {
		if (strcmp(rec->error, FSD_WS_DETACHED) != 0)
			rec->error[0] = '\0';
		orch_log(ORCH_LOG_INFO, MODULE, "adopted", "workspace=%s pid=%d layer=%llu",
		    rec->name, rec->process.pid, (unsigned long long)rec->layer);
	} else if (ws->pidfd == -ESRCH || (ws->pidfd >= 0 && fsd_pidfd_wait(ws->pidfd, 0))) {
		clear_dead(d, ws, rec, err.msg);
	} else {
		snprintf(rec->error, sizeof(rec->error), FSD_WS_DEAF "%.200s", err.msg);
		orch_log(ORCH_LOG_WARN, MODULE, "no-answer", "workspace=%s pid=%d error=%s",
		    rec->name, rec->process.pid, err.msg);
	}
}

static void check_layer(struct fsd_daemon *d, struct fsd_ws_record *rec)
{
	struct orch_err err = ORCH_ERR_INIT;

	if (fsd_layer_find_top(d->store, rec, &err) < 0) {
		snprintf(rec->error, sizeof(rec->error), "%.250s", err.msg);
		orch_log(
		    ORCH_LOG_WARN, MODULE, "layer", "workspace=%s error=%s", rec->name, err.msg);
	}
}

static void tell_record(const char *name, const struct orch_err *err)
{
	orch_log(ORCH_LOG_WARN, MODULE, "record", "workspace=%s error=%s", name, err->msg);
}

/* One whose record could be read; reserved. */
struct found {
	struct found *next;
	struct fsd_daemon *daemon;
	struct fsd_ws *ws;
	struct fsd_ws_record rec;
};

static void adopt_one(void *arg)
{
	struct found *f = arg;
	struct fsd_daemon *d = f->daemon;
	struct fsd_ws_record *rec = &f->rec, stored = f->rec;
	struct orch_err err = ORCH_ERR_INIT;
	int rc = 0;

	if (rec->state == FSD_WS_MOUNTED)
		adopt_mounted(d, f->ws, rec);
	if (rec->state == FSD_WS_CREATED)
		check_layer(d, rec);
	/* a full disk keeps no keeper from starting: what is not stored now is found again by the next */
	if (memcmp(&stored, rec, sizeof(stored)) == 0 ||
	    (rc = fsd_ws_save(d->registry, f->ws, rec, &err)) < 0)
		fsd_ws_show(d->registry, f->ws, rec);
	if (rc == 0)
		rc = fsd_ws_find_stray(d, f->ws, &err);
	if (rc < 0)
		tell_record(rec->name, &err);
	fsd_registry_release(d->registry, f->ws);
}

/* Shown with its error, so that it can be mended or dropped; a name that no workspace can have is
 * told by `store verify` alone. */
static void show_damaged(struct fsd_daemon *d, const char *name, const struct orch_err *why)
{
	struct fsd_ws_record rec = {.state = FSD_WS_DAMAGED};
	struct orch_err err = ORCH_ERR_INIT;
	struct fsd_ws *ws;

	if (fsd_registry_reserve(d->registry, name, &ws, &err) < 0)
		return;
	memcpy(rec.name, ws->record.name, sizeof(rec.name));
	snprintf(rec.error, sizeof(rec.error), "its record is damaged (%.100s): %s", why->msg,
	    FSD_WS_MEND);
	fsd_ws_show(d->registry, ws, &rec);
	fsd_registry_release(d->registry, ws);
}

struct adoption {
	struct fsd_daemon *daemon;
	struct found *list;
	unsigned mounted;
};

static int find_one(
    struct adoption *a, const char *key, const struct orch_json *value, struct orch_err *err)
{
	struct found *f = calloc(1, sizeof(*f));
	int rc =
	    f ? fsd_ws_record_parse(value, &f->rec, err) : orch_err_set(err, ENOMEM, "no memory");

	if (rc == 0 && strcmp(f->rec.name, key) != 0)
		rc = orch_err_set(err, ORCH_ECORRUPT, "it is of workspace '%s'", f->rec.name);
	if (rc == 0)
		rc = fsd_registry_reserve(a->daemon->registry, f->rec.name, &f->ws, err);
	if (rc < 0) {
		free(f);
		return rc;
	}
	f->daemon = a->daemon;
	f->next = a->list;
	a->list = f;
	a->mounted += f->rec.state == FSD_WS_MOUNTED;
	return 0;
}

static int on_record(
    void *priv, const char *ns, const char *key, const struct orch_json *value, int status)
{
	struct adoption *a = priv;
	struct orch_err err = ORCH_ERR_INIT;
	int rc = status;

	(void)ns;
	if (rc < 0)
		orch_err_sys(&err, -rc, "it can't be read");
	else
		rc = find_one(a, key, value, &err);
	if (rc < 0) {
		tell_record(key, &err);
		show_damaged(a->daemon, key, &err);
	}
	return 0;
}

/* Each is asked by a thread of its own, up to ASK_MAX. */
static void adopt_all(struct adoption *a)
{
	struct orch_pool *pool = NULL;

	if (a->mounted > 1)
		pool = orch_pool_new(a->mounted < ASK_MAX ? a->mounted : ASK_MAX, ASK_MAX);
	for (struct found *f = a->list; f; f = f->next) {
		if (pool)
			orch_pool_add(pool, adopt_one, f);
		else
			adopt_one(f);
	}
	orch_pool_free(pool);
	while (a->list) {
		struct found *f = a->list;

		a->list = f->next;
		free(f);
	}
}

int fsd_adopt_again(
    struct fsd_daemon *d, struct fsd_ws *ws, uint64_t deadline_ns, struct orch_err *err)
{
	struct fsd_ws_record rec = ws->record;
	int rc = meet(d, ws, &rec, deadline_ns, err);

	if (ws->pidfd < 0)
		ws->pidfd = -1;
	if (rc < 0)
		return rc;
	rec.error[0] = '\0';
	rc = fsd_ws_save(d->registry, ws, &rec, err);
	if (rc == 0)
		orch_log(ORCH_LOG_INFO, MODULE, "answers-again", "workspace=%s pid=%d layer=%llu",
		    rec.name, rec.process.pid, (unsigned long long)rec.layer);
	return rc;
}

static bool nobody_listens(const char *path)
{
	struct orch_err err = ORCH_ERR_INIT;
	int fd = orch_sock_connect(path, SOCK_SEQPACKET, 0, &err);

	orch_fd_close(fd);
	return fd == -ECONNREFUSED;
}

/* Files of sockets on which nobody listens any more: of mount processes that were killed and whose
 * workspace is gone, too. Another store's keeper may use the same folder. */
static void sweep_sockets(struct fsd_daemon *d)
{
	orch_auto(free) char *folder = orch_path_join(d->run_dir, "m");
	DIR *dir = folder ? opendir(folder) : NULL;
	char prefix[16];
	int n = snprintf(prefix, sizeof(prefix), "%.8s-", cas_store_id(d->store));

	if (!dir)
		return;
	for (struct dirent *e; (e = readdir(dir));) {
		orch_auto(free) char *path = NULL;

		if (strncmp(e->d_name, prefix, (size_t)n) != 0)
			continue;
		path = orch_path_join(folder, e->d_name);
		if (path && nobody_listens(path))
			unlink(path);
	}
	closedir(dir);
}

static bool is_somebodys(
    const struct fsd_ws_record *v, size_t n, const char *name, const char *path)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(v[i].name, name) == 0 || strcmp(v[i].path, path) == 0)
			return true;
	return false;
}

/* Empty folders of workspaces that were dropped when a keeper was killed. */
static void sweep_places(struct fsd_daemon *d)
{
	orch_auto(free) struct fsd_ws_record *list = NULL;
	DIR *dir = opendir(d->mounts);
	size_t n;

	if (!dir)
		return;
	if (fsd_registry_list(d->registry, &list, &n) < 0)
		n = SIZE_MAX; /* no memory: the next start */
	for (struct dirent *e; n != SIZE_MAX && (e = readdir(dir));) {
		orch_auto(free) char *path = NULL;

		if (!orch_workspace_name_valid(e->d_name))
			continue;
		path = fsd_ws_default_path(d, e->d_name);
		if (path && !is_somebodys(list, n, e->d_name, path) &&
		    fsd_mountpoint_sweep(dirfd(dir), e->d_name, d->settings->mount_timeout_s))
			orch_log(ORCH_LOG_INFO, MODULE, "swept", "folder=%s", path);
	}
	closedir(dir);
}

int fsd_adopt(struct fsd_daemon *d, struct orch_err *err)
{
	struct adoption a = {.daemon = d};
	size_t swept = 0;
	int rc = cas_record_list(d->store, CAS_NS_WORKSPACE, on_record, &a, err);

	adopt_all(&a);
	sweep_sockets(d);
	fsd_views_discard(d, NULL);
	if (rc == 0)
		sweep_places(d);
	if (rc == 0)
		rc = cas_layer_sweep(d->store, &swept, err);
	if (rc == 0 && swept)
		orch_log(ORCH_LOG_INFO, MODULE, "swept", "layers=%zu", swept);
	return rc;
}
