/* Objects as files, see object.h. No state; any thread. */
#include "view/object.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include "core/clock.h"
#include "core/cursor.h"
#include "core/fd.h"

/* The mtimes of objects lie in the years 2001 to 2032: inside what every file system can hold, and
 * never "now". */
#define MTIME_FIRST_S INT64_C(978307200)
#define MTIME_SPAN_S  UINT64_C(1009843200)

void view_object_path(const struct orch_digest *d, char out[VIEW_OBJECT_PATH_BYTES])
{
	char hex[ORCH_DIGEST_HEX + 1];

	orch_digest_format(d, hex);
	memcpy(out, hex, 2);
	out[2] = '/';
	memcpy(out + 3, hex + 2, 2);
	out[5] = '/';
	memcpy(out + 6, hex, sizeof(hex));
}

int64_t view_object_mtime_ns(const struct orch_digest *d)
{
	int64_t s = MTIME_FIRST_S + (int64_t)(orch_le64(d->b) % MTIME_SPAN_S);

	return s * (int64_t)ORCH_NS_PER_S + (int64_t)(orch_le64(d->b + 8) % ORCH_NS_PER_S);
}

/* A file system without nanoseconds shows the seconds of the same time. */
static bool untouched(const struct orch_digest *d, const struct stat *st)
{
	int64_t want = view_object_mtime_ns(d), got = orch_timespec_ns(&st->st_mtim);

	return got == want ||
	       (st->st_mtim.tv_nsec == 0 && got == want - want % (int64_t)ORCH_NS_PER_S);
}

static int object_corrupt(const char *path, const char *why, struct orch_err *err)
{
	return orch_err_set(err, ORCH_ECORRUPT, "object %s: %s", path + 6, why);
}

static int object_check(
    int fd, const char *path, const struct orch_digest *d, uint64_t size, struct orch_err *err)
{
	struct orch_digest got;
	uint64_t bytes;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return orch_err_sys(err, errno, "object %s", path + 6);
	if (!S_ISREG(st.st_mode))
		return object_corrupt(path, "not a regular file", err);
	if ((uint64_t)st.st_size != size)
		return object_corrupt(path, "its size is not what the tree says", err);
	if (untouched(d, &st))
		return 0;
	r = orch_hash_fd(fd, 0, &got, NULL, &bytes, err);
	if (r < 0)
		return r;
	if (bytes != size || !orch_digest_eq(&got, d))
		return object_corrupt(path, "its content was changed", err);
	return 0;
}

int view_object_open(int objects_dirfd, const struct orch_digest *d, uint64_t size, int *out_fd,
    struct orch_err *err)
{
	char path[VIEW_OBJECT_PATH_BYTES];
	int fd, r;

	view_object_path(d, path);
	fd = openat(objects_dirfd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 && errno == ELOOP)
		return object_corrupt(path, "not a regular file", err);
	if (fd < 0 && errno == ENOENT)
		return orch_err_set(err, ENOENT, "object %s is not on this host", path + 6);
	if (fd < 0)
		return orch_err_sys(err, errno, "object %s", path + 6);
	r = object_check(fd, path, d, size, err);
	if (r < 0) {
		orch_fd_close(fd);
		return r;
	}
	*out_fd = fd;
	return 0;
}

int view_object_exists(int objects_dirfd, const struct orch_digest *d, uint64_t size)
{
	char path[VIEW_OBJECT_PATH_BYTES];
	struct stat st;

	view_object_path(d, path);
	if (fstatat(objects_dirfd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	return S_ISREG(st.st_mode) && (uint64_t)st.st_size == size;
}
