/* Create, mount, drop. Fork and commit are in ws_fork.c and ws_commit.c. */
#include "ws_change.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "adopt.h"
#include "core/log.h"
#include "core/path.h"
#include "daemon.h"
#include "jobs.h"
#include "layers.h"
#include "mount_process.h"
#include "mountpoint.h"
#include "ws_mend.h"
#include "ws_place.h"

#define QUEUE_MS 600000

/* The record says what was; a process may have ended without the watcher having seen it, or have
 * been started without its keeper having recorded it. */
static int see_process(struct fsd_daemon *d, struct fsd_ws *ws, struct orch_err *err)
{
	if (ws->record.state == FSD_WS_CREATED)
		return fsd_ws_find_stray(d, ws, err);
	if (ws->pidfd < 0) /* adopted when no descriptor was free */
		ws->pidfd = fsd_pidfd_open(&ws->record.process);
	if (ws->pidfd == -ESRCH) /* it ended, and that could not be recorded */
		return fsd_ws_bury(d, ws, err);
	if (ws->pidfd < 0)
		return 0;
	/* Killed: its first thread may be gone while others still are on their way out. */
	if (orch_proc_id_alive(&ws->record.process) == 0 &&
	    fsd_pidfd_wait(ws->pidfd, fsd_ws_deadline(d)))
		return fsd_ws_bury(d, ws, err);
	/* what it says may be newer than the record; one that is stuck is seen by what is asked of it */
	if (fsd_ws_is_deaf(&ws->record))
		(void)!fsd_adopt_again(d, ws, fsd_ws_short_deadline(d), NULL);
	return 0;
}

static int may(const struct fsd_request *r, const struct fsd_ws_record *rec, struct orch_err *err)
{
	if (fsd_peer_is_admin(&r->peer) || r->peer.uid == rec->uid)
		return 0;
	return orch_err_set(
	    err, EPERM, "workspace '%s' belongs to user %u", rec->name, (unsigned)rec->uid);
}

int fsd_ws_allow(
    struct fsd_request *r, const char *name, struct fsd_ws_record *out, struct orch_err *err)
{
	int rc = fsd_registry_look(r->daemon->registry, name, out, err);

	return rc < 0 ? rc : may(r, out, err);
}

int fsd_ws_hold(struct fsd_request *r, const char *name, struct fsd_ws **out, struct orch_err *err)
{
	struct fsd_registry *g = r->daemon->registry;
	struct fsd_ws_record rec;
	struct fsd_ws *ws;
	int rc = fsd_registry_hold(g, name, &ws, err);

	if (rc < 0)
		return rc;
	rc = fsd_ws_allow(r, name, &rec, err);
	if (rc < 0)
		fsd_registry_unhold(g, ws);
	else
		*out = ws;
	return rc;
}

/* Acquired: is it still the peer's, and its process what the record says? Gives it back when not. */
static int taken(struct fsd_request *r, struct fsd_ws *ws, struct orch_err *err)
{
	struct fsd_registry *g = r->daemon->registry;
	int rc = may(r, &ws->record, err); /* it may be another one of that name */

	if (rc == 0)
		rc = see_process(r->daemon, ws, err);
	if (rc < 0)
		fsd_registry_release(g, ws);
	return rc;
}

static int take_any(
    struct fsd_request *r, const char *name, struct fsd_ws **out, struct orch_err *err)
{
	struct fsd_ws_record rec;
	int rc = fsd_ws_allow(r, name, &rec, err);

	if (rc == 0)
		rc = fsd_registry_acquire(
		    r->daemon->registry, name, r, orch_deadline_in_ms(QUEUE_MS), out, err);
	return rc < 0 ? rc : taken(r, *out, err);
}

int fsd_ws_take_again(struct fsd_request *r, struct fsd_ws *ws, struct orch_err *err)
{
	int rc = fsd_registry_acquire_again(
	    r->daemon->registry, ws, r, orch_deadline_in_ms(QUEUE_MS), err);

	return rc < 0 ? rc : taken(r, ws, err);
}

/* What only dropping can be done to; gives it back then. */
static int undamaged(struct fsd_request *r, struct fsd_ws *ws, struct orch_err *err)
{
	const char *name = ws->record.name;

	if (ws->record.state != FSD_WS_DAMAGED)
		return 0;
	orch_err_set(
	    err, ORCH_ECORRUPT, "the record of workspace '%s' is damaged: %s", name, FSD_WS_MEND);
	fsd_registry_release(r->daemon->registry, ws);
	return -ORCH_ECORRUPT;
}

int fsd_ws_take_commit(
    struct fsd_request *r, const char *name, struct fsd_ws **out, struct orch_err *err)
{
	struct fsd_registry *g = r->daemon->registry;
	struct fsd_ws_record rec;
	struct fsd_ws *ws;
	int rc = fsd_ws_allow(r, name, &rec, err);

	if (rc == 0)
		rc = fsd_registry_commit_begin(g, name, r, orch_deadline_in_ms(QUEUE_MS), &ws, err);
	if (rc < 0)
		return rc;
	rc = fsd_ws_take_again(r, ws, err);
	if (rc == 0)
		rc = undamaged(r, ws, err);
	if (rc < 0)
		fsd_registry_commit_end(g, ws);
	else
		*out = ws;
	return rc;
}

int fsd_ws_take(struct fsd_request *r, const char *name, struct fsd_ws **out, struct orch_err *err)
{
	int rc = take_any(r, name, out, err);

	return rc < 0 ? rc : undamaged(r, *out, err);
}

/* ---- create ---- */

static int fill(struct fsd_request *r, struct fsd_ws *ws, const struct fsd_ws_create *c,
    struct fsd_ws_record *rec, struct orch_err *err)
{
	*rec = (struct fsd_ws_record){
	    .state = FSD_WS_CREATED,
	    .snapshot = c->snapshot,
	    .uid = c->uid,
	    .gid = c->gid,
	    .read_only = c->read_only,
	    .passthrough = c->passthrough,
	    .created_wall_ns = orch_wall_ns(),
	    .seq = 1,
	};
	memcpy(rec->name, c->name, strlen(c->name) + 1);
	return fsd_ws_place(r, ws, rec, c->at, err);
}

/* The layer first: without a record it is swept by the next start. */
static int create_in(struct fsd_request *r, struct fsd_ws *ws, struct fsd_ws_record *rec,
    bool mount, struct orch_err *err)
{
	struct fsd_daemon *d = r->daemon;
	struct fsd_layer_spec layer = {.ws = rec, .seq = 1};
	int rc = fsd_layer_make(d->store, &layer, &rec->layer, err);

	if (rc == 0)
		rc = fsd_ws_save(d->registry, ws, rec, err);
	if (rc == 0 && mount)
		rc = fsd_ws_mount(d, ws, rec, r, err);
	if (rc < 0)
		fsd_ws_undo_create(d, ws, rec->layer);
	return rc;
}

int fsd_ws_create(struct fsd_request *r, const struct fsd_ws_create *c, struct fsd_ws_record *out,
    struct orch_err *err)
{
	struct fsd_registry *g = r->daemon->registry;
	struct fsd_ws *ws;
	int rc = fsd_registry_reserve(g, c->name, &ws, err);

	if (rc < 0)
		return rc;
	rc = fill(r, ws, c, out, err);
	if (rc == 0)
		rc = create_in(r, ws, out, c->mount, err);
	fsd_registry_release(g, ws);
	return rc;
}

/* ---- mount ---- */

static int remount(struct fsd_request *r, struct fsd_ws *ws, const char *at,
    struct fsd_ws_record *rec, struct orch_err *err)
{
	int rc;

	*rec = ws->record;
	if (rec->state == FSD_WS_MOUNTED && strcmp(rec->error, FSD_WS_DETACHED) == 0)
		return orch_err_set(err, EBUSY, "workspace '%s' is %s", rec->name, rec->error);
	if (rec->state == FSD_WS_MOUNTED && at && strcmp(at, rec->path) != 0)
		return orch_err_set(
		    err, EBUSY, "workspace '%s' is mounted on %s", rec->name, rec->path);
	if (rec->state == FSD_WS_MOUNTED)
		return 0;
	rc = fsd_ws_place(r, ws, rec, at ? at : rec->at_given ? ws->record.path : NULL, err);
	return rc < 0 ? rc : fsd_ws_mount(r->daemon, ws, rec, r, err);
}

int fsd_ws_remount(struct fsd_request *r, const char *name, const char *at,
    struct fsd_ws_record *out, struct orch_err *err)
{
	struct fsd_ws *ws;
	int rc = fsd_ws_take(r, name, &ws, err);

	if (rc < 0)
		return rc;
	rc = remount(r, ws, at, out, err);
	fsd_registry_release(r->daemon->registry, ws);
	return rc;
}

/* ---- drop ---- */

/* What its layers say, so that they go with it, and its process, if one lives. */
static int see_damaged(struct fsd_daemon *d, struct fsd_ws *ws, struct orch_err *err)
{
	struct fsd_ws_record rec;
	int rc = fsd_ws_rebuild(d, ws->record.name, &rec, err);

	if (rc <= 0)
		return rc;
	fsd_ws_show(d->registry, ws, &rec);
	return fsd_ws_find_stray(d, ws, err);
}

/* The top layer: the record still names a sealed one when the keeper failed after the seal. */
static uint64_t top_layer(struct fsd_daemon *d, const struct fsd_ws *ws)
{
	struct fsd_ws_record rec = ws->record;
	struct orch_err err = ORCH_ERR_INIT;

	return fsd_layer_find_top(d->store, &rec, &err) < 0 ? ws->record.layer : rec.layer;
}

/* The record first: what is left of the layers is swept by the next start. */
static int drop(struct fsd_request *r, struct fsd_ws *ws, bool force, struct orch_err *err)
{
	struct fsd_daemon *d = r->daemon;
	uint64_t layer;
	int rc = ws->record.state == FSD_WS_DAMAGED ? see_damaged(d, ws, err) : 0;

	if (rc == 0)
		rc = fsd_ws_umount(d, ws, force ? FSD_UMOUNT_FORCE : FSD_UMOUNT_IDLE, err);
	if (rc < 0)
		return rc;
	if (ws->record.state == FSD_WS_MOUNTED)
		return orch_err_set(
		    err, EBUSY, "workspace '%s' is %s", ws->record.name, ws->record.error);
	layer = top_layer(d, ws);
	fsd_ws_leave_holders(d->registry, ws);
	fsd_jobs_forget(d->jobs, ws->record.name);
	rc = fsd_ws_remove(d->registry, ws, err);
	if (rc == 0)
		fsd_layer_remove_chain(d->store, layer);
	return rc;
}

int fsd_ws_drop(struct fsd_request *r, const char *name, bool force, struct orch_err *err)
{
	struct fsd_ws *ws;
	int rc = take_any(r, name, &ws, err);

	if (rc < 0)
		return rc;
	rc = drop(r, ws, force, err);
	fsd_registry_release(r->daemon->registry, ws);
	if (rc == 0)
		orch_log(ORCH_LOG_INFO, "keeper", "dropped", "workspace=%s", name);
	return rc;
}
