/*
 * After a reboot: private files that the log names and that the disk has not. A file that was never
 * synced may have lost its name in the spool although somebody else's sync made its record durable;
 * it is empty then, as it would be on a disk's own file system, and the log says which. Within one
 * boot, and in sealed layers at any time, such a file is damage.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core/fd.h"
#include "fsd/mount/ns_priv.h"

static int make_empty(int spool, const char *name, const struct fmt_node *n)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, orch_ns_timespec(n->mtime_ns)};
	int fd = openat(spool, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r = fd < 0 ? -errno : 0;

	if (r == 0 && futimens(fd, times) < 0)
		r = -errno;
	orch_fd_close(fd);
	return r;
}

/* 1: it was missing, and is there now. */
static int check(int spool, const struct fmt_node *n)
{
	char name[24];
	struct stat st;
	int r;

	mnt_spool_name(n->spool_id, name);
	if (fstatat(spool, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	r = errno == ENOENT ? make_empty(spool, name, n) : -errno;
	if (r < 0)
		return r;
	orch_log(ORCH_LOG_WARN, "mount", "lost-content",
	    "ino=%llu file=%s reason=never-synced-before-the-reboot", (unsigned long long)n->ino,
	    name);
	return 1;
}

int mnt_ns_recover(struct mnt_ns *ns, struct orch_err *err)
{
	uint64_t layer = mnt_chain_top_layer(&ns->chain);
	int spool = mnt_chain_spool(&ns->chain, layer);
	const struct fmt_node *n;
	uint64_t cookie = 0;
	bool lost = false;
	int r = 0;

	while (r >= 0 && (n = fmt_overlay_nodes(mnt_chain_top(&ns->chain), &cookie))) {
		if (n->nlink == 0 || !mnt_state_is_private(ns, n))
			continue;
		r = check(spool, n);
		lost |= r == 1;
	}
	if (r >= 0 && lost)
		r = orch_fd_sync(spool);
	return r < 0
		   ? orch_err_sys(err, -r, "private files of layer %llu", (unsigned long long)layer)
		   : 0;
}
