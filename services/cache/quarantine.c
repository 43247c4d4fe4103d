/*
 * Filling a quarantine: <hh>/<64 hex> are objects, "pack" the records, "manifest" the list of the
 * objects, "scan" the scan index, "t<n>" large objects while they are copied.
 * Locks: `lock` over the set of objects and the counters, `pack_lock` over the pack; neither is
 * held while the other is taken, nor over hashing or reading.
 */
#include "cache/quarantine.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "cache/folder.h"
#include "core/fault.h"
#include "core/fd.h"
#include "view/object.h"

#define SMALL_BYTES	   ((size_t)256 << 10) /* read whole before anything is written */
#define BLOCK_BYTES	   ((size_t)1 << 20)
#define PACK_FLUSH	   ((size_t)1 << 20)
#define WRITE_BEHIND_BYTES ((off_t)8 << 20)
#define NAME_BYTES	   (3 + ORCH_DIGEST_HEX + 1) /* "hh/<64 hex>" */

struct cas_quarantine {
	struct cas_quarantine_spec spec;
	atomic_uint temp_count;

	pthread_mutex_t lock;
	struct cas_object *objects; /* new ones */
	size_t count, cap;
	uint32_t *table; /* index into objects + 1 by digest; 0: free; a power of two, half empty */
	size_t table_size;
	bool folders[256]; /* made already */
	struct cas_quarantine_stats stats;
	int status; /* first failure that left a hole */

	pthread_mutex_t pack_lock;
	struct fmt_pack_writer *writer;
	struct orch_buf pack; /* not yet written */
	int pack_fd;
	bool finished;
};

static int see_any(void *priv, int dirfd, const char *name)
{
	(void)dirfd;
	return orch_err_set(priv, ENOTEMPTY, "the quarantine holds %s already", name);
}

int cas_quarantine_open(
    const struct cas_quarantine_spec *spec, struct cas_quarantine **out, struct orch_err *err)
{
	struct cas_quarantine *q;
	int r = cas_dir_each(spec->dirfd, ".", see_any, err, err);

	if (r < 0)
		return r;
	q = calloc(1, sizeof(*q));
	if (!q)
		return orch_err_set(err, ENOMEM, "out of memory");
	q->spec = *spec;
	q->pack_fd = -1;
	q->writer = fmt_pack_writer_new();
	orch_buf_init(&q->pack, SIZE_MAX / 2);
	pthread_mutex_init(&q->lock, NULL);
	pthread_mutex_init(&q->pack_lock, NULL);
	if (!q->writer) {
		cas_quarantine_free(q);
		return orch_err_set(err, ENOMEM, "out of memory");
	}
	*out = q;
	return 0;
}

void cas_quarantine_free(struct cas_quarantine *q)
{
	if (!q)
		return;
	fmt_pack_writer_free(q->writer);
	orch_buf_fini(&q->pack);
	orch_fd_close(q->pack_fd);
	pthread_mutex_destroy(&q->lock);
	pthread_mutex_destroy(&q->pack_lock);
	free(q->objects);
	free(q->table);
	free(q);
}

/* ---- the set of new objects; lock is held ---- */

static size_t slot(const struct cas_quarantine *q, const struct orch_digest *d)
{
	uint64_t h;
	size_t i;

	memcpy(&h, d->b, sizeof(h));
	for (i = h & (q->table_size - 1); q->table[i] != 0; i = (i + 1) & (q->table_size - 1))
		if (orch_digest_eq(&q->objects[q->table[i] - 1].digest, d))
			break;
	return i;
}

static bool set_has(const struct cas_quarantine *q, const struct orch_digest *d)
{
	return q->table_size > 0 && q->table[slot(q, d)] != 0;
}

static int set_grow(struct cas_quarantine *q)
{
	size_t size = q->table_size ? 2 * q->table_size : 1024;
	struct cas_object *objects = realloc(q->objects, size / 2 * sizeof(*objects));
	uint32_t *table;

	if (!objects)
		return -ENOMEM;
	q->objects = objects;
	table = calloc(size, sizeof(*table));
	if (!table)
		return -ENOMEM;
	free(q->table);
	q->table = table;
	q->table_size = size;
	q->cap = size / 2;
	for (size_t i = 0; i < q->count; i++)
		q->table[slot(q, &q->objects[i].digest)] = (uint32_t)i + 1;
	return 0;
}

/* 1: added; 0: it was there. */
static int set_add(struct cas_quarantine *q, const struct cas_object *o)
{
	if (set_has(q, &o->digest))
		return 0;
	if (q->count == CAS_MANIFEST_OBJECTS_MAX)
		return -EOVERFLOW;
	if (q->count == q->cap) {
		int r = set_grow(q);

		if (r < 0)
			return r;
	}
	q->objects[q->count++] = *o;
	q->table[slot(q, &o->digest)] = (uint32_t)q->count;
	q->stats.objects++;
	q->stats.object_bytes += o->size;
	return 1;
}

/* ---- claiming ---- */

static int fail(struct cas_quarantine *q, int r)
{
	pthread_mutex_lock(&q->lock);
	if (q->status == 0)
		q->status = r;
	pthread_mutex_unlock(&q->lock);
	return r;
}

/* 1: it is new and now ours to write; 0: the store or this quarantine has it. */
static int claim(struct cas_quarantine *q, const struct cas_object *o, struct orch_err *err)
{
	bool known;
	int r;

	pthread_mutex_lock(&q->lock);
	q->stats.hashed_bytes += o->size;
	known = set_has(q, &o->digest);
	pthread_mutex_unlock(&q->lock);
	if (known || view_object_exists(q->spec.objects_fd, &o->digest, o->size) == 1)
		return 0;
	pthread_mutex_lock(&q->lock);
	r = set_add(q, o);
	pthread_mutex_unlock(&q->lock);
	return r < 0 ? orch_err_sys(err, -r, "the list of new objects") : r;
}

/* Makes the folder hh when it is not there yet, and the object's name. */
static int object_name(struct cas_quarantine *q, const struct orch_digest *d, char name[NAME_BYTES],
    struct orch_err *err)
{
	char hex[ORCH_DIGEST_HEX + 1];
	int r = 0;

	orch_digest_format(d, hex);
	snprintf(name, NAME_BYTES, "%.2s", hex);
	pthread_mutex_lock(&q->lock);
	if (!q->folders[d->b[0]]) {
		if (mkdirat(q->spec.dirfd, name, 0700) < 0 && errno != EEXIST)
			r = -errno;
		else
			q->folders[d->b[0]] = true;
	}
	pthread_mutex_unlock(&q->lock);
	if (r < 0)
		return orch_err_sys(err, -r, "quarantine: mkdir %s", name);
	snprintf(name, NAME_BYTES, "%.2s/%s", hex, hex);
	return 0;
}

/* ---- small objects, and bytes of the caller ---- */

static int write_bytes(struct cas_quarantine *q, const struct orch_digest *d, const void *p,
    size_t n, struct orch_err *err)
{
	char name[NAME_BYTES];
	int fd, r = object_name(q, d, name, err);

	if (r < 0)
		return r;
	fd =
	    openat(q->spec.dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return orch_err_sys(err, errno, "quarantine: %s", name);
	r = orch_fd_write_all(fd, p, n);
	if (close(fd) < 0 && r == 0)
		r = -errno;
	return r < 0 ? orch_err_sys(err, -r, "quarantine: %s", name) : 0;
}

static int hash_bytes(
    const struct cas_quarantine *q, const void *p, size_t n, struct cas_object *out)
{
	struct orch_xxh128 *x = orch_xxh128_new();

	if (!x)
		return -ENOMEM;
	orch_sha256(p, n, &out->digest);
	orch_xxh128_reset(x, q->spec.seed);
	orch_xxh128_add(x, p, n);
	orch_xxh128_end(x, &out->fingerprint);
	orch_xxh128_free(x);
	out->size = n;
	return 0;
}

int cas_quarantine_add_bytes(
    struct cas_quarantine *q, const void *p, size_t n, struct cas_added *out, struct orch_err *err)
{
	struct cas_object o;
	int r = hash_bytes(q, p, n, &o);

	if (r < 0)
		return orch_err_set(err, -r, "out of memory");
	r = claim(q, &o, err);
	if (r < 0)
		return r;
	out->object = o;
	out->is_new = r == 1;
	if (r == 1)
		r = write_bytes(q, &o.digest, p, n, err);
	return r < 0 ? fail(q, r) : 0;
}

/* ---- files ---- */

enum { CHANGED = 1 }; /* the source moved under us: again */

static bool same_stat(const struct stat *a, const struct stat *b)
{
	return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
	       a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static int check_unchanged(int fd, const struct stat *before)
{
	struct stat after;

	if (fstat(fd, &after) < 0)
		return -errno;
	return same_stat(before, &after) ? 0 : CHANGED;
}

static int read_small(
    struct cas_quarantine *q, int fd, const char *name, struct cas_added *out, struct orch_err *err)
{
	orch_auto(free) uint8_t *p = malloc((size_t)out->st.st_size + 1);
	int r;

	if (!p)
		return orch_err_set(err, ENOMEM, "out of memory");
	r = orch_fd_pread_all(fd, p, (size_t)out->st.st_size, 0);
	if (r == -ENODATA)
		return CHANGED;
	if (r == 0)
		r = check_unchanged(fd, &out->st);
	if (r != 0)
		return r < 0 ? orch_err_sys(err, -r, "read %s", name) : r;
	return cas_quarantine_add_bytes(q, p, (size_t)out->st.st_size, out, err);
}

struct pump { /* source -> hashes, and -> the copy */
	struct cas_quarantine *q;
	int from, to;  /* to < 0: only hash */
	off_t started; /* bytes of `to` that are on their way to the disk */
	uint8_t *block;
	struct orch_sha256 *sha;
	struct orch_xxh128 *xxh;
};

static void hash_block(struct pump *p, const void *b, size_t n)
{
	orch_sha256_add(p->sha, b, n);
	orch_xxh128_add(p->xxh, b, n);
}

static int pump_hole(struct pump *p, off_t from, off_t to)
{
	memset(p->block, 0, to > from ? BLOCK_BYTES : 0);
	while (from < to) {
		size_t n = to - from < (off_t)BLOCK_BYTES ? (size_t)(to - from) : BLOCK_BYTES;

		if (p->q->spec.cancel && *p->q->spec.cancel)
			return -ECANCELED;
		hash_block(p, p->block, n);
		from += (off_t)n;
	}
	return 0;
}

/* Hands whole stretches to the disk while the next ones are hashed, so that the sync of publishing
 * finds little to wait for. */
static void start_writing(struct pump *p, off_t upto)
{
	if (p->to >= 0 && upto - p->started >= WRITE_BEHIND_BYTES) {
		(void)sync_file_range(p->to, p->started, upto - p->started, SYNC_FILE_RANGE_WRITE);
		p->started = upto;
	}
}

static int pump_data(struct pump *p, off_t from, off_t to)
{
	while (from < to) {
		size_t n = to - from < (off_t)BLOCK_BYTES ? (size_t)(to - from) : BLOCK_BYTES;
		int r;

		if (p->q->spec.cancel && *p->q->spec.cancel)
			return -ECANCELED;
		r = orch_fd_pread_all(p->from, p->block, n, from);
		if (r == -ENODATA)
			return CHANGED;
		if (r == 0 && p->to >= 0)
			r = orch_fd_pwrite_all(p->to, p->block, n, from);
		if (r < 0)
			return r;
		hash_block(p, p->block, n);
		from += (off_t)n;
		start_writing(p, from);
	}
	return 0;
}

/* Where the next data begins, and where it ends. A file system that can't tell has no holes. */
static void next_data(int fd, off_t at, off_t size, off_t *out_data, off_t *out_hole)
{
	off_t data = lseek(fd, at, SEEK_DATA), hole;

	if (data < 0)
		data = errno == ENXIO ? size : at;
	if (data < at || data > size)
		data = size;
	hole = data < size ? lseek(fd, data, SEEK_HOLE) : size;
	*out_data = data;
	*out_hole = hole <= data || hole > size ? size : hole;
}

static int pump_all(struct pump *p, off_t size)
{
	off_t at = 0, data, hole;
	int r = 0;

	while (r == 0 && at < size) {
		next_data(p->from, at, size, &data, &hole);
		r = pump_hole(p, at, data);
		if (r == 0)
			r = pump_data(p, data, hole);
		at = hole;
	}
	if (r == 0 && p->to >= 0 && ftruncate(p->to, size) < 0)
		r = -errno;
	return r;
}

static int pump_init(struct pump *p, struct cas_quarantine *q)
{
	p->q = q;
	p->block = malloc(BLOCK_BYTES);
	p->sha = orch_sha256_new();
	p->xxh = orch_xxh128_new();
	return p->block && p->sha && p->xxh ? 0 : -ENOMEM;
}

static void pump_fini(struct pump *p)
{
	free(p->block);
	orch_sha256_free(p->sha);
	orch_xxh128_free(p->xxh);
}

/* Shares the extents: then the clone, which nobody writes, is what is hashed. */
static bool try_clone(struct cas_quarantine *q, int from, int to, off_t size)
{
	if (orch_fault(ORCH_FAULT_CLONE) || ioctl(to, FICLONE, from) < 0)
		return false;
	pthread_mutex_lock(&q->lock);
	q->stats.reflinked_bytes += (uint64_t)size;
	pthread_mutex_unlock(&q->lock);
	return true;
}

/* Fills the temporary file `to` from fd. 0, CHANGED, -errno. */
static int copy_once(struct pump *p, int fd, int to, struct cas_added *out)
{
	off_t size = out->st.st_size;
	bool cloned = try_clone(p->q, fd, to, size);
	int r = cloned ? check_unchanged(fd, &out->st) : 0;

	if (r != 0)
		return r;
	p->from = cloned ? to : fd;
	p->to = cloned ? -1 : to;
	p->started = 0;
	orch_sha256_reset(p->sha);
	orch_xxh128_reset(p->xxh, p->q->spec.seed);
	r = pump_all(p, size);
	if (r == 0 && !cloned)
		r = check_unchanged(fd, &out->st);
	if (r != 0)
		return r;
	orch_sha256_end(p->sha, &out->object.digest);
	orch_xxh128_end(p->xxh, &out->object.fingerprint);
	out->object.size = (uint64_t)size;
	return 0;
}

/* The temporary file gets its name, or goes away because the object is known. */
static int keep_or_drop(
    struct cas_quarantine *q, const char *temp, struct cas_added *out, struct orch_err *err)
{
	char name[NAME_BYTES];
	int r = claim(q, &out->object, err);

	if (r < 0)
		return fail(q, r);
	out->is_new = r == 1;
	if (r == 0)
		return unlinkat(q->spec.dirfd, temp, 0) < 0
			   ? orch_err_sys(err, errno, "quarantine: %s", temp)
			   : 0;
	r = object_name(q, &out->object.digest, name, err);
	if (r == 0) {
		r = orch_rename(q->spec.dirfd, temp, q->spec.dirfd, name, RENAME_NOREPLACE);
		if (r < 0)
			orch_err_sys(err, -r, "quarantine: %s", name);
	}
	return r < 0 ? fail(q, r) : 0;
}

static int read_large(
    struct cas_quarantine *q, int fd, const char *name, struct cas_added *out, struct orch_err *err)
{
	struct pump p = {.from = -1};
	char temp[24];
	int to, r;

	snprintf(temp, sizeof(temp), "t%u", atomic_fetch_add(&q->temp_count, 1u));
	to = openat(q->spec.dirfd, temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (to < 0)
		return orch_err_sys(err, errno, "quarantine: %s", temp);
	r = pump_init(&p, q);
	if (r == 0)
		r = copy_once(&p, fd, to, out);
	pump_fini(&p);
	if (close(to) < 0 && r == 0)
		r = -errno;
	if (r == 0)
		return keep_or_drop(q, temp, out, err);
	(void)unlinkat(q->spec.dirfd, temp, 0);
	return r < 0 ? orch_err_sys(err, -r, "copy of %s", name) : r;
}

int cas_quarantine_add_fd(
    struct cas_quarantine *q, int fd, const char *name, struct cas_added *out, struct orch_err *err)
{
	struct cas_added added = {.is_new = false};
	int r;

	for (int i = 0; i < CAS_ADD_TRIES; i++) {
		if (fstat(fd, &added.st) < 0)
			return orch_err_sys(err, errno, "stat %s", name);
		if (!S_ISREG(added.st.st_mode))
			return orch_err_set(err, EINVAL, "%s is not a regular file", name);
		if (q->spec.cancel && *q->spec.cancel)
			return orch_err_set(err, ECANCELED, "cancelled");
		r = added.st.st_size <= (off_t)SMALL_BYTES ? read_small(q, fd, name, &added, err)
							   : read_large(q, fd, name, &added, err);
		if (r < 0)
			return r;
		if (r == 0) {
			*out = added;
			return 0;
		}
	}
	return orch_err_set(err, EAGAIN, "%s changes while it is read", name);
}

/* ---- records ---- */

/* pack_lock is held. */
static int pack_flush(struct cas_quarantine *q, size_t above)
{
	int r;

	if (q->pack.failed)
		return -ENOMEM;
	if (q->pack.len <= above)
		return 0;
	r = orch_fd_write_all(q->pack_fd, q->pack.data, q->pack.len);
	orch_buf_reset(&q->pack);
	return r;
}

static int pack_begin(struct cas_quarantine *q)
{
	q->pack_fd = openat(q->spec.dirfd, "pack", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return q->pack_fd < 0 ? -errno : fmt_pack_writer_begin(q->writer, &q->pack);
}

static int pack_add(struct cas_quarantine *q, enum fmt_pack_kind kind,
    const struct orch_digest *digest, const void *p, size_t n)
{
	int r = q->pack_fd < 0 ? pack_begin(q) : 0;

	if (r == 0)
		r = fmt_pack_writer_add(q->writer, kind, digest, p, n, &q->pack);
	if (r == -EEXIST)
		return r;
	return r < 0 ? r : pack_flush(q, PACK_FLUSH);
}

int cas_quarantine_add_record(struct cas_quarantine *q, enum fmt_pack_kind kind, const void *p,
    size_t n, struct orch_digest *out_digest, struct orch_err *err)
{
	struct orch_digest digest;
	int r;

	orch_sha256(p, n, &digest);
	*out_digest = digest;
	if (view_packset_has(q->spec.packset, kind, &digest))
		return 0;
	pthread_mutex_lock(&q->pack_lock);
	ORCH_BUG_ON(q->finished);
	r = pack_add(q, kind, &digest, p, n);
	pthread_mutex_unlock(&q->pack_lock);
	if (r == -EEXIST)
		return 0;
	if (r < 0) {
		fail(q, r);
		return orch_err_sys(err, -r, "quarantine: pack");
	}
	pthread_mutex_lock(&q->lock);
	q->stats.records++;
	q->stats.record_bytes += n;
	pthread_mutex_unlock(&q->lock);
	return 0;
}

/* ---- the end ---- */

static int save(
    struct cas_quarantine *q, const char *name, const void *p, size_t n, struct orch_err *err)
{
	int fd = openat(q->spec.dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return orch_err_sys(err, errno, "quarantine: %s", name);
	r = orch_fd_write_all(fd, p, n);
	if (close(fd) < 0 && r == 0)
		r = -errno;
	return r < 0 ? orch_err_sys(err, -r, "quarantine: %s", name) : 0;
}

int cas_quarantine_save_scan(
    struct cas_quarantine *q, const void *p, size_t n, struct orch_err *err)
{
	return save(q, "scan", p, n, err);
}

int cas_quarantine_save_memo(
    struct cas_quarantine *q, const void *p, size_t n, struct orch_err *err)
{
	return save(q, "memo", p, n, err);
}

void cas_quarantine_stats(struct cas_quarantine *q, struct cas_quarantine_stats *out)
{
	pthread_mutex_lock(&q->lock);
	*out = q->stats;
	pthread_mutex_unlock(&q->lock);
}

static int pack_end(struct cas_quarantine *q)
{
	int r = 0;

	if (q->pack_fd >= 0) {
		r = fmt_pack_writer_end(q->writer, &q->pack);
		if (r == 0)
			r = pack_flush(q, 0);
		if (close(q->pack_fd) < 0 && r == 0)
			r = -errno;
		q->pack_fd = -1;
	}
	return r;
}

int cas_quarantine_finish(struct cas_quarantine *q, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf manifest = ORCH_BUF_INIT;
	int r;

	ORCH_BUG_ON(q->finished);
	q->finished = true;
	if (q->status < 0)
		return orch_err_sys(err, -q->status, "the quarantine is not whole");
	r = pack_end(q);
	if (r < 0)
		return orch_err_sys(err, -r, "quarantine: pack");
	manifest.max = SIZE_MAX / 2;
	r = cas_manifest_format(q->objects, q->count, &manifest);
	if (r < 0)
		return orch_err_sys(err, -r, "quarantine: manifest");
	return save(q, "manifest", manifest.data, manifest.len, err);
}
