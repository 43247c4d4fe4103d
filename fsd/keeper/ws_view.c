/* Views: the request for one, and their folders. See ws_view.h. */
#include "ws_view.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core/fd.h"
#include "core/log.h"
#include "core/path.h"
#include "mount_process.h"
#include "mountpoint.h"
#include "views.h"
#include "ws_change.h"
#include "ws_mount.h"

static char *folder_path(const struct fsd_daemon *d)
{
	return orch_path_join(d->mounts, FMT_VIEWS_FOLDER); /* no workspace has a name like that */
}

/* ---- making one */

static int place(struct fsd_daemon *d, const struct fsd_ws_record *rec, uid_t uid, gid_t gid,
    char **out, struct orch_err *err)
{
	orch_auto(free) char *folder = folder_path(d);
	char name[sizeof(rec->name) + 32];

	snprintf(name, sizeof(name), "%s.%u.%u", rec->name, (unsigned)uid, (unsigned)gid);
	*out = folder ? orch_path_join(folder, name) : NULL;
	if (!*out)
		return orch_err_set(err, ENOMEM, "no memory");
	if (geteuid() != 0)
		return orch_err_set(err, EOPNOTSUPP,
		    "the kernel makes idmapped mounts for root alone, and the daemon is not: run "
		    "it as "
		    "root, or the container without it (rootless): the root in such a one is its "
		    "user");
	if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		return orch_err_sys(err, errno, "%s", folder);
	return 0;
}

/* Until the kernel has asked for it the root folder is root's to it, whom a view need not know: a first
 * call that changes that folder itself (chmod, O_TMPFILE) would be refused. So it is looked at. */
static int make(const struct fsd_ws_record *rec, const struct fsd_view *want, struct orch_err *err)
{
	char source[FSD_MOUNT_SOURCE_BYTES];
	int fd = -1, rc;

	fsd_mount_source(rec, source);
	rc = fsd_mountpoint_has(want->path, source, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	rc = fsd_mountpoint_prepare(want->path, &fd, err);
	if (rc == 0)
		rc = fsd_view_make(rec, want, fd, err);
	orch_fd_close(fd);
	if (rc < 0)
		fsd_mountpoint_discard(want->path);
	else if (fsd_mountpoint_look(want->path) < 0)
		orch_log(ORCH_LOG_WARN, "keeper", "view-unseen", "path=%s", want->path);
	return rc;
}

static int view(struct fsd_daemon *d, const struct fsd_ws_record *rec, uid_t uid, gid_t gid,
    char **out_path, struct orch_err *err)
{
	struct fsd_view want = {.uid = uid, .gid = gid};
	orch_auto(free) char *path = NULL;
	int rc = place(d, rec, uid, gid, &path, err);

	want.path = path;
	if (rc == 0)
		rc = make(rec, &want, err);
	if (rc < 0) {
		orch_err_wrap(err, "a view of workspace '%s'", rec->name);
		return rc;
	}
	*out_path = orch_take(path);
	return 0;
}

int fsd_ws_view(struct fsd_request *r, const char *name, uid_t uid, gid_t gid, char **out_path,
    struct orch_err *err)
{
	struct fsd_ws_record rec;
	struct fsd_ws *ws;
	int rc = fsd_ws_remount(r, name, NULL, &rec, err);

	if (rc == 0)
		rc = fsd_ws_take(r, name, &ws, err);
	if (rc < 0)
		return rc;
	if (ws->record.state != FSD_WS_MOUNTED || strcmp(ws->record.error, FSD_WS_DETACHED) == 0)
		rc = orch_err_set(err, EBUSY, "workspace '%s' is being unmounted", name);
	else
		rc = view(r->daemon, &ws->record, uid, gid, out_path, err);
	fsd_registry_release(r->daemon->registry, ws);
	return rc;
}

/* ---- taking the folders away */

static bool is_of(const char *folder, const char *name)
{
	struct fsd_view is;
	size_t len;

	return fsd_view_name_parse(folder, &len, &is) && len == strlen(name) &&
	       memcmp(folder, name, len) == 0;
}

/* Mounted on, or not ours: it stays. Another daemon with the same folder may be about to mount on what is new
 * and nobody's here. */
static void discard(struct fsd_daemon *d, int folder, const char *entry, const char *name)
{
	struct fsd_view is;
	size_t len;

	if (!name && fsd_view_name_parse(entry, &len, &is))
		(void)!fsd_mountpoint_sweep(folder, entry, d->settings->mount_timeout_s);
	else if (name && is_of(entry, name))
		(void)!unlinkat(folder, entry, AT_REMOVEDIR);
}

void fsd_views_discard(struct fsd_daemon *d, const char *name)
{
	orch_auto(free) char *folder = folder_path(d);
	DIR *dir = folder ? opendir(folder) : NULL;

	if (!dir)
		return;
	for (struct dirent *e; (e = readdir(dir));)
		discard(d, dirfd(dir), e->d_name, name);
	closedir(dir);
}
