/* The keeper's records: JSON text under "<namespace>\0<key>"; changes are transactions (txn.c). */
#include "cache/record.h"

#include <string.h>
#include "cache/store_priv.h"
#include "cache/txn.h"

static bool ns_valid(const char *ns)
{
	size_t n = strspn(ns, "abcdefghijklmnopqrstuvwxyz0123456789-");

	return n > 0 && n <= CAS_NS_MAX && ns[n] == '\0';
}

int cas_record_key(const char *ns, const char *key, struct orch_buf *out, struct orch_err *err)
{
	size_t len = strlen(key);

	if (!ns_valid(ns) || len == 0 || len > CAS_RECORD_KEY_MAX)
		return orch_err_set(
		    err, ORCH_EUSAGE, "\"%.40s/%.200s\" can't be a record's name", ns, key);
	orch_buf_reset(out);
	orch_buf_add(out, ns, strlen(ns) + 1);
	orch_buf_add(out, key, len);
	return out->failed ? orch_err_set(err, ENOMEM, "out of memory") : 0;
}

int cas_json_value(const uint8_t *p, size_t n, struct orch_json **out, struct orch_err *err)
{
	struct orch_err inner = ORCH_ERR_INIT;
	struct orch_json *j;
	int r = orch_json_parse((const char *)p, n, &j, &inner);

	if (r == -ENOMEM)
		return orch_err_set(err, ENOMEM, "out of memory");
	if (r < 0)
		return orch_err_set(err, ORCH_ECORRUPT, "not JSON: %s", inner.msg);
	if (!orch_json_is_object(j)) {
		orch_json_free(j);
		return orch_err_set(err, ORCH_ECORRUPT, "not a JSON object");
	}
	*out = j;
	return 0;
}

int cas_record_get(struct cas_store *s, const char *ns, const char *key, struct orch_json **out,
    struct orch_err *err)
{
	orch_auto(buf) struct orch_buf name = ORCH_BUF_INIT;
	orch_auto(buf) struct orch_buf value = ORCH_BUF_INIT;
	struct cas_key k;
	int r = cas_record_key(ns, key, &name, err);

	if (r < 0)
		return r;
	k = (struct cas_key){CAS_KIND_RECORD, name.data, name.len};
	r = cas_db_get(s->db, &k, &value, err);
	if (r == -ENOENT)
		return orch_err_set(err, ENOENT, "there is no %s %s", ns, key);
	if (r < 0)
		return r;
	r = cas_json_value(value.data, value.len, out, err);
	if (r < 0)
		orch_err_wrap(err, "record %s/%s", ns, key);
	return r;
}

enum how { PUT, CREATE, REMOVE };

static int change_one(struct cas_store *s, enum how how, const char *ns, const char *key,
    const struct orch_json *value, struct orch_err *err)
{
	struct cas_txn *t = cas_txn_new(s);
	int r;

	if (!t)
		return orch_err_set(err, ENOMEM, "out of memory");
	if (how == PUT)
		r = cas_txn_record_put(t, ns, key, value, err);
	else if (how == CREATE)
		r = cas_txn_record_create(t, ns, key, value, err);
	else
		r = cas_txn_record_remove(t, ns, key, err);
	if (r == 0)
		r = cas_txn_commit(t, err);
	cas_txn_free(t);
	return r;
}

int cas_record_put(struct cas_store *s, const char *ns, const char *key,
    const struct orch_json *value, struct orch_err *err)
{
	return change_one(s, PUT, ns, key, value, err);
}

int cas_record_create(struct cas_store *s, const char *ns, const char *key,
    const struct orch_json *value, struct orch_err *err)
{
	return change_one(s, CREATE, ns, key, value, err);
}

int cas_record_remove(struct cas_store *s, const char *ns, const char *key, struct orch_err *err)
{
	return change_one(s, REMOVE, ns, key, NULL, err);
}

struct list {
	cas_record_fn *fn;
	void *priv;
};

/* Keys hold no NUL but the one behind the namespace; the item's key is not terminated. */
static int list_one(void *priv, const struct cas_db_item *item)
{
	char name[CAS_KEY_MAX + 1];
	struct list *l = priv;
	struct orch_json *j = NULL;
	size_t ns_len;
	int r = item->status;

	if (item->key_len > CAS_KEY_MAX)
		return 0;
	memcpy(name, item->key, item->key_len);
	name[item->key_len] = '\0';
	ns_len = strlen(name);
	if (ns_len >= item->key_len)
		return 0;
	if (r == 0)
		r = cas_json_value(item->value, item->value_len, &j, NULL);
	r = l->fn(l->priv, name, name + ns_len + 1, j, r);
	orch_json_free(j);
	return r;
}

int cas_record_list(
    struct cas_store *s, const char *ns, cas_record_fn *fn, void *priv, struct orch_err *err)
{
	struct list l = {fn, priv};
	struct cas_key key = {CAS_KIND_RECORD, ns, ns ? strlen(ns) + 1 : 0};

	if (ns && !ns_valid(ns))
		return orch_err_set(err, ORCH_EUSAGE, "\"%.40s\" is not a namespace", ns);
	return cas_db_each(s->db, &key, list_one, &l, err);
}

struct find_user {
	char hex[ORCH_DIGEST_HEX + 1];
	struct orch_buf *out;
};

static int find_user(
    void *priv, const char *ns, const char *key, const struct orch_json *value, int status)
{
	struct find_user *f = priv;
	const char *id;

	if (status < 0 || orch_json_get_str(value, "snapshot", &id, NULL) < 0 || !id ||
	    strcmp(id, f->hex) != 0)
		return 0;
	orch_buf_printf(f->out, "%s %s", ns, key);
	return f->out->failed ? -ENOMEM : 1;
}

int cas_record_user_of_snapshot(
    struct cas_store *s, const struct orch_digest *id, struct orch_buf *out, struct orch_err *err)
{
	struct find_user f = {.out = out};

	orch_digest_format(id, f.hex);
	return cas_record_list(s, NULL, find_user, &f, err);
}
