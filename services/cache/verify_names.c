/* Records of the database, and refs: each decodes, and what it names is there. */
#include <stdio.h>
#include <string.h>
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
	int r;

	if (item->kind == CAS_KIND_RECORD && v->spec->on_record &&
	    memchr(item->key, 0, item->key_len))
		return 0; /* see_kept */
	r = decode(item, &why);
	if (r == 0)
		return verify_done(v, 0);
	if (r == -ENOMEM) /* ours is the lack, not the record's */
		return verify_fail(v, r);
	cas_db_name(item, &name);
	return verify_bad(v, CAS_BAD_DATABASE, name.data ? (char *)name.data : "a record", why.msg,
	    v->spec->repair && verify_mend_record(v, item));
}

/* Records of the keeper, by who knows what they mean. */
static int see_kept(
    void *priv, const char *ns, const char *key, const struct orch_json *value, int status)
{
	struct cas_record_state state = {.kind = CAS_BAD_DATABASE};
	struct verify *v = priv;
	char name[CAS_NS_MAX + CAS_RECORD_KEY_MAX + 16];

	if (status < 0)
		snprintf(state.error, sizeof(state.error), "it can't be believed: %s",
		    strerrordesc_np(-status));
	if (v->spec->on_record(v->spec->priv, ns, key, value, &state) == 0)
		return verify_done(v, 0);
	snprintf(name, sizeof(name), "record %s/%s", ns, key);
	return verify_bad(v, state.kind, name, state.error, state.repaired);
}

int verify_database(struct verify *v, struct orch_err *err)
{
	int r = cas_db_each(v->s->db, NULL, see_item, v, err);

	if (r == 0 && v->spec->on_record)
		r = cas_record_list(v->s, NULL, see_kept, v, err);
	return r;
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
	return verify_bad(v, CAS_BAD_REF, ref->name, error,
	    v->spec->repair && verify_rebuild_snapshot(v, &ref->id));
}

int verify_refs(struct verify *v, struct orch_err *err)
{
	return cas_ref_list(v->s, NULL, see_ref, v, err);
}
