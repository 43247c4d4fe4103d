/* Workspaces whose record or log is damaged. See ws_mend.h. */
#include "ws_mend.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cache/layer.h"
#include "core/log.h"
#include "ws_mount.h"

/* ---- made again from layers */

static const struct cas_layer *by_number(const struct cas_layer *v, size_t n, uint64_t id)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].id == id)
			return &v[i];
	return NULL;
}

/* A top layer is not sealed, and stands on a sealed one or on the snapshot. What a seal that was cut
 * off left stands on one that is not. */
static bool is_top(const struct cas_layer *v, size_t n, const struct cas_layer *x, const char *name)
{
	const struct cas_layer *parent;

	if (x->status < 0 || x->sealed || strcmp(x->head.workspace, name) != 0)
		return false;
	if (x->head.parent == 0)
		return true;
	parent = by_number(v, n, x->head.parent);
	return parent && parent->status == 0 && parent->sealed;
}

int fsd_ws_rebuild(
    struct fsd_daemon *d, const char *name, struct fsd_ws_record *out, struct orch_err *err)
{
	orch_auto(free) struct cas_layer *v = NULL;
	orch_auto(free) char *path = fsd_ws_default_path(d, name);
	const struct cas_layer *top = NULL;
	size_t n = 0;
	int rc = path ? cas_layer_list(d->store, CAS_LAYER_SEALED, &v, &n, err)
		      : orch_err_set(err, ENOMEM, "no memory");

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n; i++)
		if (is_top(v, n, &v[i], name))
			top = &v[i]; /* ordered: the newest */
	if (!top || strlen(path) >= sizeof(out->path))
		return 0;
	*out = (struct fsd_ws_record){
	    .state = FSD_WS_CREATED,
	    .snapshot = top->head.snapshot,
	    .layer = top->id,
	    .seq = top->seq,
	    .uid = top->head.uid,
	    .gid = top->head.gid,
	    .passthrough = true,
	    .created_wall_ns = top->head.wall_ns,
	};
	snprintf(out->name, sizeof(out->name), "%s", name);
	memcpy(out->path, path, strlen(path) + 1);
	return 1;
}

/* ---- the end of a log */

/* The last change that its layers hold. */
static int last_change(
    struct fsd_daemon *d, const struct fsd_ws_record *rec, uint64_t *out, struct orch_err *err)
{
	uint64_t id = rec->layer;

	*out = 0;
	while (id != 0 && *out < rec->seq) {
		struct cas_layer x;
		int rc = cas_layer_get(d->store, id, &x, err);

		if (rc < 0)
			return rc;
		if (x.head.parent >= id) /* numbers rise */
			return orch_err_set(err, ORCH_ECORRUPT, "layer %llu stands on a newer one",
			    (unsigned long long)id);
		if (x.seq > *out)
			*out = x.seq;
		id = x.head.parent;
	}
	return 0;
}

static bool same_boot(const struct fsd_ws_record *rec)
{
	char boot[sizeof(rec->boot)];

	return orch_boot_id(boot) == 0 && strcmp(boot, rec->boot) == 0;
}

int fsd_ws_check_end(struct fsd_daemon *d, const struct fsd_ws_record *rec, struct orch_err *err)
{
	uint64_t last = 0;
	int rc = last_change(d, rec, &last, err);

	if (rc < 0 || last >= rec->seq || !same_boot(rec))
		return rc;
	return orch_err_set(err, ORCH_ECORRUPT,
	    "layer %llu ends with change %llu, but change %llu was answered: the end of its log is "
	    "missing; `store verify --repair` lets the workspace go on without",
	    (unsigned long long)rec->layer, (unsigned long long)last, (unsigned long long)rec->seq);
}

/* ---- verify */

static void say(struct cas_record_state *out, enum cas_bad_kind kind, const char *error)
{
	out->kind = kind;
	snprintf(out->error, sizeof(out->error), "%s", error);
}

static void say_mended(struct cas_record_state *out, const char *how)
{
	size_t n = strlen(out->error);

	snprintf(out->error + n, sizeof(out->error) - n, "; %s", how);
	out->repaired = true;
}

/* What the keeper has in memory is right; a damaged one is made again from its layers. */
static void mend_record(struct fsd_daemon *d, struct fsd_ws *ws, struct cas_record_state *out)
{
	struct fsd_ws_record rec = ws->record;
	struct orch_err err = ORCH_ERR_INIT;
	bool again = rec.state == FSD_WS_DAMAGED;
	int rc = again ? fsd_ws_rebuild(d, ws->record.name, &rec, &err) : 1;

	if (rc > 0)
		rc = fsd_ws_save(d->registry, ws, &rec, &err) < 0 ? -1 : 1;
	if (rc > 0)
		say_mended(
		    out, again ? "it was made again from its layers" : "it was written again");
}

static void verify_damaged(
    struct fsd_daemon *d, bool repair, const char *name, struct cas_record_state *out)
{
	struct fsd_ws *ws = repair ? fsd_registry_try_acquire(d->registry, name) : NULL;

	if (!ws)
		return;
	mend_record(d, ws, out);
	if (out->repaired && ws->record.state == FSD_WS_CREATED)
		(void)!fsd_ws_find_stray(d, ws, NULL); /* else the watcher finds it */
	fsd_registry_release(d->registry, ws);
}

/* The workspace goes on from where its log ends. */
static void accept_end(struct fsd_daemon *d, struct fsd_ws *ws, struct cas_record_state *out)
{
	struct fsd_ws_record rec = ws->record;
	struct orch_err err = ORCH_ERR_INIT;

	if (last_change(d, &rec, &rec.seq, &err) < 0)
		return;
	rec.error[0] = '\0';
	if (fsd_ws_save(d->registry, ws, &rec, &err) == 0)
		say_mended(out, "the workspace goes on from there");
}

static int verify_end(
    struct fsd_daemon *d, bool repair, const char *name, struct cas_record_state *out)
{
	struct fsd_ws *ws = fsd_registry_try_acquire(d->registry, name);
	struct orch_err err = ORCH_ERR_INIT;
	uint64_t last;
	int bad = 0;

	if (!ws)
		return 0; /* somebody works with it: the next run */
	/* a layer that can't be read is told where layers are looked at */
	if (ws->record.state == FSD_WS_CREATED && last_change(d, &ws->record, &last, &err) == 0 &&
	    fsd_ws_check_end(d, &ws->record, &err) < 0) {
		say(out, CAS_BAD_LAYER, err.msg);
		if (repair)
			accept_end(d, ws, out);
		bad = 1;
	}
	fsd_registry_release(d->registry, ws);
	return bad;
}

int fsd_ws_verify(struct fsd_daemon *d, bool repair, const char *name,
    const struct orch_json *value, struct cas_record_state *out)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct fsd_ws_record rec;

	if (!value)
		out->kind = CAS_BAD_DATABASE; /* out->error says it */
	else if (fsd_ws_record_parse(value, &rec, &err) < 0)
		say(out, CAS_BAD_DATABASE, err.msg);
	else if (strcmp(rec.name, name) != 0)
		say(out, CAS_BAD_DATABASE, "it is of another workspace");
	else
		return verify_end(d, repair, name, out);
	verify_damaged(d, repair, name, out);
	return 1;
}
