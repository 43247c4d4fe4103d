/* Import and export: a folder comes back as it was, and the second time nothing is read. */
#include "rig.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "core/clock.h"
#include "core/fd.h"

static void path_in(char out[1200], const char *dir, const char *name)
{
	snprintf(out, 1200, "%s/%s", dir, name);
}

static void set_time(const char *path, int64_t ns)
{
	struct timespec times[2] = {orch_ns_timespec(ns), orch_ns_timespec(ns)};

	assert_int_equal(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

static bool have_xattrs(const char *path)
{
	return setxattr(path, "user.probe", "1", 1, 0) == 0 && removexattr(path, "user.probe") == 0;
}

/* Every kind of entry that a snapshot holds. */
static void fill_everything(const char *dir)
{
	char p[1200], q[1200], name[300];
	int fd;

	rig_fill(dir, "a=one\nempty=\nd/e/f=deep\nd/empty/\nlink->nowhere/at all\n"
		      "suid!4755=s\nsticky!1600=t\nro!0444=r\nnone!0000=n\n"
		      "h1=linked\nd/h2==h1\nz/h3==h1\n\xff\xfe bad=bytes\n");
	memset(name, 'n', 255);
	name[255] = '\0';
	path_in(p, dir, name);
	fd = open(p, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
	assert_int_equal(ftruncate(fd, 3 << 20), 0);
	assert_int_equal(pwrite(fd, "hole before", 11, 2 << 20), 11);
	close(fd);
	path_in(p, dir, "link");
	path_in(q, dir, "z/link2");
	assert_int_equal(link(p, q), 0);
	set_time(p, 5000000001);
	path_in(p, dir, "a");
	set_time(p, -1000000007);
	if (have_xattrs(p)) {
		assert_int_equal(setxattr(p, "user.b", "\0x", 2, 0), 0);
		assert_int_equal(setxattr(p, "user.a", "", 0, 0), 0);
		path_in(q, dir, "d");
		assert_int_equal(setxattr(q, "user.of.folder", "y", 1, 0), 0);
	}
	path_in(p, dir, "d/e");
	assert_int_equal(chmod(p, 01733), 0);
	set_time(p, 123456789);
	path_in(p, dir, "d/empty");
	assert_int_equal(chmod(p, 0500), 0);
	set_time(p, -5);
	set_time(dir, 77);
}

static void expect_same(const char *a, const char *b)
{
	char *da = rig_describe(a), *db = rig_describe(b);

	assert_string_equal(da, db);
	free(da);
	free(db);
}

static void test_round_trip(void **state)
{
	struct rig *g = *state;
	const char *from = rig_folder(g, true), *to = rig_folder(g, true);
	struct orch_err err = ORCH_ERR_INIT;
	struct orch_digest id;
	char p[1200];
	struct stat a, b;

	fill_everything(from);
	id = rig_import(g, from, NULL);
	assert_string_equal(g->told.data ? (char *)g->told.data : "", "");
	RIG_OK(rig_try_export(g, &id, to, &err), &err);
	expect_same(from, to);
	memset(p, 0, sizeof(p));
	path_in(p, from, "");
	memset(p + strlen(p), 'n', 255);
	assert_int_equal(stat(p, &a), 0);
	memset(p, 0, sizeof(p));
	path_in(p, to, "");
	memset(p + strlen(p), 'n', 255);
	assert_int_equal(stat(p, &b), 0);
	if (a.st_blocks < 1000)
		assert_true(b.st_blocks < 1000);
	assert_int_equal(rig_try_export(g, &id, to, &err), -ENOTEMPTY);
}

static void test_specials_are_skipped(void **state)
{
	struct rig *g = *state;
	const char *dir = rig_folder(g, true);
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	char p[1200];
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct orch_digest id;

	rig_fill(dir, "a=1\nd/b=2\n");
	path_in(p, dir, "d/fifo");
	assert_int_equal(mkfifo(p, 0600), 0);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%.80s/sock", dir);
	assert_int_equal(bind(s, (struct sockaddr *)&sun, sizeof(sun)), 0);
	close(s);
	id = rig_import(g, dir, NULL);
	rig_expect(g, &id, "a=1\nd/\nd/b=2\n");
	assert_int_equal(g->skipped, 2);
	assert_non_null(strstr((char *)g->told.data, "skipped fifo d/fifo\n"));
	assert_non_null(strstr((char *)g->told.data, "skipped socket sock\n"));
}

static void test_excludes_and_ignore_file(void **state)
{
	struct rig *g = *state;
	const char *dir = rig_folder(g, true);
	struct sync_import_spec more = {.exclude = orch_globs_new()};
	struct orch_err err = ORCH_ERR_INIT;
	struct sync_imported made;

	assert_int_equal(orch_globs_add((struct orch_globs *)(uintptr_t)more.exclude, "*.o"), 0);
	rig_fill(dir, "a.c=1\na.o=2\nd/b.o=3\nd/c=4\nout/x=5\nout/keep=6\n"
		      "deep/out/y=7\nlog/z=8\n.orchignore=/out/*\n");
	RIG_OK(rig_try_import(g, &more, dir, &made, &err), &err);
	rig_expect(g, &made.snapshot,
	    ".orchignore=/out/*\na.c=1\nd/\nd/c=4\ndeep/\ndeep/out/\ndeep/out/y=7\nlog/\n"
	    "log/z=8\nout/\n");
	orch_globs_free((struct orch_globs *)(uintptr_t)more.exclude);
}

static void wait_slack(void)
{
	struct timespec t = {.tv_sec = 2, .tv_nsec = 50000000};

	nanosleep(&t, NULL);
}

static void test_unchanged_is_not_read(void **state)
{
	struct rig *g = *state;
	const char *dir = rig_folder(g, true);
	struct orch_digest first, again;
	char p[1200];
	int fd;

	fill_everything(dir);
	first = rig_import(g, dir, NULL);
	assert_true(g->read_files > 5);
	/* the files are younger than the slack: read, not hashed */
	again = rig_import(g, dir, NULL);
	assert_true(orch_digest_eq(&first, &again));
	assert_true(g->read_files > 5);
	assert_int_equal(g->hashed_files, 0);
	wait_slack();
	again = rig_import(g, dir, NULL);
	again = rig_import(g, dir, NULL);
	assert_true(orch_digest_eq(&first, &again));
	assert_int_equal(g->read_files, 0);
	/* touched: read, not hashed */
	path_in(p, dir, "d/e/f");
	set_time(p, 42);
	again = rig_import(g, dir, &first);
	assert_int_equal(g->read_files, 1);
	assert_int_equal(g->hashed_files, 0);
	assert_int_equal(rig_stamp(g, &again, "d/e/f").mtime_ns, 42);
	/* changed, with its old size and mtime: the ctime tells */
	fd = open(p, O_WRONLY | O_CLOEXEC);
	assert_int_equal(write(fd, "DEEP", 4), 4);
	close(fd);
	set_time(p, 42);
	again = rig_import(g, dir, &first);
	assert_int_equal(g->read_files, 1);
	assert_int_equal(g->hashed_files, 1);
}

static void test_lineage(void **state)
{
	struct rig *g = *state;
	struct orch_digest one = rig_make(g, "a=1\nb=2\nd/c=3\nd/l->t\nx=9\n", NULL);
	struct orch_digest same = rig_make(g, "a=1\nb=2\nd/c=3\nd/l->t\nx=9\n", &one);
	struct orch_digest two = rig_make(g, "A=0\na=1\nb=changed\nd/c=3\nd/l->t\ne/n=3\n", &one);
	uint64_t next = rig_snapshot(g, &one).next_ino;

	assert_int_equal(next, 8);
	assert_int_equal(rig_snapshot(g, &same).next_ino, 8);
	assert_int_equal(rig_stamp(g, &same, "d/c").ino, rig_stamp(g, &one, "d/c").ino);
	assert_int_equal(rig_stamp(g, &two, "a").ino, rig_stamp(g, &one, "a").ino);
	assert_int_equal(rig_stamp(g, &two, "d").ino, rig_stamp(g, &one, "d").ino);
	assert_int_equal(rig_stamp(g, &two, "d/l").ino, rig_stamp(g, &one, "d/l").ino);
	/* new ones in the order of the tree */
	assert_int_equal(rig_stamp(g, &two, "A").ino, next);
	assert_int_equal(rig_stamp(g, &two, "b").ino, next + 1);
	assert_int_equal(rig_stamp(g, &two, "e").ino, next + 2);
	assert_int_equal(rig_stamp(g, &two, "e/n").ino, next + 3);
	assert_int_equal(rig_snapshot(g, &two).next_ino, next + 4);
}

static void test_lineage_of_links(void **state)
{
	struct rig *g = *state;
	struct orch_digest one = rig_make(g, "a=1\nb==a\nc=1\n", NULL);
	struct orch_digest cut = rig_make(g, "a=1\nb=1\nc=1\n", &one);
	struct orch_digest joined = rig_make(g, "a=1\nb==a\nc==a\nz==a\n", &one);

	assert_int_equal(rig_stamp(g, &one, "a").nlink, 2);
	assert_int_equal(rig_stamp(g, &cut, "a").ino, rig_stamp(g, &one, "a").ino);
	assert_int_equal(rig_stamp(g, &cut, "a").nlink, 1);
	assert_int_not_equal(rig_stamp(g, &cut, "b").ino, rig_stamp(g, &cut, "a").ino);
	assert_int_equal(rig_stamp(g, &cut, "c").ino, rig_stamp(g, &one, "c").ino);
	assert_int_equal(rig_stamp(g, &joined, "z").ino, rig_stamp(g, &one, "a").ino);
	assert_int_equal(rig_stamp(g, &joined, "c").nlink, 4);
}

static void test_store_is_not_entered(void **state)
{
	struct rig *g = *state;
	struct sync_import_spec more = {0};
	struct orch_err err = ORCH_ERR_INIT;
	struct sync_imported made;
	char p[1200];
	struct stat st;

	path_in(p, g->root, "store");
	assert_int_equal(stat(p, &st), 0);
	more.store_dev = st.st_dev;
	more.store_ino = st.st_ino;
	assert_int_equal(rig_try_import(g, &more, p, &made, &err), -EINVAL);
	path_in(p, g->root, "store/objects");
	assert_int_equal(rig_try_import(g, &more, p, &made, &err), -EINVAL);
	rig_fill(g->root, "a=1\n");
	RIG_OK(rig_try_import(g, &more, g->root, &made, &err), &err);
	rig_expect(g, &made.snapshot, "a=1\n");
	assert_non_null(strstr((char *)g->told.data, "skipped the store store\n"));
}

/* A writer that never rests. */
struct writer {
	char path[1200];
	_Atomic bool stop;
};

static void *write_on(void *arg)
{
	struct writer *w = arg;
	int fd = open(w->path, O_WRONLY | O_APPEND | O_CLOEXEC);

	while (!w->stop)
		if (write(fd, "more and more\n", 14) != 14)
			break;
	close(fd);
	return NULL;
}

static void test_file_that_grows(void **state)
{
	struct rig *g = *state;
	const char *dir = rig_folder(g, true);
	struct writer w = {.stop = false};
	struct orch_digest id;
	struct orch_err err = ORCH_ERR_INIT;
	pthread_t thread;
	char *text;

	rig_fill(dir, "log=begin\n");
	path_in(w.path, dir, "log");
	assert_int_equal(pthread_create(&thread, NULL, write_on, &w), 0);
	id = rig_import(g, dir, NULL);
	w.stop = true;
	pthread_join(thread, NULL);
	text = rig_text(g, &id);
	assert_int_equal(strncmp(text, "log=beginmore and", 13), 0);
	free(text);
	assert_int_equal(err.code, 0);
}

struct churner {
	char dir[1200];
	_Atomic bool stop;
};

static void *churn(void *arg)
{
	struct churner *c = arg;
	char a[1300], b[1300];

	for (unsigned i = 0; !c->stop; i++) {
		snprintf(a, sizeof(a), "%s/t%u", c->dir, i % 50);
		snprintf(b, sizeof(b), "%s/d%u", c->dir, i % 7);
		close(open(a, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
		(void)mkdir(b, 0700);
		snprintf(a, sizeof(a), "%s/t%u", c->dir, (i + 25) % 50);
		(void)unlink(a);
		snprintf(b, sizeof(b), "%s/d%u", c->dir, (i + 3) % 7);
		(void)rmdir(b);
	}
	return NULL;
}

static void test_folder_that_churns(void **state)
{
	struct rig *g = *state;
	const char *dir = rig_folder(g, true);
	struct churner c = {.stop = false};
	struct orch_digest id;
	pthread_t thread;

	rig_fill(dir, "keep=1\n");
	snprintf(c.dir, sizeof(c.dir), "%s", dir);
	assert_int_equal(pthread_create(&thread, NULL, churn, &c), 0);
	for (int i = 0; i < 20; i++) {
		id = rig_import(g, dir, NULL);
		(void)rig_stamp(g, &id, "keep");
	}
	c.stop = true;
	pthread_join(thread, NULL);
}

static void test_cancel(void **state)
{
	struct rig *g = *state;
	const char *dir = rig_folder(g, true);
	struct orch_err err = ORCH_ERR_INIT;
	struct sync_imported made;

	rig_fill(dir, "a=1\n");
	g->cancel = true;
	assert_int_equal(rig_try_import(g, NULL, dir, &made, &err), -ECANCELED);
	g->cancel = false;
	RIG_OK(rig_try_import(g, NULL, dir, &made, &err), &err);
}

static void grow_tree(const char *dir, uint64_t *seed, unsigned depth, char links[8][1200])
{
	unsigned n = (unsigned)(rig_random(seed) % 12);

	for (unsigned i = 0; i < n; i++) {
		char line[64], p[1200];
		uint64_t x = rig_random(seed);

		snprintf(
		    line, sizeof(line), "%c%x", (int)('a' + x % 26), (unsigned)(x >> 8) & 0xfff);
		path_in(p, dir, line);
		if (access(p, F_OK) == 0)
			continue;
		switch (rig_random(seed) % 8) {
		case 0:
		case 1:
			assert_int_equal(mkdir(p, 0700 | (mode_t)(x >> 20 & 077)), 0);
			if (depth < 5)
				grow_tree(p, seed, depth + 1, links);
			break;
		case 2:
			assert_int_equal(symlink(links[x % 8], p), 0);
			break;
		case 3:
			if (link(links[x % 8], p) < 0)
				break;
			break;
		default:
			snprintf(line + strlen(line), 32, "!%04o=%llx", (unsigned)(x >> 30 & 07777),
			    (unsigned long long)(x >> 60));
			rig_fill(dir, line);
			snprintf(links[x % 8], 1200, "%s", p);
			break;
		}
		set_time(dir, (int64_t)rig_random(seed) >> 4);
	}
}

static void test_random_trees(void **state)
{
	struct rig *g = *state;
	const char *given = getenv("ORCH_TEST_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)orch_wall_ns();

	print_message("# seed %llu\n", (unsigned long long)seed);
	for (int i = 0; i < 12; i++) {
		static char links[8][1200];
		struct orch_err err = ORCH_ERR_INIT;
		const char *from = rig_folder(g, true), *to = rig_folder(g, true);
		struct orch_digest id, again;

		for (int k = 0; k < 8; k++)
			snprintf(links[k], sizeof(links[k]), "nowhere%d", k);
		grow_tree(from, &seed, 0, links);
		id = rig_import(g, from, NULL);
		RIG_OK(rig_try_export(g, &id, to, &err), &err);
		expect_same(from, to);
		again = rig_import(g, to, &id);
		assert_true(orch_digest_eq(&id, &again));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    rig_test(test_round_trip),
	    rig_test(test_specials_are_skipped),
	    rig_test(test_excludes_and_ignore_file),
	    rig_test(test_unchanged_is_not_read),
	    rig_test(test_lineage),
	    rig_test(test_lineage_of_links),
	    rig_test(test_store_is_not_entered),
	    rig_test(test_file_that_grows),
	    rig_test(test_folder_that_churns),
	    rig_test(test_cancel),
	    rig_test(test_random_trees),
	};

	return tap_run(tests);
}
