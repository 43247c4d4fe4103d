/* Transactions: a list of changes, each checked and put into one batch under change_lock. */
#include "cache/txn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cache/record.h"
#include "cache/ref_copy.h"
#include "cache/store_priv.h"
#include "core/path.h"

enum change_kind { REF_SET, REF_REMOVE, RECORD_PUT, RECORD_CREATE, RECORD_REMOVE };

struct change {
	struct change *next;
	enum change_kind kind;
	struct cas_expect expect;
	struct orch_digest id;
	struct cas_ref *out;
	struct cas_ref made;
	struct orch_buf key;   /* of a record */
	struct orch_buf value; /* of a record */
	char name[];	       /* of a ref; "ns/key" of a record */
};

struct cas_txn {
	struct cas_store *s;
	struct change *first, **last;
	bool committed;
	int status; /* first failure of an _add: a commit would be half of what was meant */
};

struct cas_txn *cas_txn_new(struct cas_store *s)
{
	struct cas_txn *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->s = s;
	t->last = &t->first;
	return t;
}

void cas_txn_free(struct cas_txn *t)
{
	struct change *c;

	if (!t)
		return;
	while ((c = t->first)) {
		t->first = c->next;
		orch_buf_fini(&c->key);
		orch_buf_fini(&c->value);
		free(c);
	}
	free(t);
}

static struct change *add(
    struct cas_txn *t, enum change_kind kind, const char *name, struct orch_err *err)
{
	struct change *c = calloc(1, sizeof(*c) + strlen(name) + 1);

	ORCH_BUG_ON(t->committed);
	if (!c) {
		orch_err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	c->kind = kind;
	memcpy(c->name, name, strlen(name) + 1);
	orch_buf_init(&c->key, CAS_KEY_MAX);
	orch_buf_init(&c->value, CAS_VALUE_MAX);
	*t->last = c;
	t->last = &c->next;
	return c;
}

static int add_ref(struct cas_txn *t, enum change_kind kind, const char *name,
    const struct cas_expect *expect, struct change **out, struct orch_err *err)
{
	struct change *c;

	if (!orch_ref_name_valid(name))
		return orch_err_set(err, ORCH_EUSAGE, "\"%.200s\" is not a name for a ref", name);
	c = add(t, kind, name, err);
	if (!c)
		return -ENOMEM;
	if (expect)
		c->expect = *expect;
	*out = c;
	return 0;
}

int cas_txn_ref_set(struct cas_txn *t, const char *name, const struct orch_digest *id,
    const struct cas_expect *expect, struct cas_ref *out, struct orch_err *err)
{
	struct change *c = NULL;
	int r = add_ref(t, REF_SET, name, expect, &c, err);

	if (r < 0)
		return r;
	c->id = *id;
	c->out = out;
	return 0;
}

int cas_txn_ref_remove(
    struct cas_txn *t, const char *name, const struct cas_expect *expect, struct orch_err *err)
{
	struct change *c;

	return add_ref(t, REF_REMOVE, name, expect, &c, err);
}

static int add_record(struct cas_txn *t, enum change_kind kind, const char *ns, const char *key,
    const struct orch_json *value, struct orch_err *err)
{
	char name[CAS_NS_MAX + 16];
	struct change *c;
	int r;

	snprintf(name, sizeof(name), "%s", ns);
	c = add(t, kind, name, err);
	if (!c)
		return -ENOMEM;
	r = cas_record_key(ns, key, &c->key, err);
	if (r == 0 && value && (r = orch_json_format(value, 0, &c->value)) < 0)
		orch_err_sys(err, -r, "record %s/%s", ns, key);
	if (r < 0)
		t->status = r;
	return r;
}

static int check_object(const struct orch_json *value, const char *ns, struct orch_err *err)
{
	if (orch_json_is_object(value))
		return 0;
	return orch_err_set(err, ORCH_EUSAGE, "a record of %s must be a JSON object", ns);
}

int cas_txn_record_put(struct cas_txn *t, const char *ns, const char *key,
    const struct orch_json *value, struct orch_err *err)
{
	int r = check_object(value, ns, err);

	return r < 0 ? r : add_record(t, RECORD_PUT, ns, key, value, err);
}

int cas_txn_record_create(struct cas_txn *t, const char *ns, const char *key,
    const struct orch_json *value, struct orch_err *err)
{
	int r = check_object(value, ns, err);

	return r < 0 ? r : add_record(t, RECORD_CREATE, ns, key, value, err);
}

int cas_txn_record_remove(struct cas_txn *t, const char *ns, const char *key, struct orch_err *err)
{
	return add_record(t, RECORD_REMOVE, ns, key, NULL, err);
}

static int apply_ref(struct cas_txn *t, struct change *c, struct cas_batch *b, struct orch_err *err)
{
	char hex[ORCH_DIGEST_HEX + 1];
	int r;

	if (c->kind == REF_REMOVE)
		return cas_ref_change(t->s, b, c->name, NULL, &c->expect, &c->made, err);
	r = cas_snapshot_known(t->s, &c->id, err);
	if (r < 0)
		return r;
	if (r == 0) {
		orch_digest_format(&c->id, hex);
		return orch_err_set(err, ENOENT, "there is no snapshot %s", hex);
	}
	return cas_ref_change(t->s, b, c->name, &c->id, &c->expect, &c->made, err);
}

static int apply_record(
    struct cas_txn *t, struct change *c, struct cas_batch *b, struct orch_err *err)
{
	struct cas_key key = {CAS_KIND_RECORD, c->key.data, c->key.len};
	int r;

	if (c->kind == RECORD_REMOVE) {
		cas_batch_remove(b, &key);
		return 0;
	}
	if (c->kind == RECORD_CREATE) {
		r = cas_db_has(t->s->db, &key, err);
		if (r < 0)
			return r;
		if (r > 0)
			return orch_err_set(err, EEXIST, "%s %s exists", c->name,
			    (const char *)c->key.data + strlen(c->name) + 1);
	}
	cas_batch_put(b, &key, c->value.data, c->value.len);
	return 0;
}

static int apply_all(struct cas_txn *t, struct cas_batch *b, struct orch_err *err)
{
	int r = 0;

	for (struct change *c = t->first; r == 0 && c; c = c->next) {
		if (c->kind == REF_SET || c->kind == REF_REMOVE)
			r = apply_ref(t, c, b, err);
		else
			r = apply_record(t, c, b, err);
	}
	return r;
}

/* change_lock is held. */
static void note_refs(struct cas_txn *t)
{
	for (struct change *c = t->first; c; c = c->next)
		if (c->kind == REF_SET || c->kind == REF_REMOVE)
			cas_ref_copy_note(t->s, &c->made);
}

static void hand_out(struct cas_txn *t)
{
	for (struct change *c = t->first; c; c = c->next)
		if (c->out)
			*c->out = c->made;
}

int cas_txn_commit(struct cas_txn *t, struct orch_err *err)
{
	struct cas_batch *b = cas_batch_new();
	int r;

	ORCH_BUG_ON(t->committed);
	t->committed = true;
	if (!b)
		return orch_err_set(err, ENOMEM, "out of memory");
	if (t->status < 0) {
		cas_batch_free(b);
		return orch_err_sys(err, -t->status, "the transaction is not whole");
	}
	pthread_mutex_lock(&t->s->change_lock);
	r = apply_all(t, b, err);
	if (r == 0)
		r = cas_db_commit(t->s->db, b, err);
	if (r == 0)
		note_refs(t);
	pthread_mutex_unlock(&t->s->change_lock);
	cas_batch_free(b);
	if (r == 0)
		hand_out(t);
	return r;
}
