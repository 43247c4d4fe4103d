/* Import: the names and stats of one folder. A folder that changes meanwhile is listed again. */
#include "sync/import_priv.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "core/clock.h"
#include "core/grow.h"
#include "core/path.h"
#include "sync/place.h"

#define LIST_TRIES 4
#define NAMES_MAX  UINT32_MAX

struct listing {
	struct orch_buf names;
	struct import_node *nodes;
	size_t count, cap;
};

void import_node_stat(struct import_node *n, const struct stat *st)
{
	n->mode = st->st_mode;
	n->uid = st->st_uid;
	n->gid = st->st_gid;
	n->links = st->st_nlink > UINT32_MAX ? UINT32_MAX : (uint32_t)st->st_nlink;
	n->dev = st->st_dev;
	n->src_ino = st->st_ino;
	n->size = S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0;
	n->mtime_ns = orch_timespec_ns(&st->st_mtim);
	n->ctime_ns = orch_timespec_ns(&st->st_ctim);
}

static void node_fini(struct import_node *n)
{
	free(n->xattrs);
	if (n->type == FMT_SYMLINK)
		free(n->target);
	else if (n->type == FMT_DIR)
		import_dir_free(n->dir);
}

/* Recursion is bounded: no folder deeper than SYNC_DEPTH_MAX is made. */
void import_dir_free(struct import_dir *d)
{
	if (!d)
		return;
	for (uint32_t i = 0; i < d->count; i++)
		node_fini(&d->nodes[i]);
	free(d->nodes);
	free(d->names);
	free(d);
}

static int add_name(struct listing *l, const char *name)
{
	size_t len = strlen(name);

	int r = orch_grow(&l->nodes, &l->cap, l->count + 1, sizeof(*l->nodes));

	if (r < 0)
		return r;
	if (len > ORCH_NAME_MAX)
		return -ENAMETOOLONG;
	l->nodes[l->count++] =
	    (struct import_node){.name_at = (uint32_t)l->names.len, .name_len = (uint8_t)len};
	return orch_buf_add(&l->names, name, len + 1);
}

static int read_names(int fd, struct listing *l)
{
	int dup = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = dup < 0 ? NULL : fdopendir(dup);
	struct dirent *e;
	int r = 0;

	if (!dir) {
		r = -errno;
		orch_fd_close(dup);
		return r;
	}
	while (r == 0) {
		errno = 0;
		e = readdir(dir);
		if (!e) {
			r = -errno;
			break;
		}
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = add_name(l, e->d_name);
	}
	closedir(dir);
	return r;
}

static int by_name(const void *pa, const void *pb, void *names)
{
	const struct import_node *a = pa, *b = pb;

	return strcmp((char *)names + a->name_at, (char *)names + b->name_at);
}

static enum fmt_type type_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return FMT_REG;
	case S_IFDIR:
		return FMT_DIR;
	case S_IFLNK:
		return FMT_SYMLINK;
	case S_IFIFO:
		return FMT_FIFO;
	case S_IFSOCK:
		return FMT_SOCKET;
	case S_IFCHR:
		return FMT_CHR;
	default:
		return FMT_BLK;
	}
}

static int read_target(int fd, const char *name, struct import_node *n)
{
	char target[FMT_SYMLINK_MAX + 2];
	ssize_t len = readlinkat(fd, name, target, sizeof(target));

	if (len < 0)
		return -errno;
	if (len == 0 || len > FMT_SYMLINK_MAX)
		return -ENAMETOOLONG;
	n->target = malloc((size_t)len);
	if (!n->target)
		return -ENOMEM;
	memcpy(n->target, target, (size_t)len);
	n->size = (uint64_t)len;
	return 0;
}

/* One name that was listed; a failure other than of memory becomes a vanished or unreadable one. */
static int stat_node(struct import_dir *d, int fd, struct import_node *n, struct orch_buf *path)
{
	const char *name = import_name(d, n);
	struct stat st;
	int r = 0;

	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0) {
		r = -errno;
	} else {
		import_node_stat(n, &st);
		n->type = (uint8_t)type_of(st.st_mode);
		n->flags = IMPORT_TRUST;
		if (n->type == FMT_SYMLINK)
			r = read_target(fd, name, n);
	}
	if (r == 0)
		return 0;
	n->type = FMT_FIFO; /* owns nothing */
	n->flags = IMPORT_GONE;
	if (r == -ENOENT || r == -EINVAL)
		return 0;
	if (r == -ENOMEM || import_path(d, name, path) < 0)
		return -ENOMEM;
	sync_task_unreadable(d->import->task, sync_place_text(path), -r);
	return 0;
}

static int stat_all(struct import_dir *d, int fd, struct orch_buf *path)
{
	int r = 0;

	for (uint32_t i = 0; i < d->count && r == 0; i++) {
		if (sync_task_stopped(d->import->task))
			return -ORCH_ECANCELLED;
		r = stat_node(d, fd, &d->nodes[i], path);
	}
	return r;
}

static void drop_nodes(struct import_dir *d)
{
	for (uint32_t i = 0; i < d->count; i++)
		node_fini(&d->nodes[i]);
	free(d->nodes);
	free(d->names);
	d->nodes = NULL;
	d->names = NULL;
	d->count = 0;
}

static int list_once(struct import_dir *d, int fd, struct orch_buf *path)
{
	struct listing l = {0};
	int r;

	orch_buf_init(&l.names, NAMES_MAX);
	r = read_names(fd, &l);
	if (r < 0 || l.count > FMT_TREE_ENTRIES_MAX) {
		free(l.nodes);
		orch_buf_fini(&l.names);
		return r < 0 ? r : -EFBIG;
	}
	d->nodes = l.nodes;
	d->count = (uint32_t)l.count;
	d->names = (char *)orch_buf_take(&l.names, NULL);
	if (d->count)
		qsort_r(d->nodes, d->count, sizeof(*d->nodes), by_name, d->names);
	return stat_all(d, fd, path);
}

static struct import_node *self_node(struct import_dir *d)
{
	return d->parent ? &d->parent->nodes[d->index] : &d->import->root;
}

int import_list(struct import_dir *d, int fd, struct orch_buf *path)
{
	struct import_node *self = self_node(d);
	struct stat before, after;

	for (int try = 1;; try++) {
		int r;

		if (fstat(fd, &before) < 0)
			return -errno;
		r = list_once(d, fd, path);
		if (r < 0)
			return r;
		if (fstat(fd, &after) < 0)
			return -errno;
		import_node_stat(self, &after);
		if (try == LIST_TRIES || orch_timespec_ns(&before.st_mtim) == self->mtime_ns)
			return 0;
		drop_nodes(d);
	}
}
