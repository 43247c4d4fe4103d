/* Phases: get the workspace, commit what the build made of it, give it back. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/file.h>
#include "core/clock.h"
#include "core/fd.h"
#include "shim/api.h"
#include "shim/build.h"
#include "shim/build_store.h"
#include "shim/cancel.h"
#include "shim/out.h"
#include "shim/say.h"

#define CAS_TRIES 100
#define UNDO_MS	  30000
#define AGAIN_MS  20
#define HURRY_MS  2000 /* when cancelled: what is not undone by then, the next build undoes */

/* ---- create */

static int take_workspace(struct shim_build *b, const struct orch_json *w, struct orch_err *err)
{
	const struct orch_json *owner = orch_json_get(w, "owner");

	b->uid = (uint32_t)shim_get_u64(owner, "uid");
	b->gid = (uint32_t)shim_get_u64(owner, "gid");
	free(b->mount_path);
	b->mount_path = strdup(shim_get(w, "path"));
	b->mount_pid = shim_get_u64(w, "pid");
	b->start_seq = shim_get_u64(w, "seq");
	if (!b->mount_path)
		return orch_err_sys(err, ENOMEM, "take the workspace");
	if (!b->mount_path[0])
		return orch_err_set(
		    err, EIO, "workspace %s: not mounted: %s", b->workspace, shim_get(w, "error"));
	return 0;
}

/* What came of the request to make it. An answer may be lost for lack of memory, too. */
static enum shim_made made_by(int r, long status)
{
	if (r == 0 || (status >= 200 && status < 300))
		return SHIM_MADE;
	return status == 0 ? SHIM_PERHAPS_MADE : SHIM_NOT_MADE;
}

static int create(struct shim_build *b, struct orch_err *err)
{
	orch_auto(json) struct orch_json *body = orch_json_object(), *answer = NULL;
	long status;
	struct shim_call call = {.method = "POST",
	    .path = "/v1/workspaces",
	    .body = body,
	    .patient = true,
	    .out_status = &status};
	int r;

	if (!body || orch_json_set_str(body, "name", b->workspace) < 0 ||
	    orch_json_set_str(body, "from", b->start_id) < 0)
		return orch_err_sys(err, ENOMEM, "create the workspace");
	r = b->retained ? 0 : shim_journal_make(b->journal, "workspace", b->workspace, err);
	if (r < 0)
		return r;
	r = shim_call(b->cli, &call, &answer, err);
	b->made = made_by(r, status);
	if (r < 0) {
		orch_err_wrap(err, "create workspace %s", b->workspace);
		return r;
	}
	return take_workspace(b, answer, err);
}

/* ---- a retained workspace that is there already */

static int mount_again(struct shim_build *b, struct orch_err *err)
{
	orch_auto(json) struct orch_json *body = orch_json_object(), *answer = NULL;
	struct shim_call call = {.method = "POST",
	    .path = "/v1/workspaces/%/mount",
	    .parts = {b->workspace},
	    .body = body};
	int r = body ? shim_call(b->cli, &call, &answer, err) : -ENOMEM;

	if (r < 0) {
		orch_err_wrap(err, "mount workspace %s", b->workspace);
		return r;
	}
	return take_workspace(b, answer, err);
}

static char *retained_ref(struct shim_build *b)
{
	char *name;

	return asprintf(&name, "retained/%s", b->workspace) < 0 ? NULL : name;
}

static int commit_now(struct shim_build *b, char out[SHIM_ID_BYTES], struct orch_err *err)
{
	orch_auto(json) struct orch_json *body = orch_json_object(), *answer = NULL;
	struct shim_call call = {.method = "POST",
	    .path = "/v1/workspaces/%/commit",
	    .parts = {b->workspace},
	    .body = body,
	    .timeout_ms = UINT64_MAX,
	    .label = "committing"};
	int r = body ? shim_build_add_record(b, body, "build", b->source_id, err) : -ENOMEM;

	if (r == 0)
		r = shim_call(b->cli, &call, &answer, err);
	if (r < 0) {
		orch_err_wrap(err, "commit workspace %s", b->workspace);
		return r;
	}
	snprintf(out, SHIM_ID_BYTES, "%s", shim_get(answer, "id"));
	return 0;
}

static int drop(struct shim_build *b, uint64_t timeout_ms, struct orch_err *err)
{
	struct shim_call call = {.method = "DELETE",
	    .path = "/v1/workspaces/%?force=1",
	    .parts = {b->workspace},
	    .ignore_cancel = true,
	    .timeout_ms = timeout_ms};

	return shim_call(b->cli, &call, NULL, err);
}

/* Another source since: its content goes on, with the new source applied to it. */
static int renew(struct shim_build *b, const char *base, struct orch_err *err)
{
	char mine[SHIM_ID_BYTES];
	int r = mount_again(b, err);

	if (r == 0)
		r = commit_now(b, mine, err);
	if (r == 0)
		r = shim_build_apply(b, base, mine, err);
	if (r == 0)
		r = drop(b, UNDO_MS, err);
	return r == 0 ? create(b, err) : r;
}

static int reuse(struct shim_build *b, struct orch_err *err)
{
	orch_auto(free) char *ref = retained_ref(b);
	char base[SHIM_ID_BYTES];
	int r = ref ? shim_build_ref(b, ref, base, err)
		    : orch_err_sys(err, ENOMEM, "find the workspace");

	if (r < 0)
		return r;
	free(orch_take(b->from_run));
	free(orch_take(b->why_cold));
	b->source_changed = b->source_reset = 0;
	if (base[0] && strcmp(base, b->source_id) == 0)
		return mount_again(b, err);
	return renew(b, base[0] ? base : b->source_id, err);
}

/* 1: it is there; 0: it is not. */
static int exists(struct shim_build *b, struct orch_err *err)
{
	struct shim_call call = {
	    .method = "GET", .path = "/v1/workspaces/%", .parts = {b->workspace}};
	int r = shim_call(b->cli, &call, NULL, err);

	if (r == -ENOENT)
		return 0;
	return r < 0 ? r : 1;
}

/* One build at a time in a retained workspace; the lock goes with the process. */
static int lock_retained(struct shim_build *b, struct orch_err *err)
{
	orch_auto(free) char *path = NULL;

	if (!b->retained || b->workspace_lock >= 0)
		return 0;
	if (asprintf(&path, "%s/workspace-%s.lock", b->runs_folder, b->workspace) < 0)
		return orch_err_sys(err, ENOMEM, "lock workspace %s", b->workspace);
	b->workspace_lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (b->workspace_lock < 0)
		return orch_err_sys(err, errno, "lock workspace %s: %s", b->workspace, path);
	if (flock(b->workspace_lock, LOCK_EX | LOCK_NB) == 0)
		return 0;
	orch_fd_close(b->workspace_lock);
	b->workspace_lock = -1;
	return orch_err_set(err, EBUSY, "workspace %s: another build is in it", b->workspace);
}

int shim_build_workspace(struct shim_build *b, struct orch_err *err)
{
	orch_auto(free) char *ref = retained_ref(b);
	int r = lock_retained(b, err);

	if (r == 0)
		r = b->retained ? exists(b, err) : 0;

	if (r < 0)
		return r;
	r = r ? reuse(b, err) : create(b, err);
	if (r < 0 || !b->retained)
		return r;
	return ref ? shim_build_move_ref(b, ref, b->source_id, err) : -ENOMEM;
}

/* ---- commit */

static int try_move(struct shim_build *b, const char *name, const char *id, const char *expect,
    struct orch_err *err)
{
	orch_auto(json) struct orch_json *body = orch_json_object();
	struct shim_call call = {
	    .method = "PUT", .path = "/v1/refs/%", .parts = {name}, .body = body};

	if (!body || orch_json_set_str(body, "id", id) < 0 ||
	    orch_json_set_str(body, "expect", expect) < 0)
		return orch_err_sys(err, ENOMEM, "move ref %s", name);
	return shim_call(b->cli, &call, NULL, err);
}

int shim_build_move_ref(
    struct shim_build *b, const char *name, const char *id, struct orch_err *err)
{
	char expect[SHIM_ID_BYTES];
	int r = -ORCH_ECONFLICT;

	for (int i = 0; r == -ORCH_ECONFLICT && i < CAS_TRIES; i++) {
		r = shim_build_ref(b, name, expect, err);
		if (r == 0 && strcmp(expect, id) != 0)
			r = try_move(b, name, id, expect, err);
	}
	if (r < 0)
		orch_err_wrap(err, "move ref %s", name);
	return r;
}

int shim_build_commit(struct shim_build *b, struct orch_err *err)
{
	int r = commit_now(b, b->result_id, err);

	return r == 0 ? shim_build_move_ref(b, b->build_ref, b->result_id, err) : r;
}

/* ---- give back */

/* A request that was cut off may still be carried out: then the workspace comes a moment later. */
static int drop_when_there(struct shim_build *b, uint64_t timeout_ms, struct orch_err *err)
{
	uint64_t deadline = orch_deadline_in_ms(timeout_ms);
	int r = drop(b, timeout_ms, err);

	while (r == -ENOENT && b->made == SHIM_PERHAPS_MADE && orch_clock_ns() < deadline) {
		poll(NULL, 0, AGAIN_MS);
		r = drop(b, timeout_ms, err);
	}
	return r == -ENOENT && b->made == SHIM_MADE ? 0 : r;
}

int shim_build_release(struct shim_build *b, struct orch_err *err)
{
	struct orch_err ignored = ORCH_ERR_INIT;
	int r = 0;

	if (b->retained)
		return 0;
	shim_disconnect(b->cli); /* a cancelled request has left its connection half-way */
	if (b->made != SHIM_NOT_MADE)
		r = drop_when_there(b, shim_cancelled() ? HURRY_MS : UNDO_MS, err);
	if (r < 0) {
		orch_err_wrap(
		    err, "drop workspace %s (the next build, or orch-shim gc, will)", b->workspace);
		return r;
	}
	b->made = SHIM_NOT_MADE;
	free(orch_take(b->mount_path));
	if (shim_journal_gone(b->journal, "workspace", b->workspace, &ignored) < 0)
		shim_say(SHIM_SAY_WARN, "%s", ignored.msg);
	return 0;
}
