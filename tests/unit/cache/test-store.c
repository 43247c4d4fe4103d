/* Opening a store: what is accepted, what is refused and with which words. */
#include "fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "core/fd.h"

static void expect_refusal(struct fx *f, unsigned flags, int code, const char *word)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct cas_store *s = NULL;
	int r = cas_store_open(f->store, flags, &s, &err);

	if (r != -code || !strstr(err.msg, word) || !strstr(err.msg, f->store))
		fail_msg("%d instead of %d: %s", r, -code, err.msg);
	assert_null(s);
}

static void path_in(struct fx *f, const char *name, char out[600])
{
	snprintf(out, 600, "%s/%s", f->store, name);
}

static void test_same_id_and_seed_again(void **state)
{
	struct fx *f = *state;
	char id[CAS_STORE_ID_HEX + 1];
	uint64_t seed = cas_store_seed(f->s);
	struct stat st;

	memcpy(id, cas_store_id(f->s), sizeof(id));
	assert_int_equal(strspn(id, "0123456789abcdef"), CAS_STORE_ID_HEX);
	assert_string_equal(cas_store_path(f->s), f->store);
	assert_int_equal(fstat(cas_store_root_fd(f->s), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(fstatat(cas_store_root_fd(f->s), "FORMAT", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	fx_close(f);
	fx_open(f);
	assert_string_equal(id, cas_store_id(f->s));
	assert_true(seed == cas_store_seed(f->s));
}

static void test_second_keeper_is_refused(void **state)
{
	struct fx *f = *state;
	char pid[40];

	snprintf(pid, sizeof(pid), "pid %d", (int)getpid());
	expect_refusal(f, CAS_STORE_CREATE, EBUSY, pid);
	expect_refusal(f, 0, EBUSY, pid);
}

static void test_killed_keeper_holds_nothing(void **state)
{
	struct fx *f = *state;
	int status;
	pid_t pid;

	fx_close(f);
	pid = fork();
	if (pid == 0) {
		fx_open(f);
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	fx_open(f);
}

static void save(struct fx *f, const char *name, const char *text)
{
	char path[600];
	FILE *out;

	path_in(f, name, path);
	out = fopen(path, "we");
	assert_non_null(out);
	assert_true(fputs(text, out) >= 0);
	fclose(out);
}

static void lose_copy(struct fx *f)
{
	char path[600];

	path_in(f, "db", path);
	FX_OK(orch_remove_tree(AT_FDCWD, path, NULL), NULL);
}

static void test_unknown_formats(void **state)
{
	struct fx *f = *state;

	fx_close(f);
	save(f, "FORMAT", "orch-store 2\nwhatever\n");
	expect_refusal(f, CAS_STORE_CREATE, ORCH_EFORMAT, "version 2");
	save(f, "FORMAT", "orch-store 0\nwhatever\n");
	expect_refusal(f, CAS_STORE_CREATE, ORCH_EFORMAT, "old version 0");
	lose_copy(f);
	save(f, "FORMAT", "something else\n");
	expect_refusal(f, CAS_STORE_CREATE, ORCH_ECORRUPT, "FORMAT");
	save(f, "FORMAT", "");
	expect_refusal(f, CAS_STORE_CREATE, ORCH_ECORRUPT, "FORMAT");
}

/* There is a copy in the database. */
static void test_format_is_restored(void **state)
{
	static const char *const texts[] = {"something else\n", "", "orch-store 1\nid 00\n"};
	struct fx *f = *state;
	char id[CAS_STORE_ID_HEX + 1], path[600];
	uint64_t seed = cas_store_seed(f->s);

	memcpy(id, cas_store_id(f->s), sizeof(id));
	path_in(f, "FORMAT", path);
	for (size_t i = 0; i < ORCH_ARRAY_LEN(texts) + 2; i++) {
		fx_close(f);
		if (i < ORCH_ARRAY_LEN(texts))
			save(f, "FORMAT", texts[i]);
		else
			assert_int_equal(unlink(path), 0);
		if (i > ORCH_ARRAY_LEN(texts))
			assert_int_equal(mkfifo(path, 0600), 0);
		fx_open(f);
		assert_string_equal(cas_store_id(f->s), id);
		assert_int_equal(cas_store_seed(f->s), seed);
	}
}

static void test_flipped_format(void **state)
{
	struct fx *f = *state;
	struct orch_err err = ORCH_ERR_INIT;
	struct stat st;
	char path[600];

	path_in(f, "FORMAT", path);
	fx_close(f);
	lose_copy(f);
	assert_int_equal(stat(path, &st), 0);
	for (long at = 0; at < (long)st.st_size; at++) {
		fx_flip(f, "FORMAT", at);
		if (fx_try_open(f, &err) >= 0)
			fail_msg("byte %ld was not noticed", at);
		assert_true(err.code == ORCH_ECORRUPT || err.code == ORCH_EFORMAT);
		fx_flip(f, "FORMAT", at);
	}
	fx_open(f);
}

static void test_missing_format(void **state)
{
	struct fx *f = *state;
	char path[600];

	fx_publish(f, 1, 1, NULL);
	fx_close(f);
	lose_copy(f);
	path_in(f, "FORMAT", path);
	assert_int_equal(unlink(path), 0);
	expect_refusal(f, CAS_STORE_CREATE, ORCH_ECORRUPT, "FORMAT is missing");
	expect_refusal(f, 0, ORCH_ECORRUPT, "FORMAT is missing");
}

static void test_no_store(void **state)
{
	struct fx *f = *state;

	fx_close(f);
	FX_OK(orch_remove_tree(AT_FDCWD, f->store, NULL), NULL);
	expect_refusal(f, 0, ENOENT, "store");
	assert_int_equal(mkdir(f->store, 0700), 0);
	expect_refusal(f, 0, ENOENT, "there is no store");
	save(f, "precious", "x");
	expect_refusal(f, CAS_STORE_CREATE, ORCH_EFORMAT, "precious");
	expect_refusal(f, 0, ORCH_EFORMAT, "precious");
}

static void test_creation_goes_on(void **state)
{
	struct fx *f = *state;
	char path[600];

	fx_close(f);
	FX_OK(orch_remove_tree(AT_FDCWD, f->store, NULL), NULL);
	assert_int_equal(mkdir(f->store, 0755), 0);
	path_in(f, "objects", path);
	assert_int_equal(mkdir(path, 0700), 0);
	path_in(f, "LOCK", path);
	save(f, "LOCK", "12345\n");
	fx_open(f);
	fx_publish(f, 1, 1, NULL);
}

static void test_others_may_write(void **state)
{
	struct fx *f = *state;

	fx_close(f);
	assert_int_equal(chmod(f->store, 0770), 0);
	expect_refusal(f, CAS_STORE_CREATE, EACCES, "0770");
	assert_int_equal(chmod(f->store, 0700), 0);
	fx_open(f);
}

static void test_leftovers_go(void **state)
{
	struct fx *f = *state;
	struct fx_quarantine q;
	struct cas_publish p;
	char path[100];

	fx_prepare(f, 3, 1, &q, &p);
	snprintf(path, sizeof(path), "tmp/%s/manifest", q.id);
	assert_true(fx_exists(f, path));
	fx_close(f);
	fx_open(f);
	snprintf(path, sizeof(path), "tmp/%s", q.id);
	assert_false(fx_exists(f, path));
}

#define T(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_same_id_and_seed_again),
	    T(test_second_keeper_is_refused),
	    T(test_killed_keeper_holds_nothing),
	    T(test_unknown_formats),
	    T(test_flipped_format),
	    T(test_missing_format),
	    T(test_format_is_restored),
	    T(test_no_store),
	    T(test_creation_goes_on),
	    T(test_others_may_write),
	    T(test_leftovers_go),
	};

	return tap_run(tests);
}
