/* Refs, records, transactions and snapshot records. */
#include "fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include "cache/record.h"
#include "cache/snapshot.h"
#include "cache/txn.h"
#include "core/clock.h"

static struct orch_json *json(const char *text)
{
	struct orch_json *j = NULL;

	FX_OK(orch_json_parse(text, strlen(text), &j, NULL), NULL);
	return j;
}

static void test_ref_changes(void **state)
{
	struct fx *f = *state;
	struct orch_digest a = fx_publish(f, 1, 1, NULL), b = fx_publish(f, 1, 2, NULL);
	struct cas_expect absent = {.how = CAS_EXPECT_ABSENT}, is_a = {CAS_EXPECT_ID, a};
	struct orch_err err = ORCH_ERR_INIT;
	int64_t before = orch_wall_ns();
	struct cas_ref ref;

	assert_int_equal(cas_ref_get(f->s, "x/main", &ref, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "x/main"));
	FX_OK(cas_ref_set(f->s, "x/main", &a, &absent, &ref, &err), &err);
	assert_true(orch_digest_is_null(&ref.previous));
	assert_true(ref.wall_ns >= before);
	assert_int_equal(cas_ref_set(f->s, "x/main", &b, &absent, NULL, &err), -ORCH_ECONFLICT);
	FX_OK(cas_ref_set(f->s, "x/main", &b, &is_a, &ref, &err), &err);
	assert_true(orch_digest_eq(&ref.previous, &a));
	assert_int_equal(cas_ref_set(f->s, "x/main", &a, &is_a, NULL, &err), -ORCH_ECONFLICT);
	fx_close(f);
	fx_open(f);
	FX_OK(cas_ref_get(f->s, "x/main", &ref, &err), &err);
	assert_true(orch_digest_eq(&ref.id, &b));
	assert_true(orch_digest_eq(&ref.previous, &a));
	assert_int_equal(cas_ref_remove(f->s, "x/main", &is_a, &err), -ORCH_ECONFLICT);
	FX_OK(cas_ref_remove(f->s, "x/main", NULL, &err), &err);
	assert_int_equal(cas_ref_remove(f->s, "x/main", NULL, &err), -ENOENT);
}

static void test_ref_needs_name_and_snapshot(void **state)
{
	struct fx *f = *state;
	struct orch_digest a = fx_publish(f, 1, 1, NULL), none = a;
	struct orch_err err = ORCH_ERR_INIT;
	struct cas_ref ref;

	none.b[0] ^= 1;
	assert_int_equal(cas_ref_set(f->s, "main", &none, NULL, NULL, &err), -ENOENT);
	assert_int_equal(cas_ref_set(f->s, "../x", &a, NULL, NULL, &err), -EINVAL);
	assert_int_equal(cas_ref_get(f->s, "a b", &ref, &err), -EINVAL);
	assert_int_equal(cas_ref_remove(f->s, "", NULL, &err), -EINVAL);
}

static int note_ref(void *priv, const struct cas_ref *ref)
{
	strcat(priv, ref->name);
	strcat(priv, ",");
	return 0;
}

static void test_ref_list(void **state)
{
	struct fx *f = *state;
	struct orch_digest a = fx_publish(f, 1, 1, "b/2");
	char names[200] = "";

	FX_OK(cas_ref_set(f->s, "a", &a, NULL, NULL, NULL), NULL);
	FX_OK(cas_ref_set(f->s, "b/1", &a, NULL, NULL, NULL), NULL);
	FX_OK(cas_ref_set(f->s, "c", &a, NULL, NULL, NULL), NULL);
	FX_OK(cas_ref_list(f->s, NULL, note_ref, names, NULL), NULL);
	assert_string_equal(names, "a,b/1,b/2,c,");
	names[0] = '\0';
	FX_OK(cas_ref_list(f->s, "b/", note_ref, names, NULL), NULL);
	assert_string_equal(names, "b/1,b/2,");
}

/* ---- races ---- */

struct racer {
	struct fx *f;
	struct orch_digest *ids;
	unsigned wins;
};

/* Moves the ref one step on, 25 times, whoever else does so too. */
static void *race(void *arg)
{
	struct racer *r = arg;

	for (unsigned done = 0; done < 25;) {
		struct cas_ref now, next;
		struct cas_expect is = {.how = CAS_EXPECT_ID};
		unsigned at = 0;
		int result;

		if (cas_ref_get(r->f->s, "main", &now, NULL) < 0)
			abort();
		is.id = now.id;
		while (!orch_digest_eq(&r->ids[at], &now.id))
			at++;
		result = cas_ref_set(r->f->s, "main", &r->ids[(at + 1) % 5], &is, &next, NULL);
		if (result != 0 && result != -ORCH_ECONFLICT)
			abort();
		if (result == 0) {
			done++;
			r->wins++;
		}
	}
	return NULL;
}

static void test_swaps_of_threads(void **state)
{
	struct fx *f = *state;
	struct orch_digest ids[5];
	struct racer r[4];
	struct cas_ref ref;
	pthread_t t[4];

	for (unsigned i = 0; i < 5; i++)
		ids[i] = fx_publish(f, 1, i, i == 0 ? "main" : NULL);
	for (unsigned i = 0; i < 4; i++) {
		r[i] = (struct racer){f, ids, 0};
		assert_int_equal(pthread_create(&t[i], NULL, race, &r[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	/* 100 steps of one each: a lost or doubled one would be seen */
	FX_OK(cas_ref_get(f->s, "main", &ref, NULL), NULL);
	assert_true(orch_digest_eq(&ref.id, &ids[100 % 5]));
	assert_true(orch_digest_eq(&ref.previous, &ids[99 % 5]));
}

/* ---- records ---- */

static int note_record(
    void *priv, const char *ns, const char *key, const struct orch_json *value, int status)
{
	char *out = priv;

	assert_int_equal(status, 0);
	assert_true(orch_json_is_object(value));
	sprintf(out + strlen(out), "%s/%s,", ns, key);
	return 0;
}

static void test_records(void **state)
{
	struct fx *f = *state;
	struct orch_err err = ORCH_ERR_INIT;
	struct orch_json *v = json("{\"state\":\"created\",\"n\":7}"), *back, *list = json("[1]");
	char names[300] = "";
	int64_t n;

	FX_OK(cas_record_put(f->s, "workspace", "a", v, &err), &err);
	FX_OK(cas_record_put(f->s, "workspace", "b/c d", v, &err), &err);
	FX_OK(cas_record_put(f->s, "work", "z", v, &err), &err);
	assert_int_equal(cas_record_create(f->s, "workspace", "a", v, &err), -EEXIST);
	assert_non_null(strstr(err.msg, "workspace a"));
	assert_int_equal(cas_record_put(f->s, "workspace", "a", list, &err), -EINVAL);
	assert_int_equal(cas_record_put(f->s, "Work", "a", v, &err), -EINVAL);
	assert_int_equal(cas_record_put(f->s, "work", "", v, &err), -EINVAL);
	fx_close(f);
	fx_open(f);
	FX_OK(cas_record_get(f->s, "workspace", "b/c d", &back, &err), &err);
	FX_OK(orch_json_get_int(back, "n", &n, &err), &err);
	assert_int_equal(n, 7);
	orch_json_free(back);
	FX_OK(cas_record_list(f->s, "workspace", note_record, names, &err), &err);
	assert_string_equal(names, "workspace/a,workspace/b/c d,");
	names[0] = '\0';
	FX_OK(cas_record_list(f->s, NULL, note_record, names, &err), &err);
	assert_string_equal(names, "work/z,workspace/a,workspace/b/c d,");
	FX_OK(cas_record_remove(f->s, "workspace", "a", &err), &err);
	FX_OK(cas_record_remove(f->s, "workspace", "a", &err), &err);
	assert_int_equal(cas_record_get(f->s, "workspace", "a", &back, &err), -ENOENT);
	orch_json_free(v);
	orch_json_free(list);
}

static void test_transaction_is_whole(void **state)
{
	struct fx *f = *state;
	struct orch_digest a = fx_publish(f, 1, 1, "main");
	struct cas_expect absent = {.how = CAS_EXPECT_ABSENT};
	struct orch_err err = ORCH_ERR_INIT;
	struct orch_json *v = json("{}"), *back;
	struct cas_txn *t = cas_txn_new(f->s);
	struct cas_ref ref = {.name = "untouched"};

	FX_OK(cas_txn_record_put(t, "run", "1", v, &err), &err);
	FX_OK(cas_txn_ref_set(t, "other", &a, NULL, &ref, &err), &err);
	FX_OK(cas_txn_ref_set(t, "main", &a, &absent, NULL, &err), &err);
	assert_int_equal(cas_txn_commit(t, &err), -ORCH_ECONFLICT);
	cas_txn_free(t);
	assert_string_equal(ref.name, "untouched");
	assert_int_equal(cas_ref_get(f->s, "other", &ref, &err), -ENOENT);
	assert_int_equal(cas_record_get(f->s, "run", "1", &back, &err), -ENOENT);

	t = cas_txn_new(f->s);
	FX_OK(cas_txn_record_create(t, "run", "1", v, &err), &err);
	FX_OK(cas_txn_ref_set(t, "other", &a, &absent, &ref, &err), &err);
	FX_OK(cas_txn_ref_remove(t, "main", NULL, &err), &err);
	FX_OK(cas_txn_commit(t, &err), &err);
	cas_txn_free(t);
	assert_string_equal(ref.name, "other");
	assert_int_equal(cas_ref_get(f->s, "main", &ref, &err), -ENOENT);
	FX_OK(cas_record_get(f->s, "run", "1", &back, &err), &err);
	orch_json_free(back);
	orch_json_free(v);
}

static void test_spoilt_transaction(void **state)
{
	struct fx *f = *state;
	struct orch_json *v = json("{}"), *back;
	struct cas_txn *t = cas_txn_new(f->s);

	FX_OK(cas_txn_record_put(t, "run", "1", v, NULL), NULL);
	assert_int_equal(cas_txn_record_put(t, "run", "", v, NULL), -EINVAL);
	assert_int_equal(cas_txn_commit(t, NULL), -EINVAL);
	cas_txn_free(t);
	assert_int_equal(cas_record_get(f->s, "run", "1", &back, NULL), -ENOENT);
	orch_json_free(v);
}

/* ---- snapshots ---- */

static void test_resolve(void **state)
{
	struct fx *f = *state;
	struct orch_digest a = fx_publish(f, 1, 1, "main"), found;
	struct orch_err err = ORCH_ERR_INIT;
	char hex[ORCH_DIGEST_HEX + 1], part[ORCH_DIGEST_HEX + 1];

	orch_digest_format(&a, hex);
	for (int n = CAS_PREFIX_MIN; n <= ORCH_DIGEST_HEX; n++) {
		memset(&found, 0, sizeof(found));
		snprintf(part, sizeof(part), "%.*s", n, hex);
		FX_OK(cas_snapshot_resolve(f->s, part, &found, &err), &err);
		assert_true(orch_digest_eq(&a, &found));
		part[n - 1] = part[n - 1] == '0' ? '1' : '0';
		assert_int_equal(cas_snapshot_resolve(f->s, part, &found, &err), -ENOENT);
	}
	snprintf(part, sizeof(part), "%.7s", hex);
	assert_int_equal(cas_snapshot_resolve(f->s, part, &found, &err), -ENOENT);
	assert_int_equal(cas_snapshot_resolve(f->s, "no such", &found, &err), -EINVAL);
	assert_int_equal(cas_snapshot_resolve(f->s, "nosuch", &found, &err), -ENOENT);
	assert_int_equal(cas_snapshot_resolve(f->s, "", &found, &err), -EINVAL);
	for (size_t i = 0; hex[i]; i++)
		part[i] = hex[i] >= 'a' ? (char)(hex[i] - 32) : hex[i];
	part[ORCH_DIGEST_HEX] = '\0';
	FX_OK(cas_snapshot_resolve(f->s, part, &found, &err), &err);
	/* a ref goes before a prefix */
	part[0] = '\0';
	snprintf(part, sizeof(part), "%.10s", hex);
	{
		struct orch_digest b = fx_publish(f, 1, 2, part);

		FX_OK(cas_snapshot_resolve(f->s, part, &found, &err), &err);
		assert_true(orch_digest_eq(&b, &found));
	}
}

static void test_record_and_parent(void **state)
{
	struct fx *f = *state;
	struct orch_err err = ORCH_ERR_INIT;
	struct orch_digest parent = fx_publish(f, 1, 1, NULL), id;
	struct cas_published done;
	struct fx_quarantine q;
	struct cas_publish p;
	struct cas_snapshot x;
	struct orch_json *record = json("{\"commit\":\"abc\"}"), *j;
	const char *commit;

	id = fx_prepare(f, 1, 2, &q, &p);
	p.parent = parent;
	p.record = record;
	FX_OK(cas_publish(f->s, &p, &done, &err), &err);
	FX_OK(cas_snapshot_get(f->s, &id, &x, &err), &err);
	assert_true(orch_digest_eq(&x.parent, &parent));
	FX_OK(orch_json_get_str(x.record, "commit", &commit, &err), &err);
	assert_string_equal(commit, "abc");
	FX_OK(cas_snapshot_to_json(&x, &j), NULL);
	FX_OK(orch_json_get_str(j, "source", &commit, &err), &err);
	assert_string_equal(commit, "test");
	assert_non_null(orch_json_get(j, "created"));
	assert_non_null(orch_json_get(j, "parent"));
	orch_json_free(j);
	cas_snapshot_fini(&x);
	orch_json_free(record);
}

static void test_remove(void **state)
{
	struct fx *f = *state;
	struct orch_err err = ORCH_ERR_INIT;
	struct orch_digest id = fx_publish(f, 1, 1, "a/ref");
	char hex[ORCH_DIGEST_HEX + 1], text[200];
	struct orch_json *v;
	struct cas_snapshot x;

	orch_digest_format(&id, hex);
	assert_int_equal(cas_snapshot_remove(f->s, &id, &err), -EBUSY);
	assert_non_null(strstr(err.msg, "a/ref"));
	FX_OK(cas_ref_remove(f->s, "a/ref", NULL, &err), &err);
	snprintf(text, sizeof(text), "{\"snapshot\":\"%s\"}", hex);
	v = json(text);
	FX_OK(cas_record_put(f->s, "workspace", "w1", v, &err), &err);
	orch_json_free(v);
	assert_int_equal(cas_snapshot_remove(f->s, &id, &err), -EBUSY);
	assert_non_null(strstr(err.msg, "workspace w1"));
	FX_OK(cas_record_remove(f->s, "workspace", "w1", &err), &err);
	FX_OK(cas_snapshot_remove(f->s, &id, &err), &err);
	assert_int_equal(cas_snapshot_get(f->s, &id, &x, &err), -ENOENT);
	assert_int_equal(cas_snapshot_remove(f->s, &id, &err), -ENOENT);
	assert_int_equal(cas_ref_set(f->s, "again", &id, NULL, NULL, &err), -ENOENT);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_ref_changes),
	    T(test_ref_needs_name_and_snapshot),
	    T(test_ref_list),
	    T(test_swaps_of_threads),
	    T(test_records),
	    T(test_transaction_is_whole),
	    T(test_spoilt_transaction),
	    T(test_resolve),
	    T(test_record_and_parent),
	    T(test_remove),
	};

	return tap_run(tests);
}
