/* orch-mount as a process: argv, inherited folders, the line on its ready pipe. */
#include "mount_process.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "core/fd.h"
#include "core/path.h"
#include "core/strv.h"

#define READY_MAX 2048
#define END_MS	  5000

int fsd_mount_socket_path(
    const struct cas_store *s, const char *run_dir, uint64_t layer, char *out, size_t cap)
{
	int n = snprintf(out, cap, "%s/m/%.8s-%" PRIu64 ".sock", run_dir, cas_store_id(s), layer);

	return n < 0 || (size_t)n >= cap ? -ENAMETOOLONG : 0;
}

void fsd_mount_source(const struct fsd_ws_record *rec, char out[FSD_MOUNT_SOURCE_BYTES])
{
	const char *slash = strrchr(rec->control, '/'), *base = slash ? slash + 1 : rec->control;

	snprintf(
	    out, FSD_MOUNT_SOURCE_BYTES, "orch:%s:%.*s", rec->name, (int)strcspn(base, "."), base);
}

static const char *level_name(enum orch_log_level l)
{
	static const char *const names[] = {"error", "warn", "info", "debug"};

	return names[l];
}

static int build_argv(
    const struct fsd_mount_start *m, const char *program, int ready_fd, struct orch_strv *v)
{
	const struct fsd_ws_record *ws = m->ws;
	char source[FSD_MOUNT_SOURCE_BYTES];
	int rc = orch_strv_add(v, program);

	fsd_mount_source(ws, source);
	if (rc == 0)
		rc = orch_strv_add(v, "--store-fds");
	if (rc == 0)
		rc = orch_strv_addf(v, "objects=%d,packs=%d,layers=%d",
		    cas_store_objects_fd(m->store), cas_store_packs_fd(m->store),
		    cas_store_layers_fd(m->store));
	if (rc == 0)
		rc = orch_strv_add(v, "--layer");
	if (rc == 0)
		rc = orch_strv_addf(v, "%" PRIu64, ws->layer);
	if (rc == 0)
		rc = orch_strv_add(v, "--mountpoint");
	if (rc == 0)
		rc = orch_strv_add(v, ws->path);
	if (rc == 0)
		rc = orch_strv_add(v, "--mountpoint-fd");
	if (rc == 0)
		rc = orch_strv_addf(v, "%d", m->place_fd);
	if (rc == 0)
		rc = orch_strv_add(v, "--source");
	if (rc == 0)
		rc = orch_strv_add(v, source);
	if (rc == 0)
		rc = orch_strv_add(v, "--control");
	if (rc == 0)
		rc = orch_strv_add(v, ws->control);
	if (rc == 0)
		rc = orch_strv_add(v, "--ready-fd");
	if (rc == 0)
		rc = orch_strv_addf(v, "%d", ready_fd);
	if (rc == 0 && ws->read_only)
		rc = orch_strv_add(v, "--read-only");
	if (rc == 0 && m->settings->allow_other)
		rc = orch_strv_add(v, "--allow-other");
	if (rc == 0 && !(ws->passthrough && m->settings->passthrough))
		rc = orch_strv_add(v, "--no-passthrough");
	if (rc == 0 && m->after_reboot)
		rc = orch_strv_add(v, "--after-reboot");
	if (rc == 0)
		rc = orch_strv_add(v, "--log-level");
	return rc < 0 ? rc : orch_strv_add(v, level_name(m->settings->log_level));
}

static int spawn(
    const struct fsd_mount_start *m, int ready_fd, struct orch_process **out, struct orch_err *err)
{
	orch_auto(free) char *program = orch_path_program("orch-mount", "../mount/orch-mount", err);
	orch_auto(strv) struct orch_strv argv = ORCH_STRV_INIT;
	int keep[] = {cas_store_objects_fd(m->store), cas_store_packs_fd(m->store),
	    cas_store_layers_fd(m->store), m->place_fd, ready_fd};
	struct orch_process_spec spec = {
	    .cwd = "/",
	    .stdin_fd = -1,
	    .stdout_fd = STDERR_FILENO,
	    .stderr_fd = STDERR_FILENO,
	    .keep_fds = keep,
	    .keep_fd_count = ORCH_ARRAY_LEN(keep),
	    .new_session = true,
	    .detach = true,
	};
	int rc;

	if (!program)
		return -err->code;
	rc = build_argv(m, program, ready_fd, &argv);
	if (rc < 0)
		return orch_err_sys(err, -rc, "start orch-mount");
	spec.argv = (const char *const *)orch_strv_argv(&argv);
	return orch_process_start(&spec, out, err);
}

int fsd_mount_ready_parse(char *line, struct orch_err *err)
{
	char *name, *text;

	line[strcspn(line, "\n")] = '\0';
	if (strcmp(line, "ready") == 0)
		return 0;
	if (!*line)
		return orch_err_set(err, EIO, "orch-mount ended before it was ready");
	if (strncmp(line, "error ", 6) != 0)
		return orch_err_set(err, EPROTO, "orch-mount said '%.100s'", line);
	name = line + 6;
	text = strchr(name, ' ');
	if (text)
		*text++ = '\0';
	return orch_err_set(
	    err, orch_err_code(name) ? orch_err_code(name) : EIO, "%s", text ? text : name);
}

/* Reads until the newline, end of file, the deadline or cancellation. */
static int read_line(
    int fd, int cancel_fd, uint64_t deadline_ns, char line[READY_MAX], struct orch_err *err)
{
	size_t n = 0;

	line[0] = '\0';
	while (n < READY_MAX - 1 && !memchr(line, '\n', n)) {
		struct pollfd p[] = {
		    {.fd = fd, .events = POLLIN}, {.fd = cancel_fd, .events = POLLIN}};
		int rc = poll(p, 2, orch_deadline_poll_ms(deadline_ns));
		ssize_t got;

		if (rc < 0 && errno == EINTR)
			continue;
		if (rc == 0)
			return orch_err_set(err, ETIMEDOUT, "orch-mount is not ready in time");
		if (p[1].revents)
			return orch_err_set(err, ECANCELED, "cancelled");
		got = read(fd, line + n, READY_MAX - 1 - n);
		if (got < 0 && errno != EINTR)
			return orch_err_sys(err, errno, "ready pipe of orch-mount");
		if (got == 0)
			break;
		n += got > 0 ? (size_t)got : 0;
		line[n] = '\0';
	}
	return 0;
}

static int wait_ready(const struct fsd_mount_start *m, int fd, struct orch_err *err)
{
	char line[READY_MAX];
	int rc = read_line(
	    fd, m->cancel_fd, orch_deadline_in_ms(m->settings->mount_timeout_s * 1000), line, err);

	return rc < 0 ? rc : fsd_mount_ready_parse(line, err);
}

int fsd_mount_process_start(
    const struct fsd_mount_start *m, struct orch_process **out, struct orch_err *err)
{
	struct orch_process *p = NULL;
	int fds[2], rc;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return orch_err_sys(err, errno, "pipe");
	rc = spawn(m, fds[1], &p, err);
	orch_fd_close(fds[1]);
	if (rc == 0)
		rc = wait_ready(m, fds[0], err);
	orch_fd_close(fds[0]);
	if (rc == 0) {
		*out = p;
		return 0;
	}
	if (p)
		(void)orch_process_end(p, END_MS, NULL);
	orch_process_free(p);
	unlink(m->ws->control);
	return rc;
}

int fsd_pidfd_open(const struct orch_proc_id *id)
{
	int fd, alive;

	if (id->pid <= 0) /* of a record that could not be read */
		return -EINVAL;
	fd = (int)syscall(SYS_pidfd_open, id->pid, 0);
	/* The number is a thread's now, of another process (which of the two it is depends on the kernel). */
	if (fd < 0)
		return errno == ENOENT || errno == EINVAL ? -ESRCH : -errno;
	/* The pid can't be taken by another one while we hold it, so look now. */
	alive = orch_proc_id_alive(id);
	if (alive == 1)
		return fd;
	orch_fd_close(fd);
	return alive < 0 ? alive : -ESRCH;
}

int fsd_pidfd_wait(int pidfd, uint64_t deadline_ns)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	for (;;) {
		int rc = poll(&p, 1, orch_deadline_poll_ms(deadline_ns));

		if (rc >= 0 || errno != EINTR)
			return rc > 0;
	}
}
