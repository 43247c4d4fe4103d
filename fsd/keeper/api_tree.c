/* What a snapshot holds, and what differs between two. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "api.h"
#include "cache/diff.h"
#include "cache/snapshot.h"
#include "core/guard.h"
#include "core/path.h"
#include "daemon.h"
#include "entry_json.h"
#include "events.h"
#include "json_value.h"

/* One folder of a snapshot. */
struct folder {
	struct fmt_tree tree;
	struct fmt_stamps stamps;
};

/* What was decoded from mapped packs counts when none of them lost a page meanwhile. */
static int undisturbed(uint64_t hits, struct orch_err *err)
{
	return orch_guard_hits() == hits
		   ? 0
		   : orch_err_set(err, ORCH_ECORRUPT,
			 "a pack was cut while it was read: `store verify` tells which");
}

static int open_folder(struct view_packset *packs, const struct orch_digest *tree,
    const struct orch_digest *stamps, struct folder *out, struct orch_err *err)
{
	int rc = view_packset_tree(packs, tree, &out->tree, err);

	if (rc == 0)
		rc = view_packset_stamps(packs, stamps, &out->stamps, err);
	if (rc == 0 && out->stamps.count != out->tree.count)
		rc = orch_err_set(err, ORCH_ECORRUPT, "stamps do not belong to their tree");
	return rc;
}

/* Goes down one component. */
static int descend(
    struct view_packset *packs, struct folder *f, const char *name, size_t n, struct orch_err *err)
{
	struct fmt_entry e;
	struct fmt_stamp s;
	uint32_t i;
	int rc = fmt_tree_find(&f->tree, name, n, &i, err);

	if (rc == -ENOENT)
		return orch_err_set(err, ENOENT, "no such entry");
	if (rc == 0)
		rc = fmt_tree_entry(&f->tree, i, &e, err);
	if (rc == 0)
		rc = fmt_stamps_get(&f->stamps, i, &s, err);
	if (rc < 0)
		return rc;
	if (e.type != FMT_DIR)
		return orch_err_set(err, ENOTDIR, "not a folder");
	return open_folder(packs, &e.digest, &s.stamps, f, err);
}

static int find_folder(struct view_packset *packs, const struct orch_digest *id, const char *path,
    struct folder *f, struct orch_err *err)
{
	struct fmt_snapshot snap;
	int rc = view_packset_snapshot(packs, id, &snap, err);

	if (rc == 0)
		rc = open_folder(packs, &snap.root.digest, &snap.stamps, f, err);
	while (rc == 0 && *path) {
		size_t n = strcspn(path, "/");

		rc = descend(packs, f, path, n, err);
		path += n + (path[n] == '/');
	}
	return rc;
}

static int list_folder(const struct folder *f, struct orch_json *list, struct orch_err *err)
{
	for (uint32_t i = 0; i < f->tree.count; i++) {
		struct fmt_entry e;
		struct fmt_stamp s;
		struct orch_json *o;
		int rc = fmt_tree_entry(&f->tree, i, &e, err);

		if (rc == 0)
			rc = fmt_stamps_get(&f->stamps, i, &s, err);
		if (rc < 0)
			return rc;
		o = fsd_entry_json(&e, &s);
		rc = o ? orch_json_push(list, &o) : -ENOMEM;
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* "path" or "path_b64" of the query; "" when absent. malloc'd. */
static int query_path(const struct fsd_request *r, char **out, struct orch_err *err)
{
	size_t len;

	if (!orch_json_get(r->query, "path") && !orch_json_get(r->query, "path_b64")) {
		*out = strdup("");
		return *out ? 0 : -ENOMEM;
	}
	if (orch_json_get_bytes(r->query, "path", out, &len, err) < 0)
		return orch_err_set(err, EINVAL, "'path_b64' is not base64");
	if (strlen(*out) == len && (!len || orch_path_valid(*out)))
		return 0;
	free(orch_take(*out));
	return orch_err_set(err, EINVAL, "'path' is not a path relative to the root");
}

int fsd_api_tree(struct fsd_request *r, struct orch_json **out, struct orch_err *err)
{
	struct view_packset *packs = cas_store_packset(r->daemon->store);
	orch_auto(free) char *path = NULL;
	struct orch_json *o = orch_json_object(), *list = orch_json_array();
	struct orch_digest id;
	struct folder f;
	uint64_t hits = orch_guard_hits();
	int rc = o && list ? query_path(r, &path, err) : -ENOMEM;

	if (rc == 0)
		rc = cas_snapshot_resolve(r->daemon->store, r->params[0], &id, err);
	if (rc == 0) {
		rc = find_folder(packs, &id, path, &f, err);
		if (rc < 0 && *path)
			orch_err_wrap(err, "%s", path);
	}
	if (rc == 0)
		rc = list_folder(&f, list, err);
	if (rc == 0)
		rc = undisturbed(hits, err);
	if (rc == 0)
		rc = orch_json_set_json(o, "entries", &list);
	orch_json_free(list);
	return fsd_json_finish(rc, &o, out, err);
}

struct diff {
	struct fsd_request *r;
	uint64_t count;
};

static int set_side(
    struct orch_json *o, const char *key, const struct fmt_entry *e, const struct fmt_stamp *s)
{
	struct orch_json *side;

	if (!e)
		return 0;
	side = fsd_entry_json(e, s);
	return side ? orch_json_set_json(o, key, &side) : -ENOMEM;
}

static int on_difference(void *priv, const struct cas_difference *d)
{
	struct diff *diff = priv;
	orch_auto(json) struct orch_json *o = orch_json_object();

	if (fsd_request_cancel_flag(diff->r))
		return -ECANCELED;
	if (!o || orch_json_set_bytes(o, "path", d->path, d->path_len) < 0 ||
	    orch_json_set_str(o, "change", cas_change_name(d->change)) < 0 ||
	    set_side(o, "a", d->a, d->a_stamp) < 0 || set_side(o, "b", d->b, d->b_stamp) < 0)
		return -ENOMEM;
	diff->count++;
	return fsd_events_add_json(diff->r->events, o);
}

int fsd_api_diff(struct fsd_request *r, struct orch_json **out, struct orch_err *err)
{
	struct diff diff = {.r = r};
	struct orch_digest a, b;
	struct orch_json *o = NULL;
	uint64_t hits = orch_guard_hits();
	int rc = cas_snapshot_resolve(r->daemon->store, fsd_query_str(r, "a"), &a, err);

	if (rc == 0)
		rc = cas_snapshot_resolve(r->daemon->store, fsd_query_str(r, "b"), &b, err);
	if (rc == 0)
		rc = cas_diff(
		    cas_store_packset(r->daemon->store), &a, &b, 0, on_difference, &diff, err);
	if (rc == 0)
		rc = undisturbed(hits, err);
	if (rc < 0)
		return rc;
	o = orch_json_object();
	rc = o ? orch_json_set_u64(o, "count", diff.count) : -ENOMEM;
	return fsd_json_finish(rc, &o, out, err);
}
