/* Looks through /proc. See busy.h. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "core/fd.h"
#include "fsd/mount/busy.h"

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

static bool has_open_file(int process, const char *root)
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
		found = e->d_name[0] != '.' && link_is_below(dirfd(d), e->d_name, root);
	closedir(d);
	return found;
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

static bool uses(int process, const char *root)
{
	return link_is_below(process, "cwd", root) || link_is_below(process, "root", root) ||
	       link_is_below(process, "exe", root) || has_open_file(process, root);
}

bool mnt_busy_find(const char *mountpoint, char *out, size_t cap)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	bool found = false;

	while (d && !found && (e = readdir(d))) {
		int process;

		if (e->d_name[0] < '1' || e->d_name[0] > '9')
			continue;
		process = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (process < 0)
			continue;
		found = uses(process, mountpoint);
		if (found)
			describe(process, e->d_name, out, cap);
		orch_fd_close(process);
	}
	if (d)
		closedir(d);
	return found;
}
