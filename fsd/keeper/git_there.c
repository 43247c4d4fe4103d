/* A commit that is there; see git_there.h. */
#include "git_there.h"
#include <string.h>
#include <unistd.h>
#include "cache/memo.h"
#include "cache/ref.h"
#include "cache/snapshot.h"
#include "daemon.h"
#include "json_value.h"
#include "sync/giturl.h"

/* What makes another snapshot of the same commit, or more than a snapshot. */
static bool is_plain(const struct fsd_request *r)
{
	static const char *const names[] = {"include", "exclude", "parent", "record"};

	for (size_t i = 0; i < ORCH_ARRAY_LEN(names); i++) {
		const struct orch_json *v = orch_json_get(r->body, names[i]);

		if (v && !orch_json_is_null(v))
			return false;
	}
	return true;
}

static bool is_text(const struct orch_json *o, const char *key, const char *text)
{
	const char *s = orch_json_str(orch_json_get(o, key));

	return s && strcmp(s, text) == 0;
}

/* A path is compared as it was given: one that leads there in another way is found by the mirror. */
static int canonical(const struct fsd_git_spec *spec, struct sync_giturl *out)
{
	struct orch_err ignored = ORCH_ERR_INIT;
	int rc = sync_giturl_parse(spec->url, out, &ignored);

	if (rc == 0 && out->scheme == SYNC_GITURL_FILE) {
		rc = sync_giturl_place(out, out->url, &ignored);
		if (rc < 0)
			sync_giturl_fini(out);
	}
	return rc;
}

static int make_answer(const struct cas_snapshot *x, const struct orch_json *source,
    const char *ref, struct orch_json **out, struct orch_err *err)
{
	static const char *const none[] = {"read_files", "read_bytes", "hashed_files",
	    "hashed_bytes", "new_objects", "new_bytes", "skipped_count", "read_trees"};
	static const char *const same[] = {"commit", "tree", "url"};
	struct orch_json *o = orch_json_object(), *skipped = orch_json_array();
	int rc = o ? fsd_json_set_digest(o, "id", &x->id) : -ENOMEM;

	(void)orch_json_set_u64(o, "files", x->files);
	(void)orch_json_set_u64(o, "bytes", x->bytes);
	for (size_t i = 0; i < ORCH_ARRAY_LEN(same); i++)
		(void)orch_json_set_str(o, same[i], orch_json_str(orch_json_get(source, same[i])));
	for (size_t i = 0; i < ORCH_ARRAY_LEN(none); i++)
		(void)orch_json_set_u64(o, none[i], 0);
	(void)orch_json_set_json(o, "skipped", &skipped);
	(void)orch_json_set_bool(o, "fetched", false);
	(void)orch_json_set_bool(o, "new", false);
	(void)orch_json_set_str(o, "ref", ref);
	if (rc == 0 && orch_json_failed(o))
		rc = -ENOMEM;
	rc = fsd_json_finish(rc, &o, out, err);
	return rc < 0 ? rc : 1;
}

static int compare(const struct cas_snapshot *x, const struct sync_giturl *url, const char *commit,
    const char *ref, struct orch_json **out, struct orch_err *err)
{
	orch_auto(json) struct orch_json *source = NULL;

	if (!x->source || orch_json_parse(x->source, strlen(x->source), &source, NULL) < 0 ||
	    !is_text(source, "kind", "git") || !is_text(source, "url", url->canonical) ||
	    !is_text(source, "commit", commit) || orch_json_get(source, "sparse"))
		return 0;
	return make_answer(x, source, ref, out, err);
}

static uid_t worker_uid(const struct fsd_request *r)
{
	return geteuid() == 0 ? r->peer.uid : geteuid();
}

int fsd_git_there(struct fsd_request *r, const struct fsd_git_spec *spec, const char *ref,
    struct orch_json **out, struct orch_err *err)
{
	struct cas_snapshot x = {.source = NULL};
	struct orch_digest key;
	struct sync_giturl url;
	struct sync_gitrev rev;
	struct cas_ref now;
	int rc = 0;

	if (!ref || !is_plain(r) || sync_gitrev_parse(spec->rev, &rev, NULL) < 0 ||
	    rev.kind != SYNC_GITREV_ID || cas_ref_get(r->daemon->store, ref, &now, NULL) < 0 ||
	    cas_snapshot_get(r->daemon->store, &now.id, &x, NULL) < 0)
		return 0;
	if (canonical(spec, &url) == 0) {
		sync_giturl_key(&url, &key);
		/* after something was lost there is none, and what is imported again is mended */
		if (cas_memo_is_there(r->daemon->store, &key, worker_uid(r)))
			rc = compare(&x, &url, rev.text, ref, out, err);
		sync_giturl_fini(&url);
	}
	cas_snapshot_fini(&x);
	return rc;
}
