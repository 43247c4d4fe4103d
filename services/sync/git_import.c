/* The import of a commit, from end to end; see git_import.h. */
#include "sync/git_import_priv.h"

#include <stdlib.h>
#include <string.h>
#include "core/json.h"
#include "sync/restamp.h"

#define COMMIT_MAX ((size_t)64 << 20)

static int read_commit(struct git_import *g, struct orch_err *err)
{
	struct sync_git_object x;
	struct sync_git_odb *odb;
	int r = git_import_take_odb(g, &odb, err);

	if (r < 0)
		return r;
	r = sync_git_odb_read(odb, &g->spec->commit, SYNC_GIT_COMMIT, COMMIT_MAX, &x, err);
	git_import_give_odb(g, odb);
	if (r < 0)
		return r;
	r = sync_git_commit_parse(x.p, x.len, &g->commit, err);
	if (r < 0)
		orch_err_wrap(err, "the commit is malformed");
	sync_git_object_done(&x);
	return r;
}

/* Who reads it knows which commit of what this is; the same commit has the same. */
static int make_source(const struct git_import *g, struct orch_buf *out, struct orch_err *err)
{
	orch_auto(json) struct orch_json *o = orch_json_object();
	char commit[SYNC_GIT_ID_HEX + 1], tree[SYNC_GIT_ID_HEX + 1], sparse[ORCH_DIGEST_HEX + 1];
	int r;

	sync_git_id_format(&g->spec->commit, commit);
	sync_git_id_format(&g->commit.tree, tree);
	(void)orch_json_set_str(o, "kind", "git");
	(void)orch_json_set_str(o, "url", g->spec->url);
	(void)orch_json_set_str(o, "commit", commit);
	(void)orch_json_set_str(o, "tree", tree);
	if (g->spec->sparse) {
		orch_digest_format(&g->sparse, sparse);
		(void)orch_json_set_str(o, "sparse", sparse);
	}
	r = orch_json_format(o, 0, out);
	return r < 0 ? orch_err_sys(err, -r, "source identity") : 0;
}

static int find_tree(
    void *priv, const struct orch_digest *digest, struct fmt_tree *out, struct orch_err *err)
{
	return git_import_made(priv, digest, out, err);
}

static int stamp(struct git_import *g, struct sync_git_imported *out, struct orch_err *err)
{
	const struct sync_git_import_spec *spec = g->spec;
	orch_auto(buf) struct orch_buf source = ORCH_BUF_INIT;
	struct fmt_entry root = {.name = "",
	    .type = FMT_DIR,
	    .mode = 0755,
	    .uid = FMT_ID_OWNER,
	    .gid = FMT_ID_OWNER,
	    .size = g->root->size,
	    .count = g->root->below,
	    .digest = g->root->tree};
	struct sync_restamp_spec restamp = {.packs = spec->packs,
	    .quarantine = spec->quarantine,
	    .tree = find_tree,
	    .priv = g,
	    .root = &root,
	    .parent = spec->parent,
	    .first_ns = g->commit.wall_ns,
	    .wall_ns = spec->wall_ns};
	int r = make_source(g, &source, err);

	if (r < 0)
		return r;
	restamp.source = (const char *)source.data;
	restamp.source_len = source.len;
	return sync_restamp(g->task, &restamp, &out->snapshot, err);
}

static int run(struct git_import *g, struct sync_git_imported *out, struct orch_err *err)
{
	int r = sync_git_memo_open(g->spec->memo_fd, g->spec->seed, g->task, &g->memo, err);

	if (r == 0)
		r = read_commit(g, err);
	if (r == 0)
		r = git_import_list(g, err);
	if (r == 0)
		r = git_import_build(g, err);
	if (r == 0)
		r = stamp(g, out, err);
	if (r == 0)
		r = sync_git_memo_save(g->memo, g->spec->quarantine, &out->has_memo, err);
	if (r < 0)
		return r;
	out->tree = g->commit.tree;
	out->files = g->root->below;
	out->bytes = g->root->size;
	out->lfs_files = g->root->marked;
	out->read_trees = g->read_trees;
	return 0;
}

static int init(struct git_import *g, const struct sync_git_import_spec *spec)
{
	pthread_mutex_init(&g->lock, NULL);
	pthread_mutex_init(&g->large_lock, NULL);
	g->entries_max = spec->entries_max ? spec->entries_max : SYNC_GIT_ENTRIES_MAX;
	g->blob_max = spec->blob_max ? spec->blob_max : SYNC_GIT_BLOB_MAX;
	g->by_path = (spec->include && orch_globs_anchored(spec->include)) ||
		     (spec->exclude && orch_globs_anchored(spec->exclude));
	if (spec->sparse)
		orch_sha256(spec->sparse, strlen(spec->sparse), &g->sparse);
	g->attrs = sync_git_attrs_new();
	return g->attrs ? 0 : -ENOMEM;
}

static void fini(struct git_import *g)
{
	git_import_forget(g);
	for (size_t i = 0; i < g->made_count; i++)
		free(g->made[i].p);
	free(g->made);
	sync_git_memo_free(g->memo);
	sync_git_attrs_free(g->attrs);
	pthread_mutex_destroy(&g->large_lock);
	pthread_mutex_destroy(&g->lock);
}

int sync_git_import(struct sync_task *t, const struct sync_git_import_spec *spec,
    struct sync_git_imported *out, struct orch_err *err)
{
	struct git_import g = {.spec = spec, .task = t};
	struct sync_git_imported made = {.files = 0};
	char hex[SYNC_GIT_ID_HEX + 1];
	int r = init(&g, spec);

	r = r < 0 ? orch_err_sys(err, -r, "import") : run(&g, &made, err);
	fini(&g);
	if (r < 0) {
		sync_git_id_format(&spec->commit, hex);
		orch_err_wrap(err, "commit %.12s of %s", hex, spec->url);
		return r;
	}
	*out = made;
	return 0;
}
