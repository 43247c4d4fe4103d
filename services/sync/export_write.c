/* Export: one file, symlink or the metadata of a folder. */
#include "sync/export_priv.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core/clock.h"
#include "sync/xattrs.h"
#include "view/object.h"

struct name { /* an entry's name, NUL-terminated */
	char s[FMT_NAME_MAX + 1];
};

static struct name name_of(const struct fmt_entry *e)
{
	struct name n;

	memcpy(n.s, e->name, e->name_len);
	n.s[e->name_len] = '\0';
	return n;
}

static void times_of(int64_t mtime_ns, struct timespec out[2])
{
	out[0] = out[1] = orch_ns_timespec(mtime_ns);
}

static uint32_t id_for(uint32_t id, uint32_t owner)
{
	return id == FMT_ID_OWNER ? owner : id;
}

static mode_t mode_for(const struct export *x, const struct fmt_entry *e)
{
	bool foreign = id_for(e->uid, x->spec->uid) != x->spec->uid ||
		       id_for(e->gid, x->spec->gid) != x->spec->gid;

	if (e->type == FMT_REG && foreign && !x->spec->chown)
		return e->mode & 01777;
	return e->mode & 07777;
}

static int dress_xattrs(struct export *x, int fd, const struct fmt_entry *e)
{
	int r = sync_xattrs_write(fd, &e->xattrs);

	if (r != -EOPNOTSUPP)
		return r;
	if (!atomic_exchange(&x->no_xattrs, true))
		sync_task_warn(x->task, "the file system takes no extended attributes");
	return 0;
}

int export_dress(struct export *x, int fd, const struct fmt_entry *e, int64_t mtime_ns)
{
	struct timespec times[2];
	int r = dress_xattrs(x, fd, e);

	if (r < 0)
		return r;
	if (x->spec->chown &&
	    fchown(fd, id_for(e->uid, x->spec->uid), id_for(e->gid, x->spec->gid)) < 0)
		return -errno;
	if (fchmod(fd, mode_for(x, e)) < 0)
		return -errno;
	times_of(mtime_ns, times);
	return futimens(fd, times) < 0 ? -errno : 0;
}

static int write_file(struct export *x, int dirfd, const char *name, const struct fmt_entry *e,
    const struct fmt_stamp *s, struct orch_err *err)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	orch_auto(fd) int from = -1;
	orch_auto(fd) int to = -1;
	int r = view_object_open(x->spec->objects_fd, &e->digest, e->size, &from, err);

	if (r < 0)
		return r;
	to = openat(dirfd, name, flags, 0600);
	if (to < 0)
		return -errno;
	r = orch_fd_clone_or_copy(from, to, x->task->cancel, NULL, err);
	return r < 0 ? r : export_dress(x, to, e, s->mtime_ns);
}

static int write_symlink(struct export *x, int dirfd, const char *name, const struct fmt_entry *e,
    const struct fmt_stamp *s)
{
	char target[FMT_SYMLINK_MAX + 1];
	struct timespec times[2];

	memcpy(target, e->target, e->target_len);
	target[e->target_len] = '\0';
	if (symlinkat(target, dirfd, name) < 0)
		return -errno;
	if (x->spec->chown && fchownat(dirfd, name, id_for(e->uid, x->spec->uid),
				  id_for(e->gid, x->spec->gid), AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	times_of(s->mtime_ns, times);
	return utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

int export_write(struct export *x, int dirfd, const struct fmt_entry *e, const struct fmt_stamp *s,
    struct orch_err *err)
{
	struct name name = name_of(e);
	int r;

	if (e->type == FMT_SYMLINK)
		r = write_symlink(x, dirfd, name.s, e, s);
	else
		r = write_file(x, dirfd, name.s, e, s, err);
	if (r < 0)
		return r;
	atomic_fetch_add(&x->task->files, 1);
	atomic_fetch_add(&x->task->bytes, e->type == FMT_REG ? e->size : 0);
	sync_task_tick(x->task);
	return 0;
}
