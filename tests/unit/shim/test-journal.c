/* The journal of a run: what a killed owner left is found, a living owner's is left alone. */
#include "tests/lib/tap.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "core/fd.h"
#include "shim/journal.h"

static char folder[] = "/tmp/orch-test-journal-XXXXXX";

static int make_folder(void **state)
{
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	return orch_remove_tree(AT_FDCWD, folder, NULL);
}

struct seen {
	char text[256];
	int result;
};

static int note(void *priv, const struct shim_leftover *what)
{
	struct seen *s = priv;
	size_t n = strlen(s->text);

	snprintf(s->text + n, sizeof(s->text) - n, "%s:%s:%s;", what->run, what->kind, what->name);
	return s->result;
}

static void told(void *priv, const char *file, const char *why)
{
	struct seen *s = priv;
	size_t n = strlen(s->text);

	snprintf(s->text + n, sizeof(s->text) - n, "%s!%s;", strrchr(file, '/') + 1, why);
}

/* A process that makes a journal and dies without ending it. */
static void die_with(const char *run, const char *torn)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct shim_journal *j;
		char path[300];
		int fd;

		if (shim_journal_begin(folder, run, "/s", &j, NULL) < 0 ||
		    shim_journal_make(j, "workspace", "w1", NULL) < 0 ||
		    shim_journal_make(j, "task", "t 1", NULL) < 0 ||
		    shim_journal_make(j, "task", "t2", NULL) < 0 ||
		    shim_journal_gone(j, "task", "t2", NULL) < 0)
			_exit(1);
		snprintf(path, sizeof(path), "%s/%s.run", folder, run);
		fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
		if (torn && write(fd, torn, strlen(torn)) < 0)
			_exit(1);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_a_clean_end_leaves_nothing(void **state)
{
	struct shim_journal *j;
	struct seen s = {.text = ""};

	assert_int_equal(shim_journal_begin(folder, "clean", "/s", &j, NULL), 0);
	assert_int_equal(shim_journal_make(j, "workspace", "w", NULL), 0);
	assert_int_equal(shim_journal_gone(j, "workspace", "w", NULL), 0);
	shim_journal_end(j);
	assert_int_equal(shim_journal_recover(folder, false, note, told, &s, NULL), 0);
	assert_string_equal(s.text, "");
}

static void test_a_living_owner_is_left_alone(void **state)
{
	struct shim_journal *j;
	struct seen s = {.text = ""};

	assert_int_equal(shim_journal_begin(folder, "alive", "/s", &j, NULL), 0);
	assert_int_equal(shim_journal_make(j, "workspace", "w", NULL), 0);
	assert_int_equal(shim_journal_recover(folder, false, note, told, &s, NULL), 0);
	assert_string_equal(s.text, "");
	assert_int_equal(shim_journal_gone(j, "workspace", "w", NULL), 0);
	shim_journal_end(j);
}

static void test_a_dead_owner_s_things_are_undone_last_first(void **state)
{
	struct seen s = {.text = ""};

	die_with("dead", NULL);
	assert_int_equal(shim_journal_recover(folder, false, note, told, &s, NULL), 2);
	assert_string_equal(s.text, "dead:task:t 1;dead:workspace:w1;");
	assert_int_equal(shim_journal_recover(folder, false, note, told, &s, NULL), 0);
}

static void test_a_torn_line_is_no_resource(void **state)
{
	struct seen s = {.text = ""};

	die_with("torn", "{\"make\":\"workspace\",\"na");
	assert_int_equal(shim_journal_recover(folder, false, note, told, &s, NULL), 2);
	assert_string_equal(s.text, "torn:task:t 1;torn:workspace:w1;");
}

static void test_what_could_not_be_undone_stays(void **state)
{
	struct seen s = {.text = "", .result = -EIO};

	die_with("stays", NULL);
	assert_int_equal(shim_journal_recover(folder, false, note, told, &s, NULL), 2);
	s = (struct seen){.text = ""};
	assert_int_equal(shim_journal_recover(folder, true, note, told, &s, NULL), 2);
	assert_int_equal(shim_journal_recover(folder, false, note, told, &s, NULL), 2);
	assert_int_equal(shim_journal_recover(folder, false, note, told, &s, NULL), 0);
}

/* ---- damage ---- */

static void path_of(const char *run, char path[300])
{
	snprintf(path, 300, "%s/%s.run", folder, run);
}

/* Told, and still there; beside it another run is undone. */
static void expect_damaged(const char *run, const char *why)
{
	struct seen s = {.text = ""};
	struct stat st;
	char path[300];

	path_of(run, path);
	die_with("other", NULL);
	assert_int_equal(shim_journal_recover(folder, false, note, told, &s, NULL), 3);
	assert_non_null(strstr(s.text, why));
	assert_non_null(strstr(s.text, "other:task:t 1;other:workspace:w1;"));
	assert_null(strstr(s.text, "hurt:"));
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(orch_remove_tree(AT_FDCWD, path, NULL), 0);
}

/* Each byte in turn: nothing that the journal then seems to name is touched. */
static void test_a_flipped_byte_undoes_nothing(void **state)
{
	char path[300], bytes[4096];
	ssize_t n;
	int fd;

	path_of("hurt", path);
	die_with("hurt", NULL);
	fd = open(path, O_RDWR | O_CLOEXEC);
	n = read(fd, bytes, sizeof(bytes));
	assert_true(n > 300);
	for (ssize_t i = 0; i + 1 < n; i++) { /* without its end the last line is a torn one */
		struct seen s = {.text = ""};
		char b = (char)(bytes[i] ^ 1);

		assert_int_equal(pwrite(fd, &b, 1, i), 1);
		assert_int_equal(shim_journal_recover(folder, true, note, told, &s, NULL), 1);
		assert_string_equal(s.text, "hurt.run!a line is not as it was written;");
		assert_int_equal(pwrite(fd, &bytes[i], 1, i), 1);
	}
	close(fd);
	assert_int_equal(orch_remove_tree(AT_FDCWD, path, NULL), 0);
}

/* "gone" may have said that a workspace stays. */
static void test_a_missing_line_undoes_nothing(void **state)
{
	char path[300], bytes[4096], *second, *third;
	ssize_t n;
	int fd;

	path_of("hurt", path);
	die_with("hurt", NULL);
	fd = open(path, O_RDWR | O_CLOEXEC);
	n = read(fd, bytes, sizeof(bytes) - 1);
	assert_true(n > 0);
	bytes[n] = '\0';
	second = strchr(bytes, '\n') + 1;
	third = strchr(second, '\n') + 1;
	assert_int_equal(ftruncate(fd, second - bytes), 0);
	n -= third - bytes;
	assert_int_equal(pwrite(fd, third, (size_t)n, second - bytes), n);
	close(fd);
	expect_damaged("hurt", "hurt.run!a line is not");
}

static void test_what_is_no_journal_is_told(void **state)
{
	char path[300];

	path_of("hurt", path);
	assert_int_equal(mkfifo(path, 0600), 0);
	expect_damaged("hurt", "hurt.run!it is not a regular file;");
	assert_int_equal(mkdir(path, 0700), 0);
	expect_damaged("hurt", "hurt.run!it is not a regular file;");
	assert_int_equal(symlink("/etc/hostname", path), 0);
	expect_damaged("hurt", "hurt.run!it is a symbolic link;");
	die_with("hurt", NULL);
	assert_int_equal(truncate(path, 0), 0);
	expect_damaged("hurt", "hurt.run!nothing in it says whose it is;");
}

static void test_no_folder_is_nothing_left(void **state)
{
	struct seen s = {.text = ""};

	assert_int_equal(shim_journal_recover("/nonexistent/runs", false, note, told, &s, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_a_clean_end_leaves_nothing),
	    cmocka_unit_test(test_a_living_owner_is_left_alone),
	    cmocka_unit_test(test_a_dead_owner_s_things_are_undone_last_first),
	    cmocka_unit_test(test_a_torn_line_is_no_resource),
	    cmocka_unit_test(test_what_could_not_be_undone_stays),
	    cmocka_unit_test(test_a_flipped_byte_undoes_nothing),
	    cmocka_unit_test(test_a_missing_line_undoes_nothing),
	    cmocka_unit_test(test_what_is_no_journal_is_told),
	    cmocka_unit_test(test_no_folder_is_nothing_left),
	};

	return tap_run_with(tests, make_folder, remove_folder);
}
