/* Records of the database made again. See verify_priv.h. */
#include <stdlib.h>
#include <string.h>
#include "cache/layer.h"
#include "cache/ref_copy.h"
#include "cache/snapshot.h"
#include "cache/verify_priv.h"
#include "core/clock.h"

static bool commit(struct verify *v, struct cas_batch *b)
{
	return cas_db_commit(v->s->db, b, NULL) == 0;
}

static int put_snapshot(
    struct verify *v, const struct orch_digest *id, struct cas_batch *b, struct orch_json *record)
{
	struct cas_snapshot x = {.id = *id, .created_wall_ns = orch_wall_ns()};
	orch_auto(free) char *source = NULL;
	struct fmt_snapshot f;
	int r = view_packset_snapshot(v->s->packset, id, &f, NULL);

	if (r < 0)
		return r;
	if (f.source_len > 0) {
		source = strndup((const char *)f.source, f.source_len);
		if (!source)
			return -ENOMEM;
	}
	x.tree = f.root.digest;
	x.stamps = f.stamps;
	x.files = f.root.count;
	x.bytes = f.root.size;
	x.source = source;
	return cas_snapshot_put_with(b, &x, record, NULL);
}

bool verify_rebuild_snapshot(struct verify *v, const struct orch_digest *id)
{
	orch_auto(json) struct orch_json *record = orch_json_object();
	struct cas_batch *b = cas_batch_new();
	bool mended = false;

	pthread_mutex_lock(&v->s->change_lock);
	if (b && record && put_snapshot(v, id, b, record) == 0)
		mended = commit(v, b);
	pthread_mutex_unlock(&v->s->change_lock);
	cas_batch_free(b);
	return mended;
}

static bool remove_record(struct verify *v, const struct cas_db_item *item)
{
	struct cas_key key = {item->kind, item->key, item->key_len};
	struct cas_batch *b = cas_batch_new();
	bool mended = false;

	pthread_mutex_lock(&v->s->change_lock);
	if (b) {
		cas_batch_remove(b, &key);
		mended = commit(v, b);
	}
	pthread_mutex_unlock(&v->s->change_lock);
	cas_batch_free(b);
	return mended;
}

/* From the copy; what that does not have is lost, and the ref can be set again. */
static bool mend_ref(struct verify *v, const struct cas_db_item *item)
{
	struct cas_batch *b = cas_batch_new();
	struct cas_ref ref;
	bool mended = false;

	if (b && item->key_len < sizeof(ref.name)) {
		char name[sizeof(ref.name)];

		memcpy(name, item->key, item->key_len);
		name[item->key_len] = '\0';
		pthread_mutex_lock(&v->s->change_lock);
		if (cas_ref_copy_get(v->s, name, &ref) == 0) {
			cas_ref_put(b, &ref);
			mended = commit(v, b);
		}
		pthread_mutex_unlock(&v->s->change_lock);
	}
	cas_batch_free(b);
	return mended || remove_record(v, item);
}

/* Each is known otherwise: the count of commits is part of every commit. */
static bool mend_meta(struct verify *v, const struct cas_db_item *item)
{
	struct cas_format f = {.seed = v->s->seed};
	struct cas_batch *b;
	bool mended = false;

	memcpy(f.id, v->s->id, sizeof(f.id));
	if (item->key_len == 6 && memcmp(item->key, "format", 6) == 0)
		return cas_format_remember(v->s->db, &f, NULL) == 0;
	if (item->key_len == 5 && memcmp(item->key, "layer", 5) == 0)
		return cas_layer_renumber(v->s, NULL) == 0;
	b = cas_batch_new();
	pthread_mutex_lock(&v->s->change_lock);
	if (b) {
		cas_counters_put(b, &v->s->counters); /* counted again by verify_counters */
		mended = commit(v, b);
	}
	pthread_mutex_unlock(&v->s->change_lock);
	cas_batch_free(b);
	return mended;
}

bool verify_mend_record(struct verify *v, const struct cas_db_item *item)
{
	struct orch_digest id;

	switch (item->kind) {
	case CAS_KIND_META:
		return mend_meta(v, item);
	case CAS_KIND_REF:
		return mend_ref(v, item);
	case CAS_KIND_OBJECT: /* where there is the object, its record was mended before */
		return remove_record(v, item);
	case CAS_KIND_SNAPSHOT:
		if (item->key_len != ORCH_DIGEST_BYTES)
			return remove_record(v, item);
		memcpy(id.b, item->key, ORCH_DIGEST_BYTES);
		return verify_rebuild_snapshot(v, &id);
	case CAS_KIND_RECORD:
		break;
	}
	return false;
}
