/* Where a workspace is mounted. */
#include "ws_place.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "core/fd.h"
#include "core/log.h"
#include "daemon.h"
#include "jobs.h"
#include "layers.h"
#include "mountpoint.h"
#include "ws_mount.h"

int fsd_ws_place(struct fsd_request *r, struct fsd_ws *ws, struct fsd_ws_record *rec,
    const char *at, struct orch_err *err)
{
	orch_auto(free) char *path = NULL;

	rec->at_given = at != NULL;
	orch_fd_close(ws->place_fd);
	ws->place_fd = -1;
	if (at)
		return fsd_mountpoint_check(
		    &r->peer, at, rec->path, sizeof(rec->path), &ws->place_fd, err);
	path = fsd_ws_default_path(r->daemon, rec->name);
	if (!path)
		return orch_err_set(err, ENOMEM, "no memory");
	if (strlen(path) >= sizeof(rec->path))
		return orch_err_set(err, ENAMETOOLONG, "%s", path);
	memcpy(rec->path, path, strlen(path) + 1);
	return 0;
}

void fsd_ws_undo_create(struct fsd_daemon *d, struct fsd_ws *ws, uint64_t layer)
{
	struct orch_err err = ORCH_ERR_INIT;

	fsd_ws_leave_holders(d->registry, ws);
	fsd_jobs_forget(d->jobs, ws->record.name); /* it was seen while it was mounted */
	if (fsd_ws_remove(d->registry, ws, &err) < 0)
		orch_log_err("keeper", "undo-create", &err);
	fsd_layer_remove_chain(d->store, layer);
}
