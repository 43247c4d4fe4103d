/* A mount for the time of an operation. */
#include "ws_visit.h"
#include <string.h>
#include "core/log.h"
#include "daemon.h"
#include "ws_mount.h"
#include "ws_place.h"

int fsd_ws_enter(
    struct fsd_request *r, struct fsd_ws *ws, struct fsd_ws_visit *v, struct orch_err *err)
{
	struct fsd_ws_record rec = ws->record;
	int rc;

	v->mine = false;
	if (rec.state == FSD_WS_MOUNTED)
		return 0;
	memcpy(v->path, rec.path, sizeof(v->path));
	v->at_given = rec.at_given;
	rc = fsd_ws_place(r, ws, &rec, NULL, err);
	if (rc == 0)
		rc = fsd_ws_mount(r->daemon, ws, &rec, r, err);
	v->mine = rc == 0;
	return rc;
}

void fsd_ws_leave(struct fsd_request *r, struct fsd_ws *ws, const struct fsd_ws_visit *v)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct fsd_ws_record rec;
	int rc;

	if (!v->mine)
		return;
	rc = fsd_ws_umount(r->daemon, ws, FSD_UMOUNT_IDLE, &err);
	if (rc == 0 && ws->record.state != FSD_WS_MOUNTED) {
		rec = ws->record;
		memcpy(rec.path, v->path, sizeof(rec.path));
		rec.at_given = v->at_given;
		rc = fsd_ws_save(r->daemon->registry, ws, &rec, &err);
	}
	if (rc < 0)
		orch_log(ORCH_LOG_WARN, "keeper", "stays-mounted", "workspace=%s error=%s",
		    ws->record.name, err.msg);
}
