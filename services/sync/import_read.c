/* Import: the content of one file. Touched but unchanged files (same fingerprint as in the index)
 * end at XXH3; the others go into the quarantine. */
#include "sync/import_priv.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include "core/clock.h"
#include "view/object.h"
#include "sync/place.h"

#define PREFIX_MAX (UINT64_C(64) << 20)

static bool same_moment(const struct stat *a, const struct stat *b)
{
	return a->st_size == b->st_size && a->st_ino == b->st_ino &&
	       orch_timespec_ns(&a->st_mtim) == orch_timespec_ns(&b->st_mtim) &&
	       orch_timespec_ns(&a->st_ctim) == orch_timespec_ns(&b->st_ctim);
}

static int open_file(int dir, const char *name)
{
	const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	int fd = openat(dir, name, flags | O_NOATIME);

	if (fd < 0 && errno == EPERM)
		fd = openat(dir, name, flags);
	return fd < 0 ? -errno : fd;
}

/* 1: the file still has the content that the index names, and n says so. */
static int read_touched(
    struct import *im, int fd, struct import_node *n, const char *path, struct orch_err *err)
{
	struct fmt_scan_entry old;
	struct orch_fingerprint fp;
	struct stat before, after;
	uint64_t bytes;
	int r;

	if (!import_index_find(im, n, path, &old) ||
	    view_object_exists(im->spec->objects_fd, &old.object, old.size) != 1)
		return 0;
	if (fstat(fd, &before) < 0)
		return -errno;
	r = orch_hash_fd(fd, im->spec->seed, NULL, &fp, &bytes, err);
	if (r < 0)
		return r;
	if (fstat(fd, &after) < 0)
		return -errno;
	if (!same_moment(&before, &after) || bytes != old.size || fp.lo != old.fingerprint.lo ||
	    fp.hi != old.fingerprint.hi)
		return 0;
	import_node_stat(n, &after);
	n->digest = old.object;
	n->fingerprint = fp;
	return 1;
}

static void take_added(struct import *im, struct import_node *n, const struct cas_added *a)
{
	n->size = a->object.size;
	n->digest = a->object.digest;
	n->fingerprint = a->object.fingerprint;
	atomic_fetch_add(&im->task->hashed_files, 1);
}

/* A file that is written all the time (a log): what it held when we looked, as far as it goes. */
static int read_prefix(
    struct import *im, int fd, struct import_node *n, const char *path, struct orch_err *err)
{
	struct cas_added added;
	struct stat st;
	size_t got = 0;
	ssize_t k = 0;
	uint8_t *p;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	if ((uint64_t)st.st_size > PREFIX_MAX)
		return orch_err_set(err, EBUSY, "%s: changes all the time while it is read", path);
	p = malloc((size_t)st.st_size + 1);
	if (!p)
		return -ENOMEM;
	while (got < (size_t)st.st_size &&
	       (k = pread(fd, p + got, (size_t)st.st_size - got, (off_t)got)) > 0)
		got += (size_t)k;
	r = k < 0 ? -errno : cas_quarantine_add_bytes(im->spec->quarantine, p, got, &added, err);
	free(p);
	if (r < 0)
		return r;
	import_node_stat(n, &st);
	take_added(im, n, &added);
	n->flags &= (uint8_t)~IMPORT_TRUST;
	sync_task_warn(im->task, "%s changes while it is read; taken as it was for a moment", path);
	return 0;
}

static int read_open(
    struct import *im, int fd, struct import_node *n, const char *path, struct orch_err *err)
{
	struct cas_added added;
	int r = read_touched(im, fd, n, path, err);

	n->flags |= IMPORT_TRUST;
	if (r != 0)
		return r < 0 ? r : 0;
	r = cas_quarantine_add_fd(im->spec->quarantine, fd, path, &added, err);
	if (r == -EAGAIN)
		return read_prefix(im, fd, n, path, err);
	if (r < 0)
		return r;
	import_node_stat(n, &added.st);
	take_added(im, n, &added);
	return 0;
}

static int read_named(
    struct import_dir *d, int dirfd, struct import_node *n, const char *path, struct orch_err *err)
{
	orch_auto(fd) int fd = open_file(dirfd, import_name(d, n));
	struct import *im = d->import;
	struct stat st;
	int r;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -ELOOP;
	atomic_fetch_add(&im->task->read_files, 1);
	r = read_open(im, fd, n, path, err);
	if (r == 0)
		atomic_fetch_add(&im->task->read_bytes, n->size);
	return r;
}

/* Between listing and reading a name may go, or become something else. */
static void tell_read_failure(
    struct import *im, struct import_node *n, const char *path, int r, struct orch_err *err)
{
	switch (-r) {
	case ENOENT:
		n->flags = IMPORT_GONE;
		return;
	case ELOOP:
	case ENXIO:
		sync_task_unreadable(im->task, path, EBUSY);
		return;
	case EACCES:
	case EPERM:
		sync_task_unreadable(im->task, path, -r);
		return;
	default:
		if (!err->code)
			orch_err_sys(err, -r, "read %s", path);
		sync_task_fail(im->task, err, -r);
	}
}

void import_read(struct import_dir *d, int fd, struct import_node *n, struct orch_buf *buf)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct import *im = d->import;
	int r = import_path(d, import_name(d, n), buf);

	if (r < 0) {
		sync_task_fail(im->task, NULL, -r);
		return;
	}
	r = read_named(d, fd, n, sync_place_text(buf), &err);
	if (r < 0) {
		tell_read_failure(im, n, sync_place_text(buf), r, &err);
		return;
	}
	n->flags &= (uint8_t)~IMPORT_READ;
	atomic_fetch_add(&im->task->files, 1);
	atomic_fetch_add(&im->task->bytes, n->size);
	sync_task_tick(im->task);
}
