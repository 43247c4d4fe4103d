/* Mirrors of Git repositories: what is asked for, in which steps; see git_fetch.h. */
#include "git_fetch.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cache/mirror.h"
#include "cache/publish.h"
#include "core/fd.h"
#include "core/log.h"
#include "core/path.h"
#include "daemon.h"
#include "json_value.h"
#include "mirrors.h"
#include "sync/gitfetch.h"
#include "sync/giturl.h"
#include "transfer.h"
#include "worker.h"

#define LOCK_MS	     600000
#define STALL_MAX_S  86400
#define STEP_COMMITS 5000
#define PLACE	     "q" /* beside the socket */

/* One call of fsd_git_fetch. */
struct fetch {
	struct fsd_request *r;
	const struct fsd_git_spec *spec;
	struct sync_giturl url;
	struct sync_gitrev rev;
	struct orch_digest key;
	int mirror_fd;
	struct fsd_mirror_turn *turn;
	bool has_refs; /* of the mirror */
	bool found;
	struct fsd_git_fetched made;
};

static int no_memory(struct orch_err *err)
{
	return orch_err_set(err, ENOMEM, "no memory");
}

/* ---- what is asked for ---- */

static int check_variable(const char *key, const struct orch_json *v, void *priv)
{
	struct orch_err *err = priv;

	if (!sync_gitfetch_env_allowed(key))
		return orch_err_set(
		    err, EINVAL, "'env': %.64s is no variable that may be given", key);
	if (!orch_json_str(v))
		return orch_err_set(err, EINVAL, "'env': %.64s is not a string", key);
	return 0;
}

/* 0 when it is absent. */
static int get_number(
    const struct fsd_request *r, const char *key, int64_t max, uint64_t *out, struct orch_err *err)
{
	const struct orch_json *j = orch_json_get(r->body, key);
	int64_t v = 0;

	if (j && !orch_json_is_null(j) && (!orch_json_int(j, &v) || v < 0 || v > max))
		return orch_err_set(
		    err, EINVAL, "'%s' is no number from 0 to %lld", key, (long long)max);
	*out = (uint64_t)v;
	return 0;
}

int fsd_git_spec_get(struct fsd_request *r, struct fsd_git_spec *out, struct orch_err *err)
{
	struct fsd_git_spec s = {.url = fsd_body_str(r, "url"),
	    .rev = fsd_body_str(r, "rev"),
	    .auth_mode = fsd_body_str(r, "auth_mode"),
	    .env = orch_json_get(r->body, "env")};
	int rc;

	if (s.auth_mode && strcmp(s.auth_mode, "url") != 0 && strcmp(s.auth_mode, "header") != 0)
		return orch_err_set(err, EINVAL, "'auth_mode' is neither \"url\" nor \"header\"");
	rc = get_number(r, "stall_s", STALL_MAX_S, &s.stall_s, err);
	if (rc == 0)
		rc = get_number(r, "step_commits", INT32_MAX, &s.step_commits, err);
	if (rc < 0)
		return rc;
	if (s.env && orch_json_is_null(s.env))
		s.env = NULL;
	*out = s;
	return s.env ? orch_json_each(s.env, check_variable, err) : 0;
}

/* As the peer: what it may not see is not there for us either. */
static int real_path(void *arg, char *out, size_t cap)
{
	char *path = realpath(arg, NULL);
	int rc = !path ? -errno : strlen(path) < cap ? 0 : -ENAMETOOLONG;

	if (rc == 0)
		memcpy(out, path, strlen(path) + 1);
	free(path);
	return rc;
}

static int place_url(struct fetch *f, struct orch_err *err)
{
	char path[4096];
	int rc;

	if (f->url.scheme != SYNC_GITURL_FILE)
		return 0;
	rc = fsd_peer_run(&f->r->peer, real_path, f->url.url, path, sizeof(path), err);
	if (rc < 0)
		return orch_err_sys(err, -rc, "repository %.300s", f->url.url);
	return sync_giturl_place(&f->url, path, err);
}

static int parse(struct fetch *f, struct orch_err *err)
{
	int rc = sync_gitrev_parse(f->spec->rev, &f->rev, err);

	if (rc == 0)
		rc = sync_giturl_parse(f->spec->url, &f->url, err);
	if (rc == 0)
		rc = place_url(f, err);
	if (rc == 0)
		sync_giturl_key(&f->url, &f->key);
	return rc;
}

/* ---- tasks ---- */

static int run_in(struct fetch *f, struct fsd_workers *places, struct fsd_task *task,
    struct orch_json **out, struct orch_err *err)
{
	if (orch_json_failed(task->json))
		return no_memory(err);
	return fsd_worker_run(places, f->r, task, out, NULL, err);
}

static int run_task(
    struct fetch *f, struct fsd_task *task, struct orch_json **out, struct orch_err *err)
{
	return run_in(f, f->r->daemon->workers, task, out, err);
}

static bool flag_of(const struct orch_json *result, const char *key)
{
	bool v = false;

	return orch_json_get_bool(result, key, &v, NULL) == 0 && v;
}

/* "commit" and "has_refs" of a worker's result. */
static int take_found(struct fetch *f, const struct orch_json *result, struct orch_err *err)
{
	const char *commit = orch_json_str(orch_json_get(result, "commit"));

	f->has_refs = flag_of(result, "has_refs");
	f->found = commit != NULL;
	if (!commit)
		return 0;
	if (strlen(commit) != SYNC_GITREV_HEX)
		return orch_err_set(err, EPROTO, "the worker's result is not valid");
	memcpy(f->made.commit, commit, sizeof(f->made.commit));
	return 0;
}

static const char *rev_text(const struct fetch *f)
{
	return f->rev.kind == SYNC_GITREV_HEAD_REF ? "HEAD" : f->rev.text;
}

static int find(struct fetch *f, struct orch_err *err)
{
	orch_auto(json) struct orch_json *json = fsd_task_json(f->r, "git-find", false);
	orch_auto(json) struct orch_json *result = NULL;
	struct fsd_task task = {.json = json};
	int rc;

	(void)orch_json_set_str(json, "rev", rev_text(f));
	fsd_task_fd(&task, "mirror", f->mirror_fd);
	rc = run_task(f, &task, &result, err);
	if (rc == -ORCH_ECORRUPT)
		orch_err_wrap(err,
		    "the mirror is damaged (DELETE /v1/git/KEY removes it, the next fetch "
		    "makes it anew)");
	return rc < 0 ? rc : take_found(f, result, err);
}

/* One step: what is brought, and what it says of the mirror's refs. */
struct step {
	const char *what; /* "default", "all", "id" */
	const char *name; /* for git; NULL: none */
	bool all;
	const char *scope; /* the mirror's name for it; NULL: none */
	uint64_t depth;	   /* of a piece of a history; 0: all of it */
	bool part;	   /* set: more is to come */
};

/* The URL as it is: with its password, through the task's file in memory. */
static int put_url(const struct fetch *f, struct orch_json *json)
{
	bool local = f->url.scheme == SYNC_GITURL_FILE;

	return orch_json_set_str(json, "url", local ? f->url.url : f->spec->url);
}

/* Nobody but root gets to the quarantine by its path, and git wants one: the worker mounts it for itself, on
 * an empty folder that is always the same. */
static int put_place(const struct fetch *f, struct orch_json *json, struct orch_err *err)
{
	orch_auto(free) char *place = NULL;
	int rc;

	if (geteuid() != 0 || f->r->peer.uid == 0)
		return 0;
	place = orch_path_join(f->r->daemon->run_dir, PLACE);
	if (!place)
		return no_memory(err);
	rc = orch_mkdirs(AT_FDCWD, place, 0755, err);
	return rc < 0 ? rc : orch_json_set_str(json, "place", place);
}

static struct orch_json *fetch_json(const struct fetch *f, const struct step *s)
{
	struct orch_json *json = fsd_task_json(f->r, "git-fetch", true);
	struct orch_json *env = f->spec->env ? fsd_json_copy(f->spec->env) : orch_json_object();
	const char *mode = f->spec->auth_mode;

	(void)put_url(f, json);
	(void)orch_json_set_str(json, "what", s->what);
	if (s->name)
		(void)orch_json_set_str(json, "name", s->name);
	(void)orch_json_set_str(
	    json, "auth", mode && strcmp(mode, "header") == 0 ? "header" : "helper");
	if (s->depth)
		(void)orch_json_set_u64(json, "depth", s->depth);
	if (f->spec->stall_s)
		(void)orch_json_set_u64(json, "stall_ms", f->spec->stall_s * 1000);
	(void)orch_json_set_json(json, "env", &env);
	return json;
}

/* *out_name: malloc'd, the default branch that was brought; NULL: none. */
static int bring(struct fetch *f, const struct step *s, int quarantine, char **out_name,
    bool *out_empty, struct orch_err *err)
{
	orch_auto(json) struct orch_json *json = fetch_json(f, s);
	orch_auto(json) struct orch_json *result = NULL;
	struct fsd_task task = {.json = json};
	const char *name;
	int rc;

	fsd_task_fd(&task, "quarantine", quarantine);
	rc = put_place(f, json, err);
	if (rc == 0) /* a server that is slow must not keep the places of imports and commits */
		rc = run_in(f, f->r->daemon->fetchers, &task, &result, err);
	if (rc < 0)
		return rc;
	name = orch_json_str(orch_json_get(result, "name"));
	*out_empty = flag_of(result, "empty");
	*out_name = name ? strdup(name) : NULL;
	return name && !*out_name ? no_memory(err) : 0;
}

static uint64_t count_of(const struct orch_json *result, const char *key)
{
	uint64_t v = 0;

	return orch_json_get_u64(result, key, &v, NULL) < 0 ? 0 : v;
}

/* quarantine -1: only what a killed one left is ended. */
static int take_over(
    struct fetch *f, struct step *s, const char *scope, int quarantine, struct orch_err *err)
{
	orch_auto(json) struct orch_json *json = fsd_task_json(f->r, "git-adopt", false);
	orch_auto(json) struct orch_json *result = NULL;
	orch_auto(fd) int locked = -1;
	struct fsd_task task = {.json = json};
	int rc = cas_mirror_lock(f->mirror_fd, f->r->cancel, LOCK_MS, &locked, err);

	if (rc < 0)
		return rc;
	(void)orch_json_set_bool(json, "all", s->all);
	(void)orch_json_set_bool(json, "part", s->depth > 0);
	if (scope)
		(void)orch_json_set_str(json, "name", scope);
	(void)orch_json_set_str(json, "rev", rev_text(f));
	fsd_task_fd(&task, "mirror", locked);
	if (quarantine >= 0)
		fsd_task_fd(&task, "quarantine", quarantine);
	rc = run_task(f, &task, &result, err);
	if (rc < 0)
		return rc;
	s->part = flag_of(result, "part");
	f->made.packs += count_of(result, "packs");
	f->made.pack_bytes += count_of(result, "pack_bytes");
	f->made.refs_changed += count_of(result, "refs_changed");
	return take_found(f, result, err);
}

static int in_quarantine(
    struct fetch *f, struct step *s, int quarantine, uid_t uid, gid_t gid, struct orch_err *err)
{
	orch_auto(free) char *name = NULL;
	bool empty = false;
	int rc = cas_mirror_seed(f->mirror_fd, quarantine, uid, gid, err);

	if (rc == 0)
		rc = bring(f, s, quarantine, &name, &empty, err);
	if (rc == 0 && !empty)
		rc = take_over(f, s, name ? name : s->scope, quarantine, err);
	return rc;
}

static int run_step(struct fetch *f, struct step *s, struct orch_err *err)
{
	struct cas_store *store = f->r->daemon->store;
	bool other = geteuid() == 0;
	uid_t uid = other ? f->r->peer.uid : geteuid();
	gid_t gid = other ? f->r->peer.gid : getegid();
	char id[CAS_QUARANTINE_ID_BYTES];
	struct orch_err left = ORCH_ERR_INIT;
	orch_auto(fd) int fd = -1;
	int rc = cas_publish_prepare(store, uid, gid, id, &fd, err);

	if (rc < 0)
		return rc;
	f->made.fetched = true;
	f->made.steps++;
	rc = in_quarantine(f, s, fd, uid, gid, err);
	if (cas_publish_drop(store, id, &left) < 0)
		orch_log_err("keeper", "quarantine-left", &left); /* the next start removes it */
	return rc;
}

/* ---- the order of steps ---- */

static int drop_steps(struct fetch *f, struct orch_err *err)
{
	orch_auto(fd) int locked = -1;
	int rc = cas_mirror_lock(f->mirror_fd, f->r->cancel, LOCK_MS, &locked, err);

	return rc == 0 ? cas_mirror_drop_steps(f->mirror_fd, err) : rc;
}

/* The default branch alone, in pieces, so that what breaks loses its own. A server that gives no pieces, or
 * gives nothing more while something is missing (a branch that was moved by force meanwhile), is asked
 * for all at once. */
static int step_default(struct fetch *f, struct orch_err *err)
{
	uint64_t depth = f->spec->step_commits ? f->spec->step_commits : STEP_COMMITS;
	struct step s = {.what = "default", .depth = depth};
	struct orch_err why = ORCH_ERR_INIT;
	int rc;

	do {
		uint64_t packs = f->made.packs;

		rc = run_step(f, &s, &why);
		if (rc == 0 && s.part && f->made.packs == packs)
			rc = -EOPNOTSUPP;
	} while (rc == 0 && s.part);
	if (rc != -EOPNOTSUPP) {
		if (rc < 0)
			*err = why;
		return rc;
	}
	rc = drop_steps(f, err);
	s.depth = 0;
	return rc == 0 ? run_step(f, &s, err) : rc;
}

static int step_all(struct fetch *f, struct orch_err *err)
{
	struct step s = {.what = "all", .all = true};
	int rc;

	if (f->rev.kind == SYNC_GITREV_HEAD_REF) {
		s.name = "HEAD";
		s.scope = SYNC_GITREF_HEAD;
	} else if (f->rev.kind == SYNC_GITREV_REF) {
		s.name = s.scope = f->rev.text;
	}
	fsd_mirrors_begin(f->r->daemon->mirrors, f->turn);
	rc = run_step(f, &s, err);
	if (rc == 0)
		fsd_mirrors_done(f->r->daemon->mirrors, f->turn, f->r->peer.uid);
	return rc;
}

static int step_id(struct fetch *f, struct orch_err *err)
{
	struct step s = {.what = "id", .name = f->rev.text, .scope = f->rev.text};

	return run_step(f, &s, err);
}

static int not_there(const struct fetch *f, struct orch_err *err)
{
	const char *text = f->rev.text;

	switch (f->rev.kind) {
	case SYNC_GITREV_ID:
		return orch_err_set(err, ENOENT, "it has no commit %.100s", text);
	case SYNC_GITREV_ABBREV:
		return orch_err_set(
		    err, ENOENT, "none of its commits, branches and tags is named %.100s", text);
	case SYNC_GITREV_HEAD_REF:
		return orch_err_set(err, ENOENT, "its HEAD leads to no commit");
	case SYNC_GITREV_REF:
		return orch_err_set(err, ENOENT, "its %.100s leads to no commit", text);
	case SYNC_GITREV_NAME:
		break;
	}
	return orch_err_set(err, ENOENT, "it has neither a branch nor a tag %.100s", text);
}

static int get(struct fetch *f, bool fresh, struct orch_err *err)
{
	bool is_id = f->rev.kind == SYNC_GITREV_ID || f->rev.kind == SYNC_GITREV_ABBREV;
	bool named = f->rev.kind == SYNC_GITREV_REF || f->rev.kind == SYNC_GITREV_HEAD_REF;
	struct step end = {.what = "all"};
	int rc = 0;

	if (cas_mirror_unfinished(f->mirror_fd))
		rc = take_over(f, &end, NULL, -1, err);
	if (rc == 0)
		rc = find(f, err);
	if (rc < 0 || (f->found && (is_id || (fresh && !named))))
		return rc;
	if (!f->has_refs)
		rc = step_default(f, err);
	if (rc == 0 && !(f->found && is_id))
		rc = step_all(f, err);
	if (rc == 0 && !f->found && f->rev.kind == SYNC_GITREV_ID)
		rc = step_id(f, err);
	return rc == 0 && !f->found ? not_there(f, err) : rc;
}

static int in_turn(struct fetch *f, struct orch_err *err)
{
	struct fsd_mirrors *m = f->r->daemon->mirrors;
	bool fresh;
	int rc = fsd_mirrors_enter(m, f->r, &f->key, &f->turn, &fresh, err);

	if (rc < 0)
		return rc;
	rc = get(f, fresh, err);
	fsd_mirrors_leave(m, f->turn);
	return rc;
}

int fsd_git_fetch(struct fsd_request *r, const struct fsd_git_spec *spec,
    struct fsd_git_fetched *out, struct orch_err *err)
{
	struct fetch f = {.r = r, .spec = spec, .mirror_fd = -1};
	int rc = parse(&f, err);

	if (rc == 0)
		rc = cas_mirror_open(r->daemon->store, &f.key, f.url.canonical, &f.mirror_fd, err);
	if (rc == 0)
		rc = in_turn(&f, err);
	if (rc == 0) {
		f.made.key = f.key;
		f.made.url = orch_take(f.url.canonical);
		f.made.mirror_fd = f.mirror_fd;
		*out = f.made;
	} else {
		orch_fd_close(f.mirror_fd);
		if (f.url.canonical)
			orch_err_wrap(err, "%.300s", f.url.canonical);
	}
	sync_giturl_fini(&f.url);
	return rc;
}
