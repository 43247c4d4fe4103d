/*
 * Fork, commit and changes: what asks a mount process for the state of an instant. A workspace that
 * is not mounted is mounted for that time at its default place, so there is one mechanism.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cache/layer.h"
#include "core/log.h"
#include "daemon.h"
#include "events.h"
#include "json_value.h"
#include "layers.h"
#include "ws_change.h"
#include "ws_place.h"

/* ---- a mount for the time of an operation ---- */

struct visit {
	bool mine; /* mounted by _enter, _leave unmounts it */
	char path[sizeof(((struct fsd_ws_record *)0)->path)]; /* where it belongs otherwise */
	bool at_given;
};

static int enter(struct fsd_request *r, struct fsd_ws *ws, struct visit *v, struct orch_err *err)
{
	struct fsd_ws_record rec = ws->record;
	int rc;

	v->mine = false;
	if (rec.state == FSD_WS_MOUNTED)
		return 0;
	memcpy(v->path, rec.path, sizeof(v->path));
	v->at_given = rec.at_given;
	rc = fsd_ws_place(r, &rec, NULL, err);
	if (rc == 0)
		rc = fsd_ws_mount(r->daemon, ws, &rec, r, err);
	v->mine = rc == 0;
	return rc;
}

static void leave(struct fsd_request *r, struct fsd_ws *ws, const struct visit *v)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct fsd_ws_record rec;
	int rc;

	if (!v->mine)
		return;
	rc = fsd_ws_umount(r->daemon, ws, FSD_UMOUNT_IDLE, &err);
	if (rc == 0) {
		rec = ws->record;
		memcpy(rec.path, v->path, sizeof(rec.path));
		rec.at_given = v->at_given;
		rc = fsd_ws_save(r->daemon->registry, ws, &rec, &err);
	}
	if (rc < 0)
		orch_log(ORCH_LOG_WARN, "keeper", "stays-mounted", "workspace=%s error=%s",
		    ws->record.name, err.msg);
}

/* Seals, and records the new layer. */
static int seal(
    struct fsd_request *r, struct fsd_ws *ws, struct fsd_seal *out, struct orch_err *err)
{
	struct fsd_daemon *d = r->daemon;
	struct fsd_mount_client *c = NULL;
	struct fsd_ws_record rec = ws->record;
	uint64_t next;
	int rc = cas_layer_new_id(d->store, &next, err);

	if (rc == 0)
		rc = fsd_ws_connect(d, &rec, &c, err);
	if (rc == 0)
		rc = fsd_mount_seal(c, next, fsd_ws_deadline(d), out, err);
	fsd_mount_client_close(c);
	if (rc < 0)
		return orch_err_wrap(err, "seal workspace '%s'", rec.name);
	rec.layer = out->layer;
	rec.seq = out->seq;
	rc = fsd_ws_save(d->registry, ws, &rec, err);
	if (rc < 0)
		fsd_seal_fini(out);
	return rc;
}

/* A read-only workspace has no writer: its top layer is as good as sealed. */
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
	    .sealed = ws->record.layer,
	    .layer = ws->record.layer,
	    .seq = ws->record.seq,
	    .last_write_seen = orch_json_array(),
	};
	return out->last_write_seen ? 0 : orch_err_set(err, ENOMEM, "no memory");
}

static int seal_any(
    struct fsd_request *r, struct fsd_ws *ws, struct fsd_seal *out, struct orch_err *err)
{
	struct visit v;
	int rc;

	if (ws->record.read_only)
		return seal_read_only(r, ws, out, err);
	rc = enter(r, ws, &v, err);
	if (rc < 0)
		return rc;
	rc = seal(r, ws, out, err);
	leave(r, ws, &v);
	return rc;
}

/* ---- fork ---- */

/* The state that the fork starts from; the source is free again afterwards. The layer of the fork
 * is made meanwhile, so that what it stands on can't be removed. */
static int branch(struct fsd_request *r, const char *source, struct fsd_ws_record *rec,
    struct orch_json **out_unsure, struct orch_err *err)
{
	struct fsd_daemon *d = r->daemon;
	struct fsd_seal s = {0};
	struct fsd_ws *ws;
	int rc = fsd_ws_take(r, source, &ws, err);

	if (rc < 0)
		return rc;
	rc = seal_any(r, ws, &s, err);
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
		*out_unsure = orch_take(s.last_write_seen);
	fsd_seal_fini(&s);
	return rc;
}

static int fork_into(struct fsd_request *r, struct fsd_ws *ws, const char *source, const char *at,
    bool mount, struct fsd_ws_record *rec, struct orch_json **out_unsure, struct orch_err *err)
{
	struct fsd_daemon *d = r->daemon;
	int rc;

	*rec = (struct fsd_ws_record){.created_wall_ns = orch_wall_ns()};
	memcpy(rec->name, ws->record.name, sizeof(rec->name));
	rc = fsd_ws_place(r, rec, at, err);
	if (rc == 0)
		rc = branch(r, source, rec, out_unsure, err);
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
    bool mount, struct fsd_ws_record *out, struct orch_json **out_unsure, struct orch_err *err)
{
	struct fsd_registry *g = r->daemon->registry;
	uint64_t begin = orch_clock_ns();
	struct fsd_ws *ws;
	int rc = fsd_registry_reserve(g, name, &ws, err);

	if (rc < 0)
		return rc;
	*out_unsure = NULL;
	rc = fork_into(r, ws, source, at, mount, out, out_unsure, err);
	fsd_registry_release(g, ws);
	if (rc < 0) {
		orch_json_free(*out_unsure);
		*out_unsure = NULL;
		return rc;
	}
	orch_log(ORCH_LOG_INFO, "keeper", "forked", "workspace=%s source=%s us=%" PRIu64, name,
	    source, (orch_clock_ns() - begin) / 1000);
	return 0;
}

/* ---- commit ---- */

static int push_layer(struct orch_json *list, uint64_t id)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, id);
	return orch_json_push_str(list, text);
}

/* "layers" of the task: oldest first. */
static int set_layers(
    struct fsd_daemon *d, struct orch_json *task, uint64_t top, struct orch_err *err)
{
	orch_auto(free) uint64_t *chain = NULL;
	struct orch_json *list = orch_json_array();
	size_t n = 0;
	int rc = list ? fsd_layer_chain(d->store, top, &chain, &n, err)
		      : orch_err_set(err, ENOMEM, "no memory");

	for (; rc == 0 && n > 0; n--)
		if (push_layer(list, chain[n - 1]) < 0)
			rc = orch_err_set(err, ENOMEM, "no memory");
	if (rc == 0 && orch_json_set_json(task, "layers", &list) < 0)
		rc = orch_err_set(err, ENOMEM, "no memory");
	orch_json_free(list);
	return rc;
}

static int set_owner(struct orch_json *task, const struct fsd_ws_record *rec)
{
	struct orch_json *o = orch_json_object();
	int rc = o ? orch_json_set_int(o, "uid", rec->uid) : -ENOMEM;

	if (rc == 0)
		rc = orch_json_set_int(o, "gid", rec->gid);
	if (rc == 0)
		rc = orch_json_set_json(task, "owner", &o);
	orch_json_free(o);
	return rc;
}

/* Layers are private to the daemon's user, so this worker keeps its ids; it reads no path of a
 * peer. */
static int make_snapshot(struct fsd_request *r, struct fsd_ws *ws, const struct fsd_seal *s,
    const struct fsd_transfer *t, struct orch_json **out, struct orch_digest *out_id,
    struct orch_err *err)
{
	orch_auto(json) struct orch_json *json = fsd_task_json(r, "commit", false);
	struct fsd_task task = {.json = json};
	int rc = json ? fsd_json_set_digest(json, "snapshot", &ws->record.snapshot) : -ENOMEM;

	if (rc == 0)
		rc = set_owner(json, &ws->record);
	if (rc < 0)
		return orch_err_sys(err, -rc, "task");
	rc = set_layers(r->daemon, json, s->sealed, err);
	if (rc < 0)
		return rc;
	fsd_task_fd(&task, "layers", cas_store_layers_fd(r->daemon->store));
	return fsd_transfer_run(r, &task, t, out, out_id, err);
}

/* The workspace goes on, based on the new snapshot. A failure costs only space and time: it goes
 * on with its layers. */
static void rebase(struct fsd_request *r, struct fsd_ws *ws, const struct fsd_seal *s,
    const struct orch_digest *id)
{
	struct fsd_daemon *d = r->daemon;
	struct fsd_ws_record rec = ws->record;
	struct fsd_mount_client *c = NULL;
	struct orch_err err = ORCH_ERR_INIT;
	int rc = fsd_ws_connect(d, &rec, &c, &err);

	if (rc == 0)
		rc = fsd_mount_rebase(c, id, s->sealed, fsd_ws_deadline(d), &err);
	fsd_mount_client_close(c);
	rec.snapshot = *id;
	if (rc == 0)
		rc = fsd_ws_save(d->registry, ws, &rec, &err);
	if (rc < 0)
		orch_log(
		    ORCH_LOG_WARN, "keeper", "rebase", "workspace=%s error=%s", rec.name, err.msg);
	else
		fsd_layer_remove_chain(d->store, s->sealed);
}

static int commit(struct fsd_request *r, struct fsd_ws *ws, const struct fsd_transfer *t,
    struct orch_json **out, struct orch_err *err)
{
	struct fsd_seal s = {0};
	struct orch_digest id;
	struct visit v;
	int rc;

	if (ws->record.read_only)
		return orch_err_set(err, EINVAL,
		    "workspace '%s' is read-only: there is nothing to commit", ws->record.name);
	rc = enter(r, ws, &v, err);
	if (rc < 0)
		return rc;
	rc = seal(r, ws, &s, err);
	if (rc == 0)
		rc = make_snapshot(r, ws, &s, t, out, &id, err);
	if (rc == 0)
		rebase(r, ws, &s, &id);
	leave(r, ws, &v);
	if (rc == 0)
		(void)orch_json_set_json(*out, "last_write_seen", &s.last_write_seen);
	fsd_seal_fini(&s);
	return rc;
}

int fsd_ws_commit(struct fsd_request *r, const char *name, const struct fsd_transfer *t,
    struct orch_json **out, struct orch_err *err)
{
	uint64_t begin = orch_clock_ns();
	struct fsd_ws *ws;
	int rc = fsd_ws_take(r, name, &ws, err);

	if (rc < 0)
		return rc;
	rc = commit(r, ws, t, out, err);
	fsd_registry_release(r->daemon->registry, ws);
	if (rc == 0)
		orch_log(ORCH_LOG_INFO, "keeper", "committed", "workspace=%s us=%" PRIu64, name,
		    (orch_clock_ns() - begin) / 1000);
	return rc;
}

/* ---- changes ---- */

int fsd_ws_changes(struct fsd_request *r, const char *name, uint64_t since, int fd,
    uint64_t *out_seq, struct orch_err *err)
{
	struct fsd_mount_client *c = NULL;
	struct fsd_ws *ws;
	struct visit v = {0};
	int rc = fsd_ws_take(r, name, &ws, err);

	if (rc < 0)
		return rc;
	rc = enter(r, ws, &v, err);
	if (rc == 0)
		rc = fsd_ws_connect(r->daemon, &ws->record, &c, err);
	if (rc == 0)
		rc = fsd_mount_changes(c, since, fd, fsd_ws_deadline(r->daemon), out_seq, err);
	fsd_mount_client_close(c);
	leave(r, ws, &v);
	fsd_registry_release(r->daemon->registry, ws);
	return rc;
}
