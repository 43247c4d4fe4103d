/* Phases: connect to the daemon, import the source, choose what to start from. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/fd.h"
#include "shim/api.h"
#include "shim/build.h"
#include "shim/build_store.h"
#include "shim/daemon_start.h"
#include "shim/leftovers.h"
#include "shim/out.h"
#include "shim/say.h"

int shim_build_connect(struct shim_build *b, struct orch_err *err)
{
	int r = shim_daemon_ensure(b->cli, &b->daemon_started, err);

	if (r < 0)
		return r;
	shim_leftovers_undo(b->cli, false);
	return 0;
}

/* ---- import */

/* A path below the source as a line of an ignore file: anchored, its special bytes quoted. */
static int add_excluded_path(struct orch_strv *list, const char *source, const char *path)
{
	orch_auto(buf) struct orch_buf line = ORCH_BUF_INIT;
	size_t n = strlen(source);

	if (strcmp(source, "/") == 0)
		n = 0;
	if (strncmp(path, source, n) != 0 || path[n] != '/' || !path[n + 1])
		return 0;
	for (const char *p = path + n; *p; p++) {
		if (strchr("\\*?[ ", *p))
			orch_buf_add_str(&line, "\\");
		orch_buf_add(&line, p, 1);
	}
	return line.failed ? -ENOMEM : orch_strv_add(list, (const char *)line.data);
}

static int exclude_daemon(struct shim_build *b, struct orch_strv *list, struct orch_err *err)
{
	static const char *const members[] = {"store", "mounts", "socket"};
	static const char *const besides[] = {"", ".lock", ".runs"};
	orch_auto(json) struct orch_json *daemon = NULL;
	struct shim_call call = {.method = "GET", .path = "/v1/daemon"};
	int r = shim_call(b->cli, &call, &daemon, err);

	for (size_t i = 0; r == 0 && i < ORCH_ARRAY_LEN(members); i++)
		r = add_excluded_path(list, b->source_dir, shim_get(daemon, members[i]));
	for (size_t i = 0; r == 0 && i < ORCH_ARRAY_LEN(besides); i++) {
		orch_auto(free) char *path = NULL;

		if (asprintf(&path, "%s%s", b->cli->socket, besides[i]) < 0)
			path = NULL;
		r = path ? add_excluded_path(list, b->source_dir, path) : -ENOMEM;
	}
	return r;
}

static int make_excludes(struct shim_build *b, struct orch_strv *list, struct orch_err *err)
{
	const struct orch_strv *given = shim_list(b->in, "exclude");
	int r = orch_strv_add_all(list, (const char *const *)orch_strv_argv(given));

	if (r == 0)
		r = add_excluded_path(list, b->source_dir, b->output_base);
	if (r == 0)
		r = exclude_daemon(b, list, err);
	return r;
}

static int make_record(
    struct shim_build *b, const char *kind, const char *source, struct orch_json **out)
{
	orch_auto(json) struct orch_json *o = orch_json_object();

	if (!o || orch_json_set_str(o, "kind", kind) < 0 ||
	    orch_json_set_str(o, "run", b->run) < 0 || orch_json_set_str(o, "key", b->key) < 0 ||
	    orch_json_set_str(o, "platform", b->platform) < 0 ||
	    orch_json_set_str(o, "engine", "generic") < 0 ||
	    (source && orch_json_set_str(o, "source", source) < 0) ||
	    (b->commit && orch_json_set_str(o, "commit", b->commit) < 0) ||
	    (b->branch && orch_json_set_str(o, "branch", b->branch) < 0))
		return -ENOMEM;
	*out = orch_take(o);
	return 0;
}

int shim_build_add_record(struct shim_build *b, struct orch_json *body, const char *kind,
    const char *source, struct orch_err *err)
{
	struct orch_json *record = NULL;
	int r = make_record(b, kind, source, &record);

	if (r == 0)
		r = orch_json_set_json(body, "record", &record);
	return r < 0 ? orch_err_sys(err, -r, "make the snapshot's record") : 0;
}

/* The ref's snapshot in out, "" when there is no such ref. */
int shim_build_ref(
    struct shim_build *b, const char *name, char out[SHIM_ID_BYTES], struct orch_err *err)
{
	orch_auto(json) struct orch_json *ref = NULL;
	struct shim_call call = {.method = "GET", .path = "/v1/refs/%", .parts = {name}};
	int r = shim_call(b->cli, &call, &ref, err);

	out[0] = '\0';
	if (r == -ENOENT)
		return 0;
	if (r < 0) {
		orch_err_wrap(err, "ref %s", name);
		return r;
	}
	snprintf(out, SHIM_ID_BYTES, "%s", shim_get(ref, "id"));
	return 0;
}

static int import_body(struct shim_build *b, struct orch_json *body, struct orch_err *err)
{
	orch_auto(strv) struct orch_strv excludes = ORCH_STRV_INIT;
	char parent[SHIM_ID_BYTES];
	int r = shim_json_add_path(body, "dir", b->source_dir, err);

	if (r == 0)
		r = make_excludes(b, &excludes, err);
	if (r == 0)
		r = shim_json_add_list(body, "exclude", &excludes, err);
	if (r == 0)
		r = shim_build_ref(b, b->source_ref, parent, err);
	if (r == 0 && parent[0] && orch_json_set_str(body, "parent", parent) < 0)
		r = -ENOMEM;
	if (r == 0 && orch_json_set_str(body, "ref", b->source_ref) < 0)
		r = -ENOMEM;
	if (r == 0)
		r = shim_build_add_record(b, body, "source", NULL, err);
	return r;
}

int shim_build_import(struct shim_build *b, struct orch_err *err)
{
	orch_auto(json) struct orch_json *body = orch_json_object(), *answer = NULL;
	struct shim_call call = {.method = "POST",
	    .path = "/v1/snapshots/import",
	    .body = body,
	    .timeout_ms = UINT64_MAX,
	    .label = "importing the source"};
	int r = body ? import_body(b, body, err) : -ENOMEM;

	if (r == 0)
		r = shim_call(b->cli, &call, &answer, err);
	b->source_refused = r == -EACCES || r == -EPERM;
	if (r < 0 && !err->code)
		return orch_err_sys(err, -r, "import %s", b->source_dir);
	if (r < 0) {
		orch_err_wrap(err, "import %s", b->source_dir);
		return r;
	}
	snprintf(b->source_id, sizeof(b->source_id), "%s", shim_get(answer, "id"));
	b->source_files = shim_get_u64(answer, "files");
	b->source_bytes = shim_get_u64(answer, "bytes");
	b->source_read_files = shim_get_u64(answer, "read_files");
	return 0;
}

/* ---- start */

static void start_cold(struct shim_build *b, const char *why)
{
	snprintf(b->start_id, sizeof(b->start_id), "%s", b->source_id);
	b->source_changed = b->source_files;
	free(b->why_cold);
	b->why_cold = strdup(why);
}

/* The result of the last good build and the source that it was made from. */
static int look_up_result(struct shim_build *b, char result[SHIM_ID_BYTES],
    char base[SHIM_ID_BYTES], struct orch_err *err)
{
	orch_auto(json) struct orch_json *snapshot = NULL;
	struct shim_call call = {.method = "GET", .path = "/v1/snapshots/%", .parts = {result}};
	const struct orch_json *record;
	int r = shim_build_ref(b, b->build_ref, result, err);

	if (r < 0 || !result[0])
		return r;
	r = shim_call(b->cli, &call, &snapshot, err);
	if (r < 0)
		return r;
	record = orch_json_get(snapshot, "record");
	snprintf(base, SHIM_ID_BYTES, "%s", shim_get(record, "source"));
	free(b->from_run);
	b->from_run = strdup(shim_get(record, "run"));
	return 0;
}

int shim_build_apply(struct shim_build *b, const char *base, const char *mine, struct orch_err *err)
{
	orch_auto(json) struct orch_json *body = orch_json_object(), *answer = NULL;
	struct shim_call call = {.method = "POST",
	    .path = "/v1/snapshots/apply",
	    .body = body,
	    .timeout_ms = UINT64_MAX,
	    .label = "applying the source"};
	int r;

	if (!body || orch_json_set_str(body, "base", base) < 0 ||
	    orch_json_set_str(body, "incoming", b->source_id) < 0 ||
	    orch_json_set_str(body, "mine", mine) < 0 ||
	    orch_json_set_str(body, "conflict", "source") < 0)
		return orch_err_sys(err, ENOMEM, "apply the source");
	r = shim_call(b->cli, &call, &answer, err);
	if (r < 0) {
		orch_err_wrap(err, "apply the source to %.12s", mine);
		return r;
	}
	snprintf(b->start_id, sizeof(b->start_id), "%s", shim_get(answer, "id"));
	b->source_changed = shim_get_u64(answer, "changed");
	b->source_reset = shim_get_u64(answer, "reset");
	return 0;
}

/* A result that can't be used costs time, not the build. */
static int fall_back(struct shim_build *b, int r, struct orch_err *err)
{
	if (r != -ENOENT && r != -ORCH_ECORRUPT && r != -EINVAL)
		return r;
	shim_build_warn(b, "choose", "the last result can't be used: %s", err->msg);
	*err = (struct orch_err)ORCH_ERR_INIT;
	start_cold(b, "the last result can't be used");
	return 0;
}

int shim_build_choose(struct shim_build *b, struct orch_err *err)
{
	char result[SHIM_ID_BYTES], base[SHIM_ID_BYTES] = "";
	int r;

	if (shim_on(b->in, "skipCache")) {
		start_cold(b, "--skip-cache was given");
		return 0;
	}
	r = look_up_result(b, result, base, err);
	if (r < 0)
		return fall_back(b, r, err);
	if (!result[0]) {
		start_cold(b, "no build with this key has succeeded yet");
		return 0;
	}
	/* an import of the same content has its record now: it is a source, and its own base */
	if (!base[0])
		snprintf(base, sizeof(base), "%s", result);
	r = shim_build_apply(b, base, result, err);
	return r < 0 ? fall_back(b, r, err) : 0;
}
