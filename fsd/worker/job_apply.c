/* The job "apply". */
#include "fsd/worker/jobs.h"

#include <string.h>
#include "core/clock.h"
#include "sync/apply.h"

#define CONFLICTS_MAX 1000

static const char *type_name(enum fmt_type t)
{
	switch (t) {
	case FMT_REG:
		return "file";
	case FMT_DIR:
		return "folder";
	case FMT_SYMLINK:
		return "symlink";
	default:
		return "absent";
	}
}

static void on_conflict(void *priv, const struct sync_conflict *c)
{
	struct worker *w = priv;
	orch_auto(json) struct orch_json *o = NULL;

	if (w->conflict_count++ >= CONFLICTS_MAX)
		return;
	if (!w->conflicts)
		w->conflicts = orch_json_array();
	o = orch_json_object();
	if (!o || !w->conflicts)
		return;
	(void)orch_json_set_bytes(o, "path", c->path, strlen(c->path));
	(void)orch_json_set_str(o, "base", type_name(c->base));
	(void)orch_json_set_str(o, "incoming", type_name(c->incoming));
	(void)orch_json_set_str(o, "mine", type_name(c->mine));
	(void)orch_json_push(w->conflicts, &o);
}

static int put_result(struct worker *w, const struct sync_applied *made, struct orch_json *result)
{
	worker_put_snapshot(result, &made->snapshot, made->files, made->bytes);
	(void)orch_json_set_u64(result, "changed", made->changed);
	(void)orch_json_set_u64(result, "reset", made->reset);
	if (!w->conflicts)
		w->conflicts = orch_json_array();
	(void)orch_json_set_json(result, "conflicts", &w->conflicts);
	return orch_json_set_u64(result, "conflict_count", made->conflicts);
}

int worker_job_apply(struct worker *w, struct orch_json *result, struct orch_err *err)
{
	static const enum sync_conflict_how how[] = {
	    [WORKER_CONFLICT_FAIL] = SYNC_CONFLICT_FAIL,
	    [WORKER_CONFLICT_KEEP] = SYNC_CONFLICT_KEEP,
	    [WORKER_CONFLICT_REPLACE] = SYNC_CONFLICT_REPLACE,
	    [WORKER_CONFLICT_SOURCE] = SYNC_CONFLICT_SOURCE,
	};
	const struct worker_request *q = w->request;
	struct sync_applied made;
	struct sync_apply_spec spec = {.packs = w->packs,
	    .quarantine = w->quarantine,
	    .base = &q->base,
	    .incoming = &q->incoming,
	    .mine = &q->mine,
	    .how = how[q->conflict],
	    .source = q->source,
	    .source_len = q->source ? strlen(q->source) : 0,
	    .wall_ns = q->has_wall ? q->wall_ns : orch_wall_ns(),
	    .on_conflict = on_conflict,
	    .priv = w};
	int r = sync_apply(w->task, &spec, &made, err);

	if (r < 0) {
		orch_err_wrap(err, "apply");
		return r;
	}
	return put_result(w, &made, result);
}
