/*
 * Import: the scan index of the source folder, read and written. It holds regular files only, in
 * the order of their whole paths. An index stands for having read the files, so its key begins with
 * the uid that did: the keeper lets nobody write or name another one's.
 */
#include "sync/import_priv.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "core/clock.h"
#include "core/path.h"
#include "view/object.h"

#define SLACK_NS    (2 * (int64_t)ORCH_NS_PER_S) /* the coarsest clock of a file system: FAT's */
#define SEED_SAMPLE "orch scan index"
#define ENTRY_BYTES 160
#define INDEX_MAX   ((size_t)8 << 30)

static uint64_t seed_check(uint64_t seed)
{
	return orch_xxh64(SEED_SAMPLE, sizeof(SEED_SAMPLE) - 1, seed);
}

/* Who, and a hash of where and which folder it is. */
static int index_key(
    const struct import *im, const struct stat *root, char key[SYNC_SCAN_KEY_BYTES])
{
	struct orch_sha256 *s = orch_sha256_new();
	uint64_t folder[2] = {root->st_dev, root->st_ino};
	char hex[ORCH_DIGEST_HEX + 1];
	struct orch_digest d;

	if (!s)
		return -ENOMEM;
	orch_sha256_reset(s);
	orch_sha256_add(s, folder, sizeof(folder));
	orch_sha256_add(s, im->spec->path, strlen(im->spec->path));
	orch_sha256_end(s, &d);
	orch_sha256_free(s);
	orch_digest_format(&d, hex);
	snprintf(key, SYNC_SCAN_KEY_BYTES, "%u-%s", (unsigned)geteuid(), hex);
	return 0;
}

int import_index_load(struct import *im, char key[SYNC_SCAN_KEY_BYTES])
{
	struct orch_err err = ORCH_ERR_INIT;
	struct stat root;
	int r;

	if (fstat(im->spec->root_fd, &root) < 0)
		return -errno;
	r = index_key(im, &root, key);
	if (r < 0 || im->spec->scan_fd < 0)
		return r;
	r = orch_map_open(im->spec->scan_fd, key, &im->scan_map, &err);
	if (r == 0)
		r = fmt_scan_open(im->scan_map.addr, im->scan_map.len, &im->scan, &err);
	if (r == 0)
		im->has_scan = im->scan.head.seed_check == seed_check(im->spec->seed);
	else if (r != -ENOENT)
		sync_task_warn(im->task, "scan index %s is not used: %s", key, err.msg);
	return 0;
}

bool import_index_find(
    struct import *im, const struct import_node *n, const char *path, struct fmt_scan_entry *out)
{
	return im->has_scan && fmt_scan_find(&im->scan, path, strlen(path), out) == 0 &&
	       out->size == n->size;
}

bool import_index_match(
    struct import *im, struct import_node *n, const char *path, bool *out_no_xattrs)
{
	struct fmt_scan_entry e;

	if (!import_index_find(im, n, path, &e) || e.dev != n->dev || e.ino != n->src_ino ||
	    e.mtime_ns != n->mtime_ns || e.ctime_ns != n->ctime_ns || e.mode != n->mode ||
	    e.ctime_ns >= im->scan.head.started_wall_ns - SLACK_NS)
		return false;
	*out_no_xattrs = !e.has_xattrs;
	if (view_object_exists(im->spec->objects_fd, &e.object, e.size) != 1)
		return false;
	n->digest = e.object;
	n->fingerprint = e.fingerprint;
	return true;
}

struct index_writer {
	struct import *import;
	struct fmt_scan_writer *writer;
	struct orch_buf out;
	struct orch_buf path;
};

static int add_file(struct index_writer *w, const struct import_dir *d, const struct import_node *n)
{
	struct fmt_scan_entry e = {.dev = n->dev,
	    .ino = n->src_ino,
	    .size = n->size,
	    .mtime_ns = n->mtime_ns,
	    .ctime_ns = n->ctime_ns,
	    .mode = n->mode,
	    .object = n->digest,
	    .fingerprint = n->fingerprint,
	    .has_xattrs = n->xattrs_len > 0};
	size_t before = w->path.len;
	int r;

	/* a path that no system call takes is not indexed: read each time */
	if (!(n->flags & IMPORT_TRUST) || before + n->name_len > ORCH_PATH_MAX)
		return 0;
	r = orch_buf_add(&w->path, import_name(d, n), n->name_len);
	if (r < 0)
		return r;
	e.path = (const char *)w->path.data;
	e.path_len = w->path.len;
	r = fmt_scan_writer_add(w->writer, &e, &w->out);
	w->path.len = before;
	return r;
}

static int add_dir(struct index_writer *w, const struct import_dir *d);

static int add_subdir(
    struct index_writer *w, const struct import_dir *d, const struct import_node *n)
{
	size_t before = w->path.len;
	int r = orch_buf_add(&w->path, import_name(d, n), n->name_len);

	if (r == 0)
		r = orch_buf_add_u8(&w->path, '/');
	if (r == 0)
		r = add_dir(w, n->dir);
	w->path.len = before;
	return r;
}

/* As if a folder's name ended with '/': this makes the order that of whole paths. */
static int by_path(const void *pa, const void *pb, void *pd)
{
	const struct import_dir *d = pd;
	const struct import_node *a = &d->nodes[*(const uint32_t *)pa];
	const struct import_node *b = &d->nodes[*(const uint32_t *)pb];
	size_t n = a->name_len < b->name_len ? a->name_len : b->name_len;
	int c = memcmp(import_name(d, a), import_name(d, b), n);
	unsigned char ca, cb;

	if (c)
		return c;
	ca = a->name_len > n ? (unsigned char)import_name(d, a)[n] : a->type == FMT_DIR ? '/' : 0;
	cb = b->name_len > n ? (unsigned char)import_name(d, b)[n] : b->type == FMT_DIR ? '/' : 0;
	return ca - cb;
}

static int add_dir(struct index_writer *w, const struct import_dir *d)
{
	uint32_t *order;
	int r = 0;

	if (!d->count)
		return 0;
	order = malloc(d->count * sizeof(*order));
	if (!order)
		return -ENOMEM;
	for (uint32_t i = 0; i < d->count; i++)
		order[i] = i;
	qsort_r(order, d->count, sizeof(*order), by_path, (void *)(uintptr_t)d);
	for (uint32_t i = 0; i < d->count && r == 0; i++) {
		const struct import_node *n = &d->nodes[order[i]];

		if (n->flags & IMPORT_GONE)
			continue;
		if (n->type == FMT_REG)
			r = add_file(w, d, n);
		else if (n->type == FMT_DIR)
			r = add_subdir(w, d, n);
	}
	free(order);
	return r;
}

int import_index_save(struct import *im, const struct orch_digest *snapshot, struct orch_err *err)
{
	struct fmt_scan_head head = {.snapshot = *snapshot,
	    .started_wall_ns = im->started_wall_ns,
	    .seed_check = seed_check(im->spec->seed)};
	struct index_writer w = {.import = im, .writer = fmt_scan_writer_new(&head)};
	int r = -ENOMEM;

	orch_buf_init(&w.out, INDEX_MAX);
	orch_buf_init(&w.path, INDEX_MAX);
	if (w.writer)
		r = orch_buf_reserve(&w.out, ENTRY_BYTES * im->task->files + im->index_bytes);
	if (r == 0)
		r = add_dir(&w, im->root.dir);
	if (r == 0)
		r = fmt_scan_writer_end(w.writer, &w.out);
	if (r < 0)
		orch_err_sys(err, -r, "make the scan index");
	else
		r = cas_quarantine_save_scan(im->spec->quarantine, w.out.data, w.out.len, err);
	fmt_scan_writer_free(w.writer);
	orch_buf_fini(&w.out);
	orch_buf_fini(&w.path);
	return r;
}
