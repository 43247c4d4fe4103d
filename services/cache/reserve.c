/* See reserve.h. The file's length is the state; the lock keeps those apart who change it. */
#include "cache/reserve.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "core/clock.h"
#include "core/fd.h"
#include "core/log.h"

#define AT_ONCE_NS (ORCH_NS_PER_S / 5)
#define LOOKS	   10 /* at whether there is room */
#define LOOK_MS	   20
#define OPEN_FLAGS (O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)

struct cas_reserve {
	int root_fd;
	pthread_mutex_t lock; /* all below, and the file */
	bool unsupported;     /* this file system keeps no blocks for a file that is not written */
	bool told;	      /* a line in the log said that it is used */
	uint64_t piece;	      /* that is given next, if that is soon */
	uint64_t given_ns;    /* when the last one was */
};

struct cas_reserve *cas_reserve_new(int root_fd)
{
	struct cas_reserve *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->root_fd = root_fd;
	pthread_mutex_init(&r->lock, NULL);
	return r;
}

void cas_reserve_free(struct cas_reserve *r)
{
	if (!r)
		return;
	pthread_mutex_destroy(&r->lock);
	free(r);
}

/* What is not a file, or somebody else's, is no reserve. -1: there is none. */
static int open_file(const struct cas_reserve *r, int flags, uint64_t *out_bytes)
{
	int fd = openat(r->root_fd, CAS_RESERVE_NAME, OPEN_FLAGS | flags, 0600);
	struct stat st;
	uint64_t blocks;

	*out_bytes = 0;
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		orch_fd_close(fd);
		return -1;
	}
	/* with a hole in it, it is not what its length says */
	blocks = (uint64_t)st.st_blocks * 512;
	*out_bytes = (uint64_t)st.st_size < blocks ? (uint64_t)st.st_size : blocks;
	return fd;
}

static void measure(const struct cas_reserve *r, struct cas_reserve_state *out)
{
	struct statvfs fs;
	uint64_t whole;

	*out = (struct cas_reserve_state){.whole = 0};
	if (fstatvfs(r->root_fd, &fs) < 0)
		return;
	out->free = (uint64_t)fs.f_bavail * fs.f_frsize;
	whole = (uint64_t)fs.f_blocks * fs.f_frsize / CAS_RESERVE_PART;
	if (whole > CAS_RESERVE_MAX)
		whole = CAS_RESERVE_MAX;
	if (!r->unsupported)
		out->whole = whole - whole % CAS_RESERVE_PIECE;
}

/* lock is held */
static void look(const struct cas_reserve *r, struct cas_reserve_state *out)
{
	orch_auto(fd) int fd = -1;

	measure(r, out);
	fd = open_file(r, 0, &out->bytes);
}

static bool is_full(int rc)
{
	return rc == -ENOSPC || rc == -EDQUOT;
}

/* Has no room that was given back before its transaction ends, which may take half a minute. */
static bool is_btrfs(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_type == BTRFS_SUPER_MAGIC;
}

/* Others do not use it again before that is durable. */
static void make_durable(int fd)
{
	int ignored = is_btrfs(fd) ? syncfs(fd) : orch_fd_sync(fd);

	(void)ignored;
}

/* What is enough is not known, and somebody else may take it first: so little, but more each time. */
static uint64_t next_piece(struct cas_reserve *r)
{
	uint64_t now = orch_clock_ns();

	if (r->piece == 0 || now - r->given_ns > AT_ONCE_NS)
		r->piece = CAS_RESERVE_PIECE;
	else
		r->piece *= 2;
	r->given_ns = now;
	return r->piece;
}

/* Cut from its end. */
static bool give_piece(struct cas_reserve *r, uint64_t *out_left)
{
	uint64_t bytes, piece;
	orch_auto(fd) int fd = open_file(r, 0, &bytes);

	if (fd < 0 || bytes == 0)
		return false;
	piece = next_piece(r);
	*out_left = bytes > piece ? bytes - piece : 0;
	if (ftruncate(fd, (off_t)*out_left) < 0)
		return false;
	make_durable(fd);
	return true;
}

bool cas_reserve_give(struct cas_reserve *r, int rc)
{
	uint64_t left = 0;
	bool given;

	if (!r || !is_full(rc))
		return false;
	pthread_mutex_lock(&r->lock);
	given = give_piece(r, &left);
	if (given && !r->told)
		orch_log(ORCH_LOG_WARN, "cache", "reserve-used", "left=%llu reason=%s",
		    (unsigned long long)left,
		    "the disk is full: removals go on, nothing new is begun until there is room");
	r->told = r->told || given;
	pthread_mutex_unlock(&r->lock);
	return given;
}

/* All or nothing: what could be had of it goes back. In pieces, since btrfs gives back nothing of what was
 * allocated at once until all of it is cut off. */
static int make_whole(struct cas_reserve *r, uint64_t whole)
{
	uint64_t bytes;
	orch_auto(fd) int fd = open_file(r, O_CREAT, &bytes);
	int rc = 0;

	if (fd < 0)
		return -EIO;
	for (uint64_t at = 0; rc == 0 && at < whole; at += CAS_RESERVE_PIECE)
		if (fallocate(fd, 0, (off_t)at, (off_t)CAS_RESERVE_PIECE) < 0)
			rc = -errno;
	if (rc < 0 && ftruncate(fd, (off_t)bytes) < 0)
		rc = -EIO;
	return rc;
}

/* lock is held. -ENOSPC: it can't be whole now. *out: as it is afterwards. */
static int fill(struct cas_reserve *r, struct cas_reserve_state *out)
{
	int rc;

	look(r, out);
	if (out->bytes >= out->whole)
		return 0;
	if (out->free < out->whole - out->bytes + out->whole)
		return -ENOSPC;
	rc = make_whole(r, out->whole);
	look(r, out);
	if (rc == -EOPNOTSUPP || rc == -ENOSYS || (rc == 0 && out->bytes < out->whole)) {
		r->unsupported = true;
		return 0;
	}
	if (rc == 0 && r->told)
		orch_log(ORCH_LOG_INFO, "cache", "reserve-made", "bytes=%llu",
		    (unsigned long long)out->bytes);
	r->told = r->told && rc < 0;
	return rc;
}

void cas_reserve_fill(struct cas_reserve *r)
{
	struct cas_reserve_state s;
	int rc;

	pthread_mutex_lock(&r->lock);
	rc = fill(r, &s);
	pthread_mutex_unlock(&r->lock);
	(void)rc; /* the next time */
}

void cas_reserve_look(struct cas_reserve *r, struct cas_reserve_state *out)
{
	pthread_mutex_lock(&r->lock);
	look(r, out);
	pthread_mutex_unlock(&r->lock);
}

static bool has_room(struct cas_reserve *r, struct cas_reserve_state *out)
{
	int rc;

	pthread_mutex_lock(&r->lock);
	rc = fill(r, out);
	pthread_mutex_unlock(&r->lock);
	return !is_full(rc) && out->free >= CAS_RESERVE_ROOM;
}

int cas_reserve_check(struct cas_reserve *r, struct orch_err *err)
{
	struct cas_reserve_state s;
	uint64_t want = CAS_RESERVE_ROOM;
	bool room = has_room(r, &s);

	if (!room && is_btrfs(r->root_fd))
		room = syncfs(r->root_fd) == 0 && has_room(r, &s);
	/* what was removed a moment ago may come back later (XFS frees in the background) */
	for (int i = 1; !room && i < LOOKS; i++) {
		(void)poll(NULL, 0, LOOK_MS);
		room = has_room(r, &s);
	}
	if (room)
		return 0;
	if (s.bytes < s.whole && want < 2 * s.whole - s.bytes)
		want = 2 * s.whole - s.bytes;
	return orch_err_set(err, ENOSPC,
	    "the disk of the store is full: %llu KiB are free, and nothing new is begun below %llu "
	    "KiB; drop workspaces, which works all the same, or make room there by other means",
	    (unsigned long long)s.free >> 10, (unsigned long long)want >> 10);
}
