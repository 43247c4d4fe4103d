/* Unix sockets (declared in fd.h): messages with descriptors, listening, connecting. No state. */
#include "core/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/clock.h"

#define LISTEN_BACKLOG 128

/* 0: ready (or broken, which the transfer will tell). */
static int wait_ready(int sock, short events, uint64_t deadline_ns)
{
	struct pollfd p = {.fd = sock, .events = events};

	for (;;) {
		int r = poll(&p, 1, orch_deadline_poll_ms(deadline_ns));

		if (r > 0)
			return 0;
		if (r == 0 && orch_deadline_poll_ms(deadline_ns) == 0)
			return -ETIMEDOUT;
		if (r < 0 && errno != EINTR)
			return -errno;
	}
}

union fd_control {
	struct cmsghdr align;
	char space[CMSG_SPACE(sizeof(int) * ORCH_SOCK_FDS_MAX)];
};

static void attach_fds(struct msghdr *msg, union fd_control *control, const int *fds, size_t count)
{
	struct cmsghdr *c;

	memset(control, 0, sizeof(*control));
	msg->msg_control = control->space;
	msg->msg_controllen = CMSG_SPACE(sizeof(int) * count);
	c = CMSG_FIRSTHDR(msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * count);
	memcpy(CMSG_DATA(c), fds, sizeof(int) * count);
}

int orch_sock_send(
    int sock, const void *p, size_t n, const int *fds, size_t fd_count, uint64_t deadline_ns)
{
	union {
		const void *borrowed;
		void *base;
	} u = {.borrowed = p};
	struct iovec iov = {.iov_base = u.base, .iov_len = n};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	union fd_control control;

	/* An empty message could not be told from the peer's end. */
	if (n == 0 || fd_count > ORCH_SOCK_FDS_MAX)
		return -EINVAL;
	if (fd_count > 0)
		attach_fds(&msg, &control, fds, fd_count);
	for (;;) {
		ssize_t r = sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (r >= 0)
			return (size_t)r == n ? 0 : -EIO;
		if (errno == EAGAIN) {
			int w = wait_ready(sock, POLLOUT, deadline_ns);

			if (w < 0)
				return w;
		} else if (errno != EINTR) {
			return errno == ECONNRESET ? -EPIPE : -errno;
		}
	}
}

/* Moves what came into fds; beyond its room everything is closed. */
static size_t take_fds(struct msghdr *msg, int *fds)
{
	size_t count = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (fds && count < ORCH_SOCK_FDS_MAX)
				fds[count++] = fd;
			else
				close(fd);
		}
	}
	return count;
}

static ssize_t receive_wait(int sock, struct msghdr *msg, uint64_t deadline_ns)
{
	size_t room = msg->msg_controllen;

	for (;;) {
		ssize_t n;
		int w;

		msg->msg_controllen = room;
		n = recvmsg(sock, msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
		if (n >= 0)
			return n;
		if (errno == ECONNRESET)
			return 0;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		w = wait_ready(sock, POLLIN, deadline_ns);
		if (w < 0)
			return w;
	}
}

ssize_t orch_sock_recv(
    int sock, void *p, size_t cap, int *fds, size_t *out_fd_count, uint64_t deadline_ns)
{
	struct iovec iov = {.iov_base = p, .iov_len = cap};
	union fd_control control;
	struct msghdr msg = {
	    .msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.space,
	    .msg_controllen = sizeof(control.space),
	};
	size_t count;
	ssize_t n = receive_wait(sock, &msg, deadline_ns);

	if (n < 0)
		return n;
	count = n == 0 ? 0 : take_fds(&msg, out_fd_count ? fds : NULL);
	if (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		for (size_t i = 0; i < count; i++)
			close(fds[i]);
		return -EMSGSIZE;
	}
	if (out_fd_count)
		*out_fd_count = count;
	return n;
}

static int address_of(const char *path, struct sockaddr_un *out, struct orch_err *err)
{
	size_t len = strlen(path);

	memset(out, 0, sizeof(*out));
	out->sun_family = AF_UNIX;
	if (len >= sizeof(out->sun_path))
		return orch_err_set(err, ENAMETOOLONG,
		    "the socket path %s is %zu bytes long; at most %zu are possible", path, len,
		    sizeof(out->sun_path) - 1);
	if (len == 0)
		return orch_err_set(err, EINVAL, "the socket path is empty");
	memcpy(out->sun_path, path, len);
	return 0;
}

/* Nobody listens on the socket file that is in the way. */
static bool is_stale(const struct sockaddr_un *addr, int type)
{
	orch_auto(fd) int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;

	if (fd < 0 || lstat(addr->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return false;
	return connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 &&
	       errno == ECONNREFUSED;
}

static int bind_replacing_stale(int fd, const struct sockaddr_un *addr, int type)
{
	const struct sockaddr *sa = (const struct sockaddr *)addr;

	if (bind(fd, sa, sizeof(*addr)) == 0)
		return 0;
	if (errno != EADDRINUSE)
		return -errno;
	if (!is_stale(addr, type))
		return -EADDRINUSE;
	if (unlink(addr->sun_path) < 0 && errno != ENOENT)
		return -errno;
	return bind(fd, sa, sizeof(*addr)) < 0 ? -errno : 0;
}

int orch_sock_listen(const char *path, int type, mode_t mode, struct orch_err *err)
{
	orch_auto(fd) int fd = -1;
	struct sockaddr_un addr;
	int r = address_of(path, &addr, err);
	int out;

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	/* The mode before bind is the widest that the file ever has; umask may have cut it. */
	if (fd < 0 || fchmod(fd, mode) < 0)
		return orch_err_sys(err, errno, "cannot make a socket");
	r = bind_replacing_stale(fd, &addr, type);
	if (r < 0)
		return orch_err_sys(err, -r, "cannot listen on %s", path);
	if (chmod(path, mode) < 0 || listen(fd, LISTEN_BACKLOG) < 0) {
		r = -errno;
		unlink(path);
		return orch_err_sys(err, -r, "cannot listen on %s", path);
	}
	out = fd;
	fd = -1;
	return out;
}

/* How long connect(2) may wait for room in the queue of who listens; 0 would be for ever. */
static int set_patience(int fd, uint64_t deadline_ns)
{
	int ms = orch_deadline_poll_ms(deadline_ns);
	struct timeval tv = {0};

	if (ms >= 0)
		tv = (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 + 1};
	return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) < 0 ? -errno : 0;
}

static int connect_until(int fd, const struct sockaddr_un *addr, uint64_t deadline_ns)
{
	int r;

	do {
		r = set_patience(fd, deadline_ns);
		if (r == 0 && connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0)
			r = -errno;
	} while (r == -EINTR);
	if (r == 0)
		r = set_patience(fd, ORCH_FOREVER);
	return r == -EAGAIN ? -ETIMEDOUT : r;
}

int orch_sock_connect(const char *path, int type, uint64_t deadline_ns, struct orch_err *err)
{
	orch_auto(fd) int fd = -1;
	struct sockaddr_un addr;
	int r = address_of(path, &addr, err);
	int out;

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return orch_err_sys(err, errno, "cannot make a socket");
	r = connect_until(fd, &addr, deadline_ns);
	if (r < 0)
		return orch_err_sys(err, -r, "cannot connect to %s", path);
	out = fd;
	fd = -1;
	return out;
}
