/* A full disk at every point of filling, publishing and changing refs: nothing half is visible,
 * and with room again everything goes on in the same process. Needs a mount of its own. */
#include "fixture.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "cache/record.h"
#include "cache/ref.h"
#include "cache/reserve.h"
#include "cache/snapshot.h"
#include "core/fd.h"

static bool have_mounts;

static int group_setup(void **state)
{
	(void)state;
	have_mounts =
	    unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
	return 0;
}

/* The store on a tmpfs of 24 MiB. */
static int setup(void **state)
{
	struct fx *f;
	int r = fx_setup(state);

	if (r < 0 || !have_mounts)
		return r;
	f = *state;
	fx_close(f);
	FX_OK(orch_remove_tree(AT_FDCWD, f->store, NULL), NULL);
	if (mount("tmpfs", f->root, "tmpfs", 0, "size=24m") < 0)
		have_mounts = false;
	fx_open(f);
	return 0;
}

static int teardown(void **state)
{
	struct fx *f = *state;

	fx_close(f);
	if (have_mounts && umount2(f->root, MNT_DETACH) < 0)
		return -1;
	return fx_teardown(state);
}

static void need_mounts(void)
{
	if (!have_mounts) {
		print_message("# no right to mount a tmpfs\n");
		skip();
	}
}

static int ballast_fd(struct fx *f)
{
	char path[400];
	int fd;

	snprintf(path, sizeof(path), "%s/ballast", f->root);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	return fd;
}

/* What is kept for such a day would be used. */
static void remove_reserve(struct fx *f)
{
	char path[400];

	snprintf(path, sizeof(path), "%s/reserve", f->store);
	assert_int_equal(unlink(path), 0);
}

/* Leaves that much free. */
static void fill_disk(struct fx *f, size_t leave)
{
	static const char block[4096];
	struct statvfs fs;
	int fd = ballast_fd(f);

	assert_int_equal(statvfs(f->root, &fs), 0);
	for (size_t left = fs.f_bavail * fs.f_frsize; left > leave; left -= sizeof(block))
		if (write(fd, block, sizeof(block)) != (ssize_t)sizeof(block))
			break;
	close(fd);
}

static void empty_disk(struct fx *f)
{
	close(ballast_fd(f));
}

static void expect_clean(struct fx *f)
{
	struct fx_bad bad;

	fx_verify(f, false, &bad);
	if (bad.count)
		fail_msg("verify told:\n%s", bad.text);
}

static void test_full_while_publishing(void **state)
{
	struct fx *f = *state;
	struct orch_digest now, want;
	unsigned failed = 0, good = 0;

	need_mounts();
	remove_reserve(f);
	want = fx_publish(f, 40, 1, "main");
	for (unsigned pages = 0; good < 2; pages++) {
		struct orch_err err = ORCH_ERR_INIT;
		struct cas_published done;
		struct fx_quarantine q;
		struct cas_publish p;
		struct orch_digest next = fx_prepare(f, 40, 100 + pages, &q, &p);
		int r;

		p.ref = "main";
		fill_disk(f, (size_t)pages * 4096);
		r = cas_publish(f->s, &p, &done, &err);
		empty_disk(f);
		if (r < 0 && r != -ENOSPC)
			fail_msg("with %u pages: %d: %s", pages, r, err.msg);
		failed += r < 0;
		good += r == 0;
		if (r == 0)
			want = next;
		FX_OK(cas_snapshot_resolve(f->s, "main", &now, &err), &err);
		assert_true(orch_digest_eq(&now, &want));
		expect_clean(f);
		assert_true(pages < 1000);
	}
	assert_true(failed > 0);
}

static void test_full_while_filling(void **state)
{
	struct fx *f = *state;
	struct fx_quarantine q;
	struct cas_added a;
	char text[5000];
	int r = 0;

	need_mounts();
	memset(text, 'x', sizeof(text));
	fx_quarantine(f, &q);
	fill_disk(f, 100 * 4096);
	for (int i = 0; r == 0 && i < 1000; i++) {
		snprintf(text, 20, "%d", i);
		r = cas_quarantine_add_bytes(q.q, text, sizeof(text), &a, NULL);
	}
	assert_int_equal(r, -ENOSPC);
	empty_disk(f);
	assert_int_equal(cas_quarantine_finish(q.q, NULL), -ENOSPC);
	fx_quarantine_abandon(&q);
	FX_OK(cas_publish_drop(f->s, q.id, NULL), NULL);
	fx_publish(f, 3, 1, "main");
	expect_clean(f);
}

/* Fills the database until it can't take more, then goes on. */
static void test_full_while_changing(void **state)
{
	struct fx *f = *state;
	struct orch_err err = ORCH_ERR_INIT;
	struct orch_digest id, found;
	struct orch_json *j = orch_json_object(), *back;
	char *text = malloc(100001), key[20];
	int n, r = 0;

	need_mounts();
	id = fx_publish(f, 3, 1, "main");
	memset(text, 'x', 100000);
	text[100000] = '\0';
	FX_OK(orch_json_set_str(j, "text", text), NULL);
	fill_disk(f, 256 * 4096);
	for (n = 0; r == 0 && n < 1000; n++) {
		snprintf(key, sizeof(key), "%d", n);
		r = cas_record_put(f->s, "run", key, j, &err);
	}
	if (r != -ENOSPC)
		fail_msg("%d: %s", r, err.msg);
	assert_true(cas_ref_set(f->s, "other", &id, NULL, NULL, NULL) <= 0);
	/* reading goes on */
	FX_OK(cas_snapshot_resolve(f->s, "main", &found, &err), &err);
	empty_disk(f);
	FX_OK(cas_ref_set(f->s, "third", &id, NULL, NULL, &err), &err);
	for (int i = 0; i < n - 1; i++) {
		snprintf(key, sizeof(key), "%d", i);
		FX_OK(cas_record_get(f->s, "run", key, &back, &err), &err);
		orch_json_free(back);
	}
	orch_json_free(j);
	free(text);
	fx_close(f);
	fx_open(f);
	FX_OK(cas_snapshot_resolve(f->s, "third", &found, &err), &err);
	expect_clean(f);
}

static void test_open_on_a_full_disk(void **state)
{
	struct fx *f = *state;
	struct orch_err err = ORCH_ERR_INIT;
	struct orch_digest id, found;

	need_mounts();
	id = fx_publish(f, 3, 1, "main");
	fx_publish(f, 3, 2, "other");
	fill_disk(f, 0);
	fx_close(f);
	fx_open(f);
	FX_OK(cas_snapshot_resolve(f->s, "main", &found, &err), &err);
	assert_true(orch_digest_eq(&id, &found));
	FX_OK(cas_ref_remove(f->s, "other", NULL, NULL), NULL);
	expect_clean(f);
	empty_disk(f);
	fx_publish(f, 3, 2, "main");
	expect_clean(f);
}

static void test_open_without_a_reserve(void **state)
{
	struct fx *f = *state;
	struct orch_err err = ORCH_ERR_INIT;

	need_mounts();
	fx_publish(f, 3, 1, "main");
	fx_close(f);
	remove_reserve(f);
	fill_disk(f, 0);
	assert_int_equal(fx_try_open(f, &err), -ENOSPC);
	assert_non_null(strstr(err.msg, "make some room"));
	empty_disk(f);
	fx_open(f);
	expect_clean(f);
}

/* Whatever is done with the file, what it says is what there is. */
static void test_the_reserve(void **state)
{
	struct fx *f = *state;
	struct cas_reserve *r = cas_store_reserve(f->s);
	struct cas_reserve_state now;
	struct orch_err err = ORCH_ERR_INIT;
	uint64_t before;
	unsigned given = 0;

	need_mounts();
	cas_reserve_look(r, &now);
	assert_int_equal(now.whole, ((size_t)24 << 20) / CAS_RESERVE_PART);
	assert_int_equal(now.bytes, now.whole);
	assert_false(cas_reserve_give(r, 0));
	assert_false(cas_reserve_give(r, -EIO));
	assert_false(cas_reserve_give(NULL, -ENOSPC));
	FX_OK(cas_reserve_check(r, &err), &err);
	fill_disk(f, 0);
	assert_int_equal(
	    cas_reserve_check(r, &err), -ENOSPC); /* whole, but there is nothing besides */
	do {
		before = now.bytes;
		given += cas_reserve_give(r, -ENOSPC);
		cas_reserve_look(r, &now);
		assert_true(before == 0 || now.bytes < before);
	} while (before > 0);
	assert_true(given > 1 && given < 12);
	cas_reserve_fill(r);
	cas_reserve_look(r, &now);
	assert_int_equal(now.bytes, 0); /* it does not take the last room */
	empty_disk(f);
	FX_OK(cas_reserve_check(r, &err), &err);
	cas_reserve_look(r, &now);
	assert_int_equal(now.bytes, now.whole);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_full_while_publishing),
	    T(test_full_while_filling),
	    T(test_full_while_changing),
	    T(test_open_on_a_full_disk),
	    T(test_open_without_a_reserve),
	    T(test_the_reserve),
	};

	return tap_run_with(tests, group_setup, NULL);
}
