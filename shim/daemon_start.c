#include "shim/daemon_start.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "core/clock.h"
#include "core/fd.h"
#include "core/path.h"
#include "core/process.h"
#include "shim/api.h"
#include "shim/say.h"
#include "shim/socket.h"

#define START_MS 60000
#define OTHER_MS 2000
#define IDLE_S	 "10"

static int open_lock(const char *socket_path, struct orch_err *err)
{
	orch_auto(free) char *folder = strdup(socket_path), *lock = NULL;
	int fd, r;

	if (!folder || asprintf(&lock, "%s.lock", socket_path) < 0)
		return orch_err_sys(err, ENOMEM, "start a daemon");
	*strrchr(folder, '/') = '\0';
	r = folder[0] ? orch_mkdirs(AT_FDCWD, folder, 0755, err) : 0;
	if (r < 0) {
		orch_err_wrap(err, "start a daemon");
		return r;
	}
	fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	return fd < 0 ? orch_err_sys(err, errno, "start a daemon: lock %s", lock) : fd;
}

/* Polls, so that a signal and the deadline end it. */
static int take_lock(struct shim_cli *cli, int fd, uint64_t deadline, struct orch_err *err)
{
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		struct pollfd p = {.fd = cli->cancel_fd, .events = POLLIN};

		if (errno != EWOULDBLOCK && errno != EINTR)
			return orch_err_sys(err, errno, "start a daemon: lock");
		if (poll(&p, 1, 20) > 0)
			return orch_err_set(
			    err, ECANCELED, "cancelled while another build starts the daemon");
		if (orch_clock_ns() > deadline)
			return orch_err_set(
			    err, ETIMEDOUT, "another build has not started the daemon in time");
	}
	return 0;
}

static int make_argv(struct shim_cli *cli, const char *program, struct orch_strv *argv)
{
	static const struct {
		const char *env, *flag;
	} passed[] = {{"ORCH_STORE", "--store"}, {"ORCH_MOUNTS", "--mounts"}};
	int r = orch_strv_add(argv, program);

	if (r == 0)
		r = orch_strv_add(argv, "--background");
	if (r == 0)
		r = orch_strv_add(argv, "--exit-idle");
	if (r == 0)
		r = orch_strv_add(argv, IDLE_S);
	if (r == 0)
		r = orch_strv_add(argv, "--socket");
	if (r == 0)
		r = orch_strv_add(argv, cli->socket);
	for (size_t i = 0; r == 0 && i < ORCH_ARRAY_LEN(passed); i++) {
		const char *value = shim_getenv(cli->envp, passed[i].env);

		if (value)
			r = orch_strv_add(argv, passed[i].flag);
		if (r == 0 && value)
			r = orch_strv_add(argv, value);
	}
	return r;
}

/* What the daemon said, without its last newline, for the message. */
static void read_reason(int fd, struct orch_buf *b)
{
	if (lseek(fd, 0, SEEK_SET) < 0 || orch_fd_slurp(fd, b) < 0)
		return;
	while (b->len && b->data[b->len - 1] == '\n')
		b->data[--b->len] = '\0';
}

static int judge(int status, int said, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf reason = ORCH_BUF_INIT;

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	read_reason(said, &reason);
	return orch_err_set(err, EIO, "the daemon did not start: %s",
	    reason.len ? (const char *)reason.data : "it said nothing");
}

static int run_daemon(
    struct shim_cli *cli, const char *program, uint64_t deadline, struct orch_err *err)
{
	orch_auto(strv) struct orch_strv argv = ORCH_STRV_INIT;
	orch_auto(fd) int said = memfd_create("orch-fsd", MFD_CLOEXEC);
	struct orch_process_spec spec = {.stdin_fd = -1,
	    .stdout_fd = said,
	    .stderr_fd = said,
	    .new_session = true,
	    .detach = true};
	struct orch_process *p = NULL;
	int status = 0, r;

	if (said < 0 || make_argv(cli, program, &argv) < 0)
		return orch_err_sys(err, ENOMEM, "start a daemon");
	spec.argv = (const char *const *)argv.v;
	r = orch_process_start(&spec, &p, err);
	if (r < 0) {
		orch_err_wrap(err, "start a daemon");
		return r;
	}
	r = orch_process_wait(p, deadline, cli->cancel_fd, &status, err);
	if (r == 0)
		r = judge(status, said, err);
	else if (r == -ETIMEDOUT)
		orch_err_set(
		    err, ETIMEDOUT, "the daemon did not answer within %d s", START_MS / 1000);
	orch_process_free(p);
	return r;
}

static char *find_program(struct orch_err *err)
{
	char *program = orch_path_program("orch-fsd", "../fsd/keeper/orch-fsd", err);

	/* Installed, it lies beside us; PATH may know neither. */
	if (!program)
		program = orch_path_program("orch-fsd", "orch-fsd", err);
	return program ? program : strdup("orch-fsd");
}

/* A build that was cancelled may have left one that is still coming up: then ours is refused. */
static int wait_for_another(struct shim_cli *cli, int failure, struct orch_err *err)
{
	uint64_t deadline = orch_deadline_in_ms(OTHER_MS);

	while (failure != -ECANCELED && orch_clock_ns() < deadline) {
		struct pollfd p = {.fd = cli->cancel_fd, .events = POLLIN};
		struct orch_err ignored = ORCH_ERR_INIT;

		if (shim_ping(cli, &ignored) == 0)
			return 0;
		if (poll(&p, 1, 50) > 0)
			return orch_err_set(err, ECANCELED, "cancelled while the daemon starts");
	}
	return failure;
}

int shim_daemon_ensure(struct shim_cli *cli, bool *out_started, struct orch_err *err)
{
	uint64_t deadline = orch_deadline_in_ms(START_MS);
	orch_auto(free) char *program = NULL;
	orch_auto(fd) int lock = -1;
	int r = shim_ping(cli, err);

	*out_started = false;
	if (r != -ORCH_ENODAEMON)
		return r;
	lock = open_lock(cli->socket, err);
	if (lock < 0)
		return lock;
	r = take_lock(cli, lock, deadline, err);
	if (r == 0)
		r = shim_ping(cli, err);
	if (r != -ORCH_ENODAEMON)
		return r;
	program = find_program(err);
	if (!program)
		return orch_err_sys(err, ENOMEM, "start a daemon");
	shim_say(SHIM_SAY_DETAIL, "starting %s for %s", program, cli->socket);
	r = run_daemon(cli, program, deadline, err);
	if (r < 0)
		return wait_for_another(cli, r, err);
	shim_disconnect(cli);
	*out_started = true;
	return shim_ping(cli, err);
}
