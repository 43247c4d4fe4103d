/* Records of the database, refs, and layers: each decodes, and what it names is there. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cache/layer.h"
#include "cache/record.h"
#include "cache/snapshot.h"
#include "cache/verify_priv.h"

/* ---- the database ---- */

static int decode(const struct cas_db_item *item, struct orch_err *err)
{
	struct orch_json *j = NULL;
	struct cas_snapshot x;
	struct cas_object o;
	struct cas_ref ref;
	int r = 0;

	if (item->status < 0)
		return orch_err_sys(err, -item->status, "it can't be believed");
	switch (item->kind) {
	case CAS_KIND_META:
		return 0;
	case CAS_KIND_OBJECT:
		r = cas_object_parse(item->key, item->key_len, item->value, item->value_len, &o);
		break;
	case CAS_KIND_REF:
		r = cas_ref_parse(item->key, item->key_len, item->value, item->value_len, &ref);
		break;
	case CAS_KIND_SNAPSHOT:
		r = cas_snapshot_parse(
		    item->key, item->key_len, item->value, item->value_len, &x, err);
		if (r == 0)
			cas_snapshot_fini(&x);
		return r;
	case CAS_KIND_RECORD:
		r = cas_json_value(item->value, item->value_len, &j, err);
		orch_json_free(j);
		return r;
	}
	return r < 0 ? orch_err_set(err, -r, "it is malformed") : 0;
}

static int see_item(void *priv, const struct cas_db_item *item)
{
	orch_auto(buf) struct orch_buf name = ORCH_BUF_INIT;
	struct orch_err why = ORCH_ERR_INIT;
	struct verify *v = priv;

	if (decode(item, &why) == 0)
		return verify_done(v, 0);
	cas_db_name(item, &name);
	return verify_bad(
	    v, CAS_BAD_DATABASE, name.data ? (char *)name.data : "a record", why.msg, false);
}

int verify_database(struct verify *v, struct orch_err *err)
{
	return cas_db_each(v->s->db, NULL, see_item, v, err);
}

/* ---- refs ---- */

/* Seen under the lock of changes: a ref that is moved meanwhile is not dangling. */
static bool dangles(struct verify *v, const char *name)
{
	struct cas_ref now;
	bool bad;

	pthread_mutex_lock(&v->s->change_lock);
	bad = cas_ref_get(v->s, name, &now, NULL) == 0 &&
	      cas_snapshot_known(v->s, &now.id, NULL) == 0;
	pthread_mutex_unlock(&v->s->change_lock);
	return bad;
}

static int see_ref(void *priv, const struct cas_ref *ref)
{
	char error[ORCH_DIGEST_HEX + 64], hex[ORCH_DIGEST_HEX + 1];
	struct verify *v = priv;

	if (!dangles(v, ref->name))
		return verify_done(v, 0);
	orch_digest_format(&ref->id, hex);
	snprintf(error, sizeof(error), "it points to snapshot %s, which is not there", hex);
	return verify_bad(v, CAS_BAD_REF, ref->name, error, false);
}

int verify_refs(struct verify *v, struct orch_err *err)
{
	return cas_ref_list(v->s, NULL, see_ref, v, err);
}

/* ---- layers ---- */

struct layers {
	struct verify *v;
	struct cas_layer *v_layer;
	size_t count;
};

static bool has_layer(const struct layers *l, uint64_t id)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->v_layer[i].id == id)
			return true;
	return false;
}

static const char *layer_problem(struct layers *l, const struct cas_layer *x, struct orch_err *why)
{
	struct cas_layer again;

	if (cas_layer_get(l->v->s, x->id, &again, why) < 0)
		return why->msg;
	if (again.head.parent != 0 && !has_layer(l, again.head.parent))
		return "its parent is not there";
	if (cas_snapshot_known(l->v->s, &again.head.snapshot, NULL) == 0)
		return "its snapshot is not there";
	return NULL;
}

/* What was never made holds nothing. */
static bool repair_layer(struct layers *l, const struct cas_layer *x)
{
	return l->v->spec->repair && x->unmade && x->records == 0 && x->children == 0 &&
	       cas_layer_remove(l->v->s, x->id, NULL) == 0;
}

static int see_unfinished(void *priv, const char *name, bool removed)
{
	return verify_bad(priv, CAS_BAD_LAYER, name, "it was never finished", removed);
}

static int check_layer(struct layers *l, const struct cas_layer *x)
{
	struct orch_err why = ORCH_ERR_INIT;
	const char *problem = layer_problem(l, x, &why);
	char name[24];

	if (!problem)
		return verify_done(l->v, 0);
	snprintf(name, sizeof(name), "%" PRIu64, x->id);
	return verify_bad(l->v, CAS_BAD_LAYER, name, problem, repair_layer(l, x));
}

/* A keeper's record may name a layer and a snapshot. */
static int see_user(
    void *priv, const char *ns, const char *key, const struct orch_json *value, int status)
{
	struct layers *l = priv;
	struct orch_digest id;
	const char *hex;
	uint64_t layer;
	char name[1100];

	if (status < 0)
		return 0;
	snprintf(name, sizeof(name), "%s %s", ns, key);
	if (orch_json_get_u64(value, "layer", &layer, NULL) == 0 && !has_layer(l, layer))
		return verify_bad(
		    l->v, CAS_BAD_LAYER, name, "it names a layer that is not there", false);
	if (orch_json_get_str(value, "snapshot", &hex, NULL) == 0 && hex &&
	    orch_digest_parse(hex, &id) == 0 && cas_snapshot_known(l->v->s, &id, NULL) == 0)
		return verify_bad(
		    l->v, CAS_BAD_SNAPSHOT, name, "it names a snapshot that is not there", false);
	return 0;
}

int verify_layers(struct verify *v, struct orch_err *err)
{
	struct layers l = {.v = v};
	int r = cas_layer_list(v->s, 0, &l.v_layer, &l.count, err);

	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < l.count; i++)
		r = check_layer(&l, &l.v_layer[i]);
	if (r == 0)
		r = cas_layer_each_unfinished(v->s, v->spec->repair, see_unfinished, v, err);
	if (r == 0)
		r = cas_record_list(v->s, NULL, see_user, &l, err);
	free(l.v_layer);
	return r;
}
