/* The daemon's life: check, open, adopt, serve, end. */
#include "daemon.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>
#include "adopt.h"
#include "cache/reserve.h"
#include "core/clock.h"
#include "core/fd.h"
#include "core/guard.h"
#include "core/log.h"
#include "core/path.h"
#include "listen.h"
#include "jobs.h"
#include "mirrors.h"
#include "registry.h"
#include "routes.h"
#include "watch.h"
#include "worker.h"
#include "ws_mount.h"

#define MODULE	    "keeper"
#define HANDLERS_MS 10000 /* what a handler may take besides its mount */

bool fsd_daemon_end(struct fsd_daemon *d, enum fsd_end how)
{
	uint64_t one = 1;

	if (!fsd_ending_decide(&d->ending, how))
		return false;
	/* It can only fail when it is full: asked already. */
	return write(d->stop_fd, &one, sizeof(one)) == sizeof(one) || errno == EAGAIN;
}

char *fsd_daemon_program(struct orch_err *err)
{
	static const char deleted[] = " (deleted)";
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char *copy;

	if (n < 0) {
		orch_err_sys(err, errno, "/proc/self/exe");
		return NULL;
	}
	path[n] = '\0';
	/* Replaced while it runs. */
	if ((size_t)n > sizeof(deleted) && strcmp(path + n - sizeof(deleted) + 1, deleted) == 0)
		path[n - (ssize_t)sizeof(deleted) + 1] = '\0';
	copy = strdup(path);
	if (!copy)
		orch_err_set(err, ENOMEM, "no memory");
	return copy;
}

/* ---- coming up ---- */

/* A full disk keeps no keeper from starting. */
static int make_folder(struct fsd_daemon *d, const char *path, mode_t mode, struct orch_err *err)
{
	int rc;

	do
		rc = orch_mkdirs(AT_FDCWD, path, mode, err);
	while (cas_reserve_give(cas_store_reserve(d->store), rc));
	return rc;
}

static int open_log(struct fsd_daemon *d, bool background, struct orch_err *err)
{
	const struct fsd_settings *s = d->settings;
	orch_auto(free) char *dir = NULL, *path = NULL;
	int fd;

	if (!s->log_file && !background)
		return 0;
	if (s->log_file) {
		path = strdup(s->log_file);
	} else {
		dir = orch_path_join(s->store, "log");
		path = dir ? orch_path_join(dir, "orch-fsd.log") : NULL;
	}
	if (!path)
		return orch_err_set(err, ENOMEM, "no memory");
	if (dir && make_folder(d, dir, 0700, err) < 0)
		return -err->code;
	do
		fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
	while (fd < 0 && cas_reserve_give(cas_store_reserve(d->store), -errno));
	if (fd < 0)
		return orch_err_sys(err, errno, "%s", path);
	/* Mount processes and libraries write to standard error. */
	if (dup2(fd, STDERR_FILENO) < 0 || (background && dup2(fd, STDOUT_FILENO) < 0)) {
		int e = errno;

		orch_fd_close(fd);
		return orch_err_sys(err, e, "%s", path);
	}
	orch_fd_close(fd);
	return 0;
}

/* The kernel names mounts by their real path. */
static int open_mounts(struct fsd_daemon *d, struct orch_err *err)
{
	int rc = make_folder(d, d->settings->mounts, 0755, err);

	if (rc < 0)
		return rc;
	d->mounts = realpath(d->settings->mounts, NULL);
	return d->mounts ? 0 : orch_err_sys(err, errno, "%s", d->settings->mounts);
}

static int open_folders(struct fsd_daemon *d, struct orch_err *err)
{
	orch_auto(free) char *sockets = orch_path_join(d->run_dir, "m");
	int rc;

	if (!sockets)
		return orch_err_set(err, ENOMEM, "no memory");
	rc = make_folder(d, d->run_dir, geteuid() == 0 ? 0755 : 0700, err);
	if (rc == 0)
		rc = make_folder(d, sockets, 0700, err);
	if (rc == 0)
		rc = open_mounts(d, err);
	return rc;
}

/* The log lies in the store, so that comes first; what it has to say goes back as an error. */
static int open_parts(struct fsd_daemon *d, bool background, struct orch_err *err)
{
	int rc = cas_store_open(d->settings->store, CAS_STORE_CREATE, &d->store, err);

	if (rc == 0)
		rc = open_log(d, background, err);
	if (rc < 0)
		return rc;
	d->registry = fsd_registry_new(d->store);
	d->jobs = fsd_jobs_new(d->store);
	d->workers =
	    fsd_workers_new((unsigned)d->settings->workers_max, d->settings->worker_timeout_s);
	d->fetchers =
	    fsd_workers_new((unsigned)d->settings->workers_max, d->settings->worker_timeout_s);
	d->mirrors = fsd_mirrors_new();
	d->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!d->registry || !d->jobs || !d->workers || !d->fetchers || !d->mirrors ||
	    d->stop_fd < 0)
		return orch_err_set(err, ENOMEM, "no memory");
	rc = open_folders(d, err);
	if (rc == 0)
		rc = fsd_jobs_load(d->jobs, err);
	return rc < 0 ? rc : fsd_adopt(d, err);
}

/* listen_fd: -1, or one that was handed over. Answers come last: nothing can fail behind them. */
static int serve(struct fsd_daemon *d, int listen_fd, struct fsd_watch **out, struct orch_err *err)
{
	struct fsd_listen_spec spec = {.path = d->settings->socket, .group = d->settings->group};
	struct fsd_http_config http = {
	    .listen_fd = listen_fd,
	    .connections_max = (unsigned)d->settings->connections_max,
	    .client_timeout_s = (unsigned)d->settings->client_timeout_s,
	    .routes = fsd_routes,
	    .daemon = d,
	};
	int rc = listen_fd < 0 ? fsd_listen_open(&spec, &http.listen_fd, err) : 0;

	if (rc < 0)
		return rc;
	fsd_listen_look(d->settings->socket, &d->socket_file);
	rc = fsd_watch_start(d, out, err);
	if (rc == 0)
		rc = fsd_http_start(&http, &d->http, err);
	if (rc < 0)
		orch_fd_close(http.listen_fd);
	return rc;
}

/* ---- until the end ---- */

static bool is_idle(struct fsd_daemon *d)
{
	struct fsd_http_stat s;

	if (!d->settings->exit_idle_s || fsd_registry_mounted(d->registry))
		return false;
	fsd_http_stat(d->http, &s);
	return !s.connections &&
	       orch_clock_ns() - s.last_ns >= d->settings->exit_idle_s * ORCH_NS_PER_S;
}

/* Returns why it ends. */
static const char *wait_end(struct fsd_daemon *d, int signal_fd)
{
	struct pollfd p[] = {
	    {.fd = signal_fd, .events = POLLIN}, {.fd = d->stop_fd, .events = POLLIN}};
	struct signalfd_siginfo info;

	for (;;) {
		int n = poll(p, 2, d->settings->exit_idle_s ? 250 : -1);

		if (n < 0 && errno != EINTR)
			return "poll failed";
		if (p[0].revents && read(signal_fd, &info, sizeof(info)) == sizeof(info))
			return info.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT";
		if (p[1].revents)
			return "asked";
		if (n == 0 && is_idle(d))
			return "idle";
	}
}

/* Idle mounts end with the keeper; busy ones go on, the next keeper adopts them. */
static void unmount_idle(struct fsd_daemon *d)
{
	struct fsd_ws_record *list;
	size_t n;

	if (fsd_registry_list(d->registry, &list, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		struct orch_err err = ORCH_ERR_INIT;
		struct fsd_ws *ws;

		if (list[i].state != FSD_WS_MOUNTED)
			continue;
		ws = fsd_registry_try_acquire(d->registry, list[i].name);
		if (ws && fsd_ws_umount(d, ws, FSD_UMOUNT_IDLE, &err) < 0)
			orch_log(ORCH_LOG_INFO, MODULE, "stays-mounted", "workspace=%s reason=%s",
			    list[i].name, err.msg);
		fsd_registry_release(d->registry, ws);
	}
	free(list);
}

static void say_ready(int fd)
{
	/* EPIPE: whoever started us does not wait any more. */
	if (fd >= 0 && orch_fd_write_all(fd, "ready\n", 6) < 0)
		orch_log(ORCH_LOG_DEBUG, MODULE, "nobody-waits", "fd=%d", fd);
	orch_fd_close(fd);
}

/* Everything ends but the mounts that are in use. */
static int shut_down(struct fsd_daemon *d, struct fsd_watch *watch, bool own_socket)
{
	orch_auto(fd) int listener = -1;
	bool replace = !fsd_ending_decide(&d->ending, FSD_END_STOP);

	if (!replace && own_socket)
		fsd_listen_remove(d->settings->socket, &d->socket_file);
	listener =
	    fsd_http_stop(d->http, replace ? d->settings->mount_timeout_s * 1000 + HANDLERS_MS : 0);
	d->http = NULL;
	fsd_watch_stop(watch);
	if (!replace) {
		unmount_idle(d);
		return 0;
	}
	d->listen_fd = listener;
	listener = -1;
	return FSD_DAEMON_REPLACE;
}

/* listen_fd: of somebody else's, or -1. */
static int run(struct fsd_daemon *d, int ready_fd, int signal_fd, int listen_fd, bool own_socket,
    struct orch_err *err)
{
	struct fsd_watch *watch = NULL;
	const char *why;
	int rc = open_parts(d, ready_fd >= 0, err);

	if (rc == 0)
		rc = serve(d, listen_fd, &watch, err);
	if (rc < 0) {
		fsd_watch_stop(watch);
		if (own_socket)
			fsd_listen_remove(d->settings->socket, &d->socket_file);
		return rc;
	}
	orch_log(ORCH_LOG_INFO, MODULE, "started", "pid=%d store=%s socket=%s us=%llu",
	    (int)getpid(), d->settings->store, d->settings->socket,
	    (unsigned long long)(orch_wall_ns() - d->started_wall_ns) / 1000);
	say_ready(ready_fd);
	why = wait_end(d, signal_fd);
	orch_log(ORCH_LOG_INFO, MODULE, "ending", "reason=%s", why);
	return shut_down(d, watch, own_socket);
}

/* SIGTERM and SIGINT are read from a descriptor; they stay blocked in all threads. */
static int open_signals(struct orch_err *err)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
	sigaction(SIGHUP, &ignore, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	return fd < 0 ? orch_err_sys(err, errno, "signalfd") : fd;
}

int fsd_daemon_run(
    const struct fsd_settings *s, int ready_fd, int *out_listen_fd, struct orch_err *err)
{
	struct fsd_listen_spec spec = {.path = s->socket, .group = s->group};
	struct fsd_daemon d = {
	    .settings = s,
	    .stop_fd = -1,
	    .listen_fd = -1,
	    .started_wall_ns = orch_wall_ns(),
	};
	orch_auto(fd) int signal_fd = -1;
	int listen_fd = -1;
	bool own_socket = true;
	int rc = fsd_listen_inherit(&spec, &listen_fd, &own_socket, err);

	if (rc == 0)
		rc = fsd_listen_check(&spec, err);
	if (rc < 0)
		return rc;
	signal_fd = open_signals(err);
	if (signal_fd < 0)
		return signal_fd;
	umask(022);
	rc = orch_guard_install();
	if (rc < 0)
		return orch_err_sys(err, -rc, "guard of mapped files");
	d.run_dir = fsd_listen_folder(s->socket);
	rc = d.run_dir ? run(&d, ready_fd, signal_fd, listen_fd, own_socket, err)
		       : orch_err_set(err, ENOMEM, "no memory");
	fsd_registry_free(d.registry);
	fsd_jobs_free(d.jobs);
	fsd_workers_free(d.workers);
	fsd_workers_free(d.fetchers);
	fsd_mirrors_free(d.mirrors);
	cas_store_close(d.store);
	orch_fd_close(d.stop_fd);
	free(d.run_dir);
	free(d.mounts);
	*out_listen_fd = d.listen_fd;
	if (rc >= 0)
		orch_log(ORCH_LOG_INFO, MODULE, "ended", "pid=%d", (int)getpid());
	return rc;
}
