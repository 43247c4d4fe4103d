/*
 * Commit: a worker makes a snapshot of the sealed layers, the workspace goes on based on that. While the
 * worker reads, nobody has acquired the workspace: it may be forked, unmounted, mounted and dropped. The
 * commit has a turn of its own, and a pin on the layers, so that they stay. Afterwards the workspace is
 * looked at anew: the snapshot is good whatever became of it, and where it stands on the layers still,
 * the new base is put under it, mounted for that time when it is not mounted.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "cache/layer.h"
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
static int set_layers(struct orch_json *task, const struct fsd_chain *chain)
{
	struct orch_json *list = orch_json_array();
	int rc = list ? 0 : -ENOMEM;

	for (size_t i = chain->count; rc == 0 && i-- > 0;)
		rc = push_layer(list, chain->v[i]);
	if (rc == 0)
		rc = orch_json_set_json(task, "layers", &list);
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

struct commit {
	struct fsd_request *r;
	const char *name;
	struct fsd_ws *ws; /* ours is the commit's turn */
	struct fsd_seal seal;
	struct orch_json *task;
};

/* The base is what the lowest layer says: a record may be older than the last rebase. */
static int make_task(struct commit *c, struct orch_err *err)
{
	struct fsd_chain chain;
	int rc = fsd_layer_chain(c->r->daemon->store, c->seal.sealed, &chain, err);

	if (rc < 0)
		return rc;
	c->task = fsd_task_json(c->r, "commit", false);
	rc = c->task ? fsd_json_set_digest(c->task, "snapshot", &chain.base) : -ENOMEM;
	if (rc == 0)
		rc = set_owner(c->task, &c->ws->record);
	if (rc == 0)
		rc = set_layers(c->task, &chain);
	c->ws->commit_layers = chain.count;
	free(chain.v);
	return rc < 0 ? orch_err_sys(err, -rc, "task") : 0;
}

/* With the workspace acquired: seals it, and sees to it that the layers stay. */
static int begin(struct commit *c, struct orch_err *err)
{
	struct cas_store *store = c->r->daemon->store;
	struct fsd_ws_visit v;
	int rc;

	if (c->ws->record.read_only)
		return orch_err_set(err, EINVAL,
		    "workspace '%s' is read-only: there is nothing to commit", c->ws->record.name);
	rc = fsd_ws_enter(c->r, c->ws, &v, err);
	if (rc < 0)
		return rc;
	rc = fsd_ws_seal(c->r, c->ws, false, &c->seal, err);
	fsd_ws_leave(c->r, c->ws, &v);
	if (rc == 0)
		rc = cas_layer_pin(store, c->seal.sealed, err);
	if (rc < 0)
		return rc;
	c->ws->commit_layer = c->seal.sealed;
	return make_task(c, err);
}

/* Before the snapshot is published: what was is not told as an error. */
static int tell(void *priv, struct orch_json *answer)
{
	struct commit *c = priv;
	int rc = fsd_seal_tell(&c->seal, answer);

	return rc < 0 ? rc : fsd_json_reserve_bool(answer, "rebased");
}

/* Layers are private to the daemon's user, so this worker keeps its ids; it reads no path of a
 * peer. */
static int make_snapshot(struct commit *c, const struct fsd_transfer *t, struct orch_json **out,
    struct orch_digest *out_id, struct orch_err *err)
{
	struct fsd_task task = {.json = c->task};
	struct fsd_transfer with_seal = *t;

	with_seal.more = tell;
	with_seal.more_priv = c;
	fsd_task_fd(&task, "layers", cas_store_layers_fd(c->r->daemon->store));
	return fsd_transfer_run(c->r, &task, &with_seal, out, out_id, err);
}

/* The mount process may have done it, and its answer have come too late. */
static bool is_based_on(struct commit *c, const struct orch_digest *id)
{
	struct fsd_mount_client *client = NULL;
	bool yes = fsd_ws_connect(c->r->daemon, &c->ws->record, &client, NULL) == 0 &&
		   orch_digest_eq(&fsd_mount_client_hello(client)->snapshot, id);

	fsd_mount_client_close(client);
	return yes;
}

static int ask_to_rebase(struct commit *c, const struct orch_digest *id, struct orch_err *err)
{
	struct fsd_daemon *d = c->r->daemon;
	struct fsd_mount_client *client = NULL;
	int rc = fsd_ws_connect(d, &c->ws->record, &client, err);

	if (rc == 0)
		rc = fsd_mount_rebase(client, id, c->seal.sealed, fsd_ws_long_deadline(d), err);
	fsd_mount_client_close(client);
	return rc < 0 && is_based_on(c, id) ? 0 : rc;
}

/* Acquired: the new base is put under the workspace. */
static int rebase(struct commit *c, const struct orch_digest *id, struct orch_err *err)
{
	struct fsd_daemon *d = c->r->daemon;
	uint64_t below = fsd_layer_parent(d->store, c->ws->record.layer);
	struct fsd_ws_record rec;
	struct fsd_ws_visit v;
	int rc = fsd_ws_enter(c->r, c->ws, &v, err);

	if (rc < 0)
		return rc;
	rc = ask_to_rebase(c, id, err);
	rec = c->ws->record;
	rec.snapshot = *id;
	if (rc == 0) {
		c->ws->layers = 1;
		rc = fsd_ws_save(d->registry, c->ws, &rec, err);
	}
	fsd_ws_leave(c->r, c->ws, &v);
	if (rc == 0) {
		cas_layer_unpin(d->store, c->seal.sealed);
		c->ws->commit_layer = 0;
		fsd_layer_remove_chain(d->store, below);
	}
	return rc;
}

/* A failure costs only space and time: the workspace goes on with its layers, and the next commit makes
 * good for it. */
static bool go_on(struct commit *c, const struct orch_digest *id)
{
	struct fsd_daemon *d = c->r->daemon;
	struct orch_err err = ORCH_ERR_INIT;
	int rc = fsd_ws_take_again(c->r, c->ws, &err);

	if (rc == 0) {
		rc = rebase(c, id, &err);
		fsd_registry_release(d->registry, c->ws);
	}
	if (rc < 0)
		orch_log(ORCH_LOG_WARN, "keeper", "not-rebased",
		    "workspace=%s layer=%" PRIu64 " error=%s", c->name, c->seal.sealed, err.msg);
	return rc == 0;
}

/* What the pin has kept goes when nobody stands on it any more (the workspace was dropped). */
static void end(struct commit *c)
{
	struct fsd_daemon *d = c->r->daemon;

	if (c->ws->commit_layer != 0) {
		cas_layer_unpin(d->store, c->seal.sealed);
		c->ws->commit_layer = 0;
		fsd_layer_remove_chain(d->store, c->seal.sealed);
	}
	c->ws->commit_layers = 0;
	fsd_registry_commit_end(d->registry, c->ws);
	fsd_seal_fini(&c->seal);
	orch_json_free(c->task);
}

int fsd_ws_commit(struct fsd_request *r, const char *name, const struct fsd_transfer *t,
    struct orch_json **out, struct orch_err *err)
{
	uint64_t begun = orch_clock_ns();
	struct commit c = {.r = r, .name = name};
	struct orch_digest id;
	bool rebased = false;
	int rc = fsd_ws_take_commit(r, name, &c.ws, err);

	if (rc < 0)
		return rc;
	rc = begin(&c, err);
	fsd_registry_release(r->daemon->registry, c.ws);
	if (rc == 0)
		rc = make_snapshot(&c, t, out, &id, err);
	if (rc == 0) {
		rebased = go_on(&c, &id);
		fsd_json_settle_bool(*out, "rebased", rebased);
	}
	end(&c);
	if (rc == 0)
		orch_log(ORCH_LOG_INFO, "keeper", "committed",
		    "workspace=%s rebased=%d us=%" PRIu64, name, rebased,
		    (orch_clock_ns() - begun) / 1000);
	return rc;
}
