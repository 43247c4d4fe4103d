/* Folders on which workspaces are mounted. Nothing here enters a mounted file system: its process
 * may be dead or stuck. */
#include "mountpoint.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "core/clock.h"
#include "core/fd.h"
#include "core/log.h"
#include "core/mounts.h"
#include "core/process.h"

#define UMOUNT_MS   10000
#define SEND_MS	    1000
#define STACKED_MAX 16 /* mounts may be stacked */
#define MOUNTS_MAX  64 /* of one workspace: its own, its views, copies that somebody made */

static bool is_ours(const struct orch_mount *m)
{
	return strcmp(m->type, "fuse.orch") == 0;
}

/* An ordinary user's mount is taken away by the program that made it. */
static int unmount_as_user(const struct orch_mount *m, bool lazy, struct orch_err *err)
{
	const char *argv[] = {"fusermount3", lazy ? "-uz" : "-u", "-q", "--", m->path, NULL};
	int rc = orch_process_run(argv, NULL, orch_deadline_in_ms(UMOUNT_MS), err);

	if (rc == -ECHILD && !lazy)
		return orch_err_set(err, EBUSY, "unmount %s: it is in use", m->path);
	return rc;
}

static int unmount_one(const struct orch_mount *m, bool lazy, struct orch_err *err)
{
	int rc = orch_mount_detach(m, lazy);

	if (rc == -EPERM && geteuid() != 0)
		return unmount_as_user(m, lazy, err);
	return rc < 0 ? orch_err_sys(err, -rc, "unmount %s", m->path) : 0;
}

int fsd_mountpoint_unmount(const char *source, bool lazy, struct orch_err *err)
{
	struct orch_mount m;
	int rc = 0;

	for (int i = 0; i < MOUNTS_MAX && rc == 0; i++) {
		rc = orch_mounts_find_source("fuse.orch", source, &m, err);
		if (rc <= 0)
			return rc;
		rc = unmount_one(&m, lazy, err);
		if (rc == -ESTALE) /* moved or gone meanwhile: look again */
			rc = 0;
	}
	return rc;
}

int fsd_mountpoint_has(const char *path, const char *source, struct orch_err *err)
{
	struct orch_mount m;
	int rc = orch_mounts_find(path, &m, err);

	return rc > 0 ? is_ours(&m) && strcmp(m.source, source) == 0 : rc;
}

/* In a child: the process of the mount may be stuck. */
static int touch(void *arg, char *out, size_t cap)
{
	struct stat st;

	(void)out;
	(void)cap;
	return stat(arg, &st) < 0 ? -errno : 0;
}

/* The same. What the kernel knows of a dead mount it goes on telling, attributes too; this it knows of none. */
static int ask(void *arg, char *out, size_t cap)
{
	struct statfs s;

	(void)out;
	(void)cap;
	return statfs(arg, &s) < 0 ? -errno : 0;
}

static int run_child(int (*fn)(void *, char *, size_t), const char *path)
{
	struct fsd_peer self = {.uid = geteuid(), .gid = getegid()};
	char copy[sizeof(((struct orch_mount *)0)->path)], out;

	snprintf(copy, sizeof(copy), "%s", path);
	return fsd_peer_run(&self, fn, copy, &out, 1, NULL);
}

int fsd_mountpoint_look(const char *path)
{
	return run_child(touch, path);
}

static bool is_dead(const char *path)
{
	return run_child(ask, path) == -ENOTCONN;
}

/* Another daemon may use the same folder of mounts: what lives is left alone. */
static int clear_place(const char *path, struct orch_err *err)
{
	struct orch_mount m;
	int rc;

	for (int i = 0; i < STACKED_MAX; i++) {
		rc = orch_mounts_find(path, &m, err);
		if (rc <= 0)
			return rc;
		if (!is_ours(&m) || !is_dead(path))
			break;
		rc = unmount_one(&m, true, err);
		if (rc < 0 && rc != -ESTALE)
			return rc;
	}
	return orch_err_set(
	    err, EBUSY, "%s: a file system (%s, %s) is mounted there", path, m.type, m.source);
}

/* System calls only: a child with the ids of a peer calls it, too. 1, 0 or -errno. */
static int is_empty(int fd)
{
	char buf[1024];
	unsigned entries = 0;
	long n;

	for (;;) {
		n = syscall(SYS_getdents64, fd, buf, sizeof(buf));
		if (n <= 0)
			return n < 0 ? -errno : 1;
		for (long at = 0; at < n;) {
			uint16_t reclen;

			memcpy(&reclen, buf + at + 16, sizeof(reclen));
			entries++;
			at += reclen;
		}
		if (entries > 2) /* . and .. */
			return 0;
	}
}

int fsd_mountpoint_prepare(const char *path, int *out_fd, struct orch_err *err)
{
	int rc = clear_place(path, err), fd;

	/* Nobody is to write below a mount that is about to be there; fusermount3 asks for it. */
	if (rc == 0)
		rc = orch_mkdirs(AT_FDCWD, path, geteuid() == 0 ? 0555 : 0755, err);
	if (rc < 0)
		return rc;
	fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return orch_err_sys(err, errno, "%s", path);
	*out_fd = fd;
	return 0;
}

void fsd_mountpoint_discard(const char *path)
{
	if (rmdir(path) < 0 && (errno == ENOTEMPTY || errno == EEXIST))
		orch_log(ORCH_LOG_WARN, "keeper", "folder-kept", "path=%s reason=%s", path,
		    "it holds files that were written while nothing was mounted there; they are in "
		    "no workspace: move them away");
}

void fsd_mountpoint_tell_hidden(const char *path, int fd)
{
	orch_auto(fd) int dir = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir >= 0 && is_empty(dir) == 0)
		orch_log(ORCH_LOG_WARN, "keeper", "files-hidden", "path=%s reason=%s", path,
		    "files were written there before the mount was; they are in no workspace, and "
		    "seen when it is unmounted: move them away then");
}

bool fsd_mountpoint_sweep(int mounts_fd, const char *name, uint64_t age_s)
{
	const unsigned known = STATX_ATTR_MOUNT_ROOT;
	int64_t wall_s = orch_wall_ns() / (int64_t)ORCH_NS_PER_S;
	struct statx st;

	/* It asks no mounted file system: its process may be stuck. */
	if (statx(mounts_fd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC,
		STATX_TYPE | STATX_MODE | STATX_UID | STATX_CTIME, &st) < 0 ||
	    !(st.stx_attributes_mask & known) || (st.stx_attributes & known))
		return false;
	if (!S_ISDIR(st.stx_mode) || st.stx_uid != geteuid() || (st.stx_mode & 07022) ||
	    st.stx_ctime.tv_sec + (int64_t)age_s >= wall_s)
		return false;
	return unlinkat(mounts_fd, name, AT_REMOVEDIR) == 0;
}

/* ---- a path that a peer gave; in a child that has the peer's ids, system calls only ---- */

struct check {
	const char *path;
	uid_t uid;
	int send_fd; /* a socket: the folder goes back through it */
};

static int check_folder(void *arg, char *out, size_t cap)
{
	const struct check *c = arg;
	char link[64];
	struct stat st;
	ssize_t n;
	int fd = open(c->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (c->uid != 0 && st.st_uid != c->uid)
		return -EPERM;
	rc = is_empty(fd);
	if (rc <= 0)
		return rc < 0 ? rc : -ENOTEMPTY;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, out, cap - 1);
	if (n < 0)
		return -errno;
	if ((size_t)n == cap - 1)
		return -ENAMETOOLONG;
	out[n] = '\0';
	return orch_sock_send(c->send_fd, "", 1, &fd, 1, orch_deadline_in_ms(SEND_MS));
}

/* What the child has sent; it has ended. */
static int receive_folder(int sock, int *out_fd)
{
	int fds[ORCH_SOCK_FDS_MAX];
	size_t n = 0;
	char byte;
	ssize_t got = orch_sock_recv(sock, &byte, 1, fds, &n, orch_deadline_in_ms(SEND_MS));

	if (got < 0)
		return (int)got;
	if (n != 1)
		return -EIO;
	*out_fd = fds[0];
	return 0;
}

/* The result of the check, a number. */
static int ask_child(const struct fsd_peer *peer, struct check *c, char *out, size_t cap,
    int *out_fd, struct orch_err *err)
{
	int pair[2], rc;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return orch_err_sys(err, errno, "socket to a child");
	c->send_fd = pair[1];
	rc = fsd_peer_run(peer, check_folder, c, out, cap, err);
	orch_fd_close(pair[1]);
	if (rc == 0)
		rc = receive_folder(pair[0], out_fd);
	orch_fd_close(pair[0]);
	return rc;
}

int fsd_mountpoint_check(const struct fsd_peer *peer, const char *path, char *out, size_t cap,
    int *out_fd, struct orch_err *err)
{
	struct check c = {.path = path, .uid = peer->uid};
	int rc;

	if (path[0] != '/')
		return orch_err_set(err, EINVAL, "'at' is not an absolute path: %s", path);
	rc = fsd_peer_actable(peer, err);
	if (rc < 0)
		return rc;
	rc = ask_child(peer, &c, out, cap, out_fd, err);
	if (rc == -EPERM)
		return orch_err_set(
		    err, EPERM, "%s does not belong to user %u", path, (unsigned)peer->uid);
	if (rc == -ENOTEMPTY)
		return orch_err_set(err, ENOTEMPTY, "%s is not empty", path);
	if (rc < 0)
		return orch_err_sys(err, -rc, "%s", path);
	return 0;
}

/* ---- who uses a mount ---- */

#define USERS_MAX 5

static bool below(const char *p, size_t n, const char *path)
{
	size_t len = strlen(path);

	return n >= len && memcmp(p, path, len) == 0 && (n == len || p[len] == '/');
}

static bool link_is_below(int dir, const char *name, const char *path)
{
	char buf[4096];
	ssize_t n = readlinkat(dir, name, buf, sizeof(buf));

	return n > 0 && below(buf, (size_t)n, path);
}

static bool has_open(int proc, const char *path)
{
	int dir = openat(proc, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = dir < 0 ? NULL : fdopendir(dir);
	bool found = false;

	if (!d) {
		orch_fd_close(dir);
		return false;
	}
	for (struct dirent *e; !found && (e = readdir(d));)
		found = link_is_below(dirfd(d), e->d_name, path);
	closedir(d);
	return found;
}

static bool maps(int proc, const char *path)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;

	return orch_file_load(proc, "maps", &b, NULL) == 0 && b.len &&
	       memmem(b.data, b.len, path, strlen(path)) != NULL;
}

static bool uses(int proc, const char *path)
{
	return link_is_below(proc, "cwd", path) || link_is_below(proc, "root", path) ||
	       link_is_below(proc, "exe", path) || has_open(proc, path) || maps(proc, path);
}

static void tell_user(int proc, const char *pid, unsigned n, struct orch_buf *out)
{
	orch_auto(buf) struct orch_buf name = ORCH_BUF_INIT;
	const char *text = "?";

	if (orch_file_load(proc, "comm", &name, NULL) == 0 && name.len) {
		name.data[strcspn((char *)name.data, "\n")] = '\0';
		text = (const char *)name.data;
	}
	(void)orch_buf_printf(out, "%s%s (pid %s)", n ? ", " : ": in use by ", text, pid);
}

static bool uses_one(int proc, const char *const *paths)
{
	for (; *paths; paths++)
		if (uses(proc, *paths))
			return true;
	return false;
}

void fsd_mountpoint_users(const char *const *paths, struct orch_buf *out)
{
	DIR *d = opendir("/proc");
	unsigned n = 0;

	if (!d)
		return;
	for (struct dirent *e; n < USERS_MAX && (e = readdir(d));) {
		orch_auto(fd) int proc = -1;

		if (e->d_name[0] < '0' || e->d_name[0] > '9')
			continue;
		proc = openat(dirfd(d), e->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (proc >= 0 && uses_one(proc, paths))
			tell_user(proc, e->d_name, n++, out);
	}
	closedir(d);
}
