/* Looks through /proc. See busy.h. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "core/buf.h"
#include "core/fd.h"
#include "core/mounts.h"
#include "core/proc_map.h"
#include "format/msg.h"
#include "fsd/mount/busy.h"

#define VIEWS	 "/" FMT_VIEWS_FOLDER "/"
#define TEXT_MAX ((size_t)16 << 20) /* of one file of /proc */

/* What is looked for. */
struct look {
	const char *path; /* where the mount is, or was */
	dev_t dev;	  /* 0: by path, in our namespace */
	ino_t ns;	  /* our mount namespace */
	bool here;	  /* the mount is in it: then the kernel sees who uses it there */
};

static bool link_is_below(int dir, const char *name, const char *root)
{
	char target[PATH_MAX];
	size_t len = strlen(root);
	ssize_t n = readlinkat(dir, name, target, sizeof(target) - 1);

	if (n <= 0)
		return false;
	target[n] = 0;
	return strncmp(target, root, len) == 0 && (target[len] == 0 || target[len] == '/');
}

/* Paths of another namespace say nothing here. */
static bool link_is_on(int dir, const char *name, dev_t dev)
{
	struct statx st;

	return statx(dir, name, AT_STATX_DONT_SYNC, 0, &st) == 0 &&
	       makedev(st.stx_dev_major, st.stx_dev_minor) == dev;
}

static bool link_fits(int dir, const char *name, const struct look *l)
{
	return l->dev ? link_is_on(dir, name, l->dev) : link_is_below(dir, name, l->path);
}

static bool has_open_file(int process, const struct look *l)
{
	int fd = openat(process, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	bool found = false;

	if (!d) {
		orch_fd_close(fd);
		return false;
	}
	while (!found && (e = readdir(d)))
		found = e->d_name[0] != '.' && link_fits(dirfd(d), e->d_name, l);
	closedir(d);
	return found;
}

/* A text of the kernel, ended with a NUL; NULL: there is none. */
static const char *load(int process, const char *name, struct orch_buf *b)
{
	orch_buf_init(b, TEXT_MAX);
	if (orch_file_load(process, name, b, NULL) < 0 || orch_buf_add(b, "", 1) < 0)
		return NULL;
	return (const char *)b->data;
}

static bool has_mapping(int process, dev_t dev)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	const char *text = load(process, "maps", &b);
	struct orch_proc_map m;

	while (text && *text)
		if (orch_proc_map_parse(&text, &m) == 0 && makedev(m.major, m.minor) == dev)
			return true;
	return false;
}

/* At any place but those, as seen from any folder; NULL: at any. */
static bool has_mount(int process, dev_t dev, const char *const *but_on, struct orch_mount *out)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	const char *text = load(process, "mountinfo", &b);

	return text &&
	       orch_mounts_pick_device(text, b.len - 1, major(dev), minor(dev), but_on, out);
}

static void describe(int process, const char *pid, char *out, size_t cap)
{
	char comm[32] = "?";
	int fd = openat(process, "comm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, comm, sizeof(comm) - 1);

	orch_fd_close(fd);
	if (n > 0)
		comm[comm[n - 1] == '\n' ? n - 1 : n] = 0;
	snprintf(out, cap, "%s (pid %s)", comm, pid);
}

static bool uses(int process, const struct look *l)
{
	return link_fits(process, "cwd", l) || link_fits(process, "root", l) ||
	       link_fits(process, "exe", l) || has_open_file(process, l);
}

static bool uses_elsewhere(int process, const struct look *l)
{
	const char *const ours_too[] = {l->path, VIEWS, NULL};
	struct orch_mount m;
	struct stat st;
	bool ours;

	if (fstatat(process, "ns/mnt", &st, 0) < 0) /* it has ended, or is another user's */
		return false;
	ours = st.st_ino == l->ns;
	if (ours && l->here)
		return false;
	return uses(process, l) || (!ours && has_mount(process, l->dev, ours_too, &m)) ||
	       has_mapping(process, l->dev);
}

static bool find(const struct look *l, char *out, size_t cap)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	char self[16];
	bool found = false;

	snprintf(self, sizeof(self), "%d", (int)getpid());
	while (d && !found && (e = readdir(d))) {
		int process;

		if (e->d_name[0] < '1' || e->d_name[0] > '9' || strcmp(e->d_name, self) == 0)
			continue;
		process = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (process < 0)
			continue;
		found = l->dev ? uses_elsewhere(process, l) : uses(process, l);
		if (found)
			describe(process, e->d_name, out, cap);
		orch_fd_close(process);
	}
	if (d)
		closedir(d);
	return found;
}

bool mnt_busy_find(const char *mountpoint, char *out, size_t cap)
{
	return find(&(struct look){.path = mountpoint}, out, cap);
}

/* Its folder may have been moved; a copy in another namespace then is at the new place, too. It is here
 * also when only a view of it is. */
static void find_place(struct look *l, struct orch_mount *at)
{
	static const char *const views[] = {VIEWS, NULL};
	struct orch_mount any;
	int self = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (self < 0)
		return;
	l->here = has_mount(self, l->dev, NULL, &any);
	if (l->here && has_mount(self, l->dev, views, at))
		l->path = at->path;
	orch_fd_close(self);
}

bool mnt_busy_elsewhere(dev_t dev, const char *mountpoint, char *out, size_t cap)
{
	struct look l = {.path = mountpoint, .dev = dev};
	struct orch_mount at;
	struct stat st;

	if (dev == 0 || stat("/proc/self/ns/mnt", &st) < 0)
		return false;
	l.ns = st.st_ino;
	find_place(&l, &at);
	return find(&l, out, cap);
}

bool mnt_busy_is_here(dev_t dev)
{
	struct look l = {.dev = dev};
	struct orch_mount at;

	if (dev != 0)
		find_place(&l, &at);
	return l.here;
}
