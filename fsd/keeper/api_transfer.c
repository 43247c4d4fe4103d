/* Import, export and three-way application in the control API. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "api.h"
#include "cache/ref.h"
#include "core/fd.h"
#include "daemon.h"
#include "expect.h"
#include "git_there.h"
#include "json_value.h"
#include "transfer.h"

static int memory(struct orch_err *err)
{
	return orch_err_set(err, ENOMEM, "no memory");
}

/* ref, expect and record of the body. */
static int parse_target(struct fsd_request *r, struct fsd_transfer *t, struct orch_err *err)
{
	const struct orch_json *record = orch_json_get(r->body, "record");
	int rc;

	t->ref = fsd_body_str(r, "ref");
	t->record = record && !orch_json_is_null(record) ? record : NULL;
	rc = fsd_expect_parse(fsd_body_str(r, "expect"), &t->expect, err);
	return rc < 0 ? rc : fsd_expect_check(r->daemon->store, t->ref, &t->expect, err);
}

/* The store is never imported into itself. */
static int set_store(const struct fsd_request *r, struct orch_json *task)
{
	struct orch_json *o = orch_json_object();
	struct stat st;
	int rc = o ? 0 : -ENOMEM;

	if (rc == 0 && fstat(cas_store_root_fd(r->daemon->store), &st) < 0)
		rc = -errno;
	if (rc == 0)
		rc = orch_json_set_u64(o, "dev", st.st_dev);
	if (rc == 0)
		rc = orch_json_set_u64(o, "ino", st.st_ino);
	if (rc == 0)
		rc = orch_json_set_json(task, "store", &o);
	orch_json_free(o);
	return rc;
}

/* As in the body, when it is there. */
static int copy_body(const struct fsd_request *r, struct orch_json *task, const char *key)
{
	const struct orch_json *v = orch_json_get(r->body, key);
	struct orch_json *copy;

	if (!v || (orch_json_is_null(v) && strcmp(key, "ignore_file") != 0))
		return 0;
	copy = fsd_json_copy(v);
	return copy ? orch_json_set_json(task, key, &copy) : -ENOMEM;
}

/* The given parent, else what the ref points to now: so unchanged files keep mtime and inode. */
static int set_parent(struct fsd_request *r, struct orch_json *task, struct orch_err *err)
{
	const char *parent = fsd_body_str(r, "parent"), *ref = fsd_body_str(r, "ref");
	struct orch_err why = ORCH_ERR_INIT;
	struct cas_ref now;
	int rc;

	if (parent)
		return fsd_task_rev(r, task, "parent", parent, err);
	if (!ref)
		return 0;
	rc = cas_ref_get(r->daemon->store, ref, &now, &why);
	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		*err = why;
	else if (fsd_json_set_digest(task, "parent", &now.id) < 0)
		rc = memory(err);
	return rc;
}

static int import_members(struct fsd_request *r, struct orch_json *task, struct orch_err *err)
{
	int rc = fsd_task_path(r, task, "dir", err);

	if (rc == 0)
		rc = set_parent(r, task, err);
	if (rc < 0)
		return rc;
	rc = set_store(r, task);
	if (rc == 0)
		rc = copy_body(r, task, "exclude");
	if (rc == 0)
		rc = copy_body(r, task, "ignore_file");
	if (rc == 0)
		rc = copy_body(r, task, "source");
	return rc < 0 ? orch_err_sys(err, -rc, "task") : 0;
}

int fsd_api_import(struct fsd_request *r, struct orch_json **out, struct orch_err *err)
{
	struct fsd_transfer t = {.as_peer = true, .parent = "parent"};
	orch_auto(json) struct orch_json *json = fsd_task_json(r, "import", true);
	struct fsd_task task = {.json = json};
	int rc = json ? fsd_ending_check(&r->daemon->ending, err) : memory(err);

	if (rc == 0)
		rc = fsd_peer_actable(&r->peer, err);
	if (rc == 0)
		rc = parse_target(r, &t, err);
	if (rc == 0)
		rc = import_members(r, json, err);
	if (rc < 0)
		return rc;
	fsd_task_fd(&task, "scan", cas_store_scan_fd(r->daemon->store));
	return fsd_transfer_run(r, &task, &t, out, NULL, err);
}

/* ---- a commit ---- */

static int add_fetched(void *priv, struct orch_json *answer)
{
	const struct fsd_git_fetched *made = priv;

	(void)orch_json_set_str(answer, "url", made->url);
	return orch_json_set_bool(answer, "fetched", made->fetched);
}

static int git_members(struct fsd_request *r, struct orch_json *task,
    const struct fsd_git_fetched *made, struct orch_err *err)
{
	int rc = set_parent(r, task, err);

	if (rc < 0)
		return rc;
	rc = orch_json_set_str(task, "url", made->url);
	if (rc == 0)
		rc = orch_json_set_str(task, "rev", made->commit);
	if (rc == 0)
		rc = copy_body(r, task, "include");
	if (rc == 0)
		rc = copy_body(r, task, "exclude");
	return rc < 0 ? orch_err_sys(err, -rc, "task") : 0;
}

/* Of a mirror that holds the commit, complete. */
static int import_commit(struct fsd_request *r, struct fsd_transfer *t,
    struct fsd_git_fetched *made, struct orch_json **out, struct orch_err *err)
{
	orch_auto(json) struct orch_json *json = fsd_task_json(r, "git-import", true);
	struct fsd_task task = {.json = json};
	int rc = json ? git_members(r, json, made, err) : memory(err);

	if (rc < 0)
		return rc;
	t->has_memo = true;
	t->mirror_fd = made->mirror_fd;
	t->more = add_fetched;
	t->more_priv = made;
	fsd_task_fd(&task, "mirror", made->mirror_fd);
	return fsd_transfer_run(r, &task, t, out, NULL, err);
}

int fsd_api_import_git(struct fsd_request *r, struct orch_json **out, struct orch_err *err)
{
	struct fsd_transfer t = {.as_peer = true, .parent = "parent"};
	struct fsd_git_fetched made;
	struct fsd_git_spec spec;
	int rc = fsd_ending_check(&r->daemon->ending, err);

	if (rc == 0)
		rc = fsd_peer_actable(&r->peer, err);
	if (rc == 0)
		rc = parse_target(r, &t, err);
	if (rc == 0)
		rc = fsd_git_spec_get(r, &spec, err);
	if (rc == 0)
		rc = fsd_git_there(r, &spec, t.ref, out, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	rc = fsd_git_fetch(r, &spec, &made, err);
	if (rc < 0)
		return rc;
	rc = import_commit(r, &t, &made, out, err);
	orch_fd_close(made.mirror_fd);
	free(made.url);
	return rc;
}

int fsd_api_export(struct fsd_request *r, struct orch_json **out, struct orch_err *err)
{
	orch_auto(json) struct orch_json *json = fsd_task_json(r, "export", true);
	struct fsd_task task = {.json = json};
	int rc = json ? fsd_ending_check(&r->daemon->ending, err) : memory(err);

	if (rc == 0)
		rc = fsd_peer_actable(&r->peer, err);
	if (rc == 0)
		rc = fsd_task_path(r, json, "dir", err);
	if (rc == 0)
		rc = fsd_task_rev(r, json, "snapshot", r->params[0], err);
	if (rc < 0)
		return rc;
	fsd_task_fd(&task, "objects", cas_store_objects_fd(r->daemon->store));
	fsd_task_fd(&task, "packs", cas_store_packs_fd(r->daemon->store));
	return fsd_worker_run(r->daemon->workers, r, &task, out, NULL, err);
}

static bool is_conflict_rule(const char *word)
{
	static const char *const words[] = {"fail", "keep", "replace", "source"};

	for (size_t i = 0; i < ORCH_ARRAY_LEN(words); i++)
		if (strcmp(word, words[i]) == 0)
			return true;
	return false;
}

static int apply_members(struct fsd_request *r, struct orch_json *task, struct orch_err *err)
{
	static const char *const revs[] = {"base", "incoming", "mine"};
	const char *how = fsd_body_str(r, "conflict");
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ORCH_ARRAY_LEN(revs); i++)
		rc = fsd_task_rev(r, task, revs[i], fsd_body_str(r, revs[i]), err);
	if (rc < 0)
		return rc;
	if (!how)
		how = "fail";
	if (!is_conflict_rule(how))
		return orch_err_set(err, EINVAL,
		    "'conflict' is none of \"fail\", \"keep\", \"replace\", \"source\"");
	return orch_json_set_str(task, "conflict", how) < 0 ? memory(err) : 0;
}

int fsd_api_apply(struct fsd_request *r, struct orch_json **out, struct orch_err *err)
{
	/* It reads the store and nothing of the peer's, so any user's daemon can do it. */
	struct fsd_transfer t = {
	    .as_peer = fsd_peer_actable(&r->peer, NULL) == 0, .parent = "mine"};
	orch_auto(json) struct orch_json *json = fsd_task_json(r, "apply", t.as_peer);
	struct fsd_task task = {.json = json};
	int rc = json ? fsd_ending_check(&r->daemon->ending, err) : memory(err);

	if (rc == 0)
		rc = parse_target(r, &t, err);
	if (rc == 0)
		rc = apply_members(r, json, err);
	return rc < 0 ? rc : fsd_transfer_run(r, &task, &t, out, NULL, err);
}
