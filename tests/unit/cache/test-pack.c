/* Packs: numbers, merging, what readers of merged ones see. */
#include "fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include "cache/pack.h"
#include "cache/walk.h"

static size_t count_packs(struct fx *f)
{
	uint64_t *v;
	size_t count;

	FX_OK(cas_pack_list(f->s, &v, &count, NULL), NULL);
	free(v);
	return count;
}

static void check_all(struct fx *f, const struct orch_digest *ids, unsigned count)
{
	struct view_packset *fresh;
	struct cas_count c;

	FX_OK(view_packset_new(cas_store_packs_fd(f->s), &fresh, NULL), NULL);
	for (unsigned i = 0; i < count; i++) {
		FX_OK(cas_walk_count(fresh, &ids[i], &c, NULL), NULL);
		assert_int_equal(c.files, 4);
		FX_OK(cas_walk_count(cas_store_packset(f->s), &ids[i], &c, NULL), NULL);
	}
	view_packset_free(fresh);
}

static void test_merge_keeps_all(void **state)
{
	struct fx *f = *state;
	struct orch_digest ids[20];
	struct orch_err err = ORCH_ERR_INIT;
	struct fx_bad bad;
	size_t merged;

	for (unsigned i = 0; i < 20; i++)
		ids[i] = fx_publish(f, 3, i, NULL);
	assert_int_equal(count_packs(f), 20);
	FX_OK(cas_pack_merge(f->s, 5, &merged, &err), &err);
	assert_int_equal(merged, 16);
	assert_int_equal(count_packs(f), 5);
	check_all(f, ids, 20);
	FX_OK(cas_pack_merge(f->s, 5, &merged, &err), &err);
	assert_int_equal(merged, 0);
	FX_OK(cas_pack_merge(f->s, 0, &merged, &err), &err);
	assert_int_equal(count_packs(f), 1);
	check_all(f, ids, 20);
	fx_close(f);
	fx_open(f);
	check_all(f, ids, 20);
	fx_verify(f, false, &bad);
	assert_string_equal(bad.text, "");
}

static void test_publishing_merges(void **state)
{
	struct fx *f = *state;
	struct orch_digest ids[70];

	for (unsigned i = 0; i < 70; i++)
		ids[i] = fx_publish(f, 3, i, NULL);
	assert_true(count_packs(f) <= CAS_PACKS_MAX);
	check_all(f, ids, 70);
}

static void test_damaged_pack_is_left_alone(void **state)
{
	struct fx *f = *state;
	struct orch_err err = ORCH_ERR_INIT;
	size_t merged;

	for (unsigned i = 0; i < 4; i++)
		fx_publish(f, 3, i, NULL);
	fx_flip(f, "packs/2", 100);
	FX_OK(cas_pack_merge(f->s, 1, &merged, &err), &err);
	assert_int_equal(merged, 3);
	assert_int_equal(count_packs(f), 2);
	assert_true(fx_exists(f, "packs/2"));
}

struct reader {
	struct fx *f;
	const struct orch_digest *ids;
	atomic_bool stop;
	atomic_uint rounds;
	atomic_int failed;
};

static void *keep_reading(void *arg)
{
	struct reader *r = arg;
	struct cas_count c;

	while (!atomic_load(&r->stop)) {
		struct view_packset *fresh;

		if (view_packset_new(cas_store_packs_fd(r->f->s), &fresh, NULL) < 0)
			abort();
		for (unsigned i = 0; i < 10; i++)
			if (cas_walk_count(fresh, &r->ids[i], &c, NULL) < 0)
				atomic_fetch_add(&r->failed, 1);
		view_packset_free(fresh);
		atomic_fetch_add(&r->rounds, 1u);
	}
	return NULL;
}

static void test_readers_beside_merges(void **state)
{
	struct fx *f = *state;
	struct orch_digest ids[10];
	struct reader r = {.f = f, .ids = ids};
	pthread_t t;

	for (unsigned i = 0; i < 10; i++)
		ids[i] = fx_publish(f, 3, i, NULL);
	assert_int_equal(pthread_create(&t, NULL, keep_reading, &r), 0);
	for (unsigned i = 0; i < 40; i++) {
		fx_publish(f, 3, 100 + i, NULL);
		FX_OK(cas_pack_merge(f->s, 1, NULL, NULL), NULL);
	}
	while (atomic_load(&r.rounds) < 3)
		sched_yield();
	atomic_store(&r.stop, true);
	pthread_join(t, NULL);
	assert_int_equal(atomic_load(&r.failed), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_merge_keeps_all),
	    T(test_publishing_merges),
	    T(test_damaged_pack_is_left_alone),
	    T(test_readers_beside_merges),
	};

	return tap_run(tests);
}
