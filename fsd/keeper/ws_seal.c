/* What asks a mount process for the state of an instant. */
#include "ws_seal.h"
#include <errno.h>
#include <inttypes.h>
#include "cache/layer.h"
#include "core/log.h"
#include "daemon.h"
#include "layers.h"
#include "pause.h"
#include "ws_mount.h"
#include "ws_visit.h"

/* Forks without a commit lay a layer on the chain each. Beyond so many they are put together in the top
 * one, but for those that a commit reads. A failure costs nothing yet. */
static void shorten(struct fsd_request *r, struct fsd_ws *ws, struct fsd_mount_client *c)
{
	struct fsd_daemon *d = r->daemon;
	struct orch_err err = ORCH_ERR_INIT;
	uint64_t below = fsd_layer_parent(d->store, ws->record.layer);
	int rc;

	if (ws->layers <= ws->commit_layers + FSD_CHAIN_LONG)
		return;
	rc = fsd_mount_flatten(c, ws->commit_layer, fsd_ws_long_deadline(d), &err);
	if (rc < 0) {
		orch_log(ORCH_LOG_WARN, "keeper", "chain-stays",
		    "workspace=%s layers=%" PRIu64 " error=%s", ws->record.name, ws->layers,
		    err.msg);
		return;
	}
	orch_log(ORCH_LOG_INFO, "keeper", "chain-shortened", "workspace=%s layers=%" PRIu64,
	    ws->record.name, ws->layers);
	ws->layers = ws->commit_layers + 1;
	fsd_layer_remove_chain(d->store, below);
}

static int ask_to_seal(struct fsd_request *r, struct fsd_ws *ws, struct fsd_mount_client *c,
    bool share, struct fsd_seal *out, struct orch_err *err)
{
	struct fsd_daemon *d = r->daemon;
	struct fsd_mount_seal ask = {.share = share};
	struct fsd_pause pause;
	int rc = cas_layer_new_id(d->store, &ask.next_layer, err);

	if (rc < 0)
		return rc;
	fsd_pause_open(d, ws->record.name, &pause, &ask);
	rc = fsd_mount_seal(c, &ask, fsd_ws_long_deadline(d), out, err);
	fsd_pause_close(&pause);
	return rc;
}

/* Seals, and records the new layer. */
int fsd_ws_seal(struct fsd_request *r, struct fsd_ws *ws, bool share, struct fsd_seal *out,
    struct orch_err *err)
{
	struct fsd_daemon *d = r->daemon;
	struct fsd_mount_client *c = NULL;
	struct fsd_ws_record rec = ws->record;
	int rc = fsd_ws_connect(d, &rec, &c, err);

	if (rc == 0) {
		shorten(r, ws, c);
		rec.snapshot = fsd_mount_client_hello(c)->snapshot;
		rc = ask_to_seal(r, ws, c, share, out, err);
	}
	fsd_mount_client_close(c);
	if (rc < 0) {
		orch_err_wrap(err, "seal workspace '%s'", rec.name);
		return rc;
	}
	ws->layers = out->layers;
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

int fsd_ws_seal_any(struct fsd_request *r, struct fsd_ws *ws, bool share, struct fsd_seal *out,
    struct orch_err *err)
{
	struct fsd_ws_visit v;
	int rc;

	if (ws->record.read_only)
		return seal_read_only(r, ws, out, err);
	rc = fsd_ws_enter(r, ws, &v, err);
	if (rc < 0)
		return rc;
	rc = fsd_ws_seal(r, ws, share, out, err);
	fsd_ws_leave(r, ws, &v);
	return rc;
}
