/*
 * A quarantine becomes the keeper's own before a byte of it is believed: its folders first, so that
 * nobody can swap a file any more, then each file, refusing those that somebody could still write.
 */
#include "cache/publish.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cache/store_priv.h"
#include "core/clock.h"
#include "core/fd.h"
#include "core/pool.h"
#include "view/object.h"

#define MANIFEST_MAX ((size_t)4 << 30)

static int hostile(struct orch_err *err, const char *name, const char *what)
{
	return orch_err_set(err, ORCH_ECORRUPT, "quarantine: %s %s", name, what);
}

/* Ours, and nobody else may change names in it. */
static int secure_folder(int fd, const char *name, struct orch_err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return orch_err_sys(err, errno, "quarantine: %s", name);
	if (st.st_uid != geteuid() && fchown(fd, geteuid(), getegid()) < 0)
		return orch_err_sys(err, errno, "quarantine: chown of %s", name);
	if ((st.st_mode & 07777) != 0700 && fchmod(fd, 0700) < 0)
		return orch_err_sys(err, errno, "quarantine: chmod of %s", name);
	return 0;
}

/* The 256 possible folders of objects; one that is a link or a file is refused. */
static int secure_subfolders(struct cas_adopt *a, struct orch_err *err)
{
	for (unsigned i = 0; i < 256; i++) {
		char name[3];
		int fd, r;

		snprintf(name, sizeof(name), "%02x", i);
		fd = openat(a->dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 && errno == ENOENT)
			continue;
		if (fd < 0)
			return hostile(err, name, "is not a folder");
		r = secure_folder(fd, name, err);
		orch_fd_close(fd);
		if (r < 0)
			return r;
	}
	return 0;
}

/* A read lease is given only while nobody has the file open for writing. Some file systems have
 * none: then the mode alone has to do. */
static bool has_writer(int fd)
{
	if (fcntl(fd, F_SETLEASE, F_RDLCK) == 0) {
		(void)fcntl(fd, F_SETLEASE, F_UNLCK);
		return false;
	}
	return errno == EAGAIN;
}

static int secure_file(int fd, const char *name, mode_t mode, struct stat *st, struct orch_err *err)
{
	if (fstat(fd, st) < 0)
		return orch_err_sys(err, errno, "quarantine: %s", name);
	if (!S_ISREG(st->st_mode) || st->st_nlink != 1)
		return hostile(err, name, "is not a plain file of one link");
	if (st->st_uid != geteuid() && fchown(fd, geteuid(), getegid()) < 0)
		return orch_err_sys(err, errno, "quarantine: chown of %s", name);
	if (fchmod(fd, mode) < 0)
		return orch_err_sys(err, errno, "quarantine: chmod of %s", name);
	if (has_writer(fd))
		return hostile(err, name, "is still open for writing");
	/* again: until now it could have grown, and been linked elsewhere */
	if (fstat(fd, st) < 0)
		return orch_err_sys(err, errno, "quarantine: %s", name);
	return st->st_nlink == 1 ? 0 : hostile(err, name, "is not a plain file of one link");
}

int cas_adopt_file(
    struct cas_adopt *a, const char *name, mode_t mode, struct stat *out, struct orch_err *err)
{
	int fd = openat(a->dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	int r;

	if (fd < 0)
		return errno == ELOOP ? hostile(err, name, "is a link")
				      : orch_err_sys(err, errno, "quarantine: %s", name);
	r = secure_file(fd, name, mode, out, err);
	if (r < 0) {
		orch_fd_close(fd);
		return r;
	}
	return fd;
}

static int load_manifest(struct cas_adopt *a, struct orch_err *err)
{
	struct stat st;
	orch_auto(fd) int fd = cas_adopt_file(a, "manifest", 0400, &st, err);
	int r;

	if (fd == -ENOENT)
		return hostile(err, "manifest", "is missing: the worker did not finish");
	if (fd < 0)
		return fd;
	r = orch_fd_slurp(fd, &a->manifest_bytes);
	if (r < 0)
		return orch_err_sys(err, -r, "quarantine: manifest");
	return cas_manifest_open(a->manifest_bytes.data, a->manifest_bytes.len, &a->manifest, err);
}

int cas_adopt_open(struct cas_adopt *a, struct cas_store *s, int dirfd, struct orch_err *err)
{
	int r;

	memset(a, 0, sizeof(*a));
	a->s = s;
	a->dirfd = dirfd;
	a->pack_fd = -1;
	orch_buf_init(&a->manifest_bytes, MANIFEST_MAX);
	r = secure_folder(dirfd, "its folder", err);
	if (r == 0)
		r = secure_subfolders(a, err);
	return r < 0 ? r : load_manifest(a, err);
}

void cas_adopt_fini(struct cas_adopt *a)
{
	orch_map_close(&a->pack_map);
	orch_fd_close(a->pack_fd);
	orch_fd_close(a->dirfd);
	orch_buf_fini(&a->manifest_bytes);
	free(a->moves);
}

void cas_adopt_name(const struct orch_digest *d, char out[CAS_ADOPT_NAME_BYTES])
{
	char hex[ORCH_DIGEST_HEX + 1];

	orch_digest_format(d, hex);
	snprintf(out, CAS_ADOPT_NAME_BYTES, "%.2s/%s", hex, hex);
}

/* Which objects the store lacks (or has with a wrong size: then they are replaced). */
static int find_moves(struct cas_adopt *a, struct orch_err *err)
{
	struct cas_object o;

	a->moves = calloc(a->manifest.count ? a->manifest.count : 1, 1);
	if (!a->moves)
		return orch_err_set(err, ENOMEM, "out of memory");
	for (uint64_t i = 0; i < a->manifest.count; i++) {
		cas_manifest_at(&a->manifest, i, &o);
		if (view_object_exists(a->s->objects_fd, &o.digest, o.size) == 1)
			continue;
		a->moves[i] = 1;
		a->move_count++;
	}
	return 0;
}

static int check_digest(int fd, const struct cas_object *o, const char *name, struct orch_err *err)
{
	struct orch_digest digest;
	uint64_t bytes;
	int r = orch_hash_fd(fd, 0, &digest, NULL, &bytes, err);

	if (r < 0)
		return r;
	if (bytes != o->size || !orch_digest_eq(&digest, &o->digest))
		return hostile(err, name, "has another SHA-256 than its name");
	return 0;
}

static int check_object(struct cas_adopt *a, const struct cas_object *o, struct orch_err *err)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};
	char name[CAS_ADOPT_NAME_BYTES];
	orch_auto(fd) int fd = -1;
	struct stat st;
	int r;

	cas_adopt_name(&o->digest, name);
	fd = cas_adopt_file(a, name, 0444, &st, err);
	if (fd == -ENOENT)
		return hostile(err, name, "is missing");
	if (fd < 0)
		return fd;
	if ((uint64_t)st.st_size != o->size)
		return hostile(err, name, "has not the size that the manifest says");
	if (a->flags & CAS_PUBLISH_CHECK_DIGESTS) {
		r = check_digest(fd, o, name, err);
		if (r < 0)
			return r;
	}
	times[1] = orch_ns_timespec(view_object_mtime_ns(&o->digest));
	if (futimens(fd, times) < 0)
		return orch_err_sys(err, errno, "quarantine: times of %s", name);
	return 0;
}

/* ---- all objects, by a pool of threads ---- */

struct check { /* what the threads share */
	struct cas_adopt *a;
	pthread_mutex_t lock; /* why */
	struct orch_err why;  /* of the first failure */
	atomic_int failed;    /* 0 or -errno */
	atomic_uint_least64_t next;
};

static void check_failed(struct check *c, int r, const struct orch_err *why)
{
	int zero = 0;

	pthread_mutex_lock(&c->lock);
	if (atomic_compare_exchange_strong(&c->failed, &zero, r))
		c->why = *why;
	pthread_mutex_unlock(&c->lock);
}

static void check_next(struct check *c, uint64_t i)
{
	struct orch_err why = ORCH_ERR_INIT;
	struct cas_object o;
	int r;

	if (!c->a->moves[i])
		return;
	cas_manifest_at(&c->a->manifest, i, &o);
	if (c->a->cancel && *c->a->cancel)
		r = orch_err_set(&why, ECANCELED, "cancelled");
	else
		r = check_object(c->a, &o, &why);
	if (r < 0)
		check_failed(c, r, &why);
}

static void check_some(void *arg)
{
	struct check *c = arg;
	uint64_t i;

	while (atomic_load(&c->failed) == 0 &&
	       (i = atomic_fetch_add(&c->next, UINT64_C(1))) < c->a->manifest.count)
		check_next(c, i);
}

/* Threads pay only where digests are computed or there is a lot to open. */
static unsigned check_threads(const struct cas_adopt *a)
{
	bool many = a->move_count > 256 || (a->flags & CAS_PUBLISH_CHECK_DIGESTS);

	return many ? orch_cpu_count() : 1;
}

static int check_objects(struct cas_adopt *a, struct orch_err *err)
{
	struct check c = {.a = a};
	unsigned threads = check_threads(a);
	struct orch_pool *pool = threads > 1 ? orch_pool_new(threads - 1, threads) : NULL;

	pthread_mutex_init(&c.lock, NULL);
	for (unsigned i = 1; pool && i < threads; i++)
		orch_pool_add(pool, check_some, &c);
	check_some(&c);
	orch_pool_free(pool);
	pthread_mutex_destroy(&c.lock);
	if (atomic_load(&c.failed) < 0)
		return orch_err_set(err, c.why.code, "%s", c.why.msg);
	return 0;
}

int cas_adopt_check(struct cas_adopt *a, const struct orch_digest *snapshot, struct orch_err *err)
{
	int r = find_moves(a, err);

	if (r == 0)
		r = cas_adopt_check_pack(a, snapshot, err);
	return r < 0 ? r : check_objects(a, err);
}
