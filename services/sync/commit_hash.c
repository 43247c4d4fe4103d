/* Commit: the bytes of private files become objects, in parallel. */
#include "sync/commit_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include "core/clock.h"
#include "core/fd.h"
#include "sync/layers.h"

#define QUEUE_MAX  4096
#define NAME_BYTES 64

static int hash_file(struct commit_file *f, struct orch_err *err)
{
	const struct sync_commit_spec *spec = f->commit->spec;
	orch_auto(fd) int fd = sync_layer_open_spool(spec->layers_fd, f->spool_layer, f->spool_id);
	char name[NAME_BYTES];
	int r;

	snprintf(
	    name, sizeof(name), "private file %" PRIu64 "/%" PRIu64, f->spool_layer, f->spool_id);
	if (fd < 0)
		return orch_err_sys(err, fd == -ENOENT ? ORCH_ECORRUPT : -fd, "%s", name);
	r = cas_quarantine_add_fd(spec->quarantine, fd, name, &f->added, err);
	if (r == -EAGAIN)
		return orch_err_set(err, EBUSY, "%s is still being written", name);
	return r;
}

static void hash_one(void *arg)
{
	struct commit_file *f = arg;
	struct sync_task *t = f->commit->task;
	struct orch_err err = ORCH_ERR_INIT;
	int r;

	if (sync_task_stopped(t))
		return;
	r = hash_file(f, &err);
	if (r < 0) {
		sync_task_fail(t, &err, -r);
		return;
	}
	atomic_fetch_add(&t->files, 1);
	atomic_fetch_add(&t->bytes, f->added.object.size);
	atomic_fetch_add(&t->read_files, 1);
	atomic_fetch_add(&t->read_bytes, f->added.object.size);
	atomic_fetch_add(&t->hashed_files, 1);
	sync_task_tick(t);
}

static int fill_in(void *priv, struct sync_node *n)
{
	struct commit *c = priv;
	const struct commit_file *f = &c->files[*sync_inomap_get(&c->spool, 0, n->s.ino) - 1];

	n->e.digest = f->added.object.digest;
	n->e.size = f->added.object.size;
	n->s.mtime_ns = orch_timespec_ns(&f->added.st.st_mtim);
	return 1;
}

int commit_hash(struct commit *c)
{
	struct orch_pool *pool;
	int r;

	c->task->phase = "read";
	pool = orch_pool_new(c->task->threads, QUEUE_MAX);
	if (!pool)
		return orch_err_sys(c->err, ENOMEM, "commit");
	for (size_t i = 0; i < c->file_count; i++)
		orch_pool_add(pool, hash_one, &c->files[i]);
	orch_pool_drain(pool);
	orch_pool_free(pool);
	r = sync_task_result(c->task, c->err);
	if (r < 0)
		return r;
	return sync_edit_links(&c->edit, &c->spool, false, fill_in, c, c->err);
}
