/* The pipe between the first process and the daemon: "ready\n", or "<errno> <message>", or EOF
 * when the daemon died. */
#include "background.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "core/buf.h"
#include "core/fd.h"
#include "core/number.h"

int fsd_background_parse(const char *text, struct orch_err *err)
{
	size_t digits = strspn(text, "0123456789");
	uint64_t code;

	if (strcmp(text, "ready\n") == 0)
		return 0;
	if (orch_number_parse(text, digits, INT_MAX, &code) < 0 || code == 0)
		code = EIO;
	text += digits;
	return orch_err_set(err, (int)code, "%s", text + strspn(text, " "));
}

static int read_verdict(int fd, pid_t pid, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	int rc = orch_fd_slurp(fd, &b);

	if (rc < 0)
		return orch_err_sys(err, -rc, "wait for the daemon");
	if (b.len == 0) {
		int status = 0;

		if (waitpid(pid, &status, 0) == pid && WIFSIGNALED(status))
			return orch_err_set(
			    err, EIO, "the daemon was killed by signal %d", WTERMSIG(status));
		return orch_err_set(err, EIO, "the daemon ended before it answered");
	}
	return fsd_background_parse((const char *)b.data, err);
}

/* Keeps standard error until the daemon has a log of its own. */
static int detach(void)
{
	orch_auto(fd) int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || setsid() < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || chdir("/") < 0)
		return -errno;
	return 0;
}

int fsd_background_start(int *out_ready_fd, struct orch_err *err)
{
	int fds[2], rc;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return orch_err_sys(err, errno, "pipe");
	pid = fork();
	if (pid < 0) {
		rc = orch_err_sys(err, errno, "fork");
		orch_fd_close(fds[0]);
		orch_fd_close(fds[1]);
		return rc;
	}
	if (pid == 0) {
		orch_fd_close(fds[0]);
		rc = detach();
		if (rc < 0) {
			orch_err_sys(err, -rc, "go to the background");
			fsd_background_failed(fds[1], err);
			_exit(1);
		}
		*out_ready_fd = fds[1];
		return 1;
	}
	orch_fd_close(fds[1]);
	rc = read_verdict(fds[0], pid, err);
	orch_fd_close(fds[0]);
	return rc;
}

void fsd_background_failed(int ready_fd, const struct orch_err *err)
{
	char text[sizeof(err->msg) + 32];
	int n = snprintf(text, sizeof(text), "%d %s", err->code, err->msg);

	if (n > 0 && orch_fd_write_all(ready_fd, text, (size_t)n) < 0)
		return; /* the first process is gone; nobody to tell */
}
