/* Snapshot records: JSON in the database under the id; the identity lies in a pack. */
#include "cache/snapshot.h"

#include <stdlib.h>
#include <string.h>
#include "cache/record.h"
#include "cache/store_priv.h"
#include "core/clock.h"
#include "core/path.h"

void cas_snapshot_fini(struct cas_snapshot *x)
{
	free(x->source);
	orch_json_free(x->record);
	x->source = NULL;
	x->record = NULL;
}

static struct cas_key snapshot_key(const struct orch_digest *id)
{
	return (struct cas_key){CAS_KIND_SNAPSHOT, id->b, ORCH_DIGEST_BYTES};
}

static int set_digest(struct orch_json *j, const char *key, const struct orch_digest *d)
{
	char hex[ORCH_DIGEST_HEX + 1];

	orch_digest_format(d, hex);
	return orch_json_set_str(j, key, hex);
}

static int copy_json(const struct orch_json *from, struct orch_json **out)
{
	orch_auto(buf) struct orch_buf text = ORCH_BUF_INIT;
	int r = orch_json_format(from, 0, &text);

	return r < 0 ? r : orch_json_parse((const char *)text.data, text.len, out, NULL);
}

/* What the stored record and the API's answer have in common. */
static int common_json(
    const struct cas_snapshot *x, const struct orch_json *from, struct orch_json *j)
{
	struct orch_json *record = NULL;
	int r = copy_json(from, &record);

	if (r == 0)
		r = set_digest(j, "tree", &x->tree);
	if (r == 0)
		r = set_digest(j, "stamps", &x->stamps);
	if (r == 0)
		r = orch_json_set_u64(j, "files", x->files);
	if (r == 0)
		r = orch_json_set_u64(j, "bytes", x->bytes);
	if (r == 0 && x->source)
		r = orch_json_set_bytes(j, "source", x->source, strlen(x->source));
	if (r == 0 && !orch_digest_is_null(&x->parent))
		r = set_digest(j, "parent", &x->parent);
	if (r == 0)
		r = orch_json_set_json(j, "record", &record);
	orch_json_free(record);
	return r;
}

int cas_snapshot_to_json(const struct cas_snapshot *x, struct orch_json **out)
{
	struct orch_json *j = orch_json_object();
	char created[ORCH_RFC3339_BYTES];
	int r;

	if (!j)
		return -ENOMEM;
	orch_wall_format(x->created_wall_ns, created);
	r = set_digest(j, "id", &x->id);
	if (r == 0)
		r = orch_json_set_str(j, "created", created);
	if (r == 0)
		r = common_json(x, x->record, j);
	if (r < 0)
		orch_json_free(j);
	else
		*out = j;
	return r;
}

int cas_snapshot_put_with(struct cas_batch *b, const struct cas_snapshot *x,
    const struct orch_json *record, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf text = ORCH_BUF_INIT;
	orch_auto(json) struct orch_json *j = orch_json_object();
	struct cas_key key = snapshot_key(&x->id);
	int r = j ? 0 : -ENOMEM;

	text.max = CAS_VALUE_MAX;
	if (r == 0)
		r = orch_json_set_int(j, "created_ns", x->created_wall_ns);
	if (r == 0)
		r = common_json(x, record, j);
	if (r == 0)
		r = orch_json_format(j, 0, &text);
	if (r < 0)
		return orch_err_sys(err, -r, "the record of a snapshot");
	cas_batch_put(b, &key, text.data, text.len);
	return 0;
}

static int get_digest(const struct orch_json *j, const char *key, bool required,
    struct orch_digest *out, struct orch_err *err)
{
	const char *hex;

	if (!required && !orch_json_get(j, key))
		return 0;
	if (orch_json_get_str(j, key, &hex, err) < 0 || !hex || orch_digest_parse(hex, out) < 0)
		return orch_err_set(err, ORCH_ECORRUPT, "\"%s\" is not a digest", key);
	return 0;
}

static int parse_members(const struct orch_json *j, struct cas_snapshot *x, struct orch_err *err)
{
	const struct orch_json *record = orch_json_get(j, "record");
	size_t len;
	int r = get_digest(j, "tree", true, &x->tree, err);

	if (r == 0)
		r = get_digest(j, "stamps", true, &x->stamps, err);
	if (r == 0)
		r = get_digest(j, "parent", false, &x->parent, err);
	if (r == 0)
		r = orch_json_get_u64(j, "files", &x->files, err);
	if (r == 0)
		r = orch_json_get_u64(j, "bytes", &x->bytes, err);
	if (r == 0)
		r = orch_json_get_int(j, "created_ns", &x->created_wall_ns, err);
	if (r == 0 && !orch_json_is_object(record))
		r = orch_err_set(err, ORCH_ECORRUPT, "\"record\" is not an object");
	if (r == 0)
		r = copy_json(record, &x->record);
	if (r < 0)
		return r;
	r = orch_json_get_bytes(j, "source", &x->source, &len, NULL);
	return r == -ENOENT ? 0 : r;
}

int cas_snapshot_parse(const uint8_t *key, size_t key_len, const uint8_t *p, size_t n,
    struct cas_snapshot *out, struct orch_err *err)
{
	orch_auto(json) struct orch_json *j = NULL;
	struct cas_snapshot x = {.source = NULL};
	int r;

	if (key_len != ORCH_DIGEST_BYTES)
		return orch_err_set(err, ORCH_ECORRUPT, "its name is not a digest");
	memcpy(x.id.b, key, ORCH_DIGEST_BYTES);
	r = cas_json_value(p, n, &j, err);
	if (r == 0)
		r = parse_members(j, &x, err);
	if (r < 0) {
		cas_snapshot_fini(&x);
		return r == -ENOMEM ? r : -ORCH_ECORRUPT;
	}
	*out = x;
	return 0;
}

static int no_snapshot(const struct orch_digest *id, struct orch_err *err)
{
	char hex[ORCH_DIGEST_HEX + 1];

	orch_digest_format(id, hex);
	return orch_err_set(err, ENOENT, "there is no snapshot %s", hex);
}

int cas_snapshot_get(struct cas_store *s, const struct orch_digest *id, struct cas_snapshot *out,
    struct orch_err *err)
{
	orch_auto(buf) struct orch_buf value = ORCH_BUF_INIT;
	struct cas_key key = snapshot_key(id);
	char hex[ORCH_DIGEST_HEX + 1];
	int r = cas_db_get(s->db, &key, &value, err);

	if (r == -ENOENT)
		return no_snapshot(id, err);
	if (r < 0)
		return r;
	r = cas_snapshot_parse(id->b, ORCH_DIGEST_BYTES, value.data, value.len, out, err);
	orch_digest_format(id, hex);
	if (r < 0)
		orch_err_wrap(err, "the record of snapshot %s", hex);
	return r;
}

int cas_snapshot_known(struct cas_store *s, const struct orch_digest *id, struct orch_err *err)
{
	struct cas_key key = snapshot_key(id);

	return cas_db_has(s->db, &key, err);
}

struct by_prefix {
	const char *hex; /* lower case */
	size_t len;
	struct orch_digest found;
	unsigned count;
};

static int see_prefix(void *priv, const struct cas_db_item *item)
{
	struct by_prefix *f = priv;
	char hex[ORCH_DIGEST_HEX + 1];
	struct orch_digest id;

	if (item->key_len != ORCH_DIGEST_BYTES)
		return 0;
	memcpy(id.b, item->key, ORCH_DIGEST_BYTES);
	orch_digest_format(&id, hex);
	if (memcmp(hex, f->hex, f->len) != 0)
		return 0;
	f->found = id;
	return ++f->count > 1;
}

static int resolve_prefix(
    struct cas_store *s, const char *rev, size_t len, struct orch_digest *out, struct orch_err *err)
{
	char lower[ORCH_DIGEST_HEX + 1] = "";
	struct by_prefix f = {.hex = lower, .len = len};
	uint8_t bytes[ORCH_DIGEST_BYTES] = {0};
	struct cas_key key = {CAS_KIND_SNAPSHOT, bytes, len / 2};
	struct orch_digest start;
	int r;

	for (size_t i = 0; i < ORCH_DIGEST_HEX; i++)
		lower[i] = i >= len			    ? '0'
			   : rev[i] >= 'A' && rev[i] <= 'F' ? (char)(rev[i] | 32)
							    : rev[i];
	if (orch_digest_parse(lower, &start) < 0)
		return orch_err_set(err, ORCH_EUSAGE, "\"%.80s\" is neither ref nor snapshot", rev);
	memcpy(bytes, start.b, len / 2);
	r = cas_db_each(s->db, &key, see_prefix, &f, err);
	if (r < 0)
		return r;
	if (f.count == 0)
		return orch_err_set(err, ENOENT, "there is no snapshot %s", rev);
	if (f.count > 1)
		return orch_err_set(err, ENOTUNIQ, "several snapshots begin with %s", rev);
	*out = f.found;
	return 0;
}

int cas_snapshot_resolve(
    struct cas_store *s, const char *rev, struct orch_digest *out, struct orch_err *err)
{
	size_t len = strlen(rev);
	struct cas_ref ref;
	int r;

	if (orch_ref_name_valid(rev)) {
		r = cas_ref_get(s, rev, &ref, err);
		if (r == 0)
			*out = ref.id;
		if (r != -ENOENT)
			return r;
	}
	r = orch_ref_name_valid(rev) ? ENOENT : ORCH_EUSAGE;
	if (len > ORCH_DIGEST_HEX || strspn(rev, "0123456789abcdefABCDEF") != len)
		return orch_err_set(err, r, "there is no ref or snapshot \"%.200s\"", rev);
	if (len < CAS_PREFIX_MIN)
		return orch_err_set(err, r,
		    "there is no ref \"%s\", and a snapshot's prefix has at least %d digits", rev,
		    CAS_PREFIX_MIN);
	return resolve_prefix(s, rev, len, out, err);
}

struct list {
	cas_snapshot_fn *fn;
	void *priv;
};

static int list_one(void *priv, const struct cas_db_item *item)
{
	struct list *l = priv;
	struct cas_snapshot x;
	int r;

	if (item->status < 0)
		return 0;
	r = cas_snapshot_parse(item->key, item->key_len, item->value, item->value_len, &x, NULL);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	r = l->fn(l->priv, &x);
	cas_snapshot_fini(&x);
	return r;
}

int cas_snapshot_list(struct cas_store *s, cas_snapshot_fn *fn, void *priv, struct orch_err *err)
{
	struct list l = {fn, priv};
	struct cas_key all = {CAS_KIND_SNAPSHOT, NULL, 0};

	return cas_db_each(s->db, &all, list_one, &l, err);
}

struct find_ref {
	const struct orch_digest *id;
	struct orch_buf *out;
};

static int find_ref(void *priv, const struct cas_ref *ref)
{
	struct find_ref *f = priv;

	if (!orch_digest_eq(&ref->id, f->id))
		return 0;
	orch_buf_printf(f->out, "ref %s", ref->name);
	return f->out->failed ? -ENOMEM : 1;
}

/* 1 and a name in out: something needs it. */
static int find_user(
    struct cas_store *s, const struct orch_digest *id, struct orch_buf *out, struct orch_err *err)
{
	struct find_ref f = {id, out};
	int r = cas_ref_list(s, NULL, find_ref, &f, err);

	return r != 0 ? r : cas_record_user_of_snapshot(s, id, out, err);
}

static int remove_locked(
    struct cas_store *s, const struct orch_digest *id, struct cas_batch *b, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf user = ORCH_BUF_INIT;
	struct cas_key key = snapshot_key(id);
	char hex[ORCH_DIGEST_HEX + 1];
	int r = cas_db_has(s->db, &key, err);

	if (r == 0)
		return no_snapshot(id, err);
	if (r < 0 && r != -ORCH_ECORRUPT)
		return r;
	r = find_user(s, id, &user, err);
	if (r < 0)
		return r;
	orch_digest_format(id, hex);
	if (r > 0)
		return orch_err_set(
		    err, EBUSY, "snapshot %s is used by %s", hex, (const char *)user.data);
	cas_batch_remove(b, &key);
	return cas_db_commit(s->db, b, err);
}

int cas_snapshot_remove(struct cas_store *s, const struct orch_digest *id, struct orch_err *err)
{
	struct cas_batch *b = cas_batch_new();
	int r;

	if (!b)
		return orch_err_set(err, ENOMEM, "out of memory");
	pthread_mutex_lock(&s->change_lock);
	r = remove_locked(s, id, b, err);
	pthread_mutex_unlock(&s->change_lock);
	cas_batch_free(b);
	return r;
}
