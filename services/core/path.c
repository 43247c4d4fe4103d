/*
 * Paths: what is a valid name, and opening what came from outside beneath a root. The kernel
 * resolves (openat2); where it refuses that call, a walk that follows no link at all takes its
 * place, which is stricter, never laxer. No state; any thread.
 */
#include "core/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/fault.h"
#include "core/fd.h"

#ifndef ORCH_PKGLIBEXECDIR
#define ORCH_PKGLIBEXECDIR "/usr/local/libexec/orch"
#endif

/* A rename that runs against the resolution makes the kernel give up with EAGAIN. */
#define RESOLVE_ATTEMPTS 128

bool orch_name_valid(const char *name, size_t len)
{
	if (len == 0 || len > ORCH_NAME_MAX)
		return false;
	if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')))
		return false;
	return !memchr(name, '/', len) && !memchr(name, '\0', len);
}

bool orch_path_valid(const char *rel)
{
	size_t total = strlen(rel);

	if (total > ORCH_PATH_MAX)
		return false;
	for (;;) {
		size_t len = strcspn(rel, "/");

		if (!orch_name_valid(rel, len))
			return false;
		if (rel[len] == '\0')
			return true;
		rel += len + 1;
	}
}

static int sys_openat2(int root, const char *rel, int flags, mode_t mode, uint64_t resolve)
{
	bool creates = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
	struct open_how how = {
	    .flags = (uint64_t)(unsigned)flags,
	    .mode = creates ? mode & 07777 : 0,
	    .resolve = resolve,
	};
	long fd = -1;

	if (orch_fault(ORCH_FAULT_OPENAT2))
		return -ENOSYS;
	for (int i = 0; i < RESOLVE_ATTEMPTS; i++) {
		fd = syscall(SYS_openat2, root, rel, &how, sizeof(how));
		if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
			break;
	}
	return fd < 0 ? -errno : (int)fd;
}

/* Whether there is no openat2 at all: an old kernel, or a filter that refuses the call. */
static bool openat2_refused(int r)
{
	return r == -ENOSYS || r == -EPERM;
}

/* O_DIRECTORY on a link is ENOTDIR; callers of openat2 know it as ELOOP. */
static int open_folder_nolink(int at, const char *name)
{
	int fd = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int code = errno;
	struct stat st;

	if (fd >= 0)
		return fd;
	if (code == ENOTDIR && fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISLNK(st.st_mode))
		return -ELOOP;
	return -code;
}

static int open_last_nolink(int at, const char *name, int flags, mode_t mode)
{
	int fd = openat(at, name, flags | O_NOFOLLOW, mode);

	return fd < 0 ? -errno : fd;
}

/* The walk without openat2: each folder is opened without following a link. */
static int open_by_walk(int root, const char *rel, int flags, mode_t mode)
{
	char name[ORCH_NAME_MAX + 1];
	int at = root;

	for (;;) {
		size_t len = strcspn(rel, "/");
		bool last = rel[len] == '\0';
		int fd = -EXDEV;

		if (orch_name_valid(rel, len)) {
			memcpy(name, rel, len);
			name[len] = '\0';
			fd = last ? open_last_nolink(at, name, flags, mode)
				  : open_folder_nolink(at, name);
		}
		if (at != root)
			orch_fd_close(at);
		if (fd < 0 || last)
			return fd;
		at = fd;
		rel += len + 1;
	}
}

static int open_resolved(int root, const char *rel, int flags, mode_t mode, uint64_t resolve)
{
	int r;

	flags |= O_CLOEXEC;
	r = sys_openat2(root, rel, flags, mode, resolve);
	return openat2_refused(r) ? open_by_walk(root, rel, flags, mode) : r;
}

int orch_open_beneath(int root, const char *rel, int flags, mode_t mode)
{
	return open_resolved(root, rel, flags, mode, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
}

int orch_open_nolinks(int root, const char *rel, int flags, mode_t mode)
{
	return open_resolved(
	    root, rel, flags, mode, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS);
}

char *orch_path_join(const char *a, const char *b)
{
	size_t len = strlen(a);
	char *out = NULL;

	while (len > 1 && a[len - 1] == '/')
		len--;
	if (asprintf(&out, "%.*s%s%s", (int)len, a, len == 0 || a[len - 1] == '/' ? "" : "/", b) <
	    0)
		return NULL;
	return out;
}

/* Folds "//", "." and ".." of an absolute path in place; ".." of the root is the root. */
static void path_fold(char *path)
{
	char *out = path;
	const char *in = path;

	while (*in) {
		size_t len;

		in += strspn(in, "/");
		len = strcspn(in, "/");
		if (len == 2 && in[0] == '.' && in[1] == '.') {
			while (out > path && *--out != '/')
				;
		} else if (len > 0 && !(len == 1 && in[0] == '.')) {
			*out++ = '/';
			memmove(out, in, len);
			out += len;
		}
		in += len;
	}
	if (out == path)
		*out++ = '/';
	*out = '\0';
}

char *orch_path_absolute(const char *p)
{
	orch_auto(free) char *cwd = NULL;
	char *out;

	if (p[0] == '/') {
		out = strdup(p);
	} else {
		cwd = getcwd(NULL, 0);
		out = cwd ? orch_path_join(cwd, p) : NULL;
	}
	if (out)
		path_fold(out);
	return out;
}

/* folder/name as an absolute path when it is a program; *out is NULL when it isn't. */
static int program_at(const char *folder, const char *name, char **out)
{
	orch_auto(free) char *joined = orch_path_join(folder, name);
	orch_auto(free) char *path = joined ? orch_path_absolute(joined) : NULL;
	struct stat st;

	*out = NULL;
	if (!path)
		return -ENOMEM;
	if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0)
		*out = orch_take(path);
	return 0;
}

/* The folder of this executable; false when /proc does not tell. */
static bool own_folder(char out[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);
	char *slash;

	if (n <= 0)
		return false;
	out[n] = '\0';
	slash = strrchr(out, '/');
	if (!slash)
		return false;
	*slash = '\0';
	return true;
}

char *orch_path_program(const char *name, const char *build_rel, struct orch_err *err)
{
	const char *set = secure_getenv("ORCH_LIBEXECDIR");
	char self[PATH_MAX];
	char *found = NULL;
	int r = 0;

	if (set && *set)
		r = program_at(set, name, &found);
	if (r == 0 && !found && own_folder(self))
		r = program_at(self, build_rel, &found);
	if (r == 0 && !found)
		r = program_at(ORCH_PKGLIBEXECDIR, name, &found);
	if (r < 0)
		orch_err_sys(err, -r, "cannot look for %s", name);
	else if (!found)
		orch_err_set(err, ENOENT,
		    "cannot find the program %s: it is not in " ORCH_PKGLIBEXECDIR
		    "; set ORCH_LIBEXECDIR to its folder, or install orch",
		    name);
	return found;
}

bool orch_workspace_name_valid(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > 100 || name[0] == '.' || name[0] == '-')
		return false;
	return strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") ==
	       len;
}

static bool ref_component_valid(const char *p, size_t len)
{
	if (len == 0 || p[0] == '.')
		return false;
	if (len >= 5 && memcmp(p + len - 5, ".lock", 5) == 0)
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)p[i];

		if (c <= ' ' || c == 0x7f || strchr("~^:?*[\\", c))
			return false;
		if (c == '.' && i + 1 < len && p[i + 1] == '.')
			return false;
		if (c == '@' && i + 1 < len && p[i + 1] == '{')
			return false;
	}
	return true;
}

bool orch_ref_name_valid(const char *name)
{
	size_t total = strlen(name);

	if (total == 0 || total > 1000 || name[total - 1] == '.' || strcmp(name, "@") == 0)
		return false;
	for (;;) {
		size_t len = strcspn(name, "/");

		if (!ref_component_valid(name, len))
			return false;
		if (name[len] == '\0')
			return true;
		name += len + 1;
	}
}
