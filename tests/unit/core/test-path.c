/* Names, and opening hostile paths: links, "..", with openat2 and without. */
#include "tests/lib/tap.h"

#include <errno.h>
#include <sys/stat.h>

#include "core/fault.h"
#include "core/path.h"
#include "tests/unit/core/scratch.h"

static void names(void **state)
{
	char long_name[300];

	memset(long_name, 'a', sizeof(long_name));
	assert_true(orch_name_valid("a", 1));
	assert_true(orch_name_valid("...", 3));
	assert_true(orch_name_valid("\xff\n", 2));
	assert_true(orch_name_valid(long_name, 255));
	assert_false(orch_name_valid(long_name, 256));
	assert_false(orch_name_valid("", 0));
	assert_false(orch_name_valid(".", 1));
	assert_false(orch_name_valid("..", 2));
	assert_false(orch_name_valid("a/b", 3));
	assert_false(orch_name_valid("a\0b", 3));
}

static void paths(void **state)
{
	assert_true(orch_path_valid("a"));
	assert_true(orch_path_valid("a/b.c/..d"));
	assert_false(orch_path_valid(""));
	assert_false(orch_path_valid("/a"));
	assert_false(orch_path_valid("a/"));
	assert_false(orch_path_valid("a//b"));
	assert_false(orch_path_valid("a/../b"));
	assert_false(orch_path_valid("./a"));
}

static void path_length_is_bounded(void **state)
{
	char path[ORCH_PATH_MAX + 2];

	for (size_t i = 0; i < sizeof(path); i++)
		path[i] = i % 2 ? '/' : 'a';
	path[ORCH_PATH_MAX] = '\0';
	assert_true(orch_path_valid(path));
	path[ORCH_PATH_MAX] = 'b';
	path[ORCH_PATH_MAX + 1] = '\0';
	assert_false(orch_path_valid(path));
}

static void make_file(int dir, const char *name)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	close(fd);
}

/* root/{in/file, link -> in, up -> .., abs -> /etc, file}, secret */
static int make_root(struct scratch *s)
{
	int root;

	assert_int_equal(mkdirat(s->fd, "root", 0755), 0);
	root = openat(s->fd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(root, "in", 0755), 0);
	make_file(root, "in/file");
	make_file(root, "file");
	make_file(s->fd, "secret");
	assert_int_equal(symlinkat("in", root, "link"), 0);
	assert_int_equal(symlinkat("..", root, "up"), 0);
	assert_int_equal(symlinkat("/etc", root, "abs"), 0);
	assert_int_equal(symlinkat("file", root, "last"), 0);
	return root;
}

static int try(int (*open_it)(int, const char *, int, mode_t), int root, const char *rel)
{
	int fd = open_it(root, rel, O_RDONLY, 0);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static void beneath_stays_beneath(void **state)
{
	int root = make_root(*state);

	assert_int_equal(try(orch_open_beneath, root, "file"), 0);
	assert_int_equal(try(orch_open_beneath, root, "in/file"), 0);
	assert_int_equal(try(orch_open_beneath, root, "link/file"), 0);
	assert_int_equal(try(orch_open_beneath, root, "in/../file"), 0);
	assert_int_equal(try(orch_open_beneath, root, "../secret"), -EXDEV);
	assert_int_equal(try(orch_open_beneath, root, "in/../../secret"), -EXDEV);
	assert_int_equal(try(orch_open_beneath, root, "up/secret"), -EXDEV);
	assert_int_equal(try(orch_open_beneath, root, "abs/passwd"), -EXDEV);
	assert_int_equal(try(orch_open_beneath, root, "/etc/passwd"), -EXDEV);
	assert_int_equal(try(orch_open_beneath, root, "none"), -ENOENT);
	close(root);
}

static void nolinks_follows_none(void **state)
{
	int root = make_root(*state);

	assert_int_equal(try(orch_open_nolinks, root, "in/file"), 0);
	assert_int_equal(try(orch_open_nolinks, root, "link/file"), -ELOOP);
	assert_int_equal(try(orch_open_nolinks, root, "last"), -ELOOP);
	assert_int_equal(try(orch_open_nolinks, root, "up/secret"), -ELOOP);
	assert_int_equal(try(orch_open_nolinks, root, "../secret"), -EXDEV);
	close(root);
}

static void creating_sets_the_mode(void **state)
{
	int root = make_root(*state);
	struct stat st;
	int fd;

	fd = orch_open_beneath(root, "in/new", O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
	/* a mode without O_CREAT is ignored, as open does */
	fd = orch_open_beneath(root, "in/new", O_RDONLY, 0644);
	assert_true(fd >= 0);
	close(fd);
	close(root);
}

#ifdef ORCH_FAULT_INJECTION
static void without_openat2(void **state)
{
	int root = make_root(*state);

	assert_int_equal(orch_fault_set("openat2:1+"), 0);
	assert_int_equal(try(orch_open_beneath, root, "in/file"), 0);
	assert_int_equal(try(orch_open_nolinks, root, "in/file"), 0);
	assert_int_equal(try(orch_open_beneath, root, "up/secret"), -ELOOP);
	assert_int_equal(try(orch_open_beneath, root, "link/file"), -ELOOP);
	assert_int_equal(try(orch_open_beneath, root, "last"), -ELOOP);
	assert_int_equal(try(orch_open_beneath, root, "../secret"), -EXDEV);
	assert_int_equal(try(orch_open_beneath, root, "/etc/passwd"), -EXDEV);
	assert_int_equal(try(orch_open_beneath, root, "in//file"), -EXDEV);
	assert_int_equal(try(orch_open_beneath, root, "file/x"), -ENOTDIR);
	assert_int_equal(orch_fault_set(NULL), 0);
	close(root);
}
#else
static void without_openat2(void **state)
{
	skip();
}
#endif

static void assert_owned(char *s, const char *want)
{
	assert_non_null(s);
	assert_string_equal(s, want);
	free(s);
}

static void join_and_absolute(void **state)
{
	char *cwd = getcwd(NULL, 0), *want = NULL;

	assert_owned(orch_path_join("a", "b"), "a/b");
	assert_owned(orch_path_join("a/", "b"), "a/b");
	assert_owned(orch_path_join("/", "b"), "/b");
	assert_owned(orch_path_join("", "b"), "b");
	assert_owned(orch_path_absolute("/a//b/./c/../d/"), "/a/b/d");
	assert_owned(orch_path_absolute("/../.."), "/");
	assert_owned(orch_path_absolute("/a/.."), "/");
	assert_owned(orch_path_absolute("/a/b/../../../x"), "/x");
	assert_true(asprintf(&want, "%s/x", cwd) > 0);
	assert_owned(orch_path_absolute("./y/../x"), want);
	free(want);
	free(cwd);
}

static void programs_are_found(void **state)
{
	struct scratch *s = *state;
	struct orch_err err = ORCH_ERR_INIT;
	char want[128];

	snprintf(want, sizeof(want), "%s/helper", s->path);
	setenv("ORCH_LIBEXECDIR", s->path, 1);
	assert_null(orch_path_program("helper", "nowhere/helper", &err));
	assert_int_equal(err.code, ENOENT);
	assert_non_null(strstr(err.msg, "helper"));
	make_file(s->fd, "helper");
	assert_null(orch_path_program("helper", "nowhere/helper", &err)); /* not executable */
	assert_int_equal(fchmodat(s->fd, "helper", 0755, 0), 0);
	assert_owned(orch_path_program("helper", "nowhere/helper", &err), want);
	unsetenv("ORCH_LIBEXECDIR");
}

static void workspace_names(void **state)
{
	char name[102];

	memset(name, 'a', sizeof(name));
	name[101] = '\0';
	assert_false(orch_workspace_name_valid(name));
	name[100] = '\0';
	assert_true(orch_workspace_name_valid(name));
	assert_true(orch_workspace_name_valid("A-z_0.9"));
	assert_false(orch_workspace_name_valid(""));
	assert_false(orch_workspace_name_valid(".a"));
	assert_false(orch_workspace_name_valid("-a"));
	assert_false(orch_workspace_name_valid("a/b"));
	assert_false(orch_workspace_name_valid("a b"));
	assert_false(orch_workspace_name_valid("\xc3\xa9"));
}

static void ref_names(void **state)
{
	static const char *const good[] = {
	    "main", "a/b/c", "-x", "a.b", "a@b", "@/x", "caf\xc3\xa9", "a.lockx"};
	static const char *const bad[] = {"", "@", "/a", "a/", "a//b", ".a", "a/.b", "a.lock",
	    "a.lock/b", "a..b", "a b", "a~b", "a^b", "a:b", "a?b", "a*b", "a[b", "a\\b", "a.",
	    "a@{b", "a\tb", "a\x7f"};

	for (size_t i = 0; i < ORCH_ARRAY_LEN(good); i++)
		assert_true(orch_ref_name_valid(good[i]));
	for (size_t i = 0; i < ORCH_ARRAY_LEN(bad); i++)
		assert_false(orch_ref_name_valid(bad[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(names),
	    cmocka_unit_test(paths),
	    cmocka_unit_test(path_length_is_bounded),
	    scratch_test(beneath_stays_beneath),
	    scratch_test(nolinks_follows_none),
	    scratch_test(creating_sets_the_mode),
	    scratch_test(without_openat2),
	    cmocka_unit_test(join_and_absolute),
	    scratch_test(programs_are_found),
	    cmocka_unit_test(workspace_names),
	    cmocka_unit_test(ref_names),
	};

	return tap_run(tests);
}
