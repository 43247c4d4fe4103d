/* Freezing of control groups. See freezer.h. */
#include "core/freezer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/fd.h"
#include "core/grow.h"
#include "core/path.h"

#define PLACE	    "/sys/fs/cgroup/"
#define NAME	    "orch."
#define NESTED_MAX  32
#define PIDS_MAX    ((size_t)1 << 20)
#define WAIT_MIN_NS 20000L
#define WAIT_MAX_NS 1000000L

/* Of the two versions: where it is written, what, and where the state is read. */
struct freezer {
	const char *file, *freeze, *thaw, *state, *frozen;
};

static const struct freezer versions[] = {
    {"cgroup.freeze", "1", "0", "cgroup.events", "frozen 1"},
    {"freezer.state", "FROZEN", "THAWED", "freezer.state", "FROZEN"},
};

/* NULL: that group has none. */
static const struct freezer *freezer_of(int group)
{
	for (size_t i = 0; i < ORCH_ARRAY_LEN(versions); i++)
		if (faccessat(group, versions[i].file, F_OK, 0) == 0)
			return &versions[i];
	return NULL;
}

static bool is_ours(const char *path)
{
	const char *slash = strrchr(path, '/');

	return strncmp(path, PLACE, strlen(PLACE)) == 0 && slash &&
	       strncmp(slash + 1, NAME, strlen(NAME)) == 0 && orch_path_valid(path + 1);
}

int orch_freezer_open(const char *path, struct orch_err *err)
{
	orch_auto(fd) int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct statfs fs;
	int fd, r = 0;

	if (!is_ours(path))
		return orch_err_set(err, EINVAL,
		    "'%.300s' is no control group of orch (" PLACE ".../" NAME "*)", path);
	fd = root < 0 ? -errno
		      : orch_open_nolinks(root, path + 1, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd < 0)
		return orch_err_sys(err, -fd, "control group %s", path);
	if (fstatfs(fd, &fs) < 0 ||
	    (fs.f_type != CGROUP2_SUPER_MAGIC && fs.f_type != CGROUP_SUPER_MAGIC))
		r = orch_err_set(err, EINVAL, "%s is no control group", path);
	else if (!freezer_of(fd))
		r = orch_err_set(err, ENOTSUP, "the control group %s can't be frozen", path);
	if (r < 0)
		orch_fd_close(fd);
	return r < 0 ? r : fd;
}

static int put(int group, const char *file, const char *text)
{
	orch_auto(fd) int fd = openat(group, file, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -errno : orch_fd_write_all(fd, text, strlen(text));
}

static bool has_line(const char *text, const char *line)
{
	size_t len = strlen(line), n;

	for (; *text; text += n + (text[n] == '\n')) {
		n = strcspn(text, "\n");
		if (n == len && memcmp(text, line, n) == 0)
			return true;
	}
	return false;
}

/* 1: it stands still; 0: not yet. */
static int is_frozen(int group, const struct freezer *f)
{
	orch_auto(fd) int fd = openat(group, f->state, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char text[256];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (n < 0)
		return -errno;
	text[n] = '\0';
	return has_line(text, f->frozen);
}

static int wait_frozen(int group, const struct freezer *f, uint64_t deadline_ns)
{
	struct timespec pause = {.tv_nsec = WAIT_MIN_NS};
	int r;

	while ((r = is_frozen(group, f)) == 0) {
		if (orch_clock_ns() >= deadline_ns)
			return -ETIMEDOUT;
		nanosleep(&pause, NULL);
		if (pause.tv_nsec < WAIT_MAX_NS)
			pause.tv_nsec *= 2;
	}
	return r < 0 ? r : 0;
}

int orch_freezer_freeze(const int *groups, size_t count, uint64_t deadline_ns, struct orch_err *err)
{
	const struct freezer *f;
	int r = 0;

	/* All are told before one is waited for: they stop together, as nearly as can be. */
	for (size_t i = 0; r == 0 && i < count; i++) {
		f = freezer_of(groups[i]);
		r = f ? put(groups[i], f->file, f->freeze) : -ENOTSUP;
	}
	for (size_t i = 0; r == 0 && i < count; i++) {
		f = freezer_of(groups[i]);
		r = f ? wait_frozen(groups[i], f, deadline_ns) : -ENOTSUP;
	}
	if (r == 0)
		return 0;
	(void)orch_freezer_thaw(groups, count);
	return orch_err_sys(err, -r, "freeze a control group");
}

int orch_freezer_thaw(const int *groups, size_t count)
{
	int first = 0;

	for (size_t i = 0; i < count; i++) {
		const struct freezer *f = freezer_of(groups[i]);
		int r = f ? put(groups[i], f->file, f->thaw) : -ENOENT;

		if (r < 0 && first == 0)
			first = r;
	}
	return first;
}

/* ---- who is in it */

struct pids {
	int32_t *v;
	size_t count, cap;
};

static int add_pid(struct pids *p, int32_t pid)
{
	int r = -E2BIG;

	if (p->count < PIDS_MAX)
		r = orch_grow(&p->v, &p->cap, p->count + 1, sizeof(*p->v));
	if (r == 0)
		p->v[p->count++] = pid > 0 ? pid : -1;
	return r;
}

static int add_listed(struct pids *p, int group)
{
	orch_auto(buf) struct orch_buf text = ORCH_BUF_INIT;
	int r = orch_file_load(group, "cgroup.procs", &text, NULL);

	if (r < 0)
		return r;
	for (char *at = (char *)text.data; r == 0 && at && *at;) {
		r = add_pid(p, (int32_t)strtol(at, NULL, 10));
		at += strcspn(at, "\n");
		at += *at == '\n';
	}
	return r;
}

static int add_group(struct pids *p, int group, unsigned depth);

static int add_below(struct pids *p, DIR *d, unsigned depth)
{
	struct dirent *e;
	int r = 0;

	while (r == 0 && (e = readdir(d))) {
		orch_auto(fd) int sub = -1;

		if (e->d_type != DT_DIR || e->d_name[0] == '.')
			continue;
		sub = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (sub >= 0)
			r = add_group(p, sub, depth + 1);
		else if (errno != ENOENT)
			r = -errno;
	}
	return r;
}

static int add_group(struct pids *p, int group, unsigned depth)
{
	int fd, r;
	DIR *d;

	if (depth > NESTED_MAX)
		return -ELOOP;
	r = add_listed(p, group);
	if (r < 0)
		return r;
	fd = openat(group, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		r = -errno;
		orch_fd_close(fd);
		return r;
	}
	r = add_below(p, d, depth);
	closedir(d);
	return r;
}

int orch_freezer_pids(int group, int32_t **out, size_t *out_count)
{
	struct pids p = {.v = NULL};
	int r = add_group(&p, group, 0);

	if (r < 0) {
		free(p.v);
		return r;
	}
	*out = p.v;
	*out_count = p.count;
	return 0;
}
