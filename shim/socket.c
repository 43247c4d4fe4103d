#include "shim/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core/buf.h"
#include "core/path.h"

#define SOCKET_PATH_MAX 107

const char *shim_getenv(const char *const *envp, const char *name)
{
	size_t len = strlen(name);

	for (; *envp; envp++)
		if (strncmp(*envp, name, len) == 0 && (*envp)[len] == '=')
			return (*envp)[len + 1] ? *envp + len + 1 : NULL;
	return NULL;
}

static void default_socket(const char *const *envp, struct orch_buf *b)
{
	const char *run = shim_getenv(envp, "XDG_RUNTIME_DIR");

	if (geteuid() == 0)
		orch_buf_add_str(b, ORCH_RUNSTATEDIR "/orch/fsd.sock");
	else if (run)
		orch_buf_printf(b, "%s/orch/fsd.sock", run);
	else
		orch_buf_printf(b, "/tmp/orch-%u/fsd.sock", (unsigned)geteuid());
}

/* Whoever was there first could answer in our daemon's place. */
static int check_tmp(const char *given, const char *const *envp, struct orch_err *err)
{
	struct stat st;
	char folder[64];

	if (given || geteuid() == 0 || shim_getenv(envp, "XDG_RUNTIME_DIR"))
		return 0;
	snprintf(folder, sizeof(folder), "/tmp/orch-%u", (unsigned)geteuid());
	if (lstat(folder, &st) < 0 || (S_ISDIR(st.st_mode) && st.st_uid == geteuid()))
		return 0;
	return orch_err_set(err, EACCES,
	    "%s belongs to user %u: set XDG_RUNTIME_DIR, or name a socket with --socket or "
	    "ORCH_SOCKET",
	    folder, (unsigned)st.st_uid);
}

int shim_socket_resolve(
    const char *given, const char *const *envp, char **out, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	orch_auto(free) char *path = NULL;

	int r = check_tmp(given, envp, err);

	if (r < 0)
		return r;
	if (given)
		orch_buf_add_str(&b, given);
	else
		default_socket(envp, &b);
	if (b.failed || !b.data)
		return orch_err_set(err, EINVAL, "the path of the socket is empty");
	path = orch_path_absolute((const char *)b.data);
	if (!path)
		return orch_err_sys(err, ENOMEM, "find the socket");
	if (strlen(path) > SOCKET_PATH_MAX)
		return orch_err_set(err, ENAMETOOLONG,
		    "socket %s: a Unix socket's path has at most %d bytes; choose a shorter one "
		    "with "
		    "--socket or ORCH_SOCKET",
		    path, SOCKET_PATH_MAX);
	*out = orch_take(path);
	return 0;
}

static void state_folder(const char *const *envp, struct orch_buf *b)
{
	const char *state = shim_getenv(envp, "XDG_STATE_HOME"), *home = shim_getenv(envp, "HOME");

	if (geteuid() == 0)
		orch_buf_add_str(b, ORCH_LOCALSTATEDIR "/lib/orch-shim/runs");
	else if (state)
		orch_buf_printf(b, "%s/orch/runs", state);
	else if (home)
		orch_buf_printf(b, "%s/.local/state/orch/runs", home);
	else
		orch_buf_printf(b, "/tmp/orch-%u/runs", (unsigned)geteuid());
}

int shim_runs_folder(const char *socket_path, bool socket_given, const char *const *envp,
    char **out, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	const char *slash = strrchr(socket_path, '/');

	if (socket_given && slash)
		orch_buf_printf(
		    &b, "%.*s/%s.runs", (int)(slash - socket_path), socket_path, slash + 1);
	else
		state_folder(envp, &b);
	*out = orch_buf_take_str(&b);
	return *out ? 0 : orch_err_sys(err, ENOMEM, "find the folder of runs");
}

bool shim_socket_is_closed(const char *path)
{
	return faccessat(AT_FDCWD, path, R_OK | W_OK, AT_EACCESS) < 0 && errno == EACCES;
}

void shim_socket_hint(const char *path, char *out, size_t size)
{
	struct stat st;
	const struct group *gr = stat(path, &st) == 0 ? getgrgid(st.st_gid) : NULL;
	const char *name = gr ? gr->gr_name : "orch";

	if (gr && gr->gr_gid == 0) { /* root's group is not for joining */
		snprintf(out, size,
		    "Only root may use %s: ask root to start the daemon with a group of its own "
		    "(orch-fsd --group orch), use sudo, or name a socket of your own with --socket",
		    path);
		return;
	}
	snprintf(out, size,
	    "Its group may use %s: join it (usermod -aG %s USER, then log in again), or name a "
	    "socket of your own with --socket",
	    path, name);
}
