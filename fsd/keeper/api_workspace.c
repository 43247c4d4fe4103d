/* Workspaces in the control API. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "api.h"
#include "cache/snapshot.h"
#include "core/fd.h"
#include "core/path.h"
#include "daemon.h"
#include "events.h"
#include "expect.h"
#include "jobs.h"
#include "json_value.h"
#include "ws_change.h"
#include "ws_view.h"

static int show(const struct fsd_ws_record *rec, struct orch_json **out, struct orch_err *err)
{
	struct orch_json *o = fsd_ws_record_show(rec);

	return fsd_json_finish(o ? 0 : -ENOMEM, &o, out, err);
}

int fsd_api_workspace_list(struct fsd_request *r, struct orch_json **out, struct orch_err *err)
{
	struct orch_json *o = orch_json_object(), *list = orch_json_array();
	orch_auto(free) struct fsd_ws_record *records = NULL;
	size_t n = 0;
	int rc = o && list ? fsd_registry_list(r->daemon->registry, &records, &n) : -ENOMEM;

	for (size_t i = 0; rc == 0 && i < n; i++) {
		struct orch_json *item = fsd_ws_record_show(&records[i]);

		rc = item ? orch_json_push(list, &item) : -ENOMEM;
	}
	if (rc == 0)
		rc = orch_json_set_json(o, "workspaces", &list);
	orch_json_free(list);
	return fsd_json_finish(rc, &o, out, err);
}

/* Counters of the mount process; a process that does not answer is told as an error. */
static int add_counters(struct fsd_request *r, const struct fsd_ws_record *rec, struct orch_json *o)
{
	struct fsd_mount_client *c = NULL;
	struct orch_err err = ORCH_ERR_INIT;
	struct orch_json *counters = NULL;
	int rc = fsd_ws_connect(r->daemon, rec, &c, &err);

	if (rc == 0)
		rc = orch_json_set_u64(o, "seq", fsd_mount_client_hello(c)->seq);
	if (rc == 0)
		rc = fsd_mount_status(c, fsd_ws_deadline(r->daemon), &counters, &err);
	fsd_mount_client_close(c);
	if (rc == 0)
		return orch_json_set_json(o, "mount", &counters);
	return orch_json_set_str(o, "error", err.msg);
}

int fsd_api_workspace_get(struct fsd_request *r, struct orch_json **out, struct orch_err *err)
{
	struct fsd_ws_record rec;
	int rc = fsd_registry_look(r->daemon->registry, r->params[0], &rec, err);

	if (rc == 0)
		rc = show(&rec, out, err);
	if (rc == 0 && fsd_jobs_show(r->daemon->jobs, rec.name, *out) < 0)
		rc = orch_err_set(err, ENOMEM, "no memory");
	if (rc == 0 && rec.state == FSD_WS_MOUNTED && add_counters(r, &rec, *out) < 0)
		rc = orch_err_set(err, ENOMEM, "no memory");
	return rc;
}

/* ---- owner ---- */

static int owner_by_name(const char *name, struct fsd_ws_create *c, struct orch_err *err)
{
	struct passwd pw, *found = NULL;
	char buf[4096];

	if (getpwnam_r(name, &pw, buf, sizeof(buf), &found) != 0 || !found)
		return orch_err_set(err, EINVAL, "'owner': no user '%.100s'", name);
	c->uid = pw.pw_uid;
	c->gid = pw.pw_gid;
	return 0;
}

/* The peer, unless root says another one. */
static int parse_owner(struct fsd_request *r, struct fsd_ws_create *c, struct orch_err *err)
{
	const struct orch_json *o = orch_json_get(r->body, "owner");
	int rc;

	c->uid = r->peer.uid;
	c->gid = r->peer.gid;
	if (!o || orch_json_is_null(o))
		return 0;
	rc = orch_json_str(o) ? owner_by_name(orch_json_str(o), c, err)
			      : fsd_body_ids(r, "owner", &c->uid, &c->gid, err);
	if (rc == 0 && r->peer.uid != 0 && (c->uid != r->peer.uid || c->gid != r->peer.gid))
		rc = orch_err_set(err, EPERM, "only root may choose another owner");
	return rc;
}

/* ---- create, fork, mount ---- */

/* "at" of the body; *out is NULL when absent. malloc'd. */
static int parse_at(struct fsd_request *r, char **out, struct orch_err *err)
{
	size_t len;
	int rc;

	*out = NULL;
	if (!orch_json_get(r->body, "at") && !orch_json_get(r->body, "at_b64"))
		return 0;
	if (orch_json_is_null(orch_json_get(r->body, "at")))
		return 0;
	rc = orch_json_get_bytes(r->body, "at", out, &len, err);
	if (rc < 0)
		return rc;
	if (strlen(*out) == len && (*out)[0] == '/')
		return 0;
	free(orch_take(*out));
	return orch_err_set(err, EINVAL, "'at' is not an absolute path");
}

int fsd_api_workspace_create(struct fsd_request *r, struct orch_json **out, struct orch_err *err)
{
	orch_auto(free) char *at = NULL;
	struct fsd_ws_create c = {
	    .name = fsd_body_str(r, "name"),
	    .read_only = fsd_body_bool(r, "read_only", false),
	    .passthrough = fsd_body_bool(r, "passthrough", true),
	    .mount = fsd_body_bool(r, "mount", true),
	};
	struct fsd_ws_record rec;
	int rc = parse_at(r, &at, err);

	if (rc == 0)
		rc = parse_owner(r, &c, err);
	if (rc == 0)
		rc = cas_snapshot_resolve(
		    r->daemon->store, fsd_body_str(r, "from"), &c.snapshot, err);
	c.at = at;
	if (rc == 0)
		rc = fsd_ws_create(r, &c, &rec, err);
	return rc < 0 ? rc : show(&rec, out, err);
}

int fsd_api_workspace_fork(struct fsd_request *r, struct orch_json **out, struct orch_err *err)
{
	orch_auto(free) char *at = NULL;
	struct fsd_seal seal = {0};
	struct fsd_ws_record rec;
	int rc = parse_at(r, &at, err);

	if (rc == 0)
		rc = fsd_ws_fork(r, r->params[0], fsd_body_str(r, "name"), at,
		    fsd_body_bool(r, "mount", true), &rec, &seal, err);
	if (rc == 0)
		rc = show(&rec, out, err);
	if (rc == 0 && fsd_seal_tell(&seal, *out) < 0)
		rc = orch_err_set(err, ENOMEM, "no memory");
	fsd_seal_fini(&seal);
	return rc;
}

int fsd_api_workspace_mount(struct fsd_request *r, struct orch_json **out, struct orch_err *err)
{
	orch_auto(free) char *at = NULL;
	struct fsd_ws_record rec;
	int rc = parse_at(r, &at, err);

	if (rc == 0)
		rc = fsd_ws_remount(r, r->params[0], at, &rec, err);
	return rc < 0 ? rc : show(&rec, out, err);
}

int fsd_api_workspace_umount(struct fsd_request *r, struct orch_json **out, struct orch_err *err)
{
	bool lazy = fsd_body_bool(r, "lazy", false);
	struct fsd_ws_record rec;
	struct fsd_ws *ws;
	int rc = fsd_ws_take(r, r->params[0], &ws, err);

	if (rc < 0)
		return rc;
	rc = fsd_ws_umount(r->daemon, ws, lazy ? FSD_UMOUNT_LAZY : FSD_UMOUNT_IDLE, err);
	rec = ws->record;
	fsd_registry_release(r->daemon->registry, ws);
	return rc < 0 ? rc : show(&rec, out, err);
}

/* ---- views */

static int get_id(struct fsd_request *r, const char *key, uint32_t *out, struct orch_err *err)
{
	int64_t v;

	if (orch_json_get_int(r->body, key, &v, NULL) < 0 || v < 0 || v >= (int64_t)UINT32_MAX)
		return orch_err_set(err, EINVAL, "'%s' is not the number of a user or group", key);
	*out = (uint32_t)v;
	return 0;
}

static bool has(struct fsd_request *r, const char *key)
{
	const struct orch_json *v = orch_json_get(r->body, key);

	return v && !orch_json_is_null(v);
}

static int show_view(char *path, struct orch_json **out, struct orch_err *err)
{
	struct orch_json *o = orch_json_object();
	int rc = o ? orch_json_set_bytes(o, "path", path, strlen(path)) : -ENOMEM;

	free(path);
	if (rc == 0)
		rc = orch_json_set_bool(o, "idmapped", true);
	return fsd_json_finish(rc, &o, out, err);
}

int fsd_api_workspace_view(struct fsd_request *r, struct orch_json **out, struct orch_err *err)
{
	char *path = NULL;
	uint32_t uid = 0, gid = 0;
	int rc = get_id(r, "uid", &uid, err);

	gid = uid;
	if (rc == 0 && has(r, "gid"))
		rc = get_id(r, "gid", &gid, err);
	if (rc == 0)
		rc = fsd_ws_view(r, r->params[0], uid, gid, &path, err);
	return rc < 0 ? rc : show_view(path, out, err);
}

int fsd_api_workspace_drop(struct fsd_request *r, struct orch_json **out, struct orch_err *err)
{
	const char *force = fsd_query_str(r, "force");

	(void)out;
	return fsd_ws_drop(r, r->params[0], force && strcmp(force, "1") == 0, err);
}

/* ---- commit, changes ---- */

int fsd_api_workspace_commit(struct fsd_request *r, struct orch_json **out, struct orch_err *err)
{
	const struct orch_json *record = orch_json_get(r->body, "record");
	struct fsd_transfer t = {
	    .ref = fsd_body_str(r, "ref"),
	    .parent = "snapshot",
	    .record = record && !orch_json_is_null(record) ? record : NULL,
	};
	int rc = fsd_expect_parse(fsd_body_str(r, "expect"), &t.expect, err);

	if (rc == 0)
		rc = fsd_expect_check(r->daemon->store, t.ref, &t.expect, err);
	return rc < 0 ? rc : fsd_ws_commit(r, r->params[0], &t, out, err);
}

/* Passes on the lines that a mount process wrote to a file. */
static int send_lines(struct fsd_request *r, int fd, uint64_t *out_count, struct orch_err *err)
{
	struct orch_map m = {0};
	const char *p, *end;
	int rc = orch_map_fd(fd, &m);

	if (rc < 0)
		return orch_err_sys(err, -rc, "list of changes");
	*out_count = 0;
	p = (const char *)m.addr;
	end = p + m.len;
	while (rc == 0 && p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t n = (size_t)((nl ? nl : end) - p);

		rc = n ? fsd_events_add(r->events, p, n) : 0;
		*out_count += n > 0;
		p += n + 1;
	}
	orch_map_close(&m);
	return rc < 0 ? orch_err_sys(err, -rc, "list of changes") : 0;
}

int fsd_api_workspace_changes(struct fsd_request *r, struct orch_json **out, struct orch_err *err)
{
	orch_auto(fd) int fd = memfd_create("orch-changes", MFD_CLOEXEC);
	struct orch_json *o = NULL;
	uint64_t since = 0, seq = 0, count = 0;
	int rc = fd < 0 ? orch_err_sys(err, errno, "memory file")
			: fsd_query_u64(r, "since", &since, err);

	if (rc == 0)
		rc = fsd_ws_changes(r, r->params[0], since, fd, &seq, err);
	if (rc == 0)
		rc = send_lines(r, fd, &count, err);
	if (rc < 0)
		return rc;
	o = orch_json_object();
	rc = o ? orch_json_set_u64(o, "seq", seq) : -ENOMEM;
	if (rc == 0)
		rc = orch_json_set_u64(o, "count", count);
	return fsd_json_finish(rc, &o, out, err);
}
