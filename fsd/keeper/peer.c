/* Peers of the control socket: SO_PEERCRED, SO_PEERGROUPS, and work under their ids. */
#include "peer.h"
#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "core/clock.h"
#include "core/fd.h"

#define RUN_MS 10000

static int groups_load(int sock, struct fsd_peer *p)
{
	socklen_t len = 64 * sizeof(gid_t);

	for (;;) {
		gid_t *g = malloc(len);

		if (!g)
			return -ENOMEM;
		if (getsockopt(sock, SOL_SOCKET, SO_PEERGROUPS, g, &len) == 0) {
			p->groups = g;
			p->group_count = len / sizeof(gid_t);
			return 0;
		}
		free(g);
		if (errno != ERANGE || len > FSD_PEER_GROUPS_MAX * sizeof(gid_t))
			return -errno;
	}
}

int fsd_peer_load(int sock, struct fsd_peer *out, struct orch_err *err)
{
	struct fsd_peer p = {0};
	struct ucred c;
	socklen_t len = sizeof(c);
	int rc;

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &c, &len) < 0)
		return orch_err_sys(err, errno, "who is the client?");
	p.uid = c.uid;
	p.gid = c.gid;
	p.pid = c.pid;
	rc = groups_load(sock, &p);
	if (rc < 0)
		return orch_err_sys(err, -rc, "groups of the client");
	*out = p;
	return 0;
}

void fsd_peer_fini(struct fsd_peer *p)
{
	free(p->groups);
	p->groups = NULL;
	p->group_count = 0;
}

bool fsd_peer_is_admin(const struct fsd_peer *p)
{
	return p->uid == 0 || p->uid == geteuid();
}

int fsd_peer_actable(const struct fsd_peer *p, struct orch_err *err)
{
	if (geteuid() == 0 || p->uid == geteuid())
		return 0;
	return orch_err_set(err, EPERM,
	    "this daemon runs as user %u and can't act for user %u (run one as root, or your own)",
	    (unsigned)geteuid(), (unsigned)p->uid);
}

struct orch_json *fsd_peer_to_json(const struct fsd_peer *p)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	struct orch_json *o = NULL;

	(void)orch_buf_printf(&b, "{\"uid\":%u,\"gid\":%u,\"groups\":[", p->uid, p->gid);
	for (size_t i = 0; i < p->group_count; i++)
		(void)orch_buf_printf(&b, "%s%u", i ? "," : "", p->groups[i]);
	(void)orch_buf_add_str(&b, "]}");
	if (b.failed || orch_json_parse((const char *)b.data, b.len, &o, NULL) < 0)
		return NULL;
	return o;
}

/* ---- work under the peer's ids ---- */

struct shared { /* one page that parent and child see */
	int result;
	char out[];
};

/* In the child: only system calls, since the parent has threads. */
static int take_ids(const struct fsd_peer *p)
{
	if (geteuid() != 0 || (p->uid == 0 && p->gid == 0))
		return 0;
	if (syscall(SYS_setgroups, p->group_count, p->groups) < 0 ||
	    syscall(SYS_setresgid, p->gid, p->gid, p->gid) < 0 ||
	    syscall(SYS_setresuid, p->uid, p->uid, p->uid) < 0)
		return -errno;
	return 0;
}

static int wait_child(pid_t pid, struct orch_err *err)
{
	orch_auto(fd) int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd pfd = {.fd = pidfd, .events = POLLIN};
	uint64_t deadline = orch_deadline_in_ms(RUN_MS);
	int status, n;

	do
		n = poll(&pfd, 1, orch_deadline_poll_ms(deadline));
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (n <= 0)
		return orch_err_set(
		    err, ETIMEDOUT, "no answer of the file system in %d s", RUN_MS / 1000);
	return 0;
}

int fsd_peer_run(const struct fsd_peer *p, int (*fn)(void *arg, char *out, size_t out_cap),
    void *arg, char *out, size_t out_cap, struct orch_err *err)
{
	size_t size = sizeof(struct shared) + out_cap;
	struct shared *sh =
	    mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid;
	int rc;

	if (sh == MAP_FAILED)
		return orch_err_sys(err, errno, "memory for a child");
	sh->result = -EIO;
	pid = fork();
	if (pid == 0) {
		rc = take_ids(p);
		sh->result = rc < 0 ? rc : fn(arg, sh->out, out_cap);
		_exit(0);
	}
	rc = pid < 0 ? orch_err_sys(err, errno, "fork") : wait_child(pid, err);
	if (rc == 0) {
		rc = sh->result;
		memcpy(out, sh->out, out_cap);
	}
	munmap(sh, size);
	return rc;
}
