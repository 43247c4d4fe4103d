/* Refs: one database record each, {id, previous, time}; every change is a transaction (txn.c). */
#include "cache/store_priv.h"

#include <string.h>
#include "cache/txn.h"
#include "core/clock.h"
#include "core/cursor.h"
#include "core/path.h"

#define REF_BYTES (2 * ORCH_DIGEST_BYTES + 8)

static int check_name(const char *name, struct orch_err *err)
{
	if (orch_ref_name_valid(name) && strlen(name) < sizeof(((struct cas_ref *)0)->name))
		return 0;
	return orch_err_set(err, ORCH_EUSAGE, "\"%.200s\" is not a name for a ref", name);
}

static struct cas_key ref_key(const char *name)
{
	return (struct cas_key){CAS_KIND_REF, name, strlen(name)};
}

int cas_ref_parse(
    const uint8_t *name, size_t name_len, const uint8_t *p, size_t n, struct cas_ref *out)
{
	if (n != REF_BYTES || name_len >= sizeof(out->name) || memchr(name, 0, name_len))
		return -ORCH_ECORRUPT;
	memcpy(out->name, name, name_len);
	out->name[name_len] = '\0';
	memcpy(out->id.b, p, ORCH_DIGEST_BYTES);
	memcpy(out->previous.b, p + ORCH_DIGEST_BYTES, ORCH_DIGEST_BYTES);
	out->wall_ns = (int64_t)orch_le64(p + (size_t)2 * ORCH_DIGEST_BYTES);
	return orch_ref_name_valid(out->name) ? 0 : -ORCH_ECORRUPT;
}

void cas_ref_put(struct cas_batch *b, const struct cas_ref *ref)
{
	struct cas_key key = ref_key(ref->name);
	uint8_t value[REF_BYTES];

	memcpy(value, ref->id.b, ORCH_DIGEST_BYTES);
	memcpy(value + ORCH_DIGEST_BYTES, ref->previous.b, ORCH_DIGEST_BYTES);
	memcpy(value + (size_t)2 * ORCH_DIGEST_BYTES, &ref->wall_ns, 8);
	cas_batch_put(b, &key, value, sizeof(value));
}

int cas_ref_get(struct cas_store *s, const char *name, struct cas_ref *out, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf buf = ORCH_BUF_INIT;
	struct cas_key key;
	int r = check_name(name, err);

	if (r < 0)
		return r;
	key = ref_key(name);
	r = cas_db_get(s->db, &key, &buf, err);
	if (r == -ENOENT)
		return orch_err_set(err, ENOENT, "there is no ref %s", name);
	if (r < 0)
		return r;
	r = cas_ref_parse(key.p, key.len, buf.data, buf.len, out);
	if (r < 0)
		return orch_err_set(err, -r, "the record of ref %s is malformed", name);
	return 0;
}

struct list {
	cas_ref_fn *fn;
	void *priv;
};

static int list_one(void *priv, const struct cas_db_item *item)
{
	struct list *l = priv;
	struct cas_ref ref;

	if (item->status < 0)
		return 0;
	if (cas_ref_parse(item->key, item->key_len, item->value, item->value_len, &ref) < 0)
		return 0;
	return l->fn(l->priv, &ref);
}

int cas_ref_list(
    struct cas_store *s, const char *prefix, cas_ref_fn *fn, void *priv, struct orch_err *err)
{
	struct list l = {fn, priv};
	struct cas_key key = ref_key(prefix ? prefix : "");

	return cas_db_each(s->db, &key, list_one, &l, err);
}

static int conflict(const char *name, const struct cas_ref *now, struct orch_err *err)
{
	char hex[ORCH_DIGEST_HEX + 1];

	if (!now)
		return orch_err_set(err, ORCH_ECONFLICT, "ref %s does not exist", name);
	orch_digest_format(&now->id, hex);
	return orch_err_set(err, ORCH_ECONFLICT, "ref %s is at %s", name, hex);
}

/* now NULL: there is no such ref. */
static int check_expect(const char *name, const struct cas_ref *now,
    const struct cas_expect *expect, struct orch_err *err)
{
	if (!expect || expect->how == CAS_EXPECT_ANY)
		return 0;
	if (expect->how == CAS_EXPECT_ABSENT)
		return now ? conflict(name, now, err) : 0;
	if (now && orch_digest_eq(&now->id, &expect->id))
		return 0;
	return conflict(name, now, err);
}

int cas_ref_expect(
    struct cas_store *s, const char *name, const struct cas_expect *expect, struct orch_err *err)
{
	struct cas_ref now;
	int r = cas_ref_get(s, name, &now, err);

	if (r < 0 && r != -ENOENT)
		return r;
	return check_expect(name, r == 0 ? &now : NULL, expect, err);
}

int cas_ref_change(struct cas_store *s, struct cas_batch *b, const char *name,
    const struct orch_digest *id, const struct cas_expect *expect, struct cas_ref *out,
    struct orch_err *err)
{
	struct cas_ref now, next = {.wall_ns = orch_wall_ns()};
	int r = cas_ref_get(s, name, &now, err);
	bool is_there = r == 0;
	struct cas_key key;

	if (r < 0 && r != -ENOENT)
		return r;
	r = check_expect(name, is_there ? &now : NULL, expect, err);
	if (r < 0)
		return r;
	if (!id && !is_there)
		return orch_err_set(err, ENOENT, "there is no ref %s", name);
	memcpy(next.name, name, strlen(name) + 1);
	if (is_there)
		next.previous = now.id;
	if (id) {
		next.id = *id;
		cas_ref_put(b, &next);
	} else {
		key = ref_key(name);
		cas_batch_remove(b, &key);
	}
	if (out)
		*out = next;
	return 0;
}

static int commit_one(struct cas_txn *t, int r, struct orch_err *err)
{
	if (r == 0)
		r = cas_txn_commit(t, err);
	cas_txn_free(t);
	return r;
}

int cas_ref_set(struct cas_store *s, const char *name, const struct orch_digest *id,
    const struct cas_expect *expect, struct cas_ref *out, struct orch_err *err)
{
	struct cas_txn *t = cas_txn_new(s);
	int r;

	if (!t)
		return orch_err_set(err, ENOMEM, "out of memory");
	r = commit_one(t, cas_txn_ref_set(t, name, id, expect, out, err), err);
	return r;
}

int cas_ref_remove(
    struct cas_store *s, const char *name, const struct cas_expect *expect, struct orch_err *err)
{
	struct cas_txn *t = cas_txn_new(s);

	if (!t)
		return orch_err_set(err, ENOMEM, "out of memory");
	return commit_one(t, cas_txn_ref_remove(t, name, expect, err), err);
}
