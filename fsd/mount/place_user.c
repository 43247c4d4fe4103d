/* See place_user.h. The protocol (a socket named by _FUSE_COMMFD) is that of fusermount3's man page. */
#include "fsd/mount/place_user.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "core/clock.h"
#include "core/fd.h"
#include "core/process.h"

#define FUSERMOUNT  "fusermount3"
#define COMMFD_ENV  "_FUSE_COMMFD"
#define SAID_MAX    1024
#define RECEIVE_MS  1000
#define END_MS	    1000
#define OPTIONS_MAX 512

/* The beginning of what it has printed. */
struct said {
	char text[SAID_MAX];
	size_t len;
};

static int note_output(void *priv, int stream, const void *p, size_t n)
{
	struct said *s = priv;
	size_t room = sizeof(s->text) - 1 - s->len;

	(void)stream;
	memcpy(s->text + s->len, p, n < room ? n : room);
	s->len += n < room ? n : room;
	return 0;
}

/* One line, without the program's name in front of each. */
static const char *said_text(struct said *s)
{
	size_t name = sizeof(FUSERMOUNT ": ") - 1;
	char *p = s->text;

	while (s->len && s->text[s->len - 1] == '\n')
		s->len--;
	s->text[s->len] = '\0';
	for (char *c = p; (c = strchr(c, '\n'));)
		*c = ' ';
	return strncmp(p, FUSERMOUNT ": ", name) == 0 ? p + name : p;
}

static int refused(struct said *said, int status, struct orch_err *err)
{
	const char *text = said_text(said);

	if (!*text)
		return orch_err_set(err, EOPNOTSUPP,
		    FUSERMOUNT
		    " ended with status %#x and said nothing (orch-shim doctor may know)",
		    (unsigned)status);
	return orch_err_set(err, EOPNOTSUPP,
	    FUSERMOUNT " refuses: %s (orch-shim doctor tells what is missing)", text);
}

static int run(struct orch_process_spec *spec, uint64_t deadline_ns, struct orch_err *err)
{
	struct orch_process *p = NULL;
	struct said said = {.len = 0};
	int status = 0, r;

	spec->on_output = note_output;
	spec->priv = &said;
	r = orch_process_start(spec, &p, err);
	if (r == -ENOENT)
		return orch_err_set(err, EOPNOTSUPP,
		    FUSERMOUNT " is not installed, and only root mounts without: "
			       "apt-get install fuse3");
	if (r == -EACCES)
		return orch_err_set(err, EOPNOTSUPP,
		    FUSERMOUNT
		    " may not be run by this user (orch-shim doctor tells what is missing)");
	if (r < 0)
		return r;
	r = orch_process_wait(p, deadline_ns, -1, &status, err);
	if (r < 0)
		(void)orch_process_end(p, END_MS, NULL);
	orch_process_free(p);
	if (r == -ETIMEDOUT)
		return orch_err_set(err, ETIMEDOUT, FUSERMOUNT " does not end");
	if (r < 0)
		return r;
	return status == 0 ? 0 : refused(&said, status, err);
}

/* It has ended: what it sent is there. */
static int receive(int sock, int *out_fuse_fd, struct orch_err *err)
{
	int fds[ORCH_SOCK_FDS_MAX];
	size_t n = 0;
	char byte;
	ssize_t got = orch_sock_recv(sock, &byte, 1, fds, &n, orch_deadline_in_ms(RECEIVE_MS));

	if (got < 0)
		return orch_err_sys(err, (int)-got, "from " FUSERMOUNT);
	if (n != 1) {
		while (n > 0)
			orch_fd_close(fds[--n]);
		return orch_err_set(err, EIO, FUSERMOUNT " has sent no mount");
	}
	*out_fuse_fd = fds[0];
	return 0;
}

static int make(const char *mountpoint, const char *options, const int pair[2],
    uint64_t deadline_ns, struct orch_err *err)
{
	const char *argv[] = {FUSERMOUNT, "-o", options, "--", mountpoint, NULL};
	struct orch_process_spec spec = {.argv = argv,
	    .cwd = "/",
	    .stdin_fd = -1,
	    .stdout_fd = -1,
	    .stderr_fd = -1,
	    .merge_stderr = true,
	    .keep_fds = &pair[1],
	    .keep_fd_count = 1};
	char number[16];
	int r;

	snprintf(number, sizeof(number), "%d", pair[1]);
	if (setenv(COMMFD_ENV, number, 1) < 0)
		return orch_err_sys(err, errno, "environment of " FUSERMOUNT);
	r = run(&spec, deadline_ns, err);
	unsetenv(COMMFD_ENV);
	return r;
}

int mnt_place_by_user(const char *mountpoint, const struct mnt_place_spec *s, uint64_t deadline_ns,
    int *out_fuse_fd, struct orch_err *err)
{
	char options[OPTIONS_MAX];
	int pair[2], r;

	r = snprintf(options, sizeof(options),
	    "nosuid,nodev,noatime,default_permissions,subtype=orch,fsname=%s%s%s", s->source,
	    s->allow_other ? ",allow_other" : "", s->read_only ? ",ro" : "");
	if (r < 0 || (size_t)r >= sizeof(options))
		return orch_err_set(err, ENAMETOOLONG, "the source of the mount is too long");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return orch_err_sys(err, errno, "socket pair");
	r = make(mountpoint, options, pair, deadline_ns, err);
	orch_fd_close(pair[1]);
	if (r == 0)
		r = receive(pair[0], out_fuse_fd, err);
	orch_fd_close(pair[0]);
	return r;
}
