/*
 * Control groups. A `struct orch_cgroup` is a folder in each hierarchy that serves a purpose: the
 * version 2 tree where there is one, else version 1 freezer, to hold the processes together; memory,
 * cpu, cpuacct and pids of version 1 only when there are limits to set there.
 */
#include "core/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/cgroup_place.h"
#include "core/clock.h"
#include "core/fd.h"
#include "core/path.h"

#define CPU_PERIOD_US 100000
#define KILL_ROUNDS   200
#define NESTED_MAX    8
#define FREE_WAIT_MS  2000

enum controller { V2, FREEZER, MEMORY, CPU, CPUACCT, PIDS, CONTROLLERS };

/* The names in /proc/self/cgroup; of version 2 it is the empty one. */
static const char *const controller_names[CONTROLLERS] = {
    [V2] = "",
    [FREEZER] = "freezer",
    [MEMORY] = "memory",
    [CPU] = "cpu",
    [CPUACCT] = "cpuacct",
    [PIDS] = "pids",
};

struct orch_cgroup {
	char *path[CONTROLLERS]; /* NULL: not used; controllers mounted together share text */
	int dir[CONTROLLERS];
	int procs[CONTROLLERS];
	unsigned lacks;
};

static int file_read(int dir, const char *name, char *out, size_t cap)
{
	orch_auto(fd) int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, cap - 1);

	if (n < 0)
		return -errno;
	out[n] = '\0';
	return 0;
}

static int file_write(int dir, const char *name, const char *text)
{
	orch_auto(fd) int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);

	return fd < 0 ? -errno : orch_fd_write_all(fd, text, strlen(text));
}

static int file_write_u64(int dir, const char *name, uint64_t v)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64, v);
	return file_write(dir, name, text);
}

/* The number alone, or behind "key ". 0 when it is not there. */
static uint64_t file_number(int dir, const char *name, const char *key)
{
	char text[4096];
	const char *p = text;
	size_t len = strlen(key);

	if (file_read(dir, name, text, sizeof(text)) < 0)
		return 0;
	if (len == 0)
		return strtoull(text, NULL, 10);
	for (; *p; p += strcspn(p, "\n"), p += *p == '\n')
		if (strncmp(p, key, len) == 0 && p[len] == ' ')
			return strtoull(p + len, NULL, 10);
	return 0;
}

/* Whether a group below this one would have the controllers that the limits need (version 2). */
static bool hands_on(const char *folder, const struct orch_cgroup_limits *l)
{
	orch_auto(fd) int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char text[256];

	if (dir < 0 || file_read(dir, "cgroup.subtree_control", text, sizeof(text)) < 0)
		return false;
	return (!l->memory_bytes || strstr(text, "memory")) &&
	       (!l->cpu_milli || strstr(text, "cpu")) && (!l->pids || strstr(text, "pids")) &&
	       access(folder, W_OK) == 0;
}

/* Version 2: the nearest group upwards that hands on what is needed; else folder stays. */
static void climb(char *folder, const struct orch_cgroup_limits *l)
{
	orch_auto(free) char *up = strdup(folder);
	char *slash;

	while (up && access(up, W_OK) == 0 && !hands_on(up, l)) {
		slash = strrchr(up, '/');
		if (!slash || slash == up)
			return;
		*slash = '\0';
	}
	if (up && hands_on(up, l))
		memcpy(folder, up, strlen(up) + 1); /* up is no longer than folder */
}

static int folder_open(struct orch_cgroup *g, enum controller c, char *path)
{
	int procs;
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	procs = dir < 0 ? -1 : openat(dir, "cgroup.procs", O_WRONLY | O_CLOEXEC);
	if (procs < 0) {
		int code = errno;

		orch_fd_close(dir);
		rmdir(path);
		return -code;
	}
	g->path[c] = path;
	g->dir[c] = dir;
	g->procs[c] = procs;
	return 0;
}

static int folder_make(
    struct orch_cgroup *g, enum controller c, const char *parent, const char *name)
{
	orch_auto(free) char *path = orch_path_join(parent, name);
	int r;

	if (!path)
		return -ENOMEM;
	if (mkdir(path, 0755) < 0) {
		/* mounted together: made for the other controller a moment ago */
		for (int other = 0; other < CONTROLLERS; other++)
			if (g->path[other] && strcmp(g->path[other], path) == 0)
				return -EALREADY;
		if (errno != EEXIST || rmdir(path) < 0 || mkdir(path, 0755) < 0)
			return errno == EBUSY ? -EEXIST : -errno;
	}
	r = folder_open(g, c, path);
	if (r == 0)
		path = NULL;
	return r;
}

/* cpu and cpuacct may be one mount: the folder of whichever was made. */
static int dir_of(const struct orch_cgroup *g, enum controller c, enum controller twin)
{
	return g->dir[c] >= 0 ? g->dir[c] : g->dir[twin];
}

static bool set_memory(struct orch_cgroup *g, uint64_t bytes)
{
	if (g->dir[V2] >= 0 && file_write_u64(g->dir[V2], "memory.max", bytes) == 0) {
		(void)!file_write(g->dir[V2], "memory.swap.max", "0");
		return true;
	}
	if (g->dir[MEMORY] < 0 ||
	    file_write_u64(g->dir[MEMORY], "memory.limit_in_bytes", bytes) < 0)
		return false;
	(void)!file_write_u64(g->dir[MEMORY], "memory.memsw.limit_in_bytes", bytes);
	return true;
}

static bool set_cpu(struct orch_cgroup *g, uint64_t milli)
{
	uint64_t quota = milli * CPU_PERIOD_US / 1000;
	int dir = dir_of(g, CPU, CPUACCT);
	char text[64];

	quota = quota < 1000 ? 1000 : quota;
	snprintf(text, sizeof(text), "%" PRIu64 " %d", quota, CPU_PERIOD_US);
	if (g->dir[V2] >= 0 && file_write(g->dir[V2], "cpu.max", text) == 0)
		return true;
	return dir >= 0 && file_write_u64(dir, "cpu.cfs_period_us", CPU_PERIOD_US) == 0 &&
	       file_write_u64(dir, "cpu.cfs_quota_us", quota) == 0;
}

static bool set_pids(struct orch_cgroup *g, uint64_t max)
{
	if (g->dir[V2] >= 0 && file_write_u64(g->dir[V2], "pids.max", max) == 0)
		return true;
	return g->dir[PIDS] >= 0 && file_write_u64(g->dir[PIDS], "pids.max", max) == 0;
}

static void set_limits(struct orch_cgroup *g, const struct orch_cgroup_limits *l)
{
	if (l->memory_bytes && !set_memory(g, l->memory_bytes))
		g->lacks |= ORCH_CGROUP_MEMORY;
	if (l->cpu_milli && !set_cpu(g, l->cpu_milli))
		g->lacks |= ORCH_CGROUP_CPU;
	if (l->pids && !set_pids(g, l->pids))
		g->lacks |= ORCH_CGROUP_PIDS;
}

static bool is_wanted(
    const struct orch_cgroup *g, enum controller c, const struct orch_cgroup_limits *l)
{
	switch (c) {
	case V2:
		return true;
	case FREEZER:
		return g->dir[V2] < 0;
	case MEMORY:
		return l->memory_bytes || l->measure;
	case CPU:
		return l->cpu_milli;
	case CPUACCT:
		return l->cpu_milli || l->measure;
	case PIDS:
		return l->pids;
	case CONTROLLERS:
		break;
	}
	return false;
}

static int texts_load(struct orch_buf *groups, struct orch_buf *mounts, struct orch_err *err)
{
	int r = orch_file_load(AT_FDCWD, "/proc/self/cgroup", groups, err);

	if (r == 0)
		r = orch_file_load(AT_FDCWD, "/proc/self/mountinfo", mounts, err);
	return r < 0 ? r : 0;
}

/* The folders, as many as can be made; the first reason why one could not. */
static int folders_make(struct orch_cgroup *g, const char *name, const struct orch_cgroup_limits *l,
    struct orch_err *err)
{
	orch_auto(buf) struct orch_buf groups = ORCH_BUF_INIT, mounts = ORCH_BUF_INIT;
	int reason = -ENOTSUP;
	int r = texts_load(&groups, &mounts, err);

	if (r < 0)
		return r;
	for (int c = 0; c < CONTROLLERS; c++) {
		orch_auto(free) char *parent = NULL;

		if (!is_wanted(g, (enum controller)c, l) || !groups.len || !mounts.len)
			continue;
		parent = orch_cgroup_place(
		    (char *)groups.data, (char *)mounts.data, controller_names[c]);
		if (!parent)
			continue;
		if (c == V2 && (l->memory_bytes || l->cpu_milli || l->pids))
			climb(parent, l);
		r = folder_make(g, (enum controller)c, parent, name);
		if (r == -EEXIST || r == -ENOMEM)
			return orch_err_sys(err, -r, "cannot make the control group %s", name);
		if (r < 0 && r != -EALREADY)
			reason = r;
	}
	for (int c = 0; c < CONTROLLERS; c++)
		if (g->dir[c] >= 0)
			return 0;
	return orch_err_set(
	    err, ENOTSUP, "no control group can be made here (%s)", orch_err_name(-reason));
}

int orch_cgroup_new(const char *name, const struct orch_cgroup_limits *limits,
    struct orch_cgroup **out, struct orch_err *err)
{
	static const struct orch_cgroup_limits none;
	struct orch_cgroup *g;
	int r;

	if (!orch_name_valid(name, strlen(name)))
		return orch_err_set(err, EINVAL, "%s is no name for a control group", name);
	g = calloc(1, sizeof(*g));
	if (!g)
		return orch_err_sys(err, ENOMEM, "cannot make the control group %s", name);
	for (int c = 0; c < CONTROLLERS; c++)
		g->dir[c] = g->procs[c] = -1;
	r = folders_make(g, name, limits ? limits : &none, err);
	if (r < 0) {
		orch_cgroup_free(g);
		return r;
	}
	if (limits)
		set_limits(g, limits);
	*out = g;
	return 0;
}

unsigned orch_cgroup_lacks(const struct orch_cgroup *g)
{
	return g->lacks;
}

size_t orch_cgroup_join_fds(const struct orch_cgroup *g, int out[ORCH_CGROUP_JOIN_MAX])
{
	size_t n = 0;

	for (int c = 0; c < CONTROLLERS; c++)
		if (g->procs[c] >= 0)
			out[n++] = g->procs[c];
	return n;
}

/* The tree that holds the processes together. */
static int holder(const struct orch_cgroup *g)
{
	for (int c = 0; c < CONTROLLERS; c++)
		if (g->dir[c] >= 0)
			return g->dir[c];
	return -1;
}

static int signal_listed(int dir, int signal)
{
	orch_auto(buf) struct orch_buf text = ORCH_BUF_INIT;
	int count = 0;

	if (orch_file_load(dir, "cgroup.procs", &text, NULL) < 0 || !text.data)
		return 0;
	for (char *p = (char *)text.data; *p; p += strcspn(p, "\n"), p += *p == '\n') {
		int pid = (int)strtol(p, NULL, 10);

		/* 0: a process of another pid namespace */
		if (pid > 0 && (signal == 0 || kill(pid, signal) == 0))
			count++;
	}
	return count;
}

/* Calls fn for each group below dir; stops at a depth that nobody nests to. */
static int each_below(int dir, unsigned depth, int (*fn)(int dir, int arg), int arg)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	int sum = fn(dir, arg);

	if (!d) {
		orch_fd_close(fd);
		return sum;
	}
	while (depth < NESTED_MAX && (e = readdir(d))) {
		orch_auto(fd) int sub = -1;

		if (e->d_type != DT_DIR || e->d_name[0] == '.')
			continue;
		sub = openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (sub >= 0)
			sum += each_below(sub, depth + 1, fn, arg);
	}
	closedir(d);
	return sum;
}

static void pause_ms(long ms)
{
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&ts, NULL);
}

int orch_cgroup_kill(const struct orch_cgroup *g, int signal)
{
	int dir = holder(g);
	int found = each_below(dir, 0, signal_listed, signal == SIGKILL ? 0 : signal);

	if (signal != SIGKILL || found == 0)
		return found;
	if (g->dir[V2] >= 0 && file_write(g->dir[V2], "cgroup.kill", "1") == 0)
		return found;
	/* Frozen processes can't fork away from the signal. */
	if (g->dir[FREEZER] >= 0)
		(void)!file_write(g->dir[FREEZER], "freezer.state", "FROZEN");
	for (int i = 0; i < KILL_ROUNDS && each_below(dir, 0, signal_listed, SIGKILL) > 0; i++) {
		if (g->dir[FREEZER] >= 0)
			(void)!file_write(g->dir[FREEZER], "freezer.state", "THAWED");
		pause_ms(1);
	}
	return found;
}

bool orch_cgroup_populated(const struct orch_cgroup *g)
{
	return each_below(holder(g), 0, signal_listed, 0) > 0;
}

static void remove_below(const char *path, unsigned depth)
{
	DIR *d = depth < NESTED_MAX ? opendir(path) : NULL;
	struct dirent *e;

	while (d && (e = readdir(d))) {
		orch_auto(free) char *sub = NULL;

		if (e->d_type != DT_DIR || e->d_name[0] == '.')
			continue;
		sub = orch_path_join(path, e->d_name);
		if (sub)
			remove_below(sub, depth + 1);
	}
	if (d)
		closedir(d);
	rmdir(path);
}

/* A killed process stays in its group until it has gone through its exit. */
static void folder_remove(const char *path, uint64_t deadline_ns)
{
	for (long ms = 1; rmdir(path) < 0 && errno == EBUSY && orch_clock_ns() < deadline_ns;
	     ms = ms < 16 ? ms * 2 : ms) {
		pause_ms(ms);
		remove_below(path, 0);
	}
}

size_t orch_cgroup_paths(const struct orch_cgroup *g, const char *out[ORCH_CGROUP_JOIN_MAX])
{
	size_t n = 0;

	for (int c = 0; c < CONTROLLERS; c++)
		if (g->path[c])
			out[n++] = g->path[c];
	return n;
}

void orch_cgroup_remove_left(const char *path)
{
	static const char prefix[] = "/orch.";
	const char *slash = strrchr(path, '/');
	orch_auto(fd) int dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct statfs fs;

	if (dir < 0 || !slash || strncmp(slash, prefix, sizeof(prefix) - 1) != 0 ||
	    fstatfs(dir, &fs) < 0 ||
	    (fs.f_type != CGROUP2_SUPER_MAGIC && fs.f_type != CGROUP_SUPER_MAGIC))
		return;
	for (int i = 0; i < KILL_ROUNDS && each_below(dir, 0, signal_listed, SIGKILL) > 0; i++)
		pause_ms(1);
	folder_remove(path, orch_deadline_in_ms(FREE_WAIT_MS));
}

void orch_cgroup_free(struct orch_cgroup *g)
{
	uint64_t deadline_ns = orch_deadline_in_ms(FREE_WAIT_MS);

	if (!g)
		return;
	if (holder(g) >= 0)
		orch_cgroup_kill(g, SIGKILL);
	for (int c = 0; c < CONTROLLERS; c++) {
		orch_fd_close(g->procs[c]);
		orch_fd_close(g->dir[c]);
		if (g->path[c])
			folder_remove(g->path[c], deadline_ns);
		free(g->path[c]);
	}
	free(g);
}

void orch_cgroup_leave(struct orch_cgroup *g)
{
	if (!g)
		return;
	for (int c = 0; c < CONTROLLERS; c++) {
		orch_fd_close(g->procs[c]);
		orch_fd_close(g->dir[c]);
		free(g->path[c]);
	}
	free(g);
}

void orch_cgroup_measure(const struct orch_cgroup *g, struct orch_cgroup_usage *out)
{
	int v2 = g->dir[V2], cpu = dir_of(g, CPUACCT, CPU);
	struct orch_cgroup_usage u = {0};

	if (v2 >= 0) {
		u.cpu_ns = file_number(v2, "cpu.stat", "usage_usec") * 1000;
		u.memory_peak_bytes = file_number(v2, "memory.peak", "");
		u.oom_kills = file_number(v2, "memory.events", "oom_kill");
	}
	if (cpu >= 0 && !u.cpu_ns)
		u.cpu_ns = file_number(cpu, "cpuacct.usage", "");
	if (g->dir[MEMORY] >= 0) {
		u.memory_peak_bytes = file_number(g->dir[MEMORY], "memory.max_usage_in_bytes", "");
		u.oom_kills += file_number(g->dir[MEMORY], "memory.oom_control", "oom_kill");
	}
	*out = u;
}

int orch_cgroup_probe(void)
{
	static const struct orch_cgroup_limits all = {
	    .memory_bytes = UINT64_C(1) << 40, .cpu_milli = 1000, .pids = 10000};
	struct orch_cgroup *g = NULL;
	unsigned lacks;
	char name[64];
	int r;

	snprintf(name, sizeof(name), "orch.probe.%d", (int)getpid());
	r = orch_cgroup_new(name, &all, &g, NULL);
	if (r < 0)
		return r;
	lacks = g->lacks;
	orch_cgroup_free(g);
	return (int)((ORCH_CGROUP_MEMORY | ORCH_CGROUP_CPU | ORCH_CGROUP_PIDS) & ~lacks);
}
