/* Snapshots in the control API: list, show, remove. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "api.h"
#include "cache/ref.h"
#include "cache/snapshot.h"
#include "core/grow.h"
#include "daemon.h"
#include "json_value.h"

/* All refs at one moment. */
struct refs {
	struct cas_ref *v;
	size_t count, cap;
};

static int add_ref(void *priv, const struct cas_ref *ref)
{
	struct refs *refs = priv;

	int r = orch_grow(&refs->v, &refs->cap, refs->count + 1, sizeof(*refs->v));

	if (r == 0)
		refs->v[refs->count++] = *ref;
	return r;
}

static struct orch_json *names_of(const struct refs *refs, const struct orch_digest *id)
{
	struct orch_json *a = orch_json_array();

	for (size_t i = 0; a && i < refs->count; i++)
		if (orch_digest_eq(&refs->v[i].id, id))
			(void)orch_json_push_str(a, refs->v[i].name);
	return a;
}

static int snapshot_json(
    const struct cas_snapshot *x, const struct refs *refs, struct orch_json **out)
{
	struct orch_json *o = NULL, *names = names_of(refs, &x->id);
	int rc = names ? cas_snapshot_to_json(x, &o) : -ENOMEM;

	if (rc == 0)
		rc = orch_json_set_json(o, "refs", &names);
	orch_json_free(names);
	return fsd_json_finish(rc, &o, out, NULL);
}

struct listing {
	struct orch_json *list;
	const struct refs *refs;
};

static int push_snapshot(void *priv, const struct cas_snapshot *x)
{
	struct listing *l = priv;
	struct orch_json *o = NULL;
	int rc = snapshot_json(x, l->refs, &o);

	return rc < 0 ? rc : orch_json_push(l->list, &o);
}

int fsd_api_snapshot_list(struct fsd_request *r, struct orch_json **out, struct orch_err *err)
{
	struct orch_json *o = orch_json_object();
	struct refs refs = {0};
	struct listing l = {.list = orch_json_array(), .refs = &refs};
	int rc = o && l.list ? 0 : -ENOMEM;

	if (rc == 0)
		rc = cas_ref_list(r->daemon->store, NULL, add_ref, &refs, err);
	if (rc == 0)
		rc = cas_snapshot_list(r->daemon->store, push_snapshot, &l, err);
	if (rc == 0)
		rc = orch_json_set_json(o, "snapshots", &l.list);
	orch_json_free(l.list);
	free(refs.v);
	return fsd_json_finish(rc, &o, out, err);
}

int fsd_api_snapshot_get(struct fsd_request *r, struct orch_json **out, struct orch_err *err)
{
	struct refs refs = {0};
	struct cas_snapshot x;
	struct orch_digest id;
	int rc = cas_snapshot_resolve(r->daemon->store, r->params[0], &id, err);

	if (rc == 0)
		rc = cas_snapshot_get(r->daemon->store, &id, &x, err);
	if (rc < 0)
		return rc;
	rc = cas_ref_list(r->daemon->store, NULL, add_ref, &refs, err);
	if (rc == 0)
		rc = snapshot_json(&x, &refs, out);
	free(refs.v);
	cas_snapshot_fini(&x);
	return rc;
}

int fsd_api_snapshot_delete(struct fsd_request *r, struct orch_json **out, struct orch_err *err)
{
	struct orch_digest id;
	int rc = cas_snapshot_resolve(r->daemon->store, r->params[0], &id, err);

	(void)out;
	return rc < 0 ? rc : cas_snapshot_remove(r->daemon->store, &id, err);
}
