/*
 * Phase: test results. Each --test-results GLOB must match at least one file, each file must be a report
 * that was written by this build, and there must be a test in it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "core/clock.h"
#include "core/fd.h"
#include "core/glob.h"
#include "shim/build.h"
#include "shim/say.h"

#define REPORT_MAX ((size_t)64 << 20)
#define DEPTH_MAX  200

struct search {
	struct shim_build *b;
	const char *glob;
	size_t found;
	int depth;
	struct orch_err *err;
};

static int read_report(struct search *s, int dirfd, const char *name, const char *path)
{
	struct shim_test_counts counts = {0};
	struct orch_err why = ORCH_ERR_INIT;
	struct orch_buf text;
	int r;

	orch_buf_init(&text, REPORT_MAX);
	r = orch_file_load(dirfd, name, &text, &why);
	if (r == 0)
		r = shim_test_report_parse(
		    text.data ? (const char *)text.data : "", text.len, &counts, &why);
	orch_buf_fini(&text);
	if (r < 0)
		shim_build_end(s->b, OUT_FAILED, "test results %s: %s", path, why.msg);
	else if (counts.tests == 0)
		shim_build_end(s->b, OUT_FAILED, "test results %s: there is no test in it", path);
	s->b->tests.tests += counts.tests;
	s->b->tests.failed += counts.failed;
	s->b->tests.skipped += counts.skipped;
	s->b->test_files++;
	return 0;
}

static int see_file(
    struct search *s, int dirfd, const char *name, const char *path, const struct stat *st)
{
	if (!orch_glob_match(s->glob, path, false))
		return 0;
	s->found++;
	if (orch_timespec_ns(&st->st_mtim) < s->b->wall_begin_ns)
		shim_build_end(s->b, OUT_FAILED, "test results %s: older than this build", path);
	return read_report(s, dirfd, name, path);
}

static int walk(struct search *s, int dirfd, const char *path);

static int see_entry(struct search *s, int dirfd, const char *name, const char *folder)
{
	orch_auto(free) char *path = NULL;
	struct stat st;

	if (asprintf(&path, "%s%s%s", folder, folder[0] ? "/" : "", name) < 0)
		return orch_err_sys(s->err, ENOMEM, "look for test results");
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT
			   ? 0
			   : orch_err_sys(s->err, errno, "look for test results: %s", path);
	if (S_ISDIR(st.st_mode)) {
		int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		/* a folder that the build made unreadable holds no results */
		return fd < 0 ? 0 : walk(s, fd, path);
	}
	return S_ISREG(st.st_mode) ? see_file(s, dirfd, name, path, &st) : 0;
}

/* Takes fd over. */
static int walk(struct search *s, int fd, const char *path)
{
	DIR *d = s->depth < DEPTH_MAX ? fdopendir(fd) : NULL;
	const struct dirent *e;
	int r = 0;

	if (!d) {
		orch_fd_close(fd);
		return 0;
	}
	s->depth++;
	while (r == 0 && (e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = see_entry(s, dirfd(d), e->d_name, path);
	s->depth--;
	closedir(d);
	return r;
}

static int look_for(struct shim_build *b, const char *glob, struct orch_err *err)
{
	struct search s = {.b = b, .glob = glob, .err = err};
	int fd = open(b->mount_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 ? orch_err_sys(err, errno, "look for test results in %s", b->mount_path)
		       : walk(&s, fd, "");

	if (r == 0 && s.found == 0)
		shim_build_end(b, OUT_FAILED, "test results '%s': there is no such file", glob);
	return r;
}

int shim_build_tests(struct shim_build *b, struct orch_err *err)
{
	int r = 0;

	const struct orch_strv *globs = shim_list(b->in, "testResults");

	for (size_t i = 0; r == 0 && i < globs->count; i++)
		r = look_for(b, globs->v[i], err);
	if (b->test_files)
		shim_build_detail(b, "%llu tests in %zu files", (unsigned long long)b->tests.tests,
		    b->test_files);
	if (b->tests.failed && b->state == OUT_SUCCEEDED)
		shim_say(SHIM_SAY_WARN,
		    "%llu tests failed, though the command says that it succeeded",
		    (unsigned long long)b->tests.failed);
	return r;
}
