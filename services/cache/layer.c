/*
 * Folders of layers. A layer that is being made or removed lies in tmp/, or in layers/<id>.new when a
 * mount process makes it, so that a layer's name only ever stands for a whole one. Lock:
 * change_lock, while numbers are given out and while it is looked who names a layer.
 */
#include "cache/layer.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include "cache/record.h"
#include "cache/reserve.h"
#include "cache/store_priv.h"
#include "core/cursor.h"
#include "core/fd.h"
#include "core/grow.h"
#include "core/log.h"
#include "view/layer_log.h"

#define NUMBER_BYTES 24
#define IDS_AT_ONCE  64
#define READS_MAX    3

static const struct cas_key next_key = {CAS_KIND_META, "layer", 5};

/* ---- numbers ---- */

struct highest {
	uint64_t id;
};

static int see_highest(void *priv, int dirfd, const char *name)
{
	struct highest *h = priv;
	uint64_t id;

	(void)dirfd;
	if (cas_number_parse(name, &id) == 0 && id > h->id)
		h->id = id;
	return 0;
}

static int stored_next(struct cas_store *s, uint64_t *out, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf buf = ORCH_BUF_INIT;
	int r = cas_db_get(s->db, &next_key, &buf, err);

	*out = 1;
	if (r == 0 && buf.len == sizeof(*out))
		*out = orch_le64(buf.data);
	return r == -ENOENT || r == -ORCH_ECORRUPT ? 0 : r;
}

/* Writes down that the next numbers are gone, before one of them is given out. */
static int reserve(struct cas_store *s, struct orch_err *err)
{
	struct highest h = {0};
	struct cas_batch *b;
	uint64_t next = 1, limit;
	int r = cas_dir_each(s->layers_fd, ".", see_highest, &h, err);

	if (r == 0)
		r = stored_next(s, &next, err);
	if (r < 0)
		return r;
	if (next <= h.id)
		next = h.id + 1;
	if (next < s->layer_limit) /* given out by this process: the record was damaged since */
		next = s->layer_limit;
	limit = next + IDS_AT_ONCE;
	b = cas_batch_new();
	if (!b)
		return orch_err_set(err, ENOMEM, "out of memory");
	cas_batch_put(b, &next_key, &limit, sizeof(limit));
	r = cas_db_commit(s->db, b, err);
	cas_batch_free(b);
	if (r == 0) {
		s->layer_next = next;
		s->layer_limit = limit;
	}
	return r;
}

int cas_layer_new_id(struct cas_store *s, uint64_t *out, struct orch_err *err)
{
	int r = 0;

	pthread_mutex_lock(&s->change_lock);
	if (s->layer_next == s->layer_limit)
		r = reserve(s, err);
	if (r == 0)
		*out = s->layer_next++;
	pthread_mutex_unlock(&s->change_lock);
	return r;
}

int cas_layer_renumber(struct cas_store *s, struct orch_err *err)
{
	int r;

	pthread_mutex_lock(&s->change_lock);
	r = reserve(s, err);
	pthread_mutex_unlock(&s->change_lock);
	return r;
}

/* ---- making ---- */

static void folder_name(uint64_t id, char name[NUMBER_BYTES])
{
	snprintf(name, NUMBER_BYTES, "%" PRIu64, id);
}

/* With blocks behind the first frame: who mounts it can remove files even when the disk is full by then. */
static int make_log(int dirfd, const void *frame, size_t len, struct orch_err *err)
{
	orch_auto(fd) int fd =
	    openat(dirfd, "log.1", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return orch_err_sys(err, errno, "log.1");
	orch_fd_in_place(fd);
	r = -posix_fallocate(fd, 0, FMT_LAYER_ROOM);
	if (r == 0)
		r = orch_fd_pwrite_all(fd, frame, len, 0);
	if (r == 0)
		r = orch_fd_sync(fd);
	if (r == 0)
		r = orch_fd_sync(dirfd);
	return r < 0 ? orch_err_sys(err, -r, "log.1") : 0;
}

static int fill_folder(int fd, const void *frame, size_t len, struct orch_err *err)
{
	if (mkdirat(fd, "spool", 0700) < 0)
		return orch_err_sys(err, errno, "mkdir spool");
	return make_log(fd, frame, len, err);
}

static int make_temporary(
    struct cas_store *s, const char *temp, const void *frame, size_t len, struct orch_err *err)
{
	orch_auto(fd) int fd = -1;

	if (mkdirat(s->tmp_fd, temp, 0700) < 0)
		return orch_err_sys(err, errno, "mkdir tmp/%s", temp);
	fd = openat(s->tmp_fd, temp, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return orch_err_sys(err, errno, "tmp/%s", temp);
	return fill_folder(fd, frame, len, err);
}

/* What could not be made whole. */
static void take_back(int dirfd, const char *name)
{
	struct orch_err err = ORCH_ERR_INIT;

	if (orch_remove_tree(dirfd, name, &err) < 0)
		orch_log_err("cache", "layer-not-removed", &err);
}

int cas_layer_create(
    struct cas_store *s, uint64_t id, const void *frame, size_t len, struct orch_err *err)
{
	char name[NUMBER_BYTES], temp[NUMBER_BYTES + 8];
	bool moved;
	int r;

	ORCH_BUG_ON(id == 0);
	folder_name(id, name);
	snprintf(temp, sizeof(temp), "layer-%s", name);
	r = make_temporary(s, temp, frame, len, err);
	if (r == 0 && (r = orch_rename(s->tmp_fd, temp, s->layers_fd, name, RENAME_NOREPLACE)) < 0)
		orch_err_sys(err, -r, "rename");
	moved = r == 0;
	if (moved && (r = orch_fd_sync(s->layers_fd)) < 0)
		orch_err_sys(err, -r, "sync of layers");
	if (r < 0) {
		take_back(moved ? s->layers_fd : s->tmp_fd, moved ? name : temp);
		orch_err_wrap(err, "make layer %s", name);
	}
	return r;
}

/* ---- reading a head ---- */

/* whole: also whether it is sealed and its last transaction, which its end tells. */
static int read_log(int fd, bool whole, struct cas_layer *out, struct orch_err *err)
{
	struct view_log log = {0};
	int r = whole ? view_log_replay(fd, NULL, &log, err) : view_log_head(fd, &log.head, err);

	out->unmade = r == -ENODATA;
	if (out->unmade)
		r = orch_err_set(err, ORCH_ECORRUPT, "it has no log");
	if (r == 0 && log.head.layer != out->id)
		r = orch_err_set(
		    err, ORCH_ECORRUPT, "its log is of layer %" PRIu64, log.head.layer);
	if (r < 0)
		return r;
	out->head = log.head;
	out->seq = log.seq;
	out->sealed = log.sealed;
	out->successor = log.successor;
	return 0;
}

static int open_layer(struct cas_store *s, uint64_t id, struct orch_err *err)
{
	char name[NUMBER_BYTES];
	int fd;

	folder_name(id, name);
	fd = openat(s->layers_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? orch_err_sys(err, errno, "layer %s", name) : fd;
}

/* On failure, too, out->unmade is told. */
static int get_layer(
    struct cas_store *s, uint64_t id, bool whole, struct cas_layer *out, struct orch_err *err)
{
	struct cas_layer x = {.id = id};
	orch_auto(fd) int fd = open_layer(s, id, err);
	int r;

	if (fd < 0)
		return fd;
	r = read_log(fd, whole, &x, err);
	if (r < 0) {
		out->unmade = x.unmade;
		orch_err_wrap(err, "layer %" PRIu64, id);
		return r;
	}
	*out = x;
	return 0;
}

static int get_patiently(
    struct cas_store *s, uint64_t id, bool whole, struct cas_layer *out, struct orch_err *err)
{
	struct cas_layer x;
	int r = -ORCH_ECORRUPT;

	/* A log that is being written may have been caught between two frames. */
	for (int i = 0; i < READS_MAX && r == -ORCH_ECORRUPT; i++)
		r = get_layer(s, id, whole, &x, err);
	if (r == 0)
		*out = x;
	return r;
}

int cas_layer_get(struct cas_store *s, uint64_t id, struct cas_layer *out, struct orch_err *err)
{
	return get_patiently(s, id, true, out, err);
}

int cas_layer_head(struct cas_store *s, uint64_t id, struct cas_layer *out, struct orch_err *err)
{
	return get_patiently(s, id, false, out, err);
}

/* ---- listing ---- */

struct layers {
	struct cas_store *s;
	struct cas_layer *v;
	size_t count, cap;
	struct orch_err *err;
};

static int see_layer(void *priv, int dirfd, const char *name)
{
	struct layers *l = priv;
	uint64_t id;

	(void)dirfd;
	if (cas_number_parse(name, &id) < 0)
		return 0;
	if (orch_grow(&l->v, &l->cap, l->count + 1, sizeof(*l->v)) < 0)
		return orch_err_set(l->err, ENOMEM, "out of memory");
	l->v[l->count++] = (struct cas_layer){.id = id};
	return 0;
}

static int by_id(const void *a, const void *b)
{
	const struct cas_layer *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static struct cas_layer *find_layer(struct layers *l, uint64_t id)
{
	struct cas_layer key = {.id = id};

	return l->count ? bsearch(&key, l->v, l->count, sizeof(key), by_id) : NULL;
}

/* A record that can't be read may name any layer: none is unused until it was mended. */
static void pin_all(struct layers *l)
{
	for (size_t i = 0; i < l->count; i++)
		l->v[i].records++;
}

static int see_record(
    void *priv, const char *ns, const char *key, const struct orch_json *value, int status)
{
	struct cas_layer *x;
	uint64_t id;

	(void)ns;
	(void)key;
	if (status < 0) {
		pin_all(priv);
		return 0;
	}
	if (orch_json_get_u64(value, "layer", &id, NULL) < 0)
		return 0;
	x = find_layer(priv, id);
	if (x)
		x->records++;
	return 0;
}

struct sum {
	uint64_t bytes;
};

static int see_file(void *priv, int dirfd, const char *name)
{
	struct sum *sum = priv;
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
		sum->bytes += (uint64_t)st.st_blocks * 512;
	return 0;
}

static uint64_t allocated(struct cas_store *s, uint64_t id)
{
	orch_auto(fd) int fd = open_layer(s, id, NULL);
	struct sum sum = {0};
	int r;

	if (fd < 0)
		return 0;
	r = cas_dir_each(fd, ".", see_file, &sum, NULL);
	if (r == 0)
		r = cas_dir_each(fd, "spool", see_file, &sum, NULL);
	(void)r; /* a layer without a spool is counted as far as it is there */
	return sum.bytes;
}

static void fill_layer(struct layers *l, struct cas_layer *x, unsigned flags)
{
	uint64_t id = x->id;

	x->status = get_layer(l->s, id, flags & CAS_LAYER_SEALED, x, NULL);
	x->id = id;
	if (flags & CAS_LAYER_BYTES)
		x->bytes = allocated(l->s, id);
}

static void count_children(struct layers *l)
{
	for (size_t i = 0; i < l->count; i++) {
		struct cas_layer *parent =
		    l->v[i].status == 0 ? find_layer(l, l->v[i].head.parent) : NULL;

		if (parent)
			parent->children++;
	}
}

static int list(struct layers *l, unsigned flags, struct orch_err *err)
{
	int r = cas_dir_each(l->s->layers_fd, ".", see_layer, l, err);

	if (r < 0)
		return r;
	if (l->count)
		qsort(l->v, l->count, sizeof(*l->v), by_id);
	for (size_t i = 0; i < l->count; i++)
		fill_layer(l, &l->v[i], flags);
	count_children(l);
	return cas_record_list(l->s, NULL, see_record, l, err);
}

int cas_layer_list(struct cas_store *s, unsigned flags, struct cas_layer **out, size_t *out_count,
    struct orch_err *err)
{
	struct layers l = {.s = s, .err = err};
	int r = list(&l, flags, err);

	if (r < 0) {
		free(l.v);
		return r;
	}
	*out = l.v;
	*out_count = l.count;
	return 0;
}

/* ---- removing ---- */

static void gone_name(uint64_t id, char temp[NUMBER_BYTES + 8])
{
	snprintf(temp, NUMBER_BYTES + 8, "gone-%" PRIu64, id);
}

/* First out of layers/, which must be synced then, later file by file. */
static int move_out(struct cas_store *s, uint64_t id, struct orch_err *err)
{
	char name[NUMBER_BYTES], temp[NUMBER_BYTES + 8];
	int r;

	folder_name(id, name);
	gone_name(id, temp);
	do
		r = orch_rename(s->layers_fd, name, s->tmp_fd, temp, 0);
	while (cas_reserve_give(s->reserve, r));
	return r < 0 ? orch_err_sys(err, -r, "remove layer %s", name) : 0;
}

static int remove_gone(struct cas_store *s, uint64_t id, struct orch_err *err)
{
	char temp[NUMBER_BYTES + 8];

	gone_name(id, temp);
	return orch_remove_tree(s->tmp_fd, temp, err);
}

static int sync_layers(struct cas_store *s, struct orch_err *err)
{
	int r = orch_fd_sync(s->layers_fd);

	return r < 0 ? orch_err_sys(err, -r, "sync of layers") : 0;
}

/* What names it can't be read: a parent is older than its child, and sealed. One without a log names
 * none. */
static bool may_name(const struct cas_layer *x, uint64_t id)
{
	return x->status < 0 && x->status != -ENOENT && !x->unmade && x->id > id;
}

static bool may_be_parent(struct cas_store *s, const struct cas_layer *x)
{
	struct cas_layer whole;

	if (x->unmade)
		return false;
	return cas_layer_get(s, x->id, &whole, NULL) < 0 || whole.sealed;
}

/* change_lock is held, as below. */
static bool is_pinned(const struct cas_store *s, uint64_t id)
{
	for (size_t i = 0; i < s->pin_count; i++)
		if (s->pins[i] == id)
			return true;
	return false;
}

int cas_layer_pin(struct cas_store *s, uint64_t id, struct orch_err *err)
{
	uint64_t *v;

	pthread_mutex_lock(&s->change_lock);
	v = realloc(s->pins, (s->pin_count + 1) * sizeof(*v));
	if (v) {
		s->pins = v;
		v[s->pin_count++] = id;
	}
	pthread_mutex_unlock(&s->change_lock);
	return v ? 0 : orch_err_set(err, ENOMEM, "out of memory");
}

void cas_layer_unpin(struct cas_store *s, uint64_t id)
{
	size_t i = 0;

	pthread_mutex_lock(&s->change_lock);
	while (i < s->pin_count && s->pins[i] != id)
		i++;
	ORCH_BUG_ON(i == s->pin_count);
	s->pins[i] = s->pins[--s->pin_count];
	pthread_mutex_unlock(&s->change_lock);
}

static int check_unused(struct layers *l, uint64_t id, struct orch_err *err)
{
	const struct cas_layer *x = find_layer(l, id), *damaged = NULL;

	if (!x)
		return -ENOENT;
	if (x->records > 0)
		return orch_err_set(err, EBUSY, "layer %" PRIu64 " is used by a workspace", id);
	if (is_pinned(l->s, id))
		return orch_err_set(err, EBUSY, "layer %" PRIu64 " is being read", id);
	for (size_t i = 0; i < l->count; i++) {
		if (may_name(&l->v[i], id))
			damaged = &l->v[i];
		if (l->v[i].head.parent == id)
			return orch_err_set(err, EBUSY,
			    "layer %" PRIu64 " is the parent of layer %" PRIu64, id, l->v[i].id);
	}
	if (damaged && may_be_parent(l->s, x))
		return orch_err_set(err, EBUSY,
		    "layer %" PRIu64 " may be the parent of the damaged layer %" PRIu64, id,
		    damaged->id);
	return 0;
}

int cas_layer_remove(struct cas_store *s, uint64_t id, struct orch_err *err)
{
	struct layers l = {.s = s, .err = err};
	int r;

	pthread_mutex_lock(&s->change_lock);
	r = list(&l, 0, err);
	if (r == 0)
		r = check_unused(&l, id, err);
	if (r == 0)
		r = move_out(s, id, err);
	if (r == 0)
		r = sync_layers(s, err);
	pthread_mutex_unlock(&s->change_lock);
	free(l.v);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	return remove_gone(s, id, err);
}

/* Moves out the layers from `top` down, as far as nothing else names them. gone: room for all. */
static int move_chain(struct layers *l, uint64_t top, uint64_t *gone, size_t *out_count,
    uint64_t *out_kept, struct orch_err *err)
{
	while (top != 0) {
		struct cas_layer *x = find_layer(l, top);
		uint64_t parent;
		int r;

		if (!x)
			break;
		r = check_unused(l, top, err);
		if (r == 0)
			r = move_out(l->s, top, err);
		if (r < 0) {
			*out_kept = top;
			return r;
		}
		gone[(*out_count)++] = top;
		parent = x->status == 0 ? x->head.parent : 0;
		x->head.parent = 0; /* it names nothing any more */
		x->status = 0;
		top = parent < top ? parent : 0;
	}
	return 0;
}

int cas_layer_remove_chain(
    struct cas_store *s, uint64_t top, uint64_t *out_kept, struct orch_err *err)
{
	struct layers l = {.s = s, .err = err};
	uint64_t *gone = NULL;
	size_t count = 0;
	int r, synced = 0;

	*out_kept = 0;
	pthread_mutex_lock(&s->change_lock);
	r = list(&l, 0, err);
	gone = r == 0 ? calloc(l.count + 1, sizeof(*gone)) : NULL;
	if (r == 0 && !gone)
		r = orch_err_set(err, ENOMEM, "out of memory");
	if (r == 0)
		r = move_chain(&l, top, gone, &count, out_kept, err);
	if (count > 0)
		synced = sync_layers(s, r < 0 ? NULL : err);
	pthread_mutex_unlock(&s->change_lock);
	for (size_t i = 0; i < count; i++)
		if (synced < 0 || remove_gone(s, gone[i], NULL) < 0)
			orch_log(
			    ORCH_LOG_WARN, "cache", "layer-not-removed", "layer=%" PRIu64, gone[i]);
	free(l.v);
	free(gone);
	return r < 0 ? r : synced;
}

static bool is_unused(struct layers *l, const struct cas_layer *x)
{
	return (x->status == 0 || x->unmade) && x->records == 0 &&
	       check_unused(l, x->id, NULL) == 0;
}

/* One that nothing names, or 0. */
static int find_unused(struct cas_store *s, uint64_t *out, struct orch_err *err)
{
	struct layers l = {.s = s, .err = err};
	int r = list(&l, 0, err);

	*out = 0;
	for (size_t i = 0; r == 0 && i < l.count && *out == 0; i++)
		if (is_unused(&l, &l.v[i]))
			*out = l.v[i].id;
	free(l.v);
	return r;
}

struct unfinished {
	bool remove;
	int (*fn)(void *priv, const char *name, bool removed);
	void *priv;
};

static bool is_unfinished(const char *name)
{
	const char *end = strrchr(name, '.');
	char number[NUMBER_BYTES];
	uint64_t id;

	if (!end || strcmp(end, FMT_LAYER_UNFINISHED) != 0 ||
	    (size_t)(end - name) >= sizeof(number))
		return false;
	snprintf(number, sizeof(number), "%.*s", (int)(end - name), name);
	return cas_number_parse(number, &id) == 0;
}

static int see_unfinished(void *priv, int dirfd, const char *name)
{
	struct unfinished *u = priv;
	struct orch_err why = ORCH_ERR_INIT;
	bool removed;

	if (!is_unfinished(name))
		return 0;
	removed = u->remove && orch_remove_tree(dirfd, name, &why) == 0;
	if (u->remove && !removed)
		orch_log_err("cache", "layer-not-removed", &why);
	return u->fn ? u->fn(u->priv, name, removed) : 0;
}

int cas_layer_each_unfinished(struct cas_store *s, bool remove,
    int (*fn)(void *priv, const char *name, bool removed), void *priv, struct orch_err *err)
{
	struct unfinished u = {.remove = remove, .fn = fn, .priv = priv};
	/* an open file of its own: the lock is not shared with s->layers_fd */
	orch_auto(fd) int fd = openat(s->layers_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return orch_err_sys(err, errno, "layers");
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) /* who makes a layer has it shared */
		return errno == EWOULDBLOCK ? 0 : orch_err_sys(err, errno, "lock layers");
	return cas_dir_each(fd, ".", see_unfinished, &u, err);
}

static int count_one(void *priv, const char *name, bool removed)
{
	(void)name;
	*(size_t *)priv += removed;
	return 0;
}

/* To quarantine/layer-<id>, or layer-<id>.<n> when there is one. Absent: success. */
static int put_away(struct cas_store *s, uint64_t id, struct orch_err *err)
{
	char name[NUMBER_BYTES], as[2 * NUMBER_BYTES + 8];
	int r = -ENOTEMPTY;

	snprintf(name, sizeof(name), "%" PRIu64, id);
	for (unsigned i = 0; r == -ENOTEMPTY && i < 1000; i++) {
		snprintf(as, sizeof(as), i ? "layer-%s.%u" : "layer-%s", name, i);
		r = cas_move_away(s, s->layers_fd, name, as, err);
	}
	if (r == 0)
		orch_log(ORCH_LOG_WARN, "cache", "layer-kept",
		    "layer=%s in=quarantine/%s reason=%s", name, as,
		    "nothing names it, but the database may have lost what did");
	return r;
}

/* Where it can't be done (a full disk) they stay, and the next start tries again. */
static void put_all_away(struct cas_store *s, size_t *count)
{
	struct orch_err why = ORCH_ERR_INIT;
	uint64_t id = 0;
	int r;

	while ((r = find_unused(s, &id, &why)) == 0 && id != 0 && (r = put_away(s, id, &why)) == 0)
		(*count)++;
	if (r == 0)
		r = cas_db_set_gap(s->db, false, &why);
	if (r < 0)
		orch_log_err("cache", "layers-not-put-away", &why);
}

int cas_layer_sweep(struct cas_store *s, size_t *out_count, struct orch_err *err)
{
	size_t count = 0;
	uint64_t id = 0;
	int r = cas_layer_each_unfinished(s, true, count_one, &count, err);

	if (r == 0 && cas_db_has_gap(s->db))
		put_all_away(s, &count);
	else
		while (r == 0 && (r = find_unused(s, &id, err)) == 0 && id != 0) {
			r = cas_layer_remove(s, id, err);
			if (r < 0 && r != -EBUSY)
				break;
			count++;
		}
	if (r == 0 && out_count)
		*out_count = count;
	return r;
}
