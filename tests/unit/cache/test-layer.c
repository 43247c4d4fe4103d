/* Folders of layers: numbers that never come again, whole or not there, who names whom. */
#include "fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cache/layer.h"
#include "cache/record.h"
#include "cache/store_priv.h"
#include "core/fd.h"
#include "view/layer_log.h"

static uint64_t make(struct fx *f, uint64_t parent, const struct orch_digest *snapshot)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct fmt_layer_head head = {.parent = parent, .segment = 1, .next_ino = 9, .seq = 1};
	struct orch_buf frame = ORCH_BUF_INIT;
	uint64_t id;

	FX_OK(cas_layer_new_id(f->s, &id, &err), &err);
	head.layer = id;
	snprintf(head.workspace, sizeof(head.workspace), "w%d", (int)id);
	if (snapshot)
		head.snapshot = *snapshot;
	FX_OK(fmt_layer_head_frame(&head, &frame), NULL);
	FX_OK(cas_layer_create(f->s, id, frame.data, frame.len, &err), &err);
	assert_int_equal(cas_layer_create(f->s, id, frame.data, frame.len, NULL), -EEXIST);
	orch_buf_fini(&frame);
	return id;
}

static void use(struct fx *f, const char *name, uint64_t layer)
{
	struct orch_json *j = orch_json_object();

	FX_OK(orch_json_set_u64(j, "layer", layer), NULL);
	FX_OK(cas_record_put(f->s, "workspace", name, j, NULL), NULL);
	orch_json_free(j);
}

static void test_create_and_get(void **state)
{
	struct fx *f = *state;
	struct orch_digest snapshot = fx_publish(f, 1, 1, NULL);
	uint64_t id = make(f, 7, &snapshot);
	struct cas_layer x;
	char path[100];

	FX_OK(cas_layer_get(f->s, id, &x, NULL), NULL);
	assert_int_equal(x.head.parent, 7);
	assert_int_equal(x.head.next_ino, 9);
	assert_true(orch_digest_eq(&x.head.snapshot, &snapshot));
	assert_false(x.sealed);
	snprintf(path, sizeof(path), "layers/%d/spool", (int)id);
	assert_true(fx_exists(f, path));
	assert_int_equal(cas_layer_get(f->s, id + 1, &x, NULL), -ENOENT);
}

static void test_numbers_never_come_again(void **state)
{
	struct fx *f = *state;
	uint64_t last = 0, id;

	for (int i = 0; i < 200; i++) {
		if (i % 50 == 49) {
			fx_close(f);
			fx_open(f);
		}
		id = i % 10 == 0 ? make(f, 0, NULL) : 0;
		if (id) {
			FX_OK(cas_layer_remove(f->s, id, NULL), NULL);
		} else {
			FX_OK(cas_layer_new_id(f->s, &id, NULL), NULL);
		}
		assert_true(id > last);
		last = id;
	}
}

static void seal(struct fx *f, uint64_t id, uint64_t successor)
{
	struct fmt_layer_record rec = {.kind = FMT_LAYER_SEALED, .successor = successor};
	struct orch_buf b = ORCH_BUF_INIT;
	struct view_log log = {0};
	char path[400];
	size_t at;
	int dirfd, fd;

	FX_OK(fmt_txn_begin(&b, 2, &at), NULL);
	FX_OK(fmt_txn_add(&b, &rec), NULL);
	FX_OK(fmt_txn_end(&b, at), NULL);
	snprintf(path, sizeof(path), "%s/layers/%d", f->store, (int)id);
	dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	FX_OK(view_log_replay(dirfd, NULL, &log, NULL), NULL);
	fd = openat(dirfd, "log.1", O_WRONLY | O_CLOEXEC);
	FX_OK(orch_fd_pwrite_all(fd, b.data, b.len, (off_t)log.used), NULL);
	close(fd);
	close(dirfd);
	orch_buf_fini(&b);
}

/* Adds `len` bytes as a segment of the log. */
static void add_segment(struct fx *f, uint64_t id, int number, const void *p, size_t len)
{
	char path[400];
	int fd;

	snprintf(path, sizeof(path), "%s/layers/%d/log.%d", f->store, (int)id, number);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	FX_OK(orch_fd_write_all(fd, p, len), NULL);
	close(fd);
}

static struct fmt_layer_record folder_record(uint64_t ino)
{
	return (struct fmt_layer_record){.kind = FMT_LAYER_NODE,
	    .node = {.ino = ino, .type = FMT_DIR, .mode = 0755, .nlink = 1}};
}

/* A checkpoint of older programs: one frame of far more than a page holds the head and more. */
static void test_a_large_first_frame_is_read(void **state)
{
	struct fx *f = *state;
	uint64_t parent = make(f, 0, NULL), id = make(f, parent, NULL);
	struct fmt_layer_record rec = {.kind = FMT_LAYER_HEAD,
	    .head = {.layer = id,
		.parent = parent,
		.segment = 2,
		.next_ino = 9,
		.seq = 3,
		.checkpoint = true}};
	struct orch_buf b = ORCH_BUF_INIT;
	struct cas_layer *v;
	size_t count, at;

	FX_OK(fmt_txn_begin(&b, 3, &at), NULL);
	FX_OK(fmt_txn_add(&b, &rec), NULL);
	for (uint64_t i = 10; i < 300; i++) {
		rec = folder_record(i);
		FX_OK(fmt_txn_add(&b, &rec), NULL);
	}
	FX_OK(fmt_txn_end(&b, at), NULL);
	assert_true(b.len > 8192);
	add_segment(f, id, 2, b.data, b.len);
	orch_buf_fini(&b);
	FX_OK(cas_layer_list(f->s, 0, &v, &count, NULL), NULL);
	assert_int_equal(count, 2);
	assert_int_equal(v[1].status, 0);
	assert_int_equal(v[1].head.segment, 2);
	assert_int_equal(v[0].children, 1);
	free(v);
}

/* Killed after it had made the file and before it had written the head. */
static void test_a_segment_that_was_just_made_is_not_damage(void **state)
{
	static const uint8_t zeros[20000];
	struct fx *f = *state;
	uint64_t parent = make(f, 0, NULL), id = make(f, parent, NULL);
	struct cas_layer x, *v;
	size_t count;

	add_segment(f, id, 2, zeros, sizeof(zeros));
	FX_OK(cas_layer_get(f->s, id, &x, NULL), NULL);
	assert_int_equal(x.head.parent, parent);
	FX_OK(cas_layer_list(f->s, 0, &v, &count, NULL), NULL);
	assert_int_equal(v[1].status, 0);
	assert_int_equal(v[0].children, 1);
	free(v);
	assert_int_equal(cas_layer_remove(f->s, parent, NULL), -EBUSY);
}

static void test_list_counts_users(void **state)
{
	struct fx *f = *state;
	uint64_t a = make(f, 0, NULL), b = make(f, a, NULL), c = make(f, a, NULL);
	struct cas_layer *v;
	size_t count;

	seal(f, a, b);
	use(f, "one", b);
	use(f, "two", c);
	FX_OK(cas_layer_list(f->s, CAS_LAYER_BYTES | CAS_LAYER_SEALED, &v, &count, NULL), NULL);
	assert_int_equal(count, 3);
	assert_int_equal(v[0].id, a);
	assert_int_equal(v[0].children, 2);
	assert_int_equal(v[0].records, 0);
	assert_true(v[0].sealed);
	assert_int_equal(v[0].successor, b);
	assert_true(v[0].bytes > 0);
	assert_int_equal(v[1].children, 0);
	assert_int_equal(v[1].records, 1);
	assert_false(v[1].sealed);
	free(v);
}

static void test_remove_and_sweep(void **state)
{
	struct fx *f = *state;
	struct orch_err err = ORCH_ERR_INIT;
	uint64_t a = make(f, 0, NULL), b = make(f, a, NULL), c = make(f, b, NULL);
	uint64_t lone = make(f, 0, NULL);
	struct cas_layer x;
	size_t count;

	use(f, "one", c);
	assert_int_equal(cas_layer_remove(f->s, a, &err), -EBUSY);
	assert_int_equal(cas_layer_remove(f->s, c, &err), -EBUSY);
	FX_OK(cas_layer_sweep(f->s, &count, &err), &err);
	assert_int_equal(count, 1);
	assert_int_equal(cas_layer_get(f->s, lone, &x, NULL), -ENOENT);
	FX_OK(cas_record_remove(f->s, "workspace", "one", NULL), NULL);
	FX_OK(cas_layer_sweep(f->s, &count, &err), &err);
	assert_int_equal(count, 3);
	assert_int_equal(cas_layer_get(f->s, a, &x, NULL), -ENOENT);
	FX_OK(cas_layer_remove(f->s, a, &err), &err);
}

/* What nothing names may be what a lost record named. */
static void test_sweep_after_a_gap(void **state)
{
	struct fx *f = *state;
	struct orch_err err = ORCH_ERR_INIT;
	uint64_t a = make(f, 0, NULL), b = make(f, a, NULL);
	struct stat st;
	char path[600];
	size_t count;

	FX_OK(cas_db_set_gap(f->s->db, true, &err), &err);
	FX_OK(cas_layer_sweep(f->s, &count, &err), &err);
	assert_int_equal(count, 2);
	for (uint64_t id = a; id <= b; id++) {
		snprintf(path, sizeof(path), "%s/quarantine/layer-%d/log.1", f->store, (int)id);
		assert_int_equal(stat(path, &st), 0);
	}
	assert_false(cas_db_has_gap(f->s->db));
}

/* What can't be read may be the record of a workspace that was answered much. */
static void test_damaged_record_keeps_every_layer(void **state)
{
	static const char name[] = "workspace\0lost", text[] = "{\"layer\":";
	const struct cas_key key = {CAS_KIND_RECORD, name, sizeof(name) - 1};
	struct fx *f = *state;
	struct cas_batch *b = cas_batch_new();
	struct orch_err err = ORCH_ERR_INIT;
	uint64_t id = make(f, 0, NULL);
	size_t count;

	cas_batch_put(b, &key, text, sizeof(text) - 1);
	FX_OK(cas_db_commit(f->s->db, b, &err), &err);
	FX_OK(cas_layer_sweep(f->s, &count, &err), &err);
	assert_int_equal(count, 0);
	assert_int_equal(cas_layer_remove(f->s, id, NULL), -EBUSY);
	cas_batch_remove(b, &key);
	FX_OK(cas_db_commit(f->s->db, b, &err), &err);
	cas_batch_free(b);
	FX_OK(cas_layer_sweep(f->s, &count, &err), &err);
	assert_int_equal(count, 1);
}

static void test_damaged_layer_keeps_others(void **state)
{
	struct fx *f = *state;
	uint64_t a = make(f, 0, NULL), b = make(f, a, NULL);
	struct cas_layer x, *v;
	size_t count;
	char path[100];

	snprintf(path, sizeof(path), "layers/%d/log.1", (int)b);
	fx_flip(f, path, 40);
	assert_int_equal(cas_layer_get(f->s, b, &x, NULL), -ORCH_ECORRUPT);
	FX_OK(cas_layer_list(f->s, 0, &v, &count, NULL), NULL);
	assert_int_equal(count, 2);
	assert_int_equal(v[0].status, 0);
	assert_int_equal(v[1].status, -ORCH_ECORRUPT);
	free(v);
	seal(f, a, b);
	assert_int_equal(cas_layer_remove(f->s, a, NULL), -EBUSY);
	FX_OK(cas_layer_sweep(f->s, &count, NULL), NULL);
	assert_int_equal(count, 0);
}

/* Its parent is unknown: it may be an older layer that is sealed, and no other. */
static void test_damaged_layer_keeps_only_what_it_may_name(void **state)
{
	struct fx *f = *state;
	uint64_t top = make(f, 0, NULL), sealed = make(f, 0, NULL), damaged = make(f, sealed, NULL);
	uint64_t later = make(f, 0, NULL);
	struct cas_layer x;
	size_t count;
	char path[100];

	seal(f, sealed, damaged);
	seal(f, later, 0);
	snprintf(path, sizeof(path), "layers/%d/log.1", (int)damaged);
	fx_flip(f, path, 40);
	FX_OK(cas_layer_sweep(f->s, &count, NULL), NULL);
	assert_int_equal(count, 2);
	assert_int_equal(cas_layer_get(f->s, top, &x, NULL), -ENOENT);
	assert_int_equal(cas_layer_get(f->s, later, &x, NULL), -ENOENT);
	assert_int_equal(cas_layer_get(f->s, damaged, &x, NULL), -ORCH_ECORRUPT);
	FX_OK(cas_layer_get(f->s, sealed, &x, NULL), NULL);
}

static void folder(struct fx *f, const char *name)
{
	char path[400];

	snprintf(path, sizeof(path), "%s/layers/%s", f->store, name);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/layers/%s/spool", f->store, name);
	assert_int_equal(mkdir(path, 0700), 0);
}

static void test_layer_without_log_keeps_nothing(void **state)
{
	struct fx *f = *state;
	uint64_t a = make(f, 0, NULL);
	size_t count;

	seal(f, a, 900);
	folder(f, "900");
	FX_OK(cas_layer_remove(f->s, a, NULL), NULL);
	folder(f, "901");
	use(f, "one", 901);
	FX_OK(cas_layer_sweep(f->s, &count, NULL), NULL);
	assert_int_equal(count, 1);
	assert_false(fx_exists(f, "layers/900"));
	assert_true(fx_exists(f, "layers/901"));
}

/* A roll that a kill cut off: the mount goes on in the segment before, and so does the keeper. */
static void test_a_roll_that_was_cut_off(void **state)
{
	struct fx *f = *state;
	uint64_t a = make(f, 0, NULL), b = make(f, a, NULL);
	struct orch_err err = ORCH_ERR_INIT;
	struct cas_layer x, *v;
	char path[400];
	size_t count;
	int fd;

	seal(f, a, b);
	for (uint64_t id = a; id <= b; id++) {
		snprintf(path, sizeof(path), "%s/layers/%d/log.2", f->store, (int)id);
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		assert_int_equal(ftruncate(fd, id == a ? 0 : 262144), 0);
		close(fd);
	}
	FX_OK(cas_layer_get(f->s, a, &x, &err), &err);
	assert_true(x.sealed);
	assert_int_equal(x.seq, 2);
	FX_OK(cas_layer_get(f->s, b, &x, &err), &err);
	assert_false(x.sealed);
	assert_int_equal(x.head.parent, a);
	FX_OK(cas_layer_list(f->s, 0, &v, &count, &err), &err);
	assert_int_equal(count, 2);
	assert_int_equal(v[0].status, 0);
	assert_int_equal(v[1].status, 0);
	assert_int_equal(v[0].children, 1);
	free(v);
}

static void test_unfinished_layer_is_swept(void **state)
{
	struct fx *f = *state;
	char path[400];
	size_t count;
	int fd;

	folder(f, "7.new");
	folder(f, "x.new");
	snprintf(path, sizeof(path), "%s/layers", f->store);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(flock(fd, LOCK_SH), 0); /* somebody makes it */
	FX_OK(cas_layer_sweep(f->s, &count, NULL), NULL);
	assert_int_equal(count, 0);
	assert_true(fx_exists(f, "layers/7.new"));
	close(fd);
	FX_OK(cas_layer_sweep(f->s, &count, NULL), NULL);
	assert_int_equal(count, 1);
	assert_false(fx_exists(f, "layers/7.new"));
	assert_true(fx_exists(f, "layers/x.new"));
}

#ifdef ORCH_FAULT_INJECTION
#include "core/fault.h"

static void test_creation_is_whole_or_not(void **state)
{
	static const char *const kinds[] = {"fsync", "rename", "write"};
	struct fx *f = *state;

	for (size_t k = 0; k < ORCH_ARRAY_LEN(kinds); k++) {
		int failed = 0, r = -1;

		for (int n = 1; r != 0 && n < 20; n++) {
			char spec[30], path[100];
			struct cas_layer x;
			uint64_t id;

			FX_OK(cas_layer_new_id(f->s, &id, NULL), NULL);
			snprintf(spec, sizeof(spec), "%s:%d:ENOSPC", kinds[k], n);
			assert_int_equal(orch_fault_set(spec), 0);
			r = cas_layer_create(f->s, id, "12345678", 8, NULL);
			assert_int_equal(orch_fault_set(NULL), 0);
			failed += r < 0;
			snprintf(path, sizeof(path), "tmp/layer-%d", (int)id);
			assert_false(fx_exists(f, path));
			if (r < 0 && cas_layer_get(f->s, id, &x, NULL) != -ENOENT) {
				/* only the last sync failed: it is there, and whole */
				snprintf(path, sizeof(path), "layers/%d/log.1", (int)id);
				assert_true(fx_exists(f, path));
				snprintf(path, sizeof(path), "layers/%d/spool", (int)id);
				assert_true(fx_exists(f, path));
			}
		}
		assert_int_equal(r, 0);
		assert_true(failed > 0);
	}
}
#endif

#define T(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

static void test_what_is_read_stays(void **state)
{
	struct fx *f = *state;
	struct orch_err err = ORCH_ERR_INIT;
	uint64_t a = make(f, 0, NULL), b = make(f, a, NULL), c = make(f, b, NULL), kept;
	struct cas_layer x;
	size_t count;

	FX_OK(cas_layer_pin(f->s, b, &err), &err);
	FX_OK(cas_layer_pin(f->s, b, &err), &err);
	assert_int_equal(cas_layer_remove_chain(f->s, c, &kept, &err), -EBUSY);
	assert_int_equal(kept, b);
	assert_int_equal(cas_layer_get(f->s, c, &x, NULL), -ENOENT);
	FX_OK(cas_layer_sweep(f->s, &count, &err), &err);
	assert_int_equal(count, 0);
	cas_layer_unpin(f->s, b);
	assert_int_equal(cas_layer_remove(f->s, b, &err), -EBUSY);
	cas_layer_unpin(f->s, b);
	use(f, "one", a);
	assert_int_equal(cas_layer_remove_chain(f->s, b, &kept, &err), -EBUSY);
	assert_int_equal(kept, a);
	assert_int_equal(cas_layer_head(f->s, b, &x, NULL), -ENOENT);
	FX_OK(cas_layer_head(f->s, a, &x, NULL), NULL);
	FX_OK(cas_record_remove(f->s, "workspace", "one", NULL), NULL);
	FX_OK(cas_layer_remove_chain(f->s, a, &kept, &err), &err);
	assert_int_equal(kept, 0);
	assert_int_equal(cas_layer_head(f->s, a, &x, NULL), -ENOENT);
	FX_OK(cas_layer_remove_chain(f->s, a, &kept, &err), &err);
}

/* As a mount process may have written it: the head in one frame with much else. */
static void test_a_head_in_a_large_frame(void **state)
{
	struct fx *f = *state;
	uint64_t a = make(f, 0, NULL), b = make(f, a, NULL);
	struct fmt_layer_record rec = {.kind = FMT_LAYER_HEAD,
	    .head = {.layer = b,
		.parent = a,
		.segment = 2,
		.next_ino = 9,
		.seq = 1,
		.checkpoint = true}};
	struct orch_buf frame = ORCH_BUF_INIT;
	struct cas_layer x;
	char path[400];
	size_t at;
	int fd;

	snprintf(rec.head.workspace, sizeof(rec.head.workspace), "w");
	FX_OK(fmt_txn_begin(&frame, 1, &at), NULL);
	FX_OK(fmt_txn_add(&frame, &rec), NULL);
	for (unsigned i = 0; i < 1000; i++) {
		struct fmt_layer_record gone = {.kind = FMT_LAYER_GONE, .ino = 100 + i};

		FX_OK(fmt_txn_add(&frame, &gone), NULL);
	}
	FX_OK(fmt_txn_end(&frame, at), NULL);
	snprintf(path, sizeof(path), "%s/layers/%d/log.2", f->store, (int)b);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	FX_OK(orch_fd_write_all(fd, frame.data, frame.len), NULL);
	close(fd);
	orch_buf_fini(&frame);
	FX_OK(cas_layer_head(f->s, b, &x, NULL), NULL);
	assert_int_equal(x.head.segment, 2);
	assert_int_equal(x.head.parent, a);
	assert_int_equal(cas_layer_remove(f->s, a, NULL), -EBUSY);
	use(f, "one", a);
	FX_OK(cas_layer_remove(f->s, b, NULL), NULL); /* it is not damaged */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_create_and_get),
	    T(test_numbers_never_come_again),
	    T(test_a_large_first_frame_is_read),
	    T(test_a_segment_that_was_just_made_is_not_damage),
	    T(test_list_counts_users),
	    T(test_remove_and_sweep),
	    T(test_sweep_after_a_gap),
	    T(test_damaged_record_keeps_every_layer),
	    T(test_damaged_layer_keeps_others),
	    T(test_damaged_layer_keeps_only_what_it_may_name),
	    T(test_layer_without_log_keeps_nothing),
	    T(test_unfinished_layer_is_swept),
	    T(test_a_roll_that_was_cut_off),
	    T(test_what_is_read_stays),
	    T(test_a_head_in_a_large_frame),
#ifdef ORCH_FAULT_INJECTION
	    T(test_creation_is_whole_or_not),
#endif
	};

	return tap_run(tests);
}
