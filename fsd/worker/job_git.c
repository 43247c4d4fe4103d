/* The jobs about the mirror of a Git repository: looking, fetching, taking over. */
#include "fsd/worker/jobs.h"

#include <string.h>
#include <sys/stat.h>
#include "core/fd.h"
#include "core/path.h"
#include "fsd/worker/events.h"
#include "sync/gitadopt.h"
#include "sync/gitfetch.h"
#include "sync/gitfind.h"

#define STALL_MS 600000 /* git is silent while it looks through what came, too */

static int find(struct worker *w, struct orch_json *result, struct orch_err *err)
{
	const struct worker_request *q = w->request;
	struct sync_gitrev rev;
	struct sync_gitfound found;
	int r = sync_gitrev_parse(q->git.rev, &rev, err);

	if (r == 0)
		r = sync_gitfind(w->task, q->fds[WORKER_FD_MIRROR], &rev, &found, err);
	if (r < 0)
		return r;
	if (found.found)
		(void)orch_json_set_str(result, "commit", found.commit);
	return orch_json_set_bool(result, "has_refs", found.has_refs);
}

int worker_job_git_find(struct worker *w, struct orch_json *result, struct orch_err *err)
{
	return find(w, result, err);
}

static int fetch(struct worker *w, const struct sync_giturl *url, const char *helper,
    struct orch_json *result, struct orch_err *err)
{
	const struct worker_git *g = &w->request->git;
	struct sync_gitfetch_spec spec = {.quarantine_fd = w->request->fds[WORKER_FD_QUARANTINE],
	    .place = g->place,
	    .url = url,
	    .what = g->what,
	    .name = g->name,
	    .env = &g->env,
	    .auth = g->auth,
	    .helper = helper,
	    .stall_ms = g->stall_ms ? g->stall_ms : STALL_MS,
	    .depth = g->depth};
	struct sync_gitfetched made;
	int r = sync_gitfetch(w->task, &spec, &made, err);

	if (r < 0) {
		orch_err_wrap(err, "fetch %.300s", url->url);
		return r;
	}
	if (made.name[0])
		(void)orch_json_set_str(result, "name", made.name);
	return orch_json_set_bool(result, "empty", made.empty);
}

int worker_job_git_fetch(struct worker *w, struct orch_json *result, struct orch_err *err)
{
	orch_auto(free) char *helper = orch_path_program("orch-worker", "orch-worker", err);
	struct sync_giturl url;
	int r = helper ? sync_giturl_parse(w->request->git.url, &url, err) : -err->code;

	if (r < 0)
		return r;
	r = fetch(w, &url, helper, result, err);
	sync_giturl_fini(&url);
	return r;
}

int worker_job_git_adopt(struct worker *w, struct orch_json *result, struct orch_err *err)
{
	const struct worker_request *q = w->request;
	const char *name = q->git.name;
	struct sync_gitadopt_spec spec = {.mirror_fd = q->fds[WORKER_FD_MIRROR],
	    .quarantine_fd = q->fds[WORKER_FD_QUARANTINE],
	    .scope = {.all = q->git.all},
	    .part = q->git.part};
	struct sync_gitadopted made;
	int r;

	if (name && strlen(name) == SYNC_GITREV_HEX && strncmp(name, "refs/", 5) != 0)
		spec.scope.id = name;
	else
		spec.scope.name = name;
	umask(022); /* workers of other users read what is made here */
	r = sync_gitadopt(w->task, &spec, &made, err);
	if (r < 0) {
		orch_err_wrap(err, "take over what was fetched");
		return r;
	}
	(void)orch_json_set_u64(result, "packs", made.packs);
	(void)orch_json_set_u64(result, "pack_bytes", made.pack_bytes);
	(void)orch_json_set_u64(result, "refs_changed", made.refs_changed);
	(void)orch_json_set_bool(result, "part", made.part);
	return q->git.rev ? find(w, result, err) : 0;
}

static void on_bad(void *priv, const char *name, const char *why)
{
	struct orch_json *o = orch_json_object();
	orch_auto(free) char *text = worker_events_text(why);

	(void)orch_json_set_str(o, "name", name);
	(void)orch_json_set_str(o, "error", text ? text : "?");
	(void)orch_json_push(priv, &o);
}

int worker_job_git_verify(struct worker *w, struct orch_json *result, struct orch_err *err)
{
	struct orch_json *bad = orch_json_array();
	struct sync_gitverified seen;
	int r = bad ? sync_gitverify(
			  w->task, w->request->fds[WORKER_FD_MIRROR], on_bad, bad, &seen, err)
		    : orch_err_set(err, ENOMEM, "no memory");

	if (r < 0) {
		orch_json_free(bad);
		return r;
	}
	(void)orch_json_set_u64(result, "packs", seen.packs);
	(void)orch_json_set_u64(result, "bytes", seen.pack_bytes);
	(void)orch_json_set_u64(result, "refs", seen.refs);
	(void)orch_json_set_u64(result, "bad_count", seen.bad);
	return orch_json_set_json(result, "bad", &bad);
}
