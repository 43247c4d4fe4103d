/*
 * Export, from end to end. Folders are made and filled in parallel; then come the further names of
 * hard-linked files, and last the metadata of folders from the leaves up, since filling a folder
 * changes its time.
 */
#include "sync/export_priv.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core/grow.h"
#include "core/path.h"
#include "sync/place.h"

#define PATH_BYTES  (SYNC_DEPTH_MAX * (FMT_NAME_MAX + 1) + 1)
#define BATCH_FILES 64
#define QUEUE_MAX   4096

struct batch {
	struct export_dir *dir;
	uint32_t from, to; /* entries of the tree */
};

static int put_names(const struct export_dir *d, struct orch_buf *out)
{
	int r;

	if (!d->parent)
		return 0;
	r = put_names(d->parent, out);
	if (r == 0 && out->len)
		r = orch_buf_add_u8(out, '/');
	return r < 0 ? r : orch_buf_add(out, d->entry.name, d->entry.name_len);
}

int export_open_dir(const struct export_dir *d, struct orch_buf *path)
{
	int r;

	orch_buf_reset(path);
	r = put_names(d, path);
	if (r == 0)
		r = orch_buf_add_str(path, "");
	if (r < 0)
		return r;
	return sync_place_open(d->export->spec->root_fd, sync_place_text(path), path->len);
}

void export_fail(struct export *x, const struct export_dir *d, const struct fmt_entry *e,
    const char *what, int r, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf path = {.max = PATH_BYTES};

	(void)put_names(d, &path);
	if (e) {
		(void)orch_buf_add_str(&path, path.len ? "/" : "");
		(void)orch_buf_add(&path, e->name, e->name_len);
	}
	if (err->code)
		orch_err_wrap(err, "%s %s", what, path.len ? sync_place_text(&path) : ".");
	else
		orch_err_sys(err, -r, "%s %s", what, path.len ? sync_place_text(&path) : ".");
	sync_task_fail(x->task, err, -r);
}

static int remember_link(struct export *x, const struct export_link *l)
{
	int r;

	pthread_mutex_lock(&x->lock);
	r = orch_grow(&x->links, &x->link_cap, x->link_count + 1, sizeof(*x->links));
	if (r == 0)
		x->links[x->link_count++] = *l;
	pthread_mutex_unlock(&x->lock);
	return r;
}

static int get_entry(struct export_dir *d, uint32_t i, struct fmt_entry *e, struct fmt_stamp *s,
    struct orch_err *err)
{
	int r = fmt_tree_entry(&d->tree, i, e, err);

	if (r == 0)
		r = fmt_stamps_get(&d->stamps, i, s, err);
	if (r == 0 && !orch_name_valid(e->name, e->name_len))
		r = orch_err_set(err, ORCH_ECORRUPT, "a name that is none");
	return r;
}

static void write_range(struct export_dir *d, int fd, uint32_t from, uint32_t to)
{
	struct export *x = d->export;

	for (uint32_t i = from; i < to && !sync_task_stopped(x->task); i++) {
		struct orch_err err = ORCH_ERR_INIT;
		struct export_link l = {.dir = d};
		int r = get_entry(d, i, &l.entry, &l.stamp, &err);

		if (r == 0 && l.entry.type == FMT_DIR)
			continue;
		if (r == 0 && l.stamp.nlink > 1)
			r = remember_link(x, &l);
		else if (r == 0)
			r = export_write(x, fd, &l.entry, &l.stamp, &err);
		if (r < 0)
			export_fail(x, d, l.entry.name ? &l.entry : NULL, "write", r, &err);
	}
}

static void run_batch(void *arg)
{
	struct batch *b = arg;
	struct orch_err err = ORCH_ERR_INIT;
	orch_auto(buf) struct orch_buf path = {.max = PATH_BYTES};
	orch_auto(fd) int fd = -1;

	if (!sync_task_stopped(b->dir->export->task)) {
		fd = export_open_dir(b->dir, &path);
		if (fd < 0)
			export_fail(b->dir->export, b->dir, NULL, "open", fd, &err);
		else
			write_range(b->dir, fd, b->from, b->to);
	}
	free(b);
}

static int write_files(struct export_dir *d, int fd)
{
	if (d->tree.count <= BATCH_FILES) {
		write_range(d, fd, 0, d->tree.count);
		return 0;
	}
	for (uint32_t i = 0; i < d->tree.count; i += BATCH_FILES) {
		struct batch *b = malloc(sizeof(*b));

		if (!b)
			return -ENOMEM;
		*b = (struct batch){.dir = d, .from = i, .to = i + BATCH_FILES};
		if (b->to > d->tree.count)
			b->to = d->tree.count;
		orch_pool_add(d->export->pool, run_batch, b);
	}
	return 0;
}

static int load_dir(struct export_dir *d, struct orch_err *err)
{
	struct view_packset *packs = d->export->spec->packs;
	int r = view_packset_tree(packs, &d->entry.digest, &d->tree, err);

	if (r == 0)
		r = view_packset_stamps(packs, &d->stamp.stamps, &d->stamps, err);
	if (r == 0 && d->tree.count != d->stamps.count)
		r = orch_err_set(err, ORCH_ECORRUPT, "tree and stamps differ in length");
	return r;
}

static void walk_dir(void *arg);

static int make_subdir(struct export_dir *d, int fd, uint32_t i, struct orch_err *err)
{
	struct export_dir *sub;
	struct fmt_entry e;
	struct fmt_stamp s;
	char name[FMT_NAME_MAX + 1];
	int r = get_entry(d, i, &e, &s, err);

	if (r < 0 || e.type != FMT_DIR)
		return r;
	if (d->depth == SYNC_DEPTH_MAX)
		return -ENAMETOOLONG;
	memcpy(name, e.name, e.name_len);
	name[e.name_len] = '\0';
	if (mkdirat(fd, name, 0700) < 0)
		return -errno;
	sub = calloc(1, sizeof(*sub));
	if (!sub)
		return -ENOMEM;
	*sub = (struct export_dir){.export = d->export,
	    .parent = d,
	    .next = d->child,
	    .depth = d->depth + 1,
	    .entry = e,
	    .stamp = s};
	d->child = sub;
	atomic_fetch_add(&d->export->task->files, 1);
	orch_pool_add(d->export->pool, walk_dir, sub);
	return 0;
}

static void walk_dir(void *arg)
{
	struct export_dir *d = arg;
	struct export *x = d->export;
	struct orch_err err = ORCH_ERR_INIT;
	orch_auto(buf) struct orch_buf path = {.max = PATH_BYTES};
	orch_auto(fd) int fd = -1;
	int r;

	if (sync_task_stopped(x->task))
		return;
	r = load_dir(d, &err);
	if (r == 0)
		r = fd = export_open_dir(d, &path);
	for (uint32_t i = 0; r >= 0 && i < d->tree.count; i++)
		r = make_subdir(d, fd, i, &err);
	if (r >= 0)
		r = write_files(d, fd);
	if (r < 0)
		export_fail(x, d, NULL, "folder", r, &err);
}

static int by_ino(const void *pa, const void *pb)
{
	const struct export_link *a = pa, *b = pb;

	return (a->stamp.ino > b->stamp.ino) - (a->stamp.ino < b->stamp.ino);
}

static int link_to(const struct export_link *first, const struct export_link *l)
{
	orch_auto(buf) struct orch_buf path = {.max = PATH_BYTES};
	orch_auto(fd) int from = export_open_dir(first->dir, &path);
	orch_auto(fd) int to = -1;
	char from_name[FMT_NAME_MAX + 1] = {0}, to_name[FMT_NAME_MAX + 1] = {0};

	if (from < 0)
		return from;
	to = export_open_dir(l->dir, &path);
	if (to < 0)
		return to;
	memcpy(from_name, first->entry.name, first->entry.name_len);
	memcpy(to_name, l->entry.name, l->entry.name_len);
	return linkat(from, from_name, to, to_name, 0) < 0 ? -errno : 0;
}

static int write_first(struct export *x, const struct export_link *l, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf path = {.max = PATH_BYTES};
	orch_auto(fd) int fd = export_open_dir(l->dir, &path);

	return fd < 0 ? fd : export_write(x, fd, &l->entry, &l->stamp, err);
}

static void write_links(struct export *x)
{
	const struct export_link *first = NULL;

	if (x->link_count)
		qsort(x->links, x->link_count, sizeof(*x->links), by_ino);
	for (size_t i = 0; i < x->link_count && !sync_task_stopped(x->task); i++) {
		const struct export_link *l = &x->links[i];
		struct orch_err err = ORCH_ERR_INIT;
		int r;

		if (first && first->stamp.ino == l->stamp.ino) {
			r = link_to(first, l);
			atomic_fetch_add(&x->task->files, 1);
		} else {
			first = l;
			r = write_first(x, l, &err);
		}
		if (r < 0)
			export_fail(x, l->dir, &l->entry, "link", r, &err);
	}
}

/* From the leaves up; recursion is bounded by SYNC_DEPTH_MAX. */
static void dress_dirs(struct export_dir *d, struct orch_buf *path)
{
	struct orch_err err = ORCH_ERR_INIT;
	orch_auto(fd) int fd = -1;
	int r;

	for (struct export_dir *c = d->child; c; c = c->next)
		dress_dirs(c, path);
	if (sync_task_stopped(d->export->task))
		return;
	r = fd = export_open_dir(d, path);
	if (r >= 0)
		r = export_dress(d->export, fd, &d->entry, d->stamp.mtime_ns);
	if (r < 0)
		export_fail(d->export, d, NULL, "folder", r, &err);
}

static void free_dirs(struct export_dir *d)
{
	struct export_dir *c;

	while ((c = d->child)) {
		d->child = c->next;
		free_dirs(c);
		free(c);
	}
}

static int refuse_full(int fd, struct orch_err *err)
{
	int dup = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = dup < 0 ? NULL : fdopendir(dup);
	const struct dirent *e;
	int r = 0;

	if (!dir) {
		r = orch_err_sys(err, errno, "the target folder");
		orch_fd_close(dup);
		return r;
	}
	while (r == 0 && (e = readdir(dir)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = orch_err_set(err, ENOTEMPTY, "the target folder is not empty");
	closedir(dir);
	return r;
}

static int export_run(struct export *x, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf path = {.max = PATH_BYTES};

	x->pool = orch_pool_new(x->task->threads, QUEUE_MAX);
	if (!x->pool)
		return orch_err_sys(err, ENOMEM, "export");
	x->task->phase = "write";
	orch_pool_add(x->pool, walk_dir, &x->root);
	orch_pool_drain(x->pool);
	orch_pool_free(x->pool);
	write_links(x);
	dress_dirs(&x->root, &path);
	return sync_task_result(x->task, err);
}

int sync_export(struct sync_task *t, const struct sync_export_spec *spec, struct sync_exported *out,
    struct orch_err *err)
{
	struct export x = {.spec = spec, .task = t, .root.export = &x};
	struct fmt_snapshot snap;
	int r = view_packset_snapshot(spec->packs, spec->snapshot, &snap, err);

	if (r == 0)
		r = refuse_full(spec->root_fd, err);
	if (r < 0)
		return r;
	x.root.entry = snap.root;
	x.root.stamp = (struct fmt_stamp){
	    .ino = FMT_ROOT_INO, .mtime_ns = snap.root_mtime_ns, .stamps = snap.stamps};
	pthread_mutex_init(&x.lock, NULL);
	r = export_run(&x, err);
	free_dirs(&x.root);
	free(x.links);
	pthread_mutex_destroy(&x.lock);
	if (r < 0)
		return r;
	*out = (struct sync_exported){.files = snap.root.count, .bytes = snap.root.size};
	return 0;
}
