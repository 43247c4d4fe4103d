/* The import of a commit: what was met, and what its threads share. */
#include "sync/git_import_priv.h"

#include <stdlib.h>
#include <string.h>
#include "core/grow.h"
#include "sync/git_name.h"

#define PATH_BYTES ((size_t)1 << 22)

static size_t bucket_of(const struct git_import *g, const struct fmt_memo_key *key)
{
	return orch_xxh64(key, sizeof(*key), g->spec->seed) & (g->bucket_count - 1);
}

/* lock is held. */
static int grow_table(struct git_import *g)
{
	size_t old_count = g->bucket_count, count = old_count ? old_count * 2 : 1024;
	struct git_thing **old = g->buckets, **v;

	if (g->thing_count < old_count)
		return 0;
	v = calloc(count, sizeof(struct git_thing *));
	if (!v)
		return -ENOMEM;
	g->buckets = v;
	g->bucket_count = count;
	for (size_t i = 0; i < old_count; i++)
		while (old[i]) {
			struct git_thing *x = old[i];
			struct git_thing **at = &g->buckets[bucket_of(g, &x->key)];

			old[i] = x->next;
			x->next = *at;
			*at = x;
		}
	free(old);
	return 0;
}

/* lock is held. */
static struct git_thing *add_thing(
    struct git_import *g, const struct fmt_memo_key *key, size_t bytes)
{
	struct git_thing *x = grow_table(g) == 0 ? calloc(1, bytes) : NULL;
	struct git_thing **at;

	if (!x)
		return NULL;
	at = &g->buckets[bucket_of(g, key)];
	x->key = *key;
	x->next = *at;
	*at = x;
	g->thing_count++;
	return x;
}

struct git_thing *git_import_meet(
    struct git_import *g, const struct fmt_memo_key *key, size_t bytes, bool *out_new)
{
	struct git_thing *x;

	pthread_mutex_lock(&g->lock);
	x = g->buckets ? g->buckets[bucket_of(g, key)] : NULL;
	while (x && memcmp(&x->key, key, sizeof(*key)) != 0)
		x = x->next;
	*out_new = !x;
	if (!x)
		x = add_thing(g, key, bytes);
	pthread_mutex_unlock(&g->lock);
	return x;
}

static void free_folder(struct git_folder *f)
{
	for (size_t i = 0; i < f->count; i++)
		if (f->entries[i].type == SYNC_GIT_SYMLINK && !f->entries[i].left_out)
			sync_git_object_done(&f->entries[i].target);
	free(f->entries);
	sync_git_object_done(&f->raw);
}

void git_import_forget(struct git_import *g)
{
	for (size_t i = 0; i < g->bucket_count; i++)
		while (g->buckets[i]) {
			struct git_thing *x = g->buckets[i];

			g->buckets[i] = x->next;
			if (x->key.kind == FMT_MEMO_TREE)
				free_folder((struct git_folder *)x);
			free(x);
		}
	free(g->buckets);
	for (size_t i = 0; i < g->free_count; i++)
		sync_git_odb_free(g->free_odbs[i]);
	free(g->free_odbs);
	orch_strv_fini(&g->told);
}

int git_import_take_odb(struct git_import *g, struct sync_git_odb **out, struct orch_err *err)
{
	struct sync_git_odb *o = NULL;

	pthread_mutex_lock(&g->lock);
	if (g->free_count)
		o = g->free_odbs[--g->free_count];
	pthread_mutex_unlock(&g->lock);
	if (!o)
		return sync_git_odb_open(g->spec->repository_fd, out, err);
	*out = o;
	return 0;
}

void git_import_give_odb(struct git_import *g, struct sync_git_odb *o)
{
	pthread_mutex_lock(&g->lock);
	if (orch_grow(&g->free_odbs, &g->free_cap, g->free_count + 1,
		sizeof(struct sync_git_odb *)) == 0) {
		g->free_odbs[g->free_count++] = o;
		o = NULL;
	}
	pthread_mutex_unlock(&g->lock);
	sync_git_odb_free(o);
}

bool git_import_tell_once(struct git_import *g, const char *what)
{
	bool is_new = true;

	pthread_mutex_lock(&g->lock);
	for (size_t i = 0; i < g->told.count; i++)
		is_new &= strcmp(g->told.v[i], what) != 0;
	is_new = is_new && g->told.count < SYNC_SKIPPED_MAX && orch_strv_add(&g->told, what) == 0;
	pthread_mutex_unlock(&g->lock);
	return is_new;
}

typedef int add_fn(const char *name, size_t len, struct orch_buf *out);

static int add_bytes(const char *name, size_t len, struct orch_buf *out)
{
	return orch_buf_add(out, name, len);
}

static int add_names(const struct git_folder *f, add_fn *add, struct orch_buf *out)
{
	int r;

	if (!f->seen_in)
		return 0;
	r = add_names(f->seen_in, add, out);
	if (r == 0 && out->len)
		r = orch_buf_add_u8(out, '/');
	return r < 0 ? r : add(f->name, f->name_len, out);
}

static int add_path(const struct git_folder *f, const char *name, size_t name_len, add_fn *add,
    struct orch_buf *out)
{
	int r;

	orch_buf_reset(out);
	r = add_names(f, add, out);
	if (r == 0 && name && out->len)
		r = orch_buf_add_u8(out, '/');
	return r == 0 && name ? add(name, name_len, out) : r;
}

int git_import_path(
    const struct git_folder *f, const char *name, size_t name_len, struct orch_buf *out)
{
	return add_path(f, name, name_len, add_bytes, out);
}

int git_import_where(
    const struct git_folder *f, const char *name, size_t name_len, struct orch_buf *out)
{
	return add_path(f, name, name_len, sync_git_name_show, out);
}

void git_import_fail_at(
    const struct git_folder *f, const char *name, size_t name_len, int r, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf where = {.max = PATH_BYTES};

	if (!err->code)
		orch_err_sys(err, -r, "it can't be read");
	/* what is missing below a commit that is there is damage */
	if (err->code == ENOENT)
		err->code = ORCH_ECORRUPT;
	if (git_import_where(f, name, name_len, &where) < 0 || !where.len)
		orch_err_wrap(err, "its root folder");
	else if (where.len > 300)
		orch_err_wrap(err, "...%s", (const char *)where.data + where.len - 300);
	else
		orch_err_wrap(err, "%s", (const char *)where.data);
	sync_task_fail(f->import->task, err, -r);
}
