/* Commit: a worker makes a snapshot of the sealed layers, the workspace goes on based on that. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "core/log.h"
#include "daemon.h"
#include "events.h"
#include "json_value.h"
#include "layers.h"
#include "ws_change.h"
#include "ws_seal.h"
#include "ws_visit.h"

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
	struct fsd_ws_visit v;
	int rc;

	if (ws->record.read_only)
		return orch_err_set(err, EINVAL,
		    "workspace '%s' is read-only: there is nothing to commit", ws->record.name);
	rc = fsd_ws_enter(r, ws, &v, err);
	if (rc < 0)
		return rc;
	rc = fsd_ws_seal(r, ws, &s, err);
	if (rc == 0)
		rc = make_snapshot(r, ws, &s, t, out, &id, err);
	if (rc == 0)
		rebase(r, ws, &s, &id);
	fsd_ws_leave(r, ws, &v);
	if (rc == 0)
		rc = fsd_seal_tell(&s, *out) < 0 ? orch_err_set(err, ENOMEM, "no memory") : 0;
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
