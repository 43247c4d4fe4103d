/* The store in the control API: how much there is, and whether it is as it was written. */
#include <errno.h>
#include <string.h>
#include "api.h"
#include "cache/record.h"
#include "cache/stat.h"
#include "cache/verify.h"
#include "core/clock.h"
#include "daemon.h"
#include "events.h"
#include "json_value.h"
#include "ws_mend.h"

static int stat_json(struct orch_json *o, const struct cas_stat *s)
{
	const struct {
		const char *key;
		uint64_t value;
	} members[] = {
	    {"objects", s->objects},
	    {"object_bytes", s->object_bytes},
	    {"packs", s->packs},
	    {"pack_bytes", s->pack_bytes},
	    {"snapshots", s->snapshots},
	    {"refs", s->refs},
	    {"workspaces", s->workspaces},
	    {"layers", s->layers},
	    {"layer_bytes", s->layer_bytes},
	    {"disk_free", s->disk_free},
	    {"disk_total", s->disk_total},
	    {"reserve", s->reserve},
	    {"reserve_whole", s->reserve_whole},
	};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ORCH_ARRAY_LEN(members); i++)
		rc = orch_json_set_u64(o, members[i].key, members[i].value);
	return rc;
}

int fsd_api_store(struct fsd_request *r, struct orch_json **out, struct orch_err *err)
{
	struct orch_json *o = orch_json_object();
	struct cas_stat s;
	int rc = o ? cas_stat(r->daemon->store, &s, err) : -ENOMEM;

	if (rc == 0)
		rc = stat_json(o, &s);
	if (rc == 0)
		rc = orch_json_set_str(o, "path", cas_store_path(r->daemon->store));
	if (rc == 0)
		rc = orch_json_set_str(o, "id", cas_store_id(r->daemon->store));
	return fsd_json_finish(rc, &o, out, err);
}

#define BAD_MAX	    1000 /* listed in the result; the events tell all */
#define PROGRESS_NS (100 * ORCH_NS_PER_MS)

struct verify {
	struct fsd_request *r;
	struct orch_json *bad; /* of the result */
	uint64_t told_ns;
	bool repair;
};

/* event: NULL for the list in the result. */
static struct orch_json *bad_json(const struct cas_bad *bad, const char *event)
{
	struct orch_json *o = orch_json_object();

	if (!o || (event && orch_json_set_str(o, "event", event) < 0) ||
	    orch_json_set_str(o, "kind", cas_bad_kind_name(bad->kind)) < 0 ||
	    orch_json_set_str(o, "name", bad->name) < 0 ||
	    orch_json_set_str(o, "error", bad->error) < 0 ||
	    orch_json_set_bool(o, "repaired", bad->repaired) < 0) {
		orch_json_free(o);
		return NULL;
	}
	return o;
}

static int on_bad(void *priv, const struct cas_bad *bad)
{
	struct verify *v = priv;
	orch_auto(json) struct orch_json *o = bad_json(bad, "bad");
	struct orch_json *item;

	if (!o)
		return -ENOMEM;
	if (orch_json_len(v->bad) < BAD_MAX) {
		item = bad_json(bad, NULL);
		if (!item || orch_json_push(v->bad, &item) < 0)
			return -ENOMEM;
	}
	return fsd_events_add_json(v->r->events, o);
}

static int on_record(void *priv, const char *ns, const char *key, const struct orch_json *value,
    struct cas_record_state *out)
{
	struct verify *v = priv;

	if (strcmp(ns, CAS_NS_WORKSPACE) == 0)
		return fsd_ws_verify(v->r->daemon, v->repair, key, value, out);
	if (value)
		return 0;
	/* it may be what keeps any layer and says nothing that could be used */
	out->repaired = v->repair && cas_record_remove(v->r->daemon->store, ns, key, NULL) == 0;
	return 1;
}

static int on_progress(void *priv, uint64_t checked, uint64_t bytes, uint64_t total)
{
	struct verify *v = priv;
	orch_auto(json) struct orch_json *o = NULL;
	uint64_t now = orch_clock_ns();

	if (now - v->told_ns < PROGRESS_NS)
		return 0;
	v->told_ns = now;
	o = orch_json_object();
	if (!o || orch_json_set_str(o, "event", "progress") < 0 ||
	    orch_json_set_str(o, "phase", "verify") < 0 ||
	    orch_json_set_u64(o, "checked", checked) < 0 ||
	    orch_json_set_u64(o, "bytes", bytes) < 0 || orch_json_set_u64(o, "total", total) < 0)
		return -ENOMEM;
	return fsd_events_add_json(v->r->events, o);
}

static int verify_result(
    struct verify *v, const struct cas_verified *done, struct orch_json **out, struct orch_err *err)
{
	struct orch_json *o = orch_json_object();
	int rc = o ? 0 : -ENOMEM;

	if (rc == 0)
		rc = orch_json_set_u64(o, "checked", done->checked);
	if (rc == 0)
		rc = orch_json_set_u64(o, "bytes", done->bytes);
	if (rc == 0)
		rc = orch_json_set_u64(o, "bad_count", done->bad);
	if (rc == 0)
		rc = orch_json_set_u64(o, "repaired", done->repaired);
	if (rc == 0)
		rc = orch_json_set_json(o, "bad", &v->bad);
	return fsd_json_finish(rc, &o, out, err);
}

int fsd_api_verify(struct fsd_request *r, struct orch_json **out, struct orch_err *err)
{
	struct verify v = {.r = r, .bad = orch_json_array()};
	struct cas_verify_spec spec = {
	    .repair = fsd_body_bool(r, "repair", false),
	    .cancel = r->cancel,
	    .on_bad = on_bad,
	    .on_record = on_record,
	    .on_progress = on_progress,
	    .priv = &v,
	};
	struct cas_verified done;
	int rc = v.bad ? 0 : orch_err_set(err, ENOMEM, "no memory");

	if (rc == 0 && spec.repair && !fsd_peer_is_admin(&r->peer))
		rc = orch_err_set(err, EPERM, "only root or the daemon's user may repair");
	v.repair = spec.repair;
	if (rc == 0)
		rc = cas_verify(r->daemon->store, &spec, &done, err);
	if (rc == 0)
		rc = verify_result(&v, &done, out, err);
	orch_json_free(v.bad);
	return rc;
}
