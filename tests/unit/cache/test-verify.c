/* Verify: each kind of damage is found, named, never served, and mended where it can be. */
#include "fixture.h"

#include <fcntl.h>
#include <rocksdb/c.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cache/layer.h"
#include "cache/record.h"
#include "cache/snapshot.h"
#include "cache/stat.h"
#include "cache/verify.h"
#include "cache/walk.h"
#include "core/fd.h"
#include "view/object.h"

static void expect(struct fx *f, bool repair, unsigned count, unsigned repaired, const char *word)
{
	struct fx_bad bad;

	fx_verify(f, repair, &bad);
	if (bad.count != count || bad.repaired != repaired || (word && !strstr(bad.text, word)))
		fail_msg("wanted %u (%u repaired, \"%s\"), got %u (%u):\n%s", count, repaired,
		    word ? word : "", bad.count, bad.repaired, bad.text);
}

static void path_of(const char *text, char path[100])
{
	struct orch_digest d;

	fx_object_of(text, &d);
	fx_object_path(&d, path);
}

static void absolute(struct fx *f, const char *path, char out[700])
{
	snprintf(out, 700, "%s/%s", f->store, path);
}

/* ---- objects ---- */

static void test_flipped_object(void **state)
{
	struct fx *f = *state;
	struct orch_digest d;
	char path[100];
	int fd;

	fx_publish(f, 3, 1, "main");
	path_of("file 1 of 1\n", path);
	fx_object_of("file 1 of 1\n", &d);
	fx_flip(f, path, 3);
	/* its mtime has changed with it: a reader notices alone */
	assert_int_equal(
	    view_object_open(cas_store_objects_fd(f->s), &d, 12, &fd, NULL), -ORCH_ECORRUPT);
	expect(f, false, 1, 0, "its SHA-256 is not its name");
	/* moved away: what needs it says so, and it is never served */
	expect(f, true, 2, 1, "SHA-256");
	assert_false(fx_exists(f, path));
	assert_int_equal(view_object_open(cas_store_objects_fd(f->s), &d, 12, &fd, NULL), -ENOENT);
	expect(f, false, 1, 0, "is missing");
	/* the same source again brings it back */
	fx_publish(f, 3, 1, "main");
	expect(f, false, 0, 0, NULL);
}

static void test_flipped_object_with_its_mtime(void **state)
{
	struct fx *f = *state;
	struct timespec t[2];
	struct stat st;
	char path[100], whole[700];

	fx_publish(f, 3, 1, "main");
	path_of("file 1 of 1\n", path);
	absolute(f, path, whole);
	assert_int_equal(stat(whole, &st), 0);
	t[0] = st.st_atim;
	t[1] = st.st_mtim;
	fx_flip(f, path, 3);
	assert_int_equal(utimensat(AT_FDCWD, whole, t, 0), 0);
	expect(f, false, 1, 0, "its SHA-256 is not its name");
}

static void test_object_mode_and_mtime(void **state)
{
	struct fx *f = *state;
	char path[100], whole[700];
	const struct timespec t[2] = {{.tv_sec = 5}, {.tv_sec = 5}};

	fx_publish(f, 3, 1, "main");
	path_of("file 1 of 1\n", path);
	absolute(f, path, whole);
	assert_int_equal(chmod(whole, 0644), 0);
	expect(f, false, 1, 0, "mode");
	expect(f, true, 1, 1, "mode");
	assert_int_equal(utimensat(AT_FDCWD, whole, t, 0), 0);
	expect(f, false, 1, 0, "mtime");
	expect(f, true, 1, 1, "mtime");
	expect(f, false, 0, 0, NULL);
}

static void test_missing_object(void **state)
{
	struct fx *f = *state;
	struct cas_stat stat;
	char path[100], whole[700];

	fx_publish(f, 3, 1, "main");
	path_of("file 1 of 1\n", path);
	absolute(f, path, whole);
	assert_int_equal(unlink(whole), 0);
	expect(f, false, 2, 0, "object");
	expect(f, true, 2, 1, "its record was removed");
	FX_OK(cas_stat(f->s, &stat, NULL), NULL);
	assert_int_equal(stat.objects, 3);
	expect(f, false, 1, 0, "snapshot");
}

static void test_object_replaced(void **state)
{
	struct fx *f = *state;
	char path[100], whole[700];

	fx_publish(f, 3, 1, "main");
	path_of("file 1 of 1\n", path);
	absolute(f, path, whole);
	assert_int_equal(unlink(whole), 0);
	assert_int_equal(symlink("/etc/passwd", whole), 0);
	expect(f, false, 3, 0, "symbolic link");
	assert_int_equal(unlink(whole), 0);
	assert_int_equal(mkdir(whole, 0700), 0);
	expect(f, false, 3, 0, "not a file");
	expect(f, true, 2, 1, "not a file");
}

static void test_strays(void **state)
{
	struct fx *f = *state;
	char path[100], whole[700];
	static const char *const names[] = {"objects/x", "objects/ab", "packs/readme", "other"};

	fx_publish(f, 1, 1, "main");
	path_of("file 0 of 1\n", path);
	for (size_t i = 0; i < ORCH_ARRAY_LEN(names); i++) {
		absolute(f, names[i], whole);
		close(open(whole, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	}
	strrchr(path, '/')[1] = '\0';
	absolute(f, path, whole);
	strcat(whole, "notes");
	close(open(whole, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	expect(f, false, 5, 0, "stray");
	expect(f, true, 5, 4, "stray other");
	expect(f, false, 1, 0, "stray other");
}

static void test_unrecorded_object(void **state)
{
	struct fx *f = *state;
	struct cas_batch *b = cas_batch_new();
	struct cas_stat stat;
	struct orch_digest d;
	struct cas_key key = {CAS_KIND_OBJECT, d.b, ORCH_DIGEST_BYTES};

	fx_publish(f, 3, 1, "main");
	fx_object_of("file 1 of 1\n", &d);
	cas_batch_remove(b, &key);
	FX_OK(cas_db_commit(f->s->db, b, NULL), NULL);
	cas_batch_free(b);
	expect(f, false, 2, 0, "does not know it");
	expect(f, true, 2, 2, "does not know it"); /* and the sum that was never lowered */
	expect(f, false, 0, 0, NULL);
	FX_OK(cas_stat(f->s, &stat, NULL), NULL);
	assert_int_equal(stat.objects, 4);
}

static void test_wrong_object_record(void **state)
{
	struct fx *f = *state;
	struct cas_batch *b = cas_batch_new();
	struct cas_object o = {.size = 11};

	fx_publish(f, 3, 1, "main");
	fx_object_of("file 1 of 1\n", &o.digest);
	cas_object_put(b, &o);
	FX_OK(cas_db_commit(f->s->db, b, NULL), NULL);
	cas_batch_free(b);
	expect(f, false, 3, 0, "record is wrong"); /* and missing in that size, and the sum */
	expect(f, true, 1, 1, "record is wrong");
	expect(f, false, 0, 0, NULL);
}

/* ---- packs ---- */

static void test_every_byte_of_a_pack(void **state)
{
	struct fx *f = *state;
	struct fx_bad bad;
	struct stat st;
	char whole[700];

	fx_publish(f, 2, 1, "main");
	absolute(f, "packs/1", whole);
	assert_int_equal(stat(whole, &st), 0);
	for (long at = 0; at < (long)st.st_size; at += 3) {
		fx_close(f);
		fx_flip(f, "packs/1", at);
		fx_open(f);
		fx_verify(f, false, &bad);
		if (bad.count == 0)
			fail_msg("byte %ld of the pack is not noticed", at);
		fx_flip(f, "packs/1", at);
	}
	fx_close(f);
	fx_open(f);
	expect(f, false, 0, 0, NULL);
}

static void test_damaged_pack_is_salvaged(void **state)
{
	struct fx *f = *state;
	struct orch_digest a = fx_publish(f, 2, 1, "a"), b;
	struct fx_bad bad;
	struct cas_count c;

	b = fx_publish(f, 2, 2, "b");
	fx_flip(f, "packs/2", 100); /* in the first record */
	fx_close(f);
	fx_open(f);
	fx_verify(f, true, &bad);
	assert_non_null(strstr(bad.text, "record packs/2"));
	assert_non_null(strstr(bad.text, "snapshot"));
	assert_false(fx_exists(f, "packs/2"));
	assert_true(fx_exists(f, "packs/3"));
	assert_true(fx_exists(f, "quarantine/pack-2"));
	fx_close(f);
	fx_open(f);
	FX_OK(cas_walk_count(cas_store_packset(f->s), &a, &c, NULL), NULL);
	assert_true(cas_walk_count(cas_store_packset(f->s), &b, &c, NULL) < 0);
	expect(f, false, 1, 0, "snapshot");
	fx_publish(f, 2, 2, "b");
	expect(f, false, 0, 0, NULL);
}

static void test_cut_and_swapped_packs(void **state)
{
	struct fx *f = *state;
	char one[700], two[700], other[700];

	fx_publish(f, 2, 1, "a");
	fx_publish(f, 2, 2, "b");
	absolute(f, "packs/1", one);
	absolute(f, "packs/2", two);
	absolute(f, "packs/9", other);
	/* swapped packs are packs all the same */
	assert_int_equal(rename(one, other), 0);
	fx_close(f);
	fx_open(f);
	expect(f, false, 0, 0, NULL);
	assert_int_equal(chmod(two, 0644), 0);
	assert_int_equal(truncate(two, 50), 0);
	fx_close(f);
	fx_open(f);
	expect(f, false, 2, 0, "pack packs/2");
	expect(f, true, 2, 1, "pack packs/2");
	assert_int_equal(unlink(other), 0);
	fx_close(f);
	fx_open(f);
	expect(f, false, 2, 0, "snapshot");
}

/* ---- the database ---- */

static void damage(struct fx *f, const char *key, size_t key_len)
{
	rocksdb_options_t *o = rocksdb_options_create();
	rocksdb_writeoptions_t *wo = rocksdb_writeoptions_create();
	char path[700], *msg = NULL;
	rocksdb_t *db;

	fx_close(f);
	absolute(f, "db", path);
	rocksdb_options_set_uint64add_merge_operator(o);
	db = rocksdb_open(o, path, &msg);
	assert_null(msg);
	rocksdb_put(db, wo, key, key_len, "rubbish that is long enough", 27, &msg);
	assert_null(msg);
	rocksdb_close(db);
	rocksdb_options_destroy(o);
	rocksdb_writeoptions_destroy(wo);
	fx_open(f);
}

static void test_damaged_records(void **state)
{
	struct fx *f = *state;
	struct orch_digest id = fx_publish(f, 2, 1, "main"), object, found;
	struct orch_json *j = orch_json_object();
	char key[100] = "o";
	struct cas_snapshot x;

	FX_OK(cas_ref_set(f->s, "good", &id, NULL, NULL, NULL), NULL);
	FX_OK(cas_record_put(f->s, "run", "1", j, NULL), NULL);
	orch_json_free(j);
	damage(f, "rmain", 5);
	expect(f, false, 1, 0, "database ref main");
	assert_int_equal(cas_snapshot_resolve(f->s, "main", &found, NULL), -ORCH_ECORRUPT);
	FX_OK(cas_snapshot_resolve(f->s, "good", &found, NULL), NULL);
	FX_OK(cas_ref_remove(f->s, "good", NULL, NULL), NULL);
	damage(f, "nrun\0001", 6);
	expect(f, false, 2, 0, "database record run/1");
	fx_object_of("file 0 of 1\n", &object);
	memcpy(key + 1, object.b, ORCH_DIGEST_BYTES);
	damage(f, key, 1 + ORCH_DIGEST_BYTES);
	expect(f, false, 4, 0, "database object"); /* and the sum */
	expect(f, true, 3, 2, "record is wrong");
	expect(f, false, 1, 0, NULL);
	FX_OK(cas_snapshot_resolve(f->s, "main", &found, NULL), NULL); /* from the copy of refs */
	assert_true(orch_digest_eq(&found, &id));
	damage(f, "rmain", 5); /* opening the store leaves the copy alone */
	assert_int_equal(unlinkat(cas_store_root_fd(f->s), "refs", 0), 0);
	expect(f, true, 2, 1, "database ref main"); /* what it pointed to is lost: it is removed */
	assert_int_equal(cas_snapshot_resolve(f->s, "main", &found, NULL), -ENOENT);
	key[0] = 's';
	memcpy(key + 1, id.b, ORCH_DIGEST_BYTES);
	damage(f, key, 1 + ORCH_DIGEST_BYTES);
	expect(f, false, 2, 0, "database snapshot");
	assert_true(cas_snapshot_get(f->s, &id, &x, NULL) < 0);
	expect(f, true, 2, 1, "database snapshot"); /* made again from the pack */
	FX_OK(cas_snapshot_get(f->s, &id, &x, NULL), NULL);
	assert_int_equal(x.files, 5);
	cas_snapshot_fini(&x);
	damage(f, "?what", 5);
	expect(f, false, 2, 0, "unknown");
}

static void test_damaged_counts(void **state)
{
	static const char *const names[] = {"mcounters", "mlayer", "mcommits"};
	struct fx *f = *state;
	uint64_t before, after;

	fx_publish(f, 2, 1, "main");
	FX_OK(cas_layer_new_id(f->s, &before, NULL), NULL);
	for (size_t i = 0; i < ORCH_ARRAY_LEN(names); i++) {
		unsigned told = i == 0 ? 2 : 1; /* the sum is wrong, too */

		damage(f, names[i], strlen(names[i])); /* no reason to keep a store closed */
		expect(f, false, told, 0, "database meta");
		expect(f, true, told, told, "database meta");
		expect(f, false, 0, 0, NULL);
	}
	FX_OK(cas_layer_new_id(f->s, &after, NULL), NULL);
	assert_true(after > before);
}

static void test_dangling_names(void **state)
{
	struct fx *f = *state;
	struct orch_digest id = fx_publish(f, 2, 1, "main");
	struct cas_key key = {CAS_KIND_SNAPSHOT, id.b, ORCH_DIGEST_BYTES};
	struct cas_batch *b = cas_batch_new();
	struct orch_json *j = orch_json_object();
	char hex[ORCH_DIGEST_HEX + 1];

	orch_digest_format(&id, hex);
	FX_OK(orch_json_set_str(j, "snapshot", hex), NULL);
	FX_OK(orch_json_set_int(j, "layer", 77), NULL);
	FX_OK(cas_record_put(f->s, "workspace", "w", j, NULL), NULL);
	orch_json_free(j);
	expect(f, false, 1, 0, "layer workspace w");
	cas_batch_remove(b, &key);
	FX_OK(cas_db_commit(f->s->db, b, NULL), NULL);
	cas_batch_free(b);
	expect(f, false, 2, 0, "ref main: it points to snapshot");
	expect(f, true, 2, 1, "ref main: it points to snapshot"); /* made again from the pack */
	expect(f, false, 1, 0, "layer workspace w");
}

/* ---- the rest ---- */

static void test_layers_that_were_never_made(void **state)
{
	static const char *const names[] = {"layers/8", "layers/9", "layers/10.new"};
	struct fx *f = *state;
	struct orch_json *j = orch_json_object();
	char path[700];

	for (size_t i = 0; i < ORCH_ARRAY_LEN(names); i++) {
		absolute(f, names[i], path);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	FX_OK(orch_json_set_int(j, "layer", 9), NULL);
	FX_OK(cas_record_put(f->s, "workspace", "w", j, NULL), NULL);
	orch_json_free(j);
	expect(f, false, 3, 0, "layer 10.new");
	expect(f, true, 3, 2, "layer 8");
	assert_false(fx_exists(f, "layers/8"));
	assert_true(fx_exists(f, "layers/9"));
	assert_false(fx_exists(f, "layers/10.new"));
	expect(f, true, 1, 0, "layer 9");
}

static void test_layers_and_scans(void **state)
{
	struct fx *f = *state;
	struct orch_digest id = fx_publish(f, 2, 1, "main");
	struct fmt_layer_head head = {
	    .layer = 5, .next_ino = 9, .workspace = "w", .snapshot = id, .segment = 1, .seq = 1};
	struct orch_buf frame = ORCH_BUF_INIT;
	char whole[700];

	FX_OK(fmt_layer_head_frame(&head, &frame), NULL);
	FX_OK(cas_layer_create(f->s, 5, frame.data, frame.len, NULL), NULL);
	expect(f, false, 0, 0, NULL);
	FX_OK(cas_layer_create(f->s, 6, frame.data, frame.len, NULL), NULL);
	expect(f, false, 1, 0, "layer 6");
	fx_flip(f, "layers/5/log.1", 60);
	expect(f, false, 2, 0, "layer 5");
	absolute(f, "scan/key", whole);
	close(open(whole, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	expect(f, false, 3, 0, "scan key");
	expect(f, true, 3, 3, "scan key"); /* nothing names the layers: out of the way */
	assert_true(fx_exists(f, "quarantine/layer-5/log.1"));
	expect(f, false, 0, 0, NULL);
	orch_buf_fini(&frame);
}

static void test_folders_that_others_may_write(void **state)
{
	struct fx *f = *state;
	struct orch_digest id = fx_publish(f, 2, 1, "main");
	struct fmt_layer_head head = {
	    .layer = 5, .next_ino = 9, .workspace = "w", .snapshot = id, .segment = 1, .seq = 1};
	struct orch_buf frame = ORCH_BUF_INIT;
	char layer[700], spool[700], away[700];

	FX_OK(fmt_layer_head_frame(&head, &frame), NULL);
	FX_OK(cas_layer_create(f->s, 5, frame.data, frame.len, NULL), NULL);
	orch_buf_fini(&frame);
	absolute(f, "layers/5", layer);
	absolute(f, "layers/5/spool", spool);
	absolute(f, "layers/5/away", away);
	expect(f, false, 0, 0, NULL);
	assert_int_equal(chmod(spool, 0777), 0);
	assert_int_equal(chmod(layer, 0770), 0);
	expect(f, false, 2, 0, "layers/5/spool");
	expect(f, true, 2, 2, "closed now");
	expect(f, false, 0, 0, NULL);
	if (geteuid() == 0) {
		assert_int_equal(chown(spool, 12345, 12345), 0);
		expect(f, false, 1, 0, "layers/5/spool");
		expect(f, true, 1, 1, "closed now");
		expect(f, false, 0, 0, NULL);
	}
	assert_int_equal(rename(spool, away), 0);
	assert_int_equal(symlink("away", spool), 0);
	assert_int_equal(chmod(away, 0777), 0);
	expect(f, false, 1, 0, "not a folder");
	assert_int_equal(unlink(spool), 0);
	expect(f, false, 0, 0, NULL);
}

static void test_format_is_mended(void **state)
{
	struct fx *f = *state;

	fx_flip(f, "FORMAT", 20);
	expect(f, false, 1, 0, "format FORMAT");
	expect(f, true, 1, 1, "format FORMAT");
	fx_close(f);
	fx_open(f);
}

static int stop_at_once(void *priv, const struct cas_bad *bad)
{
	++*(int *)priv;
	return -EINTR;
}

static void test_callback_ends_the_run(void **state)
{
	struct fx *f = *state;
	int calls = 0;
	struct cas_verify_spec spec = {.on_bad = stop_at_once, .priv = &calls};
	struct cas_verified done;
	char path[100];

	fx_publish(f, 2, 1, "main");
	path_of("file 0 of 1\n", path);
	fx_flip(f, path, 1);
	path_of("file 1 of 1\n", path);
	fx_flip(f, path, 1);
	assert_int_equal(cas_verify(f->s, &spec, &done, NULL), -EINTR);
	assert_int_equal(calls, 1);
}

static int note_progress(void *priv, uint64_t checked, uint64_t bytes, uint64_t total)
{
	uint64_t *last = priv;

	assert_true(checked >= *last);
	assert_true(total > 0);
	*last = checked;
	return 0;
}

static void test_progress_and_cancel(void **state)
{
	struct fx *f = *state;
	uint64_t last = 0;
	atomic_bool cancel = false;
	struct cas_verify_spec spec = {
	    .on_progress = note_progress, .priv = &last, .cancel = &cancel};
	struct cas_verified done;

	fx_publish(f, 20, 1, "main");
	FX_OK(cas_verify(f->s, &spec, &done, NULL), NULL);
	assert_int_equal(last, done.checked);
	assert_true(done.checked > 21);
	cancel = true;
	assert_int_equal(cas_verify(f->s, &spec, &done, NULL), -ECANCELED);
}

#ifdef ORCH_FAULT_INJECTION
#include "core/fault.h"

/* Objects and packs. */
static unsigned files_in(struct fx *f)
{
	struct cas_stat st;

	FX_OK(cas_stat(f->s, &st, NULL), NULL);
	return (unsigned)(st.objects + st.packs);
}

/* A call that fails once says nothing about the store: a repair takes nothing away for it. */
static void test_a_call_that_fails_once_is_no_damage(void **state)
{
	static const char *const kinds[] = {"read", "open", "mmap", "alloc"};
	struct cas_verify_spec spec = {.repair = true, .threads = 1};
	struct fx *f = *state;
	unsigned before;

	fx_publish(f, 3, 1, "main");
	before = files_in(f);
	for (size_t k = 0; k < ORCH_ARRAY_LEN(kinds); k++) {
		for (unsigned n = 1; n < 3000; n++) {
			struct cas_verified done;
			char fault[64];
			bool met;

			snprintf(fault, sizeof(fault), "%s:%u", kinds[k], n);
			assert_int_equal(orch_fault_set(fault), 0);
			(void)!cas_verify(f->s, &spec, &done, NULL);
			met = orch_fault_was_met();
			assert_int_equal(orch_fault_set(NULL), 0);
			if (!met)
				break;
			expect(f, false, 0, 0, NULL);
			assert_int_equal(files_in(f), before);
		}
	}
}
#endif

#define T(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_flipped_object),
	    T(test_flipped_object_with_its_mtime),
	    T(test_object_mode_and_mtime),
	    T(test_missing_object),
	    T(test_object_replaced),
	    T(test_strays),
	    T(test_unrecorded_object),
	    T(test_wrong_object_record),
	    T(test_every_byte_of_a_pack),
	    T(test_damaged_pack_is_salvaged),
	    T(test_cut_and_swapped_packs),
	    T(test_damaged_records),
	    T(test_damaged_counts),
	    T(test_dangling_names),
	    T(test_layers_that_were_never_made),
	    T(test_layers_and_scans),
	    T(test_folders_that_others_may_write),
	    T(test_format_is_mended),
	    T(test_callback_ends_the_run),
	    T(test_progress_and_cancel),
#ifdef ORCH_FAULT_INJECTION
	    T(test_a_call_that_fails_once_is_no_damage),
#endif
	};

	return tap_run(tests);
}
