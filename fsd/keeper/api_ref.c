/* Refs in the control API. */
#include <errno.h>
#include <string.h>
#include "api.h"
#include "cache/ref.h"
#include "cache/snapshot.h"
#include "daemon.h"
#include "expect.h"
#include "json_value.h"

static struct orch_json *ref_json(const struct cas_ref *ref)
{
	struct orch_json *o = orch_json_object();

	if (!o || orch_json_set_str(o, "name", ref->name) < 0 ||
	    fsd_json_set_digest(o, "id", &ref->id) < 0 ||
	    fsd_json_set_time(o, "time", ref->wall_ns) < 0 ||
	    fsd_json_set_digest(o, "previous", &ref->previous) < 0) {
		orch_json_free(o);
		return NULL;
	}
	return o;
}

static int push_ref(void *priv, const struct cas_ref *ref)
{
	struct orch_json *o = ref_json(ref);

	return o ? orch_json_push(priv, &o) : -ENOMEM;
}

int fsd_api_ref_list(struct fsd_request *r, struct orch_json **out, struct orch_err *err)
{
	struct orch_json *o = orch_json_object(), *list = orch_json_array();
	int rc = o && list ? 0 : -ENOMEM;

	if (rc == 0)
		rc =
		    cas_ref_list(r->daemon->store, fsd_query_str(r, "prefix"), push_ref, list, err);
	if (rc == 0)
		rc = orch_json_set_json(o, "refs", &list);
	orch_json_free(list);
	return fsd_json_finish(rc, &o, out, err);
}

static int answer(const struct cas_ref *ref, struct orch_json **out, struct orch_err *err)
{
	struct orch_json *o = ref_json(ref);

	return fsd_json_finish(o ? 0 : -ENOMEM, &o, out, err);
}

int fsd_api_ref_get(struct fsd_request *r, struct orch_json **out, struct orch_err *err)
{
	struct cas_ref ref;
	int rc = cas_ref_get(r->daemon->store, r->params[0], &ref, err);

	return rc < 0 ? rc : answer(&ref, out, err);
}

int fsd_api_ref_put(struct fsd_request *r, struct orch_json **out, struct orch_err *err)
{
	struct orch_digest id;
	struct cas_expect expect;
	struct cas_ref ref;
	int rc = fsd_expect_parse(fsd_body_str(r, "expect"), &expect, err);

	if (rc == 0)
		rc = cas_snapshot_resolve(r->daemon->store, fsd_body_str(r, "id"), &id, err);
	if (rc == 0)
		rc = cas_ref_set(r->daemon->store, r->params[0], &id, &expect, &ref, err);
	return rc < 0 ? rc : answer(&ref, out, err);
}

int fsd_api_ref_delete(struct fsd_request *r, struct orch_json **out, struct orch_err *err)
{
	struct cas_expect expect;
	int rc = fsd_expect_parse(fsd_query_str(r, "expect"), &expect, err);

	(void)out;
	return rc < 0 ? rc : cas_ref_remove(r->daemon->store, r->params[0], &expect, err);
}
