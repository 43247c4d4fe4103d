/* From a task to a snapshot. */
#include "transfer.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cache/snapshot.h"
#include "core/fd.h"
#include "core/log.h"
#include "daemon.h"
#include "json_value.h"

struct orch_json *fsd_task_json(struct fsd_request *r, const char *name, bool as_peer)
{
	struct orch_json *o = orch_json_object(), *user = NULL;
	int rc = o ? orch_json_set_str(o, "task", name) : -ENOMEM;

	if (rc == 0 && as_peer && geteuid() == 0) {
		user = fsd_peer_to_json(&r->peer);
		rc = user ? orch_json_set_json(o, "user", &user) : -ENOMEM;
	}
	if (rc == 0)
		return o;
	orch_json_free(o);
	return NULL;
}

int fsd_task_path(
    struct fsd_request *r, struct orch_json *task, const char *name, struct orch_err *err)
{
	orch_auto(free) char *path = NULL;
	size_t len;
	int rc = orch_json_get_bytes(r->body, name, &path, &len, err);

	if (rc < 0)
		return rc;
	if (path[0] != '/' || strlen(path) != len)
		return orch_err_set(err, EINVAL, "'%s' is not an absolute path", name);
	rc = orch_json_set_bytes(task, name, path, len);
	return rc < 0 ? orch_err_sys(err, -rc, "task") : 0;
}

int fsd_task_rev(struct fsd_request *r, struct orch_json *task, const char *name, const char *rev,
    struct orch_err *err)
{
	struct orch_digest id;
	int rc = cas_snapshot_resolve(r->daemon->store, rev, &id, err);

	if (rc < 0) {
		orch_err_wrap(err, "%s", name);
		return rc;
	}
	rc = fsd_json_set_digest(task, name, &id);
	return rc < 0 ? orch_err_sys(err, -rc, "task") : 0;
}

static int get_digest(const struct orch_json *o, const char *key, struct orch_digest *out)
{
	const char *hex = orch_json_str(orch_json_get(o, key));

	return hex ? orch_digest_parse(hex, out) : -ENOENT;
}

/* The result for the client: "id" first, without what is between worker and keeper only. */
static int copy_shown(const char *key, const struct orch_json *v, void *priv)
{
	struct orch_json *copy;

	if (strcmp(key, "snapshot") == 0 || strcmp(key, "scan") == 0 || strcmp(key, "memo") == 0)
		return 0;
	copy = fsd_json_copy(v);
	return copy ? orch_json_set_json(priv, key, &copy) : -ENOMEM;
}

static int make_answer(const struct orch_json *result, const struct cas_publish *p,
    const struct fsd_transfer *t, struct orch_json **out, struct orch_err *err)
{
	struct orch_json *o = orch_json_object();
	int rc = o ? fsd_json_set_digest(o, "id", &p->snapshot) : -ENOMEM;

	if (rc == 0)
		rc = orch_json_each(result, copy_shown, o);
	if (rc == 0)
		rc = fsd_json_reserve_bool(o, "new");
	if (rc == 0 && p->ref)
		rc = orch_json_set_str(o, "ref", p->ref);
	if (rc == 0 && t->more)
		rc = t->more(t->more_priv, o);
	return fsd_json_finish(rc, &o, out, err);
}

static uid_t worker_uid(const struct fsd_request *r, const struct fsd_transfer *t)
{
	return t->as_peer && geteuid() == 0 ? r->peer.uid : geteuid();
}

/* "<uid>-<64 hex digits>": an index stands for having read the files, so its uid must be the one
 * that the worker ran under. */
static bool scan_key_fits(
    const struct fsd_request *r, const struct fsd_transfer *t, const char *key)
{
	uid_t uid = worker_uid(r, t);
	struct orch_digest rest;
	char prefix[16];
	int n = snprintf(prefix, sizeof(prefix), "%u-", (unsigned)uid);

	return strncmp(key, prefix, (size_t)n) == 0 && orch_digest_parse(key + n, &rest) == 0;
}

static int publish(struct fsd_request *r, const struct fsd_task *task, const struct fsd_transfer *t,
    const char *quarantine, const struct orch_json *result, struct orch_json **out,
    struct orch_digest *out_id, struct orch_err *err)
{
	struct cas_publish p = {
	    .quarantine = quarantine,
	    .record = t->record,
	    .ref = t->ref,
	    .expect = t->expect,
	    .scan_key = orch_json_str(orch_json_get(result, "scan")),
	    .cancel = r->cancel,
	};
	struct cas_memo_place memo = {t->mirror_fd, worker_uid(r, t)};
	struct orch_json *answer = NULL;
	struct cas_published done;
	int rc;

	p.memo = t->has_memo ? &memo : NULL;
	if (t->as_peer && r->peer.uid != geteuid())
		p.flags |= CAS_PUBLISH_CHECK_DIGESTS;
	if (get_digest(result, "snapshot", &p.snapshot) < 0 ||
	    (p.scan_key && !scan_key_fits(r, t, p.scan_key)))
		return orch_err_set(err, EPROTO, "the worker's result is not valid");
	if (!t->parent || get_digest(task->json, t->parent, &p.parent) < 0)
		p.parent = (struct orch_digest){0};
	rc = make_answer(result, &p, t, &answer, err);
	if (rc == 0)
		rc = cas_publish(r->daemon->store, &p, &done, err);
	if (rc < 0) {
		orch_json_free(answer);
		return rc;
	}
	fsd_json_settle_bool(answer, "new", done.snapshot_is_new);
	*out = answer;
	if (out_id)
		*out_id = p.snapshot;
	return 0;
}

static int set_seed(const struct cas_store *s, struct orch_json *task)
{
	char seed[17];

	snprintf(seed, sizeof(seed), "%016" PRIx64, cas_store_seed(s));
	return orch_json_set_str(task, "seed", seed);
}

int fsd_transfer_run(struct fsd_request *r, struct fsd_task *task, const struct fsd_transfer *t,
    struct orch_json **out, struct orch_digest *out_id, struct orch_err *err)
{
	struct cas_store *s = r->daemon->store;
	char id[CAS_QUARANTINE_ID_BYTES];
	orch_auto(fd) int fd = -1;
	orch_auto(json) struct orch_json *result = NULL;
	bool other = t->as_peer && geteuid() == 0;
	struct orch_err left = ORCH_ERR_INIT;
	int rc = cas_publish_prepare(
	    s, other ? r->peer.uid : geteuid(), other ? r->peer.gid : getegid(), id, &fd, err);

	if (rc < 0)
		return rc;
	rc = set_seed(s, task->json);
	if (rc < 0)
		goto undo_prepare;
	fsd_task_fd(task, "objects", cas_store_objects_fd(s));
	fsd_task_fd(task, "packs", cas_store_packs_fd(s));
	fsd_task_fd(task, "quarantine", fd);
	rc = fsd_worker_run(r->daemon->workers, r, task, &result, out, err);
	if (rc == 0)
		rc = publish(r, task, t, id, result, out, out_id, err);
undo_prepare:
	if (rc < 0 && cas_publish_drop(s, id, &left) < 0)
		orch_log_err("keeper", "quarantine-left", &left); /* the next start removes it */
	return rc;
}
