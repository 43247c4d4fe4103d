/* Fork: a new workspace on the sealed layer of another. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include "core/log.h"
#include "daemon.h"
#include "layers.h"
#include "ws_change.h"
#include "ws_place.h"
#include "ws_seal.h"

/* The state that the fork starts from; the source is free again afterwards. The layer of the fork
 * is made meanwhile, so that what it stands on can't be removed. */
static int branch(struct fsd_request *r, const char *source, struct fsd_ws_record *rec,
    struct fsd_seal *out_seal, struct orch_err *err)
{
	struct fsd_daemon *d = r->daemon;
	struct fsd_seal s = {0};
	struct fsd_ws *ws;
	int rc = fsd_ws_take(r, source, &ws, err);

	if (rc < 0)
		return rc;
	rc = fsd_ws_seal_any(r, ws, true, &s, err);
	if (rc == 0) {
		struct fsd_layer_spec layer = {
		    .ws = rec, .parent = s.sealed, .next_ino = s.next_ino, .seq = s.seq + 1};

		rec->snapshot = ws->record.snapshot;
		rec->uid = ws->record.uid;
		rec->gid = ws->record.gid;
		rec->passthrough = ws->record.passthrough;
		rec->seq = layer.seq;
		rc = fsd_layer_make(d->store, &layer, &rec->layer, err);
	}
	fsd_registry_release(d->registry, ws);
	if (rc == 0)
		*out_seal = s;
	else
		fsd_seal_fini(&s);
	return rc;
}

static int fork_into(struct fsd_request *r, struct fsd_ws *ws, const char *source, const char *at,
    bool mount, struct fsd_ws_record *rec, struct fsd_seal *out_seal, struct orch_err *err)
{
	struct fsd_daemon *d = r->daemon;
	int rc;

	*rec = (struct fsd_ws_record){.created_wall_ns = orch_wall_ns()};
	memcpy(rec->name, ws->record.name, sizeof(rec->name));
	rc = fsd_ws_place(r, ws, rec, at, err);
	if (rc == 0)
		rc = branch(r, source, rec, out_seal, err);
	if (rc < 0)
		return rc;
	rc = fsd_ws_save(d->registry, ws, rec, err);
	if (rc == 0 && mount)
		rc = fsd_ws_mount(d, ws, rec, r, err);
	if (rc < 0)
		fsd_ws_undo_create(d, ws, rec->layer);
	return rc;
}

int fsd_ws_fork(struct fsd_request *r, const char *source, const char *name, const char *at,
    bool mount, struct fsd_ws_record *out, struct fsd_seal *out_seal, struct orch_err *err)
{
	struct fsd_registry *g = r->daemon->registry;
	uint64_t begin = orch_clock_ns();
	struct fsd_ws *ws;
	int rc = fsd_registry_reserve(g, name, &ws, err);

	if (rc < 0)
		return rc;
	*out_seal = (struct fsd_seal){0};
	rc = fork_into(r, ws, source, at, mount, out, out_seal, err);
	fsd_registry_release(g, ws);
	if (rc < 0) {
		fsd_seal_fini(out_seal);
		return rc;
	}
	orch_log(ORCH_LOG_INFO, "keeper", "forked", "workspace=%s source=%s us=%" PRIu64, name,
	    source, (orch_clock_ns() - begin) / 1000);
	return 0;
}
