/* Records of workspaces. */
#include "ws_record.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "json_value.h"

const char *fsd_ws_state_name(enum fsd_ws_state s)
{
	switch (s) {
	case FSD_WS_CREATED:
		return "created";
	case FSD_WS_MOUNTED:
		return "mounted";
	case FSD_WS_DAMAGED:
		break;
	}
	return "damaged";
}

bool fsd_ws_booted_since(const struct fsd_ws_record *r)
{
	char boot[37];

	/* When it can't be read, the time of start of the process tells enough. */
	return orch_boot_id(boot) == 0 && strcmp(boot, r->boot) != 0;
}

/* What is both stored and shown. */
static int set_common(struct orch_json *o, const struct fsd_ws_record *r)
{
	int rc = orch_json_set_str(o, "name", r->name);

	if (rc == 0)
		rc = orch_json_set_str(o, "state", fsd_ws_state_name(r->state));
	if (rc == 0)
		rc = orch_json_set_bytes(o, "path", r->path, strlen(r->path));
	if (rc == 0)
		rc = fsd_json_set_digest(o, "snapshot", &r->snapshot);
	if (rc == 0)
		rc = orch_json_set_u64(o, "layer", r->layer);
	if (rc == 0)
		rc = orch_json_set_u64(o, "seq", r->seq);
	if (rc == 0)
		rc = orch_json_set_bool(o, "read_only", r->read_only);
	if (rc == 0)
		rc = orch_json_set_bool(o, "passthrough", r->passthrough);
	if (rc == 0 && r->state == FSD_WS_MOUNTED)
		rc = orch_json_set_int(o, "pid", r->process.pid);
	if (rc == 0 && *r->error)
		rc = orch_json_set_str(o, "error", r->error);
	return rc;
}

static int set_stored(struct orch_json *o, const struct fsd_ws_record *r)
{
	int rc = orch_json_set_bool(o, "at_given", r->at_given);

	if (rc == 0)
		rc = orch_json_set_int(o, "uid", r->uid);
	if (rc == 0)
		rc = orch_json_set_int(o, "gid", r->gid);
	if (rc == 0)
		rc = orch_json_set_int(o, "created_wall_ns", r->created_wall_ns);
	if (rc == 0)
		rc = orch_json_set_bytes(o, "control", r->control, strlen(r->control));
	if (rc == 0)
		rc = orch_json_set_u64(o, "start_ticks", r->process.start_ticks);
	if (rc == 0)
		rc = orch_json_set_str(o, "boot", r->boot);
	return rc;
}

static int set_shown(struct orch_json *o, const struct fsd_ws_record *r)
{
	struct orch_json *owner = orch_json_object();
	int rc = owner ? orch_json_set_int(owner, "uid", r->uid) : -ENOMEM;

	if (rc == 0)
		rc = orch_json_set_int(owner, "gid", r->gid);
	if (rc == 0)
		rc = orch_json_set_json(o, "owner", &owner);
	if (rc == 0)
		rc = fsd_json_set_time(o, "created", r->created_wall_ns);
	orch_json_free(owner);
	return rc;
}

static struct orch_json *make(
    const struct fsd_ws_record *r, int (*more)(struct orch_json *o, const struct fsd_ws_record *r))
{
	struct orch_json *o = orch_json_object();

	if (o && set_common(o, r) == 0 && more(o, r) == 0)
		return o;
	orch_json_free(o);
	return NULL;
}

struct orch_json *fsd_ws_record_format(const struct fsd_ws_record *r)
{
	return make(r, set_stored);
}

struct orch_json *fsd_ws_record_show(const struct fsd_ws_record *r)
{
	return make(r, set_shown);
}

/* ---- parsing ---- */

static int get_text(
    const struct orch_json *j, const char *key, char *out, size_t cap, struct orch_err *err)
{
	orch_auto(free) char *s = NULL;
	size_t len;
	int rc = orch_json_get_bytes(j, key, &s, &len, err);

	if (rc < 0)
		return rc;
	if (len >= cap || strlen(s) != len)
		return orch_err_set(err, ORCH_ECORRUPT, "'%s' is too long", key);
	memcpy(out, s, len + 1);
	return 0;
}

static int get_id(const struct orch_json *j, const char *key, uint32_t *out, struct orch_err *err)
{
	int64_t v;
	int rc = orch_json_get_int(j, key, &v, err);

	if (rc < 0)
		return rc;
	if (v < 0 || v > (int64_t)UINT32_MAX)
		return orch_err_set(err, ORCH_ECORRUPT, "'%s' is out of range", key);
	*out = (uint32_t)v;
	return 0;
}

static int get_base(const struct orch_json *j, struct fsd_ws_record *r, struct orch_err *err)
{
	const char *state, *snapshot;
	int rc = get_text(j, "name", r->name, sizeof(r->name), err);

	if (rc == 0)
		rc = get_text(j, "path", r->path, sizeof(r->path), err);
	if (rc == 0)
		rc = orch_json_get_str(j, "state", &state, err);
	if (rc == 0)
		rc = orch_json_get_str(j, "snapshot", &snapshot, err);
	if (rc < 0)
		return rc;
	if (orch_digest_parse(snapshot, &r->snapshot) < 0)
		return orch_err_set(err, ORCH_ECORRUPT, "'snapshot' is not an id");
	r->state = strcmp(state, "mounted") == 0 ? FSD_WS_MOUNTED : FSD_WS_CREATED;
	return 0;
}

static int get_flags(const struct orch_json *j, struct fsd_ws_record *r, struct orch_err *err)
{
	int rc = orch_json_get_bool(j, "at_given", &r->at_given, err);

	if (rc == 0)
		rc = orch_json_get_bool(j, "read_only", &r->read_only, err);
	if (rc == 0)
		rc = orch_json_get_bool(j, "passthrough", &r->passthrough, err);
	return rc;
}

static int get_numbers(const struct orch_json *j, struct fsd_ws_record *r, struct orch_err *err)
{
	int rc = orch_json_get_u64(j, "layer", &r->layer, err);

	if (rc == 0)
		rc = orch_json_get_u64(j, "seq", &r->seq, err);
	if (rc == 0)
		rc = get_id(j, "uid", &r->uid, err);
	if (rc == 0)
		rc = get_id(j, "gid", &r->gid, err);
	if (rc == 0)
		rc = orch_json_get_int(j, "created_wall_ns", &r->created_wall_ns, err);
	return rc;
}

static int get_process(const struct orch_json *j, struct fsd_ws_record *r, struct orch_err *err)
{
	int64_t pid = 0;
	int rc = get_text(j, "control", r->control, sizeof(r->control), err);

	if (rc == 0)
		rc = get_text(j, "boot", r->boot, sizeof(r->boot), err);
	if (rc == 0)
		rc = orch_json_get_u64(j, "start_ticks", &r->process.start_ticks, err);
	if (rc == 0 && r->state == FSD_WS_MOUNTED)
		rc = orch_json_get_int(j, "pid", &pid, err);
	if (rc == 0 && orch_json_get(j, "error"))
		rc = get_text(j, "error", r->error, sizeof(r->error), err);
	r->process.pid = (int32_t)pid;
	return rc;
}

int fsd_ws_record_parse(const struct orch_json *j, struct fsd_ws_record *out, struct orch_err *err)
{
	struct fsd_ws_record r = {0};
	int rc = get_base(j, &r, err);

	if (rc == 0)
		rc = get_flags(j, &r, err);
	if (rc == 0)
		rc = get_numbers(j, &r, err);
	if (rc == 0)
		rc = get_process(j, &r, err);
	if (rc == 0)
		*out = r;
	return rc;
}
