/* What changed in a workspace since a number of its change sequence. */
#include "daemon.h"
#include "ws_change.h"
#include "ws_visit.h"

int fsd_ws_changes(struct fsd_request *r, const char *name, uint64_t since, int fd,
    uint64_t *out_seq, struct orch_err *err)
{
	struct fsd_mount_client *c = NULL;
	struct fsd_ws *ws;
	struct fsd_ws_visit v = {0};
	int rc = fsd_ws_take(r, name, &ws, err);

	if (rc < 0)
		return rc;
	rc = fsd_ws_enter(r, ws, &v, err);
	if (rc == 0)
		rc = fsd_ws_connect(r->daemon, &ws->record, &c, err);
	if (rc == 0)
		rc = fsd_mount_changes(c, since, fd, fsd_ws_deadline(r->daemon), out_seq, err);
	fsd_mount_client_close(c);
	fsd_ws_leave(r, ws, &v);
	fsd_registry_release(r->daemon->registry, ws);
	return rc;
}
