/* Collecting outputs from a tree that is not friendly. */
#include <stdatomic.h>

#include "output/collect.h"
#include "tests/unit/output/place.h"

static int collect(struct place *tree, const char *const *globs, size_t n, struct place *to,
    const struct out_changes *changes, struct out_collection *out, struct orch_err *err)
{
	struct out_collect_options options = {.changes = changes};
	struct out_specs *s = out_specs_new();
	int r;

	for (size_t i = 0; i < n; i++)
		assert_int_equal(out_specs_add(s, globs[i], NULL), 0);
	r = out_collect(tree->fd, s, to->fd, &options, out, err);
	out_specs_free(s);
	return r;
}

static void assert_text(int dirfd, const char *name, const char *text)
{
	char *got = get_file(dirfd, name);

	assert_string_equal(got, text);
	free(got);
}

static void test_files(void **state)
{
	static const char *const globs[] = {"bin=dist/", "bin=!*.pdb", "logs=*.log",
	    "none=nothing,required", "void=empty/,required"};
	struct place tree = place_new(), to = place_new();
	struct timespec t[2] = {{12345, 678}, {12345, 678}};
	struct out_changes *changes = out_changes_new();
	struct orch_err err = ORCH_ERR_INIT;
	struct out_collection c;
	struct stat st;
	char hex[ORCH_DIGEST_HEX + 1];

	put_file(tree.fd, "dist/game", "hello");
	put_file(tree.fd, "dist/game.pdb", "no");
	put_file(tree.fd, "dist/data/level 1\n", "old");
	put_file(tree.fd, "a/b/x.log", "log");
	put_file(tree.fd, "src/main.c", "no");
	assert_int_equal(orch_mkdirs(tree.fd, "dist/hollow", 0700, NULL), 0);
	assert_int_equal(orch_mkdirs(tree.fd, "empty", 0700, NULL), 0);
	assert_int_equal(symlinkat("/etc/passwd", tree.fd, "dist/link"), 0);
	assert_int_equal(fchmodat(tree.fd, "dist/game", 06755, 0), 0);
	assert_int_equal(utimensat(tree.fd, "dist/game", t, 0), 0);
	assert_int_equal(out_changes_add(changes, "dist/game", 9, false), 0);
	assert_int_equal(out_changes_add(changes, "dist/link", 9, false), 0);
	assert_int_equal(out_changes_add(changes, "dist", 4, false), 0);
	if (collect(&tree, globs, 5, &to, changes, &c, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(c.count, 4);
	assert_int_equal(c.v[0].count, 4); /* data/level, game, hollow, link */
	assert_int_equal(c.v[0].produced, 2);
	assert_int_equal(c.v[0].bytes, 8);
	assert_string_equal(c.v[0].files[0].path, "dist/data/level 1\n");
	assert_false(c.v[0].files[0].produced);
	assert_string_equal(c.v[0].files[1].path, "dist/game");
	assert_true(c.v[0].files[1].produced);
	assert_int_equal(c.v[0].files[1].mode, 0755); /* no set-id bits */
	assert_true(c.v[0].files[1].mtime_ns == INT64_C(12345000000678));
	orch_digest_format(&c.v[0].files[1].digest, hex);
	assert_string_equal(
	    hex, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
	assert_int_equal(c.v[0].files[2].type, OUT_FOLDER);
	assert_int_equal(c.v[0].files[3].type, OUT_SYMLINK);
	assert_string_equal(c.v[0].files[3].target, "/etc/passwd");
	assert_int_equal(c.v[1].count, 1);
	assert_string_equal(out_missing(&c, 0), "none");
	assert_string_equal(out_missing(&c, 1), "void");
	assert_null(out_missing(&c, 2));
	assert_text(to.fd, "bin/dist/game", "hello");
	assert_text(to.fd, "bin/dist/data/level 1\n", "old");
	assert_text(to.fd, "logs/a/b/x.log", "log");
	assert_false(exists(to.fd, "bin/dist/game.pdb"));
	assert_true(exists(to.fd, "bin/dist/hollow"));
	assert_int_equal(fstatat(to.fd, "bin/dist/game", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(st.st_mtim.tv_sec, 12345);
	assert_int_equal(st.st_mtim.tv_nsec, 678);
	assert_int_equal(fstatat(to.fd, "bin/dist/link", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_true(S_ISLNK(st.st_mode));
	out_collection_fini(&c);
	out_changes_free(changes);
	place_free(&tree);
	place_free(&to);
}

/* Links in the tree are never followed: neither to find, nor to read, nor to write. */
static void test_links(void **state)
{
	static const char *const globs[] = {"o=in/*", "o=in/dir/*", "o=out/secret"};
	struct place tree = place_new(), to = place_new(), outside = place_new();
	struct orch_err err = ORCH_ERR_INIT;
	struct out_collection c;
	char target[128];

	put_file(outside.fd, "secret", "secret");
	snprintf(target, sizeof(target), "../%s", outside.path);
	assert_int_equal(symlinkat(target, tree.fd, "out"), 0);
	assert_int_equal(mkdirat(tree.fd, "in", 0755), 0);
	snprintf(target, sizeof(target), "../../%s", outside.path);
	assert_int_equal(symlinkat(target, tree.fd, "in/dir"), 0);
	if (collect(&tree, globs, 3, &to, NULL, &c, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(c.files, 1); /* the link itself */
	assert_string_equal(c.v[0].files[0].path, "in/dir");
	assert_true(c.v[0].files[0].produced); /* no journal: everything is */
	out_collection_fini(&c);
	/* a link lies where a folder is wanted */
	assert_int_equal(orch_remove_tree(to.fd, "o", NULL), 0);
	snprintf(target, sizeof(target), "../%s", outside.path);
	assert_int_equal(symlinkat(target, to.fd, "o"), 0);
	assert_true(collect(&tree, globs, 3, &to, NULL, &c, &err) < 0);
	assert_false(exists(outside.fd, "in"));
	assert_int_equal(c.files, 0);
	place_free(&tree);
	place_free(&to);
	place_free(&outside);
}

static void test_odd_files(void **state)
{
	static const char *const globs[] = {"o=*"};
	struct place tree = place_new(), to = place_new();
	struct orch_err err = ORCH_ERR_INIT;
	char deep[3000], name[256];
	struct out_collection c;
	int fd;

	assert_int_equal(mkfifoat(tree.fd, "pipe", 0644), 0);
	put_file(tree.fd, "\xff\xfe name", "x");
	put_file(tree.fd, "-rf", "y");
	memset(name, 'n', 255);
	name[255] = '\0';
	put_file(tree.fd, name, "z");
	/* a sparse file keeps its length */
	fd = openat(tree.fd, "sparse", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(ftruncate(fd, 10 << 20), 0);
	close(fd);
	deep[0] = '\0';
	for (int i = 0; i < 12; i++)
		snprintf(deep + strlen(deep), sizeof(deep) - strlen(deep), "%.200s/", name);
	strcat(deep, "f");
	put_file(tree.fd, deep, "deep");
	if (collect(&tree, globs, 1, &to, NULL, &c, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(c.skipped_count, 1);
	assert_string_equal(c.skipped[0], "pipe");
	assert_int_equal(c.files, 5);
	assert_int_equal(c.bytes, (10 << 20) + 7);
	assert_text(to.fd, "o/-rf", "y");
	out_collection_fini(&c);
	place_free(&tree);
	place_free(&to);
}

static void test_again_and_cancel(void **state)
{
	static const char *const globs[] = {"o=*"};
	struct place tree = place_new(), to = place_new();
	atomic_bool cancel = true;
	struct out_collect_options options = {.cancel = &cancel};
	struct out_specs *s = out_specs_new();
	struct orch_err err = ORCH_ERR_INIT;
	struct out_collection c;

	put_file(tree.fd, "f", "1");
	assert_int_equal(collect(&tree, globs, 1, &to, NULL, &c, &err), 0);
	out_collection_fini(&c);
	put_file(tree.fd, "f", "2"); /* a retry replaces */
	assert_int_equal(collect(&tree, globs, 1, &to, NULL, &c, &err), 0);
	out_collection_fini(&c);
	assert_text(to.fd, "o/f", "2");
	assert_int_equal(out_specs_add(s, globs[0], NULL), 0);
	assert_int_equal(out_collect(tree.fd, s, to.fd, &options, &c, &err), -ORCH_ECANCELLED);
	out_specs_free(s);
	place_free(&tree);
	place_free(&to);
}

static void count_calls(void *priv, size_t files, uint64_t bytes)
{
	size_t *last = priv;

	assert_true(files >= *last);
	*last = files;
}

static void test_many(void **state)
{
	struct place tree = place_new(), to = place_new();
	size_t last = 0;
	struct out_collect_options options = {.progress = count_calls, .priv = &last};
	struct out_specs *s = out_specs_new();
	struct orch_err err = ORCH_ERR_INIT;
	struct out_collection c;
	char name[32];

	for (int i = 0; i < 600; i++) {
		snprintf(name, sizeof(name), "d%d/f%03d", i % 7, i);
		put_file(tree.fd, name, name);
	}
	assert_int_equal(out_specs_add(s, "o=/d*", NULL), 0);
	assert_int_equal(out_collect(tree.fd, s, to.fd, &options, &c, &err), 0);
	assert_int_equal(c.files, 600);
	assert_int_equal(last, 600);
	for (size_t i = 0; i < c.files; i++) {
		struct orch_digest d;

		orch_sha256(c.v[0].files[i].path, strlen(c.v[0].files[i].path), &d);
		assert_true(orch_digest_eq(&d, &c.v[0].files[i].digest));
		assert_true(i == 0 || strcmp(c.v[0].files[i - 1].path, c.v[0].files[i].path) < 0);
	}
	out_collection_fini(&c);
	/* one of them can't be put in place: it is named */
	last = 0;
	assert_int_equal(unlinkat(to.fd, "o/d3/f003", 0), 0);
	assert_int_equal(orch_mkdirs(to.fd, "o/d3/f003/in-the-way", 0755, NULL), 0);
	assert_true(out_collect(tree.fd, s, to.fd, &options, &c, &err) < 0);
	assert_non_null(strstr(err.msg, "output o: d3/f003"));
	out_specs_free(s);
	place_free(&tree);
	place_free(&to);
}

static void test_changes(void **state)
{
	struct out_changes *c = out_changes_new();
	char path[32];

	assert_false(out_changes_has(c, "a", 1));
	for (int i = 0; i < 1000; i++) {
		snprintf(path, sizeof(path), "d/%d", i);
		assert_int_equal(out_changes_add(c, path, strlen(path), i == 7), 0);
		assert_int_equal(out_changes_add(c, path, strlen(path), false), 0);
	}
	assert_int_equal(out_changes_count(c), 1000);
	assert_true(out_changes_has(c, "d/999", 5));
	assert_false(out_changes_has(c, "d/1000", 6));
	assert_true(out_changes_has(c, "d/7/x/y", 7)); /* below what is wholly new */
	assert_false(out_changes_has(c, "d/8/x/y", 7));
	out_changes_free(c);
	out_changes_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_files),
	    cmocka_unit_test(test_links),
	    cmocka_unit_test(test_odd_files),
	    cmocka_unit_test(test_again_and_cancel),
	    cmocka_unit_test(test_many),
	    cmocka_unit_test(test_changes),
	};

	return tap_run(tests);
}
