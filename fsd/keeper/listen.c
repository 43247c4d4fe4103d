/* The control socket. */
#include "listen.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "core/fd.h"
#include "core/log.h"
#include "core/number.h"

#define SOCKET_PATH_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)
/* "/m/" + 8 digits of the store's id + "-" + 20 digits of a layer + ".sock" */
#define MOUNT_SOCKET_EXTRA 37

char *fsd_listen_folder(const char *path)
{
	const char *slash = strrchr(path, '/');

	ORCH_BUG_ON(!slash);
	return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

static int check_length(const char *path, struct orch_err *err)
{
	size_t folder = (size_t)(strrchr(path, '/') - path);

	if (strlen(path) > SOCKET_PATH_MAX)
		return orch_err_set(err, ENAMETOOLONG,
		    "%s: the path of a socket has at most %zu bytes, this has %zu", path,
		    SOCKET_PATH_MAX, strlen(path));
	if (folder + MOUNT_SOCKET_EXTRA > SOCKET_PATH_MAX)
		return orch_err_set(err, ENAMETOOLONG,
		    "%s: its folder may have at most %zu bytes, so that sockets of mounts fit "
		    "below it; this has %zu",
		    path, SOCKET_PATH_MAX - MOUNT_SOCKET_EXTRA, folder);
	return 0;
}

/* Whoever may rename in the folder could put a socket of his own there. */
static int check_folder(const char *folder, struct orch_err *err)
{
	struct stat st;

	if (stat(folder, &st) < 0)
		return errno == ENOENT ? 0 : orch_err_sys(err, errno, "%s", folder);
	if (!S_ISDIR(st.st_mode))
		return orch_err_set(err, ENOTDIR, "%s: not a folder", folder);
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return orch_err_set(
		    err, EACCES, "%s: belongs to user %u", folder, (unsigned)st.st_uid);
	if ((st.st_mode & S_IWOTH) && !(st.st_mode & S_ISVTX))
		return orch_err_set(err, EACCES, "%s: everybody may write there", folder);
	return 0;
}

static int check_free(const char *path, struct orch_err *err)
{
	struct orch_err ignored = ORCH_ERR_INIT;
	struct stat st;
	int fd;

	if (lstat(path, &st) < 0)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return orch_err_set(err, EEXIST, "%s: exists and is not a socket", path);
	fd = orch_sock_connect(path, SOCK_STREAM, 0, &ignored);
	if (fd < 0 && fd != -ETIMEDOUT) /* its queue is full: it is there all the same */
		return 0;
	orch_fd_close(fd);
	return orch_err_set(err, EBUSY, "another daemon answers on %s", path);
}

int fsd_listen_check(const struct fsd_listen_spec *s, struct orch_err *err)
{
	orch_auto(free) char *folder = fsd_listen_folder(s->path);
	int rc = folder ? check_length(s->path, err) : orch_err_sys(err, ENOMEM, "%s", s->path);

	if (rc == 0)
		rc = check_folder(folder, err);
	if (rc == 0)
		rc = check_free(s->path, err);
	return rc;
}

/* Root's socket is for the group, if there is such a group. */
static int give_to_group(const struct fsd_listen_spec *s, struct orch_err *err)
{
	struct group g, *found = NULL;
	char buf[4096];

	if (!*s->group || geteuid() != 0)
		return 0;
	if (getgrnam_r(s->group, &g, buf, sizeof(buf), &found) != 0 || !found) {
		orch_log(ORCH_LOG_DEBUG, "keeper", "no-group", "group=%s", s->group);
		return 0;
	}
	if (lchown(s->path, (uid_t)-1, found->gr_gid) < 0)
		return orch_err_sys(err, errno, "%s: give to group %s", s->path, s->group);
	return 0;
}

int fsd_listen_open(const struct fsd_listen_spec *s, int *out_fd, struct orch_err *err)
{
	orch_auto(free) char *folder = fsd_listen_folder(s->path);
	orch_auto(fd) int fd = -1;
	int rc;

	if (!folder)
		return orch_err_set(err, ENOMEM, "no memory");
	rc = orch_mkdirs(AT_FDCWD, folder, geteuid() == 0 ? 0755 : 0700, err);
	if (rc == 0)
		rc = fsd_listen_check(s, err);
	if (rc < 0)
		return rc;
	fd = orch_sock_listen(s->path, SOCK_STREAM, 0660, err);
	if (fd < 0)
		return fd;
	rc = give_to_group(s, err);
	if (rc < 0)
		return rc;
	*out_fd = fd;
	fd = -1;
	return 0;
}

void fsd_listen_look(const char *path, struct fsd_listen_file *out)
{
	struct stat st;

	*out = (struct fsd_listen_file){0};
	if (lstat(path, &st) == 0)
		*out = (struct fsd_listen_file){.dev = st.st_dev, .ino = st.st_ino};
}

bool fsd_listen_is(const char *path, const struct fsd_listen_file *f)
{
	struct fsd_listen_file now;

	fsd_listen_look(path, &now);
	return f->ino && now.dev == f->dev && now.ino == f->ino;
}

void fsd_listen_remove(const char *path, const struct fsd_listen_file *f)
{
	if (fsd_listen_is(path, f))
		unlink(path);
}

/* ---- sockets that were handed over: sd_listen_fds(3), without its library ---- */

#define INHERITED_FD 3
#define REPLACED_ENV "ORCH_FSD_REPLACED"

static bool is_number(const char *text, uint64_t value)
{
	uint64_t n;

	return text && orch_number_parse(text, strlen(text), value, &n) == 0 && n == value;
}

bool fsd_listen_env_parse(const char *pid, const char *fds, pid_t self)
{
	return is_number(pid, (uint64_t)self) && is_number(fds, 1);
}

static int check_inherited(const char *path, struct orch_err *err)
{
	struct sockaddr_un addr = {0};
	socklen_t len = sizeof(addr);
	int listening = 0;
	socklen_t size = sizeof(listening);

	if (getsockopt(INHERITED_FD, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0 ||
	    !listening || getsockname(INHERITED_FD, (struct sockaddr *)&addr, &len) < 0 ||
	    addr.sun_family != AF_UNIX)
		return orch_err_set(err, EINVAL,
		    "descriptor 3 is not a listening Unix socket, though LISTEN_FDS says so");
	if (strncmp(addr.sun_path, path, sizeof(addr.sun_path)) != 0)
		return orch_err_set(
		    err, EINVAL, "the socket handed over is %.108s, not %s", addr.sun_path, path);
	if (fcntl(INHERITED_FD, F_SETFD, FD_CLOEXEC) < 0)
		return orch_err_sys(err, errno, "descriptor 3");
	return 0;
}

int fsd_listen_inherit(
    const struct fsd_listen_spec *s, int *out_fd, bool *out_ours, struct orch_err *err)
{
	bool given = fsd_listen_env_parse(getenv("LISTEN_PID"), getenv("LISTEN_FDS"), getpid());
	bool ours = getenv(REPLACED_ENV) != NULL;
	int rc = given ? check_inherited(s->path, err) : 0;

	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	unsetenv(REPLACED_ENV);
	if (rc < 0 || !given)
		return rc;
	*out_fd = INHERITED_FD;
	*out_ours = ours;
	return 1;
}

int fsd_listen_bequeath(int fd)
{
	char pid[24];

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	if (fd == INHERITED_FD ? fcntl(fd, F_SETFD, 0) < 0 : dup2(fd, INHERITED_FD) < 0)
		return -errno;
	if (setenv("LISTEN_PID", pid, 1) < 0 || setenv("LISTEN_FDS", "1", 1) < 0 ||
	    setenv(REPLACED_ENV, "1", 1) < 0)
		return -errno;
	return 0;
}
