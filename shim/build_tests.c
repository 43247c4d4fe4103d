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
#include "shim/build.h"
#include "shim/cancel.h"

#define REPORT_MAX ((size_t)64 << 20)
#define DEPTH_MAX  200

struct search {
	struct shim_build *b;
	const struct out_specs *spec; /* the glob */
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

static int see_file(struct search *s, int dirfd, const char *name, const char *path, int line,
    const struct stat *st)
{
	if (!out_specs_takes(s->spec, 0, line))
		return 0;
	s->found++;
	if (orch_timespec_ns(&st->st_mtim) < s->b->wall_begin_ns)
		shim_build_end(s->b, OUT_FAILED, "test results %s: older than this build", path);
	return read_report(s, dirfd, name, path);
}

static int walk(struct search *s, int fd, const char *path, int line);

static int see_folder(struct search *s, int dirfd, const char *name, const char *path, int line)
{
	int fd;

	if (!out_specs_takes(s->spec, 0, line) && !out_specs_below(s->spec, 0, path))
		return 0;
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	/* a folder that the build made unreadable holds no results */
	return fd < 0 ? 0 : walk(s, fd, path, line);
}

/* above: the line of the glob that decided about the folder, see out_specs_line. */
static int see_entry(struct search *s, int dirfd, const char *name, const char *folder, int above)
{
	orch_auto(free) char *path = NULL;
	struct stat st;
	int line;

	if (asprintf(&path, "%s%s%s", folder, folder[0] ? "/" : "", name) < 0)
		return orch_err_sys(s->err, ENOMEM, "look for test results");
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT
			   ? 0
			   : orch_err_sys(s->err, errno, "look for test results: %s", path);
	line = out_specs_line(s->spec, 0, path, S_ISDIR(st.st_mode), above);
	if (S_ISDIR(st.st_mode))
		return see_folder(s, dirfd, name, path, line);
	return S_ISREG(st.st_mode) ? see_file(s, dirfd, name, path, line, &st) : 0;
}

/* Takes fd over. */
static int walk(struct search *s, int fd, const char *path, int line)
{
	DIR *d = s->depth < DEPTH_MAX ? fdopendir(fd) : NULL;
	const struct dirent *e;
	int r = 0;

	if (!d) {
		orch_fd_close(fd);
		return 0;
	}
	s->depth++;
	while (r == 0 && !shim_cancelled() && (e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = see_entry(s, dirfd(d), e->d_name, path, line);
	s->depth--;
	closedir(d);
	return r;
}

static int look_for(
    struct shim_build *b, const char *glob, const struct out_specs *spec, struct orch_err *err)
{
	struct search s = {.b = b, .spec = spec, .err = err};
	int fd = open(b->mount_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return orch_err_sys(err, errno, "look for test results in %s", b->mount_path);
	r = walk(&s, fd, "", -1);
	if (r == 0 && shim_cancelled())
		return orch_err_set(err, ECANCELED, "cancelled");
	if (r == 0 && s.found == 0)
		shim_build_end(b, OUT_FAILED, "test results '%s': there is no such file", glob);
	return r;
}

static struct out_specs *spec_of(const char *glob, struct orch_err *err)
{
	struct out_specs *spec = out_specs_new();
	orch_auto(buf) struct orch_buf text = ORCH_BUF_INIT;

	orch_buf_printf(&text, "tests=%s", glob);
	if (!spec || text.failed) {
		orch_err_sys(err, ENOMEM, "--test-results");
	} else if (out_specs_add(spec, (const char *)text.data, err) == 0) {
		return spec;
	} else {
		orch_err_wrap(err, "--test-results '%s'", glob);
	}
	out_specs_free(spec);
	return NULL;
}

int shim_build_check_tests(const struct shim_build *b, struct orch_err *err)
{
	const struct orch_strv *globs = shim_list(b->in, "testResults");

	for (size_t i = 0; i < globs->count; i++) {
		struct out_specs *spec = spec_of(globs->v[i], err);

		if (!spec)
			return -EINVAL;
		out_specs_free(spec);
	}
	return 0;
}

int shim_build_tests(struct shim_build *b, struct orch_err *err)
{
	int r = 0;

	const struct orch_strv *globs = shim_list(b->in, "testResults");

	for (size_t i = 0; r == 0 && i < globs->count; i++) {
		struct out_specs *spec = spec_of(globs->v[i], err);

		r = spec ? look_for(b, globs->v[i], spec, err) : -EINVAL;
		out_specs_free(spec);
	}
	if (b->test_files)
		shim_build_detail(b, "%llu tests in %zu files", (unsigned long long)b->tests.tests,
		    b->test_files);
	if (b->tests.failed && b->state == OUT_SUCCEEDED)
		shim_build_warn(b, "tests",
		    "%llu tests failed, though the command says that it succeeded",
		    (unsigned long long)b->tests.failed);
	return r;
}
