/* Each call of running a program, saving a file, copying, JSON and a pool fails once. */
#include "tests/lib/torture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include "core/clock.h"
#include "core/fd.h"
#include "core/json.h"
#include "core/process.h"
#include "tests/unit/core/scratch.h"

static int run_program(void *priv)
{
	static const char *const argv[] = {"sh", "-c", "echo said; echo told >&2", NULL};
	orch_auto(buf) struct orch_buf out = ORCH_BUF_INIT;
	struct orch_err err = ORCH_ERR_INIT;
	int r = orch_process_run(argv, &out, orch_deadline_in_ms(60000), &err);

	(void)priv;
	if (r < 0)
		assert_true(err.msg[0]);
	else
		assert_string_equal((const char *)out.data, "said\n");
	return r;
}

static void no_child(void *priv, int r, const char *failed)
{
	(void)priv;
	(void)r;
	if (waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD)
		fail_msg("%s: a child is left", failed);
}

#define SLEEPER "61.73" /* seconds; nobody else's */

static bool names_sleeper(const char *pid)
{
	char path[300], text[64] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/cmdline", pid);
	f = fopen(path, "r");
	if (!f)
		return false;
	(void)!fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	return strcmp(text, "sleep") == 0 && strcmp(text + sizeof("sleep"), SLEEPER) == 0;
}

static bool sleeper_lives(void)
{
	DIR *d = opendir("/proc");
	bool found = false;

	assert_non_null(d);
	for (struct dirent *e; !found && (e = readdir(d));)
		found = e->d_name[0] >= '0' && e->d_name[0] <= '9' && names_sleeper(e->d_name);
	closedir(d);
	return found;
}

static int run_parent(void *priv)
{
	static const char *const argv[] = {"sh", "-c", "sleep " SLEEPER " & echo begun", NULL};
	orch_auto(buf) struct orch_buf out = ORCH_BUF_INIT;

	(void)priv;
	return orch_process_run(argv, &out, orch_deadline_in_ms(60000), NULL);
}

static void nobody_is_left(void *priv, int r, const char *failed)
{
	(void)priv;
	(void)r;
	for (int i = 0; i < 2000 && sleeper_lives(); i++)
		usleep(1000);
	if (sleeper_lives())
		fail_msg("a child is left after %s: %d", failed, r);
}

static void test_a_program_with_children(void **state)
{
	struct torture t = {.step = run_parent, .check = nobody_is_left};

	(void)state;
	assert_true(torture(&t) > 5);
}

static void test_process(void **state)
{
	struct torture t = {.step = run_program, .check = no_child};

	(void)state;
	assert_true(torture(&t) > 5);
}

static unsigned count_entries(int dir)
{
	DIR *d = fdopendir(openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	unsigned n = 0;

	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.' || strncmp(e->d_name, ".orch", 5) == 0;
	closedir(d);
	return n;
}

static int save(void *priv)
{
	struct scratch *s = priv;

	return orch_file_save(s->fd, "f", "new", 3, 0644, NULL);
}

/* The old content or the new one, never half of it and nothing beside it. */
static void check_save(void *priv, int r, const char *failed)
{
	struct scratch *s = priv;
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;

	assert_int_equal(orch_file_load(s->fd, "f", &b, NULL), 0);
	assert_int_equal(b.len, 3);
	if (memcmp(b.data, "new", 3) != 0)
		assert_true(r < 0 && memcmp(b.data, "old", 3) == 0);
	if (count_entries(s->fd) != 1 && !strstr(failed, "unlink"))
		fail_msg("%s: something is left", failed);
	assert_int_equal(orch_remove_tree(s->fd, "f", NULL), 0);
	assert_int_equal(orch_file_save(s->fd, "f", "old", 3, 0644, NULL), 0);
}

static void test_save(void **state)
{
	struct torture t = {.step = save, .check = check_save, .priv = *state};
	struct scratch *s = *state;

	assert_int_equal(orch_file_save(s->fd, "f", "old", 3, 0644, NULL), 0);
	assert_true(torture(&t) > 5);
}

static int json(void *priv)
{
	static const char text[] =
	    "{\"a\":[1,\"two\",null,{\"b\":true}],\"c\":\"long enough to be copied\"}";
	orch_auto(json) struct orch_json *o = NULL;
	orch_auto(buf) struct orch_buf out = ORCH_BUF_INIT;
	struct orch_err err = ORCH_ERR_INIT;
	struct orch_json *list;
	int r = orch_json_parse(text, strlen(text), &o, &err);

	(void)priv;
	if (r < 0)
		return r;
	list = orch_json_array();
	r = list ? orch_json_push_str(list, "x") : -ENOMEM;
	if (r == 0)
		r = orch_json_set_bytes(o, "d", "\xff\x00", 2);
	if (r == 0)
		r = orch_json_set_json(o, "e", &list);
	orch_json_free(list);
	if (r == 0)
		r = orch_json_format(o, 0, &out);
	return r;
}

static void test_json(void **state)
{
	struct torture t = {.step = json};

	(void)state;
	assert_true(torture(&t) > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_process),
	    cmocka_unit_test(test_a_program_with_children),
	    cmocka_unit_test_setup_teardown(test_save, scratch_setup, scratch_teardown),
	    cmocka_unit_test(test_json),
	};

	return tap_run(tests);
}
