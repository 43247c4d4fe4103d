/* Publishing: what is visible, twice, hostile quarantines, conflicts, kills between the steps. */
#include "fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cache/pack.h"
#include "cache/record.h"
#include "cache/snapshot.h"
#include "cache/stat.h"
#include "cache/walk.h"
#include "core/clock.h"
#include "core/fd.h"
#include "view/object.h"

static void expect_clean(struct fx *f)
{
	struct fx_bad bad;

	fx_verify(f, false, &bad);
	if (bad.count)
		fail_msg("verify told:\n%s", bad.text);
}

static void test_publish_makes_all_visible(void **state)
{
	struct fx *f = *state;
	struct orch_err err = ORCH_ERR_INIT;
	struct orch_digest id = fx_publish(f, 20, 1, "main"), found, object;
	struct cas_snapshot x;
	struct cas_count count;
	struct cas_stat stat;
	struct stat st;
	int fd;

	FX_OK(cas_snapshot_resolve(f->s, "main", &found, &err), &err);
	assert_true(orch_digest_eq(&id, &found));
	FX_OK(cas_snapshot_get(f->s, &id, &x, &err), &err);
	assert_int_equal(x.files, 23);
	assert_string_equal(x.source, "test");
	cas_snapshot_fini(&x);
	FX_OK(cas_walk_count(cas_store_packset(f->s), &id, &count, &err), &err);
	assert_int_equal(count.files, 21);
	assert_int_equal(count.dirs, 1);
	assert_int_equal(count.symlinks, 1);
	fx_object_of("file 3 of 1\n", &object);
	FX_OK(view_object_open(cas_store_objects_fd(f->s), &object, 12, &fd, &err), &err);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0444);
	assert_int_equal(orch_timespec_ns(&st.st_mtim), view_object_mtime_ns(&object));
	close(fd);
	FX_OK(cas_stat(f->s, &stat, &err), &err);
	assert_int_equal(stat.objects, 21);
	assert_int_equal(stat.object_bytes, count.bytes);
	assert_int_equal(stat.packs, 1);
	assert_int_equal(stat.snapshots, 1);
	assert_int_equal(stat.refs, 1);
	expect_clean(f);
}

static void test_publish_again_adds_nothing(void **state)
{
	struct fx *f = *state;
	struct orch_err err = ORCH_ERR_INIT;
	struct orch_digest first = fx_publish(f, 5, 1, NULL), second;
	struct cas_published done;
	struct fx_quarantine q;
	struct cas_publish p;

	second = fx_prepare(f, 5, 1, &q, &p);
	assert_true(orch_digest_eq(&first, &second));
	FX_OK(cas_publish(f->s, &p, &done, &err), &err);
	assert_int_equal(done.objects, 0);
	assert_int_equal(done.pack, 0);
	assert_false(done.snapshot_is_new);
	expect_clean(f);
}

static void test_publish_again_keeps_the_record(void **state)
{
	struct fx *f = *state;
	struct orch_err err = ORCH_ERR_INIT;
	orch_auto(json) struct orch_json *record = orch_json_object();
	struct orch_digest id;
	struct cas_published done;
	struct fx_quarantine q;
	struct cas_snapshot x;
	struct cas_publish p;

	assert_int_equal(orch_json_set_str(record, "run", "1"), 0);
	for (int i = 0; i < 2; i++) {
		id = fx_prepare(f, 5, 1, &q, &p);
		p.record = i == 0 ? record : NULL;
		FX_OK(cas_publish(f->s, &p, &done, &err), &err);
	}
	FX_OK(cas_snapshot_get(f->s, &id, &x, &err), &err);
	assert_string_equal(orch_json_str(orch_json_get(x.record, "run")), "1");
	cas_snapshot_fini(&x);
}

static void test_many_objects(void **state)
{
	struct fx *f = *state;
	struct orch_digest id = fx_publish(f, 300, 7, "many"), found;

	fx_close(f);
	fx_open(f);
	FX_OK(cas_snapshot_resolve(f->s, "many", &found, NULL), NULL);
	assert_true(orch_digest_eq(&id, &found));
	expect_clean(f);
}

/* ---- twice ---- */

struct adopter {
	struct fx *f;
	const struct cas_publish *p;
	int result;
};

static void *adopt(void *arg)
{
	struct adopter *a = arg;
	struct cas_published done;

	a->result = cas_publish(a->f->s, a->p, &done, NULL);
	return NULL;
}

static void test_adopted_once(void **state)
{
	struct fx *f = *state;
	struct fx_quarantine q;
	struct cas_publish p;
	struct adopter a[4];
	pthread_t t[4];
	int good = 0;

	fx_prepare(f, 30, 1, &q, &p);
	for (int i = 0; i < 4; i++) {
		a[i] = (struct adopter){f, &p, 1};
		assert_int_equal(pthread_create(&t[i], NULL, adopt, &a[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		assert_true(a[i].result == 0 || a[i].result == -ENOENT);
		good += a[i].result == 0;
	}
	assert_int_equal(good, 1);
	expect_clean(f);
}

static void test_same_content_at_once(void **state)
{
	struct fx *f = *state;
	struct fx_quarantine q[4];
	struct cas_publish p[4];
	struct adopter a[4];
	struct cas_stat stat;
	pthread_t t[4];

	for (int i = 0; i < 4; i++) {
		fx_prepare(f, 80, 1, &q[i], &p[i]);
		a[i] = (struct adopter){f, &p[i], 1};
	}
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, adopt, &a[i]), 0);
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		assert_int_equal(a[i].result, 0);
	}
	FX_OK(cas_stat(f->s, &stat, NULL), NULL);
	assert_int_equal(stat.objects, 81);
	assert_int_equal(stat.snapshots, 1);
	expect_clean(f);
}

/* ---- conflicts ---- */

static void test_conflict_changes_nothing_visible(void **state)
{
	struct fx *f = *state;
	struct orch_digest first = fx_publish(f, 3, 1, "main"), second, found;
	struct orch_err err = ORCH_ERR_INIT;
	struct cas_published done;
	struct fx_quarantine q;
	struct cas_publish p;
	struct cas_snapshot x;

	second = fx_prepare(f, 3, 2, &q, &p);
	p.ref = "main";
	p.expect.how = CAS_EXPECT_ABSENT;
	assert_int_equal(cas_publish(f->s, &p, &done, &err), -ORCH_ECONFLICT);
	assert_non_null(strstr(err.msg, "main"));
	assert_int_equal(cas_snapshot_get(f->s, &second, &x, NULL), -ENOENT);
	FX_OK(cas_snapshot_resolve(f->s, "main", &found, NULL), NULL);
	assert_true(orch_digest_eq(&first, &found));
	expect_clean(f);
	/* the second try finds everything there */
	fx_prepare(f, 3, 2, &q, &p);
	p.ref = "main";
	p.expect = (struct cas_expect){CAS_EXPECT_ID, first};
	FX_OK(cas_publish(f->s, &p, &done, &err), &err);
	assert_int_equal(done.objects, 0);
	assert_true(done.snapshot_is_new);
}

/* ---- hostile quarantines ---- */

typedef void spoil_fn(struct fx *f, const char *dir);

static void object_file(const char *dir, const char *text, char out[700])
{
	char hex[ORCH_DIGEST_HEX + 1];
	struct orch_digest d;

	fx_object_of(text, &d);
	orch_digest_format(&d, hex);
	snprintf(out, 700, "%s/%.2s/%s", dir, hex, hex);
}

static void spoil_size(struct fx *f, const char *dir)
{
	char path[700];

	object_file(dir, "file 0 of 1\n", path);
	assert_int_equal(truncate(path, 5), 0);
}

static void spoil_missing(struct fx *f, const char *dir)
{
	char path[700];

	object_file(dir, "file 0 of 1\n", path);
	assert_int_equal(unlink(path), 0);
}

static void spoil_symlink(struct fx *f, const char *dir)
{
	char path[700];

	object_file(dir, "file 0 of 1\n", path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/etc/passwd", path), 0);
}

static void spoil_hard_link(struct fx *f, const char *dir)
{
	char path[700], other[700];

	object_file(dir, "file 0 of 1\n", path);
	snprintf(other, sizeof(other), "%s/kept", f->root);
	assert_int_equal(link(path, other), 0);
}

static void spoil_fifo(struct fx *f, const char *dir)
{
	char path[700];

	object_file(dir, "file 0 of 1\n", path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
}

static void spoil_folder_link(struct fx *f, const char *dir)
{
	char path[700], to[720];

	object_file(dir, "file 0 of 1\n", path);
	*strrchr(path, '/') = '\0';
	snprintf(to, sizeof(to), "%s/elsewhere", f->root);
	assert_int_equal(rename(path, to), 0);
	assert_int_equal(symlink(to, path), 0);
}

static int held_fd = -1;

static void spoil_writer(struct fx *f, const char *dir)
{
	char path[700];

	object_file(dir, "file 0 of 1\n", path);
	held_fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(held_fd >= 0);
}

static void spoil_content(struct fx *f, const char *dir)
{
	char path[700];
	int fd;

	object_file(dir, "file 0 of 1\n", path);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "F", 1, 0), 1);
	close(fd);
}

static void spoil_manifest(struct fx *f, const char *dir)
{
	char path[700];

	snprintf(path, sizeof(path), "%s/manifest", dir);
	assert_int_equal(truncate(path, 100), 0);
}

static void spoil_no_manifest(struct fx *f, const char *dir)
{
	char path[700];

	snprintf(path, sizeof(path), "%s/manifest", dir);
	assert_int_equal(unlink(path), 0);
}

static void spoil_pack(struct fx *f, const char *dir)
{
	char path[700];

	snprintf(path, sizeof(path), "%s/pack", dir);
	assert_int_equal(truncate(path, 200), 0);
}

static void spoil_no_pack(struct fx *f, const char *dir)
{
	char path[700];

	snprintf(path, sizeof(path), "%s/pack", dir);
	assert_int_equal(unlink(path), 0);
}

/* A pack whose trees are right, but name objects that were never added. */
static void spoil_foreign_pack(struct fx *f, const char *dir)
{
	char from[700], to[700];
	struct fx_quarantine q;
	struct cas_publish p;

	fx_prepare(f, 3, 99, &q, &p);
	snprintf(from, sizeof(from), "%s/tmp/%s/pack", f->store, q.id);
	snprintf(to, sizeof(to), "%s/pack", dir);
	assert_int_equal(rename(from, to), 0);
	FX_OK(cas_publish_drop(f->s, q.id, NULL), NULL);
}

static void check_refused(
    struct fx *f, const char *what, spoil_fn *spoil, const char *word, unsigned flags)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct cas_published done;
	struct fx_quarantine q;
	struct cas_publish p;
	struct cas_snapshot x;
	struct orch_digest id = fx_prepare(f, 3, 1, &q, &p);
	char dir[600];
	int r;

	p.flags = flags;
	snprintf(dir, sizeof(dir), "%s/tmp/%s", f->store, q.id);
	spoil(f, dir);
	r = cas_publish(f->s, &p, &done, &err);
	if (held_fd >= 0)
		close(held_fd);
	held_fd = -1;
	if (r >= 0)
		fail_msg("%s: was published", what);
	assert_int_not_equal(err.code, 0);
	assert_int_equal(r, -err.code);
	if (r != -ORCH_ECORRUPT || !strstr(err.msg, word))
		fail_msg("%s: %d: %s", what, r, err.msg);
	assert_int_equal(cas_snapshot_get(f->s, &id, &x, NULL), -ENOENT);
	assert_int_equal(cas_publish(f->s, &p, &done, NULL), -ENOENT);
	expect_clean(f);
}

static void test_hostile_is_refused(void **state)
{
	static const struct {
		const char *what;
		spoil_fn *spoil;
		const char *word; /* in the message */
		unsigned flags;
	} cases[] = {
	    {"another size", spoil_size, "size", 0},
	    {"a missing object", spoil_missing, "missing", 0},
	    {"a symbolic link", spoil_symlink, "is a link", 0},
	    {"a hard link", spoil_hard_link, "one link", 0},
	    {"a fifo", spoil_fifo, "plain file", 0},
	    {"a folder that is a link", spoil_folder_link, "not a folder", 0},
	    {"an open writer", spoil_writer, "open for writing", 0},
	    {"other content", spoil_content, "SHA-256", CAS_PUBLISH_CHECK_DIGESTS},
	    {"a cut manifest", spoil_manifest, "wrong length", 0},
	    {"no manifest", spoil_no_manifest, "missing", 0},
	    {"a cut pack", spoil_pack, "pack", 0},
	    {"no pack", spoil_no_pack, "nowhere", 0},
	    {"a foreign pack", spoil_foreign_pack, "nowhere", 0},
	};

	for (size_t i = 0; i < ORCH_ARRAY_LEN(cases); i++) {
		fx_teardown(state);
		fx_setup(state);
		check_refused(*state, cases[i].what, cases[i].spoil, cases[i].word, cases[i].flags);
	}
}

static void test_flipped_pack_is_refused(void **state)
{
	struct fx *f = *state;
	struct fx_quarantine q;
	struct cas_publish p;
	struct cas_published done;
	struct stat st;
	char path[600], rel[100];
	long size;

	fx_prepare(f, 3, 1, &q, &p);
	snprintf(path, sizeof(path), "%s/tmp/%s/pack", f->store, q.id);
	assert_int_equal(stat(path, &st), 0);
	size = (long)st.st_size;
	for (long at = 0; at < size; at += 7) {
		FX_OK(cas_publish_drop(f->s, q.id, NULL), NULL);
		fx_prepare(f, 3, 1, &q, &p);
		snprintf(rel, sizeof(rel), "tmp/%s/pack", q.id);
		fx_flip(f, rel, at);
		if (cas_publish(f->s, &p, &done, NULL) >= 0)
			fail_msg("byte %ld of %ld was not noticed", at, size);
	}
	expect_clean(f);
}

static void test_stamps_of_another_folder(void **state)
{
	struct fx *f = *state;
	struct orch_err err = ORCH_ERR_INIT;
	struct fx_entry one[] = {{.name = "a", .text = "a"}};
	struct fx_entry two[] = {{.name = "a", .text = "a"}, {.name = "b", .text = "b"}};
	struct cas_published done;
	struct fx_quarantine q;
	struct fx_made a, b;
	struct cas_publish p;

	fx_quarantine(f, &q);
	a = fx_folder(&q, one, 1);
	b = fx_folder(&q, two, 2);
	a.stamps = b.stamps;
	p = (struct cas_publish){.quarantine = q.id, .snapshot = fx_snapshot(&q, &a)};
	fx_quarantine_finish(&q);
	assert_int_equal(cas_publish(f->s, &p, &done, &err), -ORCH_ECORRUPT);
	assert_non_null(strstr(err.msg, "stamps"));
}

static void test_numbers_beyond_the_next_one(void **state)
{
	struct fx *f = *state;
	struct orch_err err = ORCH_ERR_INIT;
	struct fx_entry one[] = {{.name = "a", .text = "a", .ino = 7}};
	struct cas_published done;
	struct fx_quarantine q;
	struct fx_made a;
	struct cas_publish p;

	fx_quarantine(f, &q);
	a = fx_folder(&q, one, 1);
	q.next_ino = 7;
	p = (struct cas_publish){.quarantine = q.id, .snapshot = fx_snapshot(&q, &a)};
	fx_quarantine_finish(&q);
	assert_int_equal(cas_publish(f->s, &p, &done, &err), -ORCH_ECORRUPT);
	assert_non_null(strstr(err.msg, "inode number 7"));
}

/* ---- kills ---- */

static void die_there(void *priv, const char *name)
{
	if (strcmp(priv, name) == 0)
		kill(getpid(), SIGKILL);
}

/* In a child: opens the store, publishes, dies at the step. */
static void publish_and_die(struct fx *f, const char *step)
{
	pid_t pid;
	int status;

	fx_close(f);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		char name[32];

		fx_open(f);
		snprintf(name, sizeof(name), "%s", step);
		f->s->step = die_there;
		f->s->step_priv = name;
		fx_publish(f, 10, 2, "main");
		_exit(1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	fx_open(f);
}

static void test_killed_between_steps(void **state)
{
	static const char *const steps[] = {
	    "claimed", "checked", "synced", "moved", "objects", "pack", "committed"};

	for (size_t i = 0; i < ORCH_ARRAY_LEN(steps); i++) {
		struct orch_digest first, now, second;
		struct fx_quarantine q;
		struct cas_publish p;
		struct fx *f;
		bool all = strcmp(steps[i], "committed") == 0;

		fx_teardown(state);
		fx_setup(state);
		f = *state;
		first = fx_publish(f, 10, 1, "main");
		second = fx_prepare(f, 10, 2, &q, &p);
		FX_OK(cas_publish_drop(f->s, q.id, NULL), NULL);
		publish_and_die(f, steps[i]);
		FX_OK(cas_snapshot_resolve(f->s, "main", &now, NULL), NULL);
		assert_true(orch_digest_eq(&now, all ? &second : &first));
		expect_clean(f);
		/* and it goes on as if nothing had been */
		fx_publish(f, 10, 2, "main");
		expect_clean(f);
	}
}

/* ---- failing system calls ---- */

#ifdef ORCH_FAULT_INJECTION
#include "core/fault.h"

static void test_failing_calls(void **state)
{
	static const char *const kinds[] = {"fsync", "rename", "read", "alloc"};

	for (size_t k = 0; k < ORCH_ARRAY_LEN(kinds); k++) {
		int failed = 0;

		for (int n = 1; n < 200; n++) {
			struct fx *f;
			struct orch_digest first, second, now;
			struct cas_published done;
			struct fx_quarantine q;
			struct cas_publish p;
			char spec[40];
			int r;

			fx_teardown(state);
			fx_setup(state);
			f = *state;
			first = fx_publish(f, 3, 1, "main");
			second = fx_prepare(f, 3, 2, &q, &p);
			p.ref = "main";
			snprintf(spec, sizeof(spec), "%s:%d:%s", kinds[k], n,
			    k < 2    ? "ENOSPC"
			    : k == 2 ? "EIO"
				     : "ENOMEM");
			assert_int_equal(orch_fault_set(spec), 0);
			r = cas_publish(f->s, &p, &done, NULL);
			assert_int_equal(orch_fault_set(NULL), 0);
			FX_OK(cas_snapshot_resolve(f->s, "main", &now, NULL), NULL);
			assert_true(orch_digest_eq(&now, r < 0 ? &first : &second));
			expect_clean(f);
			failed += r < 0;
			if (r == 0)
				break;
		}
		assert_true(failed > 0);
	}
}
#endif

static void test_prepare_and_drop(void **state)
{
	struct fx *f = *state;
	struct fx_quarantine q;
	char path[100];

	fx_quarantine(f, &q);
	snprintf(path, sizeof(path), "tmp/%s", q.id);
	assert_true(fx_exists(f, path));
	fx_quarantine_abandon(&q);
	FX_OK(cas_publish_drop(f->s, q.id, NULL), NULL);
	assert_false(fx_exists(f, path));
	FX_OK(cas_publish_drop(f->s, q.id, NULL), NULL);
	assert_int_equal(cas_publish_drop(f->s, "../objects", NULL), -EINVAL);
}

static void test_cancel(void **state)
{
	struct fx *f = *state;
	atomic_bool cancel = true;
	struct cas_published done;
	struct fx_quarantine q;
	struct cas_publish p;

	fx_prepare(f, 3, 1, &q, &p);
	p.cancel = &cancel;
	assert_int_equal(cas_publish(f->s, &p, &done, NULL), -ECANCELED);
	expect_clean(f);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_publish_makes_all_visible),
	    T(test_publish_again_adds_nothing),
	    T(test_publish_again_keeps_the_record),
	    T(test_many_objects),
	    T(test_adopted_once),
	    T(test_same_content_at_once),
	    T(test_conflict_changes_nothing_visible),
	    T(test_hostile_is_refused),
	    T(test_flipped_pack_is_refused),
	    T(test_stamps_of_another_folder),
	    T(test_numbers_beyond_the_next_one),
	    T(test_killed_between_steps),
#ifdef ORCH_FAULT_INJECTION
	    T(test_failing_calls),
#endif
	    T(test_prepare_and_drop),
	    T(test_cancel),
	};

	return tap_run(tests);
}
