/* Mirrors of Git repositories in the control API. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "api.h"
#include "core/fd.h"
#include "daemon.h"
#include "cache/mirror.h"
#include "git_fetch.h"
#include "json_value.h"
#include "mirrors.h"
#include "transfer.h"
#include "worker.h"

#define LOCK_MS 600000

static int make_answer(
    const struct fsd_git_fetched *made, struct orch_json **out, struct orch_err *err)
{
	struct orch_json *o = orch_json_object();
	int rc = o ? orch_json_set_str(o, "commit", made->commit) : -ENOMEM;

	(void)fsd_json_set_digest(o, "key", &made->key);
	(void)orch_json_set_str(o, "url", made->url);
	(void)orch_json_set_bool(o, "fetched", made->fetched);
	(void)orch_json_set_u64(o, "steps", made->steps);
	(void)orch_json_set_u64(o, "packs", made->packs);
	(void)orch_json_set_u64(o, "bytes", made->pack_bytes);
	(void)orch_json_set_u64(o, "refs", made->refs_changed);
	if (rc == 0 && orch_json_failed(o))
		rc = -ENOMEM;
	return fsd_json_finish(rc, &o, out, err);
}

int fsd_api_git_fetch(struct fsd_request *r, struct orch_json **out, struct orch_err *err)
{
	struct fsd_git_spec spec;
	struct fsd_git_fetched made;
	int rc = fsd_ending_check(&r->daemon->ending, err);

	if (rc == 0)
		rc = fsd_peer_actable(&r->peer, err);
	if (rc == 0)
		rc = fsd_git_spec_get(r, &spec, err);
	if (rc == 0)
		rc = fsd_git_fetch(r, &spec, &made, err);
	if (rc < 0)
		return rc;
	rc = make_answer(&made, out, err);
	orch_fd_close(made.mirror_fd);
	free(made.url);
	return rc;
}

static int push_mirror(void *priv, const struct cas_mirror *m)
{
	struct orch_json *o = orch_json_object();

	(void)fsd_json_set_digest(o, "key", &m->key);
	(void)orch_json_set_bytes(o, "url", m->url, strlen(m->url));
	(void)orch_json_set_u64(o, "packs", m->packs);
	(void)orch_json_set_u64(o, "bytes", m->pack_bytes);
	return orch_json_push(priv, &o);
}

int fsd_api_git_list(struct fsd_request *r, struct orch_json **out, struct orch_err *err)
{
	struct orch_json *o = orch_json_object(), *list = orch_json_array();
	int rc = o && list ? 0 : -ENOMEM;

	if (rc == 0)
		rc = cas_mirror_each(r->daemon->store, push_mirror, list, err);
	if (rc == 0)
		rc = orch_json_set_json(o, "mirrors", &list);
	orch_json_free(list);
	return fsd_json_finish(rc, &o, out, err);
}

static int get_key(struct fsd_request *r, struct orch_digest *out, struct orch_err *err)
{
	if (orch_digest_parse(r->params[0], out) < 0)
		return orch_err_set(err, EINVAL, "'%.80s' is no key of a mirror", r->params[0]);
	return 0;
}

/* In its turn, so that no fetch is at it. */
int fsd_api_git_remove(struct fsd_request *r, struct orch_json **out, struct orch_err *err)
{
	struct fsd_mirrors *m = r->daemon->mirrors;
	struct fsd_mirror_turn *turn;
	struct orch_digest key;
	bool fresh;
	int rc;

	(void)out;
	if (!fsd_peer_is_admin(&r->peer))
		return orch_err_set(err, EPERM, "only root and the daemon's user remove mirrors");
	rc = get_key(r, &key, err);
	if (rc == 0)
		rc = fsd_mirrors_enter(m, r, &key, &turn, &fresh, err);
	if (rc < 0)
		return rc;
	rc = cas_mirror_remove(r->daemon->store, &key, r->cancel, LOCK_MS, err);
	fsd_mirrors_leave(m, turn);
	return rc;
}

static int verify(struct fsd_request *r, const struct orch_digest *key, struct orch_json **out,
    struct orch_err *err)
{
	orch_auto(json) struct orch_json *json = fsd_task_json(r, "git-verify", false);
	orch_auto(fd) int fd = -1;
	orch_auto(fd) int locked = -1;
	struct fsd_task task = {.json = json};
	int rc = json ? cas_mirror_get(r->daemon->store, key, &fd, err)
		      : orch_err_set(err, ENOMEM, "no memory");

	if (rc == 0)
		rc = cas_mirror_lock(fd, r->cancel, LOCK_MS, &locked, err);
	if (rc < 0)
		return rc;
	fsd_task_fd(&task, "mirror", locked);
	return fsd_worker_run(r->daemon->workers, r, &task, out, NULL, err);
}

int fsd_api_git_verify(struct fsd_request *r, struct orch_json **out, struct orch_err *err)
{
	struct fsd_mirrors *m = r->daemon->mirrors;
	struct fsd_mirror_turn *turn;
	struct orch_digest key;
	bool fresh;
	int rc = get_key(r, &key, err);

	if (rc == 0)
		rc = fsd_mirrors_enter(m, r, &key, &turn, &fresh, err);
	if (rc < 0)
		return rc;
	rc = verify(r, &key, out, err);
	fsd_mirrors_leave(m, turn);
	return rc;
}
