/* The import of a commit: blobs become objects, in parallel, each once. */
#include "sync/git_import_priv.h"

#include <stdlib.h>
#include <string.h>
#include "view/object.h"

#define BATCH_BLOBS 16
#define LARGE_BYTES ((size_t)64 << 20) /* above it one is in memory at a time */
#define GROWTH_MAX  8		       /* times that a file is larger than its blob, and a bit */

struct git_batch {
	struct git_import *import;
	size_t count;
	struct git_blob *blobs[BATCH_BLOBS];
};

static void count_blob(struct git_import *g, const struct git_blob *b)
{
	atomic_fetch_add(&g->task->files, 1);
	atomic_fetch_add(&g->task->bytes, b->size);
}

static bool is_known(struct git_import *g, struct git_blob *b)
{
	struct fmt_memo_entry e;

	if (!sync_git_memo_find(g->memo, &b->thing.key, &e) ||
	    view_object_exists(g->spec->objects_fd, &e.digest, e.size) != 1)
		return false;
	b->digest = e.digest;
	b->size = e.size;
	count_blob(g, b);
	return true;
}

static int remember(struct git_import *g, const struct git_blob *b)
{
	struct fmt_memo_entry e = {
	    .key = b->thing.key, .digest = b->digest, .size = b->size, .marked = b->how.lfs};

	return sync_git_memo_add(g->memo, &e);
}

static void tell_not_encoded(struct git_import *g, const struct git_blob *b)
{
	orch_auto(buf) struct orch_buf where = ORCH_BUF_INIT;

	if (git_import_where(b->seen_in, b->name, b->name_len, &where) == 0)
		sync_task_warn(
		    g->task, "%s is not UTF-8: it stays as in the repository", where.data);
}

static int take_content(struct git_import *g, struct git_blob *b, const struct sync_git_id *id,
    const struct sync_git_object *x, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf made = {.max = x->len * GROWTH_MAX + 4096};
	struct cas_added added;
	bool failed = false;
	int r = 0;

	if (!sync_git_how_is_plain(&b->how))
		r = sync_git_convert(&b->how, id, x->p, x->len, &made, &failed);
	if (r < 0)
		return r;
	if (failed)
		tell_not_encoded(g, b);
	r = r ? cas_quarantine_add_bytes(g->spec->quarantine, made.data, made.len, &added, err)
	      : cas_quarantine_add_bytes(g->spec->quarantine, x->p, x->len, &added, err);
	if (r < 0)
		return r;
	b->digest = added.object.digest;
	b->size = added.object.size;
	atomic_fetch_add(&g->task->read_files, 1);
	atomic_fetch_add(&g->task->read_bytes, x->len);
	atomic_fetch_add(&g->task->hashed_files, 1);
	count_blob(g, b);
	return remember(g, b);
}

static int read_blob(struct git_import *g, struct sync_git_odb *odb, struct git_blob *b, size_t max,
    struct orch_err *err)
{
	struct sync_git_object x;
	struct sync_git_id id;
	int r;

	memcpy(id.b, b->thing.key.id, SYNC_GIT_ID_BYTES);
	r = sync_git_odb_read(odb, &id, SYNC_GIT_BLOB, max, &x, err);
	if (r < 0)
		return r;
	r = take_content(g, b, &id, &x, err);
	sync_git_object_done(&x);
	return r;
}

static int read_any(
    struct git_import *g, struct sync_git_odb *odb, struct git_blob *b, struct orch_err *err)
{
	struct orch_err large = ORCH_ERR_INIT;
	int r = read_blob(g, odb, b, g->blob_max < LARGE_BYTES ? g->blob_max : LARGE_BYTES, &large);

	if (r != -EFBIG || g->blob_max <= LARGE_BYTES) {
		*err = large;
		return r;
	}
	pthread_mutex_lock(&g->large_lock);
	r = read_blob(g, odb, b, g->blob_max, err);
	pthread_mutex_unlock(&g->large_lock);
	return r;
}

static void read_one(struct git_import *g, struct sync_git_odb *odb, struct git_blob *b)
{
	struct orch_err err = ORCH_ERR_INIT;
	int r = read_any(g, odb, b, &err);

	if (r < 0)
		git_import_fail_at(b->seen_in, b->name, b->name_len, r, &err);
	sync_task_tick(g->task);
}

static void run_batch(void *arg)
{
	struct git_batch *batch = arg;
	struct git_import *g = batch->import;
	struct orch_err err = ORCH_ERR_INIT;
	struct sync_git_odb *odb;
	int r = git_import_take_odb(g, &odb, &err);

	if (r < 0) {
		sync_task_fail(g->task, &err, -r);
		free(batch);
		return;
	}
	for (size_t i = 0; i < batch->count && !sync_task_stopped(g->task); i++)
		read_one(g, odb, batch->blobs[i]);
	git_import_give_odb(g, odb);
	free(batch);
}

int git_import_read(struct git_import *g, struct git_batch **batch, struct git_blob *blob)
{
	struct git_batch *b = *batch;

	if (blob && is_known(g, blob))
		return 0;
	if (b && (!blob || b->count == BATCH_BLOBS)) {
		*batch = NULL;
		orch_pool_add(g->pool, run_batch, b);
		b = NULL;
	}
	if (!blob)
		return 0;
	if (!b) {
		b = *batch = calloc(1, sizeof(*b));
		if (!b)
			return -ENOMEM;
		b->import = g;
	}
	b->blobs[b->count++] = blob;
	return 0;
}
