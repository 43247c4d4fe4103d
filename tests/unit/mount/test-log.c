/* Segments of the log: what was appended is replayed, through rolls, checkpoints and torn tails. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tests/lib/tap.h"
#include "core/fd.h"
#include "fsd/mount/log.h"
#include "view/layer_log.h"

struct world {
	char path[64];
	int dirfd;
	struct fmt_layer_head head;
	struct mnt_log *log;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct orch_err err = ORCH_ERR_INIT;

	assert_non_null(w);
	strcpy(w->path, "/tmp/orch-test-log.XXXXXX");
	assert_non_null(mkdtemp(w->path));
	w->dirfd = open(w->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	w->head = (struct fmt_layer_head){
	    .layer = 5, .workspace = "w", .next_ino = 2, .next_spool = 1, .seq = 1, .segment = 1};
	assert_int_equal(mnt_log_create(w->dirfd, &w->head, 0, &w->log, &err), 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	struct orch_err err = ORCH_ERR_INIT;

	mnt_log_close(w->log);
	close(w->dirfd);
	assert_int_equal(orch_remove_tree(AT_FDCWD, w->path, &err), 0);
	free(w);
	return 0;
}

/* One node record, numbered like its transaction. */
static void append(struct world *w, uint64_t ino)
{
	struct fmt_layer_record rec = {.kind = FMT_LAYER_NODE,
	    .node = {.ino = ino, .type = FMT_DIR, .mode = 0755, .nlink = 1}};
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	size_t at;

	assert_int_equal(fmt_txn_begin(&b, w->head.seq + 1, &at), 0);
	fmt_txn_durable(&b, at, mnt_log_durable(w->log));
	assert_int_equal(fmt_txn_add(&b, &rec), 0);
	assert_int_equal(fmt_txn_end(&b, at), 0);
	assert_int_equal(
	    mnt_log_append(w->log, &w->head, w->head.seq + 1, b.data, b.len, false), 0);
	w->head.seq++; /* a segment's head says what was before it */
}

static struct fmt_overlay *replay(struct world *w, struct view_log *out)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct fmt_overlay *o = fmt_overlay_new();

	if (view_log_replay(w->dirfd, o, out, &err) < 0)
		fail_msg("%s", err.msg);
	return o;
}

static void test_what_was_appended_is_replayed(void **state)
{
	struct world *w = *state;
	struct view_log r;
	struct fmt_overlay *o;

	for (uint64_t i = 10; i < 20010; i++) /* about 2 MB: several segments */
		append(w, i);
	assert_int_equal(mnt_log_sync(w->log), 0);
	assert_int_equal(mnt_log_durable(w->log), w->head.seq);
	o = replay(w, &r);
	assert_true(r.segment > 1);
	assert_false(r.torn);
	assert_int_equal(fmt_overlay_node_count(o), 20000);
	assert_int_equal(fmt_overlay_seq(o), w->head.seq);
	assert_int_equal(r.total, mnt_log_bytes(w->log));
	fmt_overlay_free(o);
}

static void test_it_goes_on_where_it_was(void **state)
{
	struct world *w = *state;
	struct orch_err err = ORCH_ERR_INIT;
	struct view_log r;
	struct fmt_overlay *o;

	for (uint64_t i = 10; i < 100; i++)
		append(w, i);
	for (int round = 0; round < 3; round++) {
		mnt_log_close(w->log);
		o = replay(w, &r);
		fmt_overlay_free(o);
		assert_int_equal(
		    mnt_log_open(w->dirfd, r.segment, r.used, w->head.seq, r.total, &w->log, &err),
		    0);
		for (uint64_t i = 0; i < 5000; i++)
			append(w, 1000 + (uint64_t)round * 5000 + i);
	}
	o = replay(w, &r);
	assert_int_equal(fmt_overlay_node_count(o), 90 + 15000);
	fmt_overlay_free(o);
}

static int put(void *priv, const void *p, size_t n)
{
	return mnt_log_checkpoint_put(priv, p, n);
}

static void test_a_checkpoint_replaces_what_was_before(void **state)
{
	struct world *w = *state;
	struct view_log r;
	struct fmt_overlay *o;
	struct stat st;

	for (uint64_t i = 0; i < 20000; i++)
		append(w, 10 + i % 50);
	o = replay(w, &r);
	assert_int_equal(mnt_log_checkpoint_begin(w->log, &w->head.segment), 0);
	w->head.checkpoint = true;
	assert_int_equal(fmt_overlay_dump(o, &w->head, put, w->log), 0);
	assert_int_equal(mnt_log_checkpoint_end(w->log), 0);
	fmt_overlay_free(o);
	assert_true(mnt_log_bytes(w->log) < 20000);
	assert_int_equal(fstatat(w->dirfd, "log.1", &st, 0), -1);
	w->head.checkpoint = false;
	append(w, 9999);
	o = replay(w, &r);
	assert_int_equal(fmt_overlay_node_count(o), 51);
	assert_int_equal(fmt_overlay_seq(o), w->head.seq);
	fmt_overlay_free(o);
}

static void test_a_checkpoint_that_was_not_finished_is_nothing(void **state)
{
	struct world *w = *state;
	struct view_log r;
	struct fmt_overlay *o;
	uint64_t segment;

	append(w, 10);
	assert_int_equal(mnt_log_checkpoint_begin(w->log, &segment), 0);
	assert_int_equal(mnt_log_checkpoint_put(w->log, "half", 4), 0);
	append(w, 11);
	o = replay(w, &r);
	assert_int_equal(fmt_overlay_node_count(o), 2);
	fmt_overlay_free(o);
	mnt_log_checkpoint_abort(w->log);
}

static void test_a_segment_that_was_just_made_is_nothing(void **state)
{
	struct world *w = *state;
	struct view_log r;
	struct fmt_overlay *o;
	int fd;

	append(w, 10);
	fd = openat(w->dirfd, "log.2", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, 262144), 0);
	close(fd);
	o = replay(w, &r);
	assert_int_equal(r.segment, 1);
	assert_int_equal(fmt_overlay_node_count(o), 1);
	fmt_overlay_free(o);
	/* reading changes nothing; who goes on with the log removes it */
	assert_int_equal(r.drop_from, 2);
	assert_int_equal(faccessat(w->dirfd, "log.2", F_OK, 0), 0);
	assert_int_equal(view_log_drop(w->dirfd, r.drop_from, NULL), 0);
	assert_int_equal(faccessat(w->dirfd, "log.2", F_OK, 0), -1);
	assert_int_equal(faccessat(w->dirfd, "log.1", F_OK, 0), 0);
}

/* Leaves of log.1 what its first `keep` bytes are; the rest is zeros, as after a power cut. */
static void cut(struct world *w, const char *name, off_t keep)
{
	int fd = openat(w->dirfd, name, O_WRONLY | O_CLOEXEC);
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(ftruncate(fd, keep), 0);
	assert_int_equal(ftruncate(fd, st.st_size), 0);
	close(fd);
}

static void test_a_hole_before_the_next_segment_is_damage(void **state)
{
	struct world *w = *state;
	struct orch_err err = ORCH_ERR_INIT;
	struct view_log r;

	for (uint64_t i = 10; i < 4010; i++)
		append(w, i);
	assert_int_equal(mnt_log_sync(w->log), 0);
	append(w, 9000); /* says what was synced */
	cut(w, "log.1", 130000);
	assert_int_equal(view_log_replay(w->dirfd, NULL, &r, &err), -ORCH_ECORRUPT);
	assert_non_null(strstr(err.msg, "log.1 ends with transaction"));
}

static void test_a_hole_that_was_never_synced_ends_the_log(void **state)
{
	struct world *w = *state;
	struct orch_err err = ORCH_ERR_INIT;
	struct view_log r;
	struct fmt_overlay *o;

	assert_int_equal(mnt_log_sync(w->log), 0);
	for (uint64_t i = 10; i < 4010; i++)
		append(w, i);
	cut(w, "log.1", 130000);
	o = replay(w, &r);
	assert_true(r.torn);
	assert_int_equal(r.segment, 1);
	assert_int_equal(r.drop_from, 2);
	assert_true(fmt_overlay_node_count(o) > 500 && fmt_overlay_node_count(o) < 4000);
	assert_int_equal(fmt_overlay_seq(o), r.seq);
	fmt_overlay_free(o);
	/* gone on with, it is a log again */
	mnt_log_close(w->log);
	assert_int_equal(view_log_drop(w->dirfd, r.drop_from, NULL), 0);
	assert_int_equal(
	    mnt_log_open(w->dirfd, r.segment, r.used, r.seq, r.total, &w->log, &err), 0);
	w->head.seq = r.seq;
	for (uint64_t i = 20000; i < 24000; i++)
		append(w, i);
	o = replay(w, &r);
	assert_int_equal(r.segment, 2);
	assert_int_equal(r.seq, w->head.seq);
	fmt_overlay_free(o);
}

static void test_a_missing_segment_is_said(void **state)
{
	struct world *w = *state;
	struct orch_err err = ORCH_ERR_INIT;
	struct fmt_overlay *o = fmt_overlay_new();
	struct view_log r;

	for (uint64_t i = 10; i < 20010; i++)
		append(w, i);
	assert_int_equal(unlinkat(w->dirfd, "log.2", 0), 0);
	assert_int_equal(view_log_replay(w->dirfd, o, &r, &err), -ORCH_ECORRUPT);
	assert_non_null(strstr(err.msg, "log.2"));
	fmt_overlay_free(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_what_was_appended_is_replayed, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_it_goes_on_where_it_was, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		test_a_checkpoint_replaces_what_was_before, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		test_a_checkpoint_that_was_not_finished_is_nothing, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		test_a_segment_that_was_just_made_is_nothing, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_a_missing_segment_is_said, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		test_a_hole_before_the_next_segment_is_damage, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		test_a_hole_that_was_never_synced_ends_the_log, setup, teardown),
	};

	return tap_run(tests);
}
