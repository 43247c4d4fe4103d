/* What asks a mount process for the state of an instant. */
#include "ws_seal.h"
#include <errno.h>
#include <inttypes.h>
#include "cache/layer.h"
#include "daemon.h"
#include "pause.h"
#include "ws_mount.h"
#include "ws_visit.h"

/* Seals, and records the new layer. */
int fsd_ws_seal(
    struct fsd_request *r, struct fsd_ws *ws, struct fsd_seal *out, struct orch_err *err)
{
	struct fsd_daemon *d = r->daemon;
	struct fsd_mount_client *c = NULL;
	struct fsd_ws_record rec = ws->record;
	struct fsd_pause pause;
	struct fsd_mount_seal ask = {0};
	int rc = cas_layer_new_id(d->store, &ask.next_layer, err);

	if (rc == 0)
		rc = fsd_ws_connect(d, &rec, &c, err);
	if (rc == 0) {
		fsd_pause_open(d, rec.name, &pause, &ask);
		rc = fsd_mount_seal(c, &ask, fsd_ws_deadline(d), out, err);
		fsd_pause_close(&pause);
	}
	fsd_mount_client_close(c);
	if (rc < 0) {
		orch_err_wrap(err, "seal workspace '%s'", rec.name);
		return rc;
	}
	rec.layer = out->layer;
	rec.seq = out->seq;
	rc = fsd_ws_save(d->registry, ws, &rec, err);
	if (rc < 0)
		fsd_seal_fini(out);
	return rc;
}

/* A read-only workspace has no writer, so nothing is in its top layer: a fork stands on what is below
 * that. */
static int seal_read_only(
    struct fsd_request *r, struct fsd_ws *ws, struct fsd_seal *out, struct orch_err *err)
{
	struct cas_layer layer;
	int rc = cas_layer_get(r->daemon->store, ws->record.layer, &layer, err);

	if (rc == 0 && layer.status < 0)
		rc = orch_err_sys(err, -layer.status, "layer %" PRIu64, ws->record.layer);
	if (rc < 0)
		return rc;
	*out = (struct fsd_seal){
	    .sealed = layer.head.parent,
	    .layer = ws->record.layer,
	    .seq = ws->record.seq,
	    .last_write_seen = orch_json_array(),
	};
	return out->last_write_seen ? 0 : orch_err_set(err, ENOMEM, "no memory");
}

int fsd_ws_seal_any(
    struct fsd_request *r, struct fsd_ws *ws, struct fsd_seal *out, struct orch_err *err)
{
	struct fsd_ws_visit v;
	int rc;

	if (ws->record.read_only)
		return seal_read_only(r, ws, out, err);
	rc = fsd_ws_enter(r, ws, &v, err);
	if (rc < 0)
		return rc;
	rc = fsd_ws_seal(r, ws, out, err);
	fsd_ws_leave(r, ws, &v);
	return rc;
}
