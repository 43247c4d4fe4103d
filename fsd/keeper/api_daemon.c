/* The daemon itself in the control API: health, status, stop, metrics. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "api.h"
#include "cache/stat.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/process.h"
#include "daemon.h"
#include "http_server.h"
#include "json_value.h"
#include "registry.h"
#include "worker.h"
#include "ws_mount.h"

#define LOOK_MS 100
#define TRY_MS	10000

static unsigned running(const struct fsd_daemon *d)
{
	return fsd_workers_running(d->workers) + fsd_workers_running(d->fetchers);
}

int fsd_api_health(struct fsd_request *r, struct orch_json **out, struct orch_err *err)
{
	struct orch_json *o = orch_json_object();
	int rc = o ? orch_json_set_str(o, "status", "ok") : -ENOMEM;

	(void)r;
	return fsd_json_finish(rc, &o, out, err);
}

int fsd_api_daemon(struct fsd_request *r, struct orch_json **out, struct orch_err *err)
{
	const struct fsd_daemon *d = r->daemon;
	struct orch_json *o = orch_json_object();
	int rc = o ? orch_json_set_str(o, "version", ORCH_VERSION) : -ENOMEM;

	if (rc == 0)
		rc = orch_json_set_int(o, "pid", getpid());
	if (rc == 0)
		rc = orch_json_set_str(o, "store", cas_store_path(d->store));
	if (rc == 0)
		rc = orch_json_set_str(o, "store_id", cas_store_id(d->store));
	if (rc == 0)
		rc = orch_json_set_str(o, "mounts", d->settings->mounts);
	if (rc == 0)
		rc = orch_json_set_str(o, "socket", d->settings->socket);
	if (rc == 0)
		rc = fsd_json_set_time(o, "started", d->started_wall_ns);
	if (rc == 0)
		rc = orch_json_set_int(o, "mounts_alive", fsd_registry_mounted(d->registry));
	if (rc == 0)
		rc = orch_json_set_int(o, "workers", running(d));
	if (rc == 0)
		rc = orch_json_set_int(o, "exit_idle_s", (int64_t)d->settings->exit_idle_s);
	if (rc == 0)
		rc = orch_json_set_int(o, "uid", geteuid());
	return fsd_json_finish(rc, &o, out, err);
}

/* ---- stop ---- */

/* Unmounts what can be; returns how many are still mounted. */
static size_t unmount_all(struct fsd_request *r, enum fsd_umount_how how)
{
	struct fsd_daemon *d = r->daemon;
	struct fsd_ws_record *list;
	size_t n, left = 0;

	if (fsd_registry_list(d->registry, &list, &n) < 0)
		return 1;
	for (size_t i = 0; i < n; i++) {
		struct fsd_ws *ws;

		if (list[i].state != FSD_WS_MOUNTED)
			continue;
		ws = fsd_registry_try_acquire(d->registry, list[i].name);
		if (!ws || fsd_ws_umount(d, ws, how, NULL) < 0 ||
		    ws->record.state == FSD_WS_MOUNTED)
			left++;
		fsd_registry_release(d->registry, ws);
	}
	free(list);
	return left;
}

static int wait_unmounted(struct fsd_request *r, enum fsd_umount_how how, struct orch_err *err)
{
	struct pollfd p = {.fd = r->cancel_fd, .events = POLLIN};

	while (unmount_all(r, how)) {
		int rc = fsd_request_cancelled(r, err);

		if (rc < 0)
			return rc;
		poll(&p, 1, LOOK_MS);
	}
	return 0;
}

static int only_admin(const struct fsd_request *r, const char *what, struct orch_err *err)
{
	if (fsd_peer_is_admin(&r->peer))
		return 0;
	return orch_err_set(err, EPERM, "only root or the daemon's user may %s it", what);
}

/* Without force it waits for busy mounts; when the client gives up, the daemon goes on. */
int fsd_api_stop(struct fsd_request *r, struct orch_json **out, struct orch_err *err)
{
	struct fsd_daemon *d = r->daemon;
	bool force = fsd_body_bool(r, "force", false);
	int rc = only_admin(r, "stop", err);

	(void)out;
	if (rc == 0)
		rc = fsd_ending_begin_stop(&d->ending, err);
	if (rc < 0)
		return rc;
	rc = wait_unmounted(r, force ? FSD_UMOUNT_FORCE : FSD_UMOUNT_IDLE, err);
	if (rc == 0 && !fsd_daemon_end(d, FSD_END_STOP))
		rc = orch_err_set(err, EAGAIN, "the daemon is being upgraded; ask again");
	if (rc < 0)
		fsd_ending_give_up_stop(&d->ending);
	return rc;
}

/* ---- upgrade ---- */

/* What lies at our path must be this program, start, and understand our command line and settings. */
static int try_program(const struct fsd_settings *s, struct orch_err *err)
{
	static const char name[] = "orch-fsd ";
	orch_auto(free) char *program = fsd_daemon_program(err);
	orch_auto(strv) struct orch_strv argv = ORCH_STRV_INIT;
	orch_auto(buf) struct orch_buf said = ORCH_BUF_INIT;
	int rc = program ? orch_strv_add(&argv, program) : -err->code;

	for (char *const *arg = s->argv + 1; rc == 0 && *arg; arg++)
		rc = orch_strv_add(&argv, *arg);
	if (rc == 0)
		rc = orch_strv_add(&argv, "--version");
	if (rc < 0)
		return orch_err_set(err, -rc, "try the new program");
	rc = orch_process_run(
	    (const char *const *)orch_strv_argv(&argv), &said, orch_deadline_in_ms(TRY_MS), err);
	if (rc < 0) {
		orch_err_wrap(err, "the new program does not start");
		return rc;
	}
	if (said.len < sizeof(name) || memcmp(said.data, name, sizeof(name) - 1) != 0)
		return orch_err_set(err, EPROTO, "%s is not orch-fsd", program);
	said.data[said.len - 1] = '\0';
	orch_log(ORCH_LOG_INFO, "keeper", "upgrade", "program=%s version=%s", program,
	    (const char *)said.data + sizeof(name) - 1);
	return 0;
}

/* Streams must end by themselves; what is short, a mount too, is waited for by the server's end. */
static int wait_streams(struct fsd_request *r, struct orch_err *err)
{
	struct pollfd p = {.fd = r->cancel_fd, .events = POLLIN};
	struct fsd_http_stat s;
	int rc;

	for (;;) {
		fsd_http_stat(r->daemon->http, &s);
		if (!s.streams)
			return 0;
		rc = fsd_request_cancelled(r, err);
		if (rc == 0)
			rc = fsd_ending_check(&r->daemon->ending, err);
		if (rc < 0)
			return rc;
		poll(&p, 1, LOOK_MS);
	}
}

/* The program at our path takes our place, process, socket and all; mounts do not notice. */
int fsd_api_upgrade(struct fsd_request *r, struct orch_json **out, struct orch_err *err)
{
	struct fsd_daemon *d = r->daemon;
	int rc = only_admin(r, "upgrade", err);

	(void)out;
	if (rc == 0)
		rc = fsd_ending_begin_upgrade(&d->ending, err);
	if (rc < 0)
		return rc;
	rc = try_program(d->settings, err);
	if (rc == 0)
		rc = wait_streams(r, err);
	if (rc == 0 && !fsd_daemon_end(d, FSD_END_REPLACE))
		rc = orch_err_set(err, ESHUTDOWN, "the daemon is stopping");
	if (rc < 0)
		fsd_ending_give_up_upgrade(&d->ending);
	return rc;
}

/* ---- metrics ---- */

static void metric(
    struct orch_buf *b, const char *name, const char *type, const char *help, uint64_t value)
{
	(void)orch_buf_printf(b, "# HELP orch_%s %s\n# TYPE orch_%s %s\norch_%s %llu\n", name, help,
	    name, type, name, (unsigned long long)value);
}

int fsd_api_metrics(struct fsd_request *r, struct orch_json **out, struct orch_err *err)
{
	struct fsd_daemon *d = r->daemon;
	struct orch_buf *b = r->text;
	struct fsd_http_stat http;
	struct cas_stat s;
	int rc = cas_stat(d->store, &s, err);

	(void)out;
	if (rc < 0)
		return rc;
	fsd_http_stat(d->http, &http);
	metric(b, "requests_total", "counter", "Requests of the control API.", http.requests);
	metric(b, "request_errors_total", "counter", "Answers of 5xx.", http.errors);
	metric(b, "connections", "gauge", "Open connections.", http.connections);
	metric(b, "workers", "gauge", "Running workers.", running(d));
	metric(b, "workspaces", "gauge", "Workspaces.", s.workspaces);
	metric(b, "mounts", "gauge", "Mounted workspaces.", fsd_registry_mounted(d->registry));
	metric(b, "snapshots", "gauge", "Snapshots.", s.snapshots);
	metric(b, "refs", "gauge", "Refs.", s.refs);
	metric(b, "objects", "gauge", "Objects.", s.objects);
	metric(b, "object_bytes", "gauge", "Bytes of all objects.", s.object_bytes);
	metric(b, "pack_bytes", "gauge", "Bytes of all packs.", s.pack_bytes);
	metric(b, "layer_bytes", "gauge", "Bytes of all layers.", s.layer_bytes);
	metric(b, "disk_free_bytes", "gauge", "Free bytes below the store.", s.disk_free);
	metric(b, "reserve_bytes", "gauge", "Bytes kept for removals on a full disk.", s.reserve);
	metric(b, "reserve_whole_bytes", "gauge", "The same when there is room.", s.reserve_whole);
	metric(b, "start_time_seconds", "gauge", "When the daemon started.",
	    (uint64_t)(d->started_wall_ns / 1000000000));
	return b->failed ? orch_err_set(err, ENOMEM, "no memory") : 0;
}
