/* INIT with a bit that libfuse does not know. See greet.h. */
#include "fsd/mount/greet.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "core/clock.h"
#include "core/fd.h"

/* struct fuse_in_header, fuse_init_in, fuse_out_header and fuse_init_out of the kernel's protocol */
#define IN_OPCODE_AT  4
#define IN_FLAGS_AT   (40 + 12)
#define IN_FLAGS2_AT  (40 + 16)
#define IN_BYTES      (40 + 20)
#define OUT_ERROR_AT  4
#define OUT_FLAGS_AT  (16 + 12)
#define OUT_FLAGS2_AT (16 + 32)
#define OUT_BYTES     (16 + 64)
#define OPCODE_INIT   26u
#define INIT_EXT      (1u << 30) /* flags2 means something */
#define ALLOW_IDMAP2  (1u << 8)	 /* bit 40 of both; since Linux 6.12 */

#define REQUEST_MAX ((size_t)64 << 10)

static uint32_t get(const void *p, size_t at)
{
	uint32_t v;

	memcpy(&v, (const char *)p + at, sizeof(v));
	return v;
}

static void set_bit(void *p, size_t at, uint32_t bit)
{
	uint32_t v = get(p, at) | bit;

	memcpy((char *)p + at, &v, sizeof(v));
}

bool mnt_greet_allow(const void *in, size_t in_len, void *out, size_t out_len)
{
	if (in_len < IN_BYTES || get(in, IN_OPCODE_AT) != OPCODE_INIT ||
	    !(get(in, IN_FLAGS_AT) & INIT_EXT) || !(get(in, IN_FLAGS2_AT) & ALLOW_IDMAP2))
		return false;
	if (out_len < OUT_BYTES || get(out, OUT_ERROR_AT) != 0)
		return false;
	set_bit(out, OUT_FLAGS_AT, INIT_EXT);
	set_bit(out, OUT_FLAGS2_AT, ALLOW_IDMAP2);
	return true;
}

int mnt_greet_open(struct mnt_greet *g)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	*g = (struct mnt_greet){.session_fd = pair[0], .other_fd = pair[1]};
	return 0;
}

void mnt_greet_close(struct mnt_greet *g)
{
	orch_fd_close(g->session_fd);
	orch_fd_close(g->other_fd);
}

/* One message; the kernel's comes when it likes. */
static ssize_t receive(int fd, void *p, size_t cap, uint64_t deadline_ns)
{
	for (;;) {
		struct pollfd ready = {.fd = fd, .events = POLLIN};
		ssize_t n;

		if (poll(&ready, 1, orch_deadline_poll_ms(deadline_ns)) == 0)
			return -ETIMEDOUT;
		n = read(fd, p, cap);
		if (n >= 0)
			return n;
		if (errno != EINTR && errno != EAGAIN)
			return -errno;
	}
}

/* The answer is there already: libfuse has written it before it returned. */
static int answer(struct mnt_greet *g, int fuse_fd, const void *in, size_t in_len, bool *out_idmap)
{
	char out[4096];
	ssize_t n = receive(g->other_fd, out, sizeof(out), 0);

	if (n < 0)
		return (int)n;
	*out_idmap = mnt_greet_allow(in, in_len, out, (size_t)n);
	return write(fuse_fd, out, (size_t)n) == n ? 0 : -errno;
}

static int exchange(struct mnt_greet *g, int fuse_fd, uint64_t deadline_ns, mnt_greet_fn handle,
    void *arg, bool *out_idmap)
{
	orch_auto(free) char *in = malloc(REQUEST_MAX);
	orch_auto(free) char *copy = malloc(REQUEST_MAX);
	ssize_t n = in && copy ? receive(fuse_fd, in, REQUEST_MAX, deadline_ns) : -ENOMEM;

	if (n < 0)
		return (int)n;
	memcpy(copy, in, (size_t)n); /* libfuse may change what it handles */
	handle(arg, in, (size_t)n);
	return answer(g, fuse_fd, copy, (size_t)n, out_idmap);
}

int mnt_greet_run(struct mnt_greet *g, int fuse_fd, uint64_t deadline_ns, mnt_greet_fn handle,
    void *arg, bool *out_idmap, struct orch_err *err)
{
	int r = exchange(g, fuse_fd, deadline_ns, handle, arg, out_idmap);

	if (dup3(fuse_fd, g->session_fd, O_CLOEXEC) < 0 && r == 0)
		r = -errno;
	orch_fd_close(fuse_fd);
	orch_fd_close(g->other_fd);
	g->other_fd = -1;
	return r < 0 ? orch_err_sys(err, -r, "the kernel does not connect") : 0;
}
