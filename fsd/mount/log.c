/* Segments of the log. See log.h. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "core/clock.h"
#include "core/fd.h"
#include "core/guard.h"
#include "core/log.h"
#include "core/size.h"
#include "fsd/mount/log.h"

#define SEGMENT_FIRST	((size_t)256 << 10)
#define SEGMENT_LAST	((size_t)8 << 20)
#define UNSYNCED_MAX	16
#define NAME_BYTES	40
#define CHECKPOINT_NAME "log.tmp"
#define SPARE_NAME	"spare"
#define SPARE_BYTES	SEGMENT_FIRST
#define FULL_NS		(ORCH_NS_PER_S / 20)
#define SPARE_HEAD	((size_t)4096)	   /* no head of a segment is longer */
#define CHECKPOINT_ROOM ((size_t)16 << 10) /* behind one, at least */

struct segment {
	int fd;
	uint8_t *map;		  /* NULL: written with pwrite */
	struct orch_guard *guard; /* a page that is taken away must not end the process */
	size_t size;
	size_t used;
};

struct mnt_log {
	pthread_mutex_t lock;	   /* all below */
	pthread_mutex_t sync_lock; /* one sync at a time; taken before lock */
	unsigned owners;
	int dirfd;	 /* a duplicate: a rebase may close the layer's */
	uint64_t number; /* of the current segment */
	struct segment now;
	int unsynced[UNSYNCED_MAX]; /* descriptors of full segments that no sync has seen */
	size_t unsynced_count;
	uint64_t total;		   /* bytes since the last checkpoint */
	uint64_t appended, synced; /* running counters of bytes */
	uint64_t seq, durable_seq; /* the last transaction appended, synced */
	bool folder_dirty;	   /* a segment was made since the folder was synced */
	int failed;		   /* -errno of a failed sync, kept for ever */
	int checkpoint_fd;
	uint64_t checkpoint_bytes;
	int spare_fd; /* a preallocated file for removals when the disk is full; -1: none */
	size_t spare_bytes;
	uint64_t full_until_ns; /* there was no room; not looked again before */
	bool sealed;		/* nothing is appended any more */
};

/* With l->lock held: what is durable can't be told any more, so nothing is taken from now on. */
static int fail(struct mnt_log *l, int r)
{
	if (l->failed == 0)
		orch_log(ORCH_LOG_ERROR, "mount", "log-broken", "errno=%s", orch_err_name(-r));
	l->failed = r;
	return r;
}

static void segment_name(uint64_t number, char out[NAME_BYTES])
{
	snprintf(out, NAME_BYTES, "log.%llu", (unsigned long long)number);
}

static void segment_unmap(struct segment *s)
{
	orch_guard_remove(s->guard);
	s->guard = NULL;
	if (s->map)
		munmap(s->map, s->size);
	s->map = NULL;
}

/* Where allocated blocks are overwritten in place, so that a store into the mapping can't want space
 * that is not there. Elsewhere (btrfs) that would be a SIGBUS; pwrite returns ENOSPC instead. Bytes
 * written are as safe from kill -9 as bytes stored: both are in the page cache. */
static bool may_map(int fd)
{
	struct statfs st;

	return fstatfs(fd, &st) == 0 &&
	       (st.f_type == EXT4_SUPER_MAGIC || st.f_type == XFS_SUPER_MAGIC ||
		   st.f_type == TMPFS_MAGIC);
}

/* Takes fd, which has its blocks already, as a segment. */
static int segment_map(struct segment *s, int fd, size_t used, size_t size, struct orch_err *err)
{
	void *map = NULL;

	if (may_map(fd))
		map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return orch_err_sys(err, errno, "map log segment");
	*s = (struct segment){.fd = fd, .map = map, .size = size, .used = used};
	if (!map)
		return 0;
	s->guard = orch_guard_add(map, size, PROT_READ | PROT_WRITE);
	if (!s->guard) {
		segment_unmap(s);
		return orch_err_set(err, ENOMEM, "map log segment: no memory");
	}
	return 0;
}

static int segment_allocate(
    struct segment *s, int fd, size_t used, size_t size, struct orch_err *err)
{
	int r = posix_fallocate(fd, 0, (off_t)size);

	if (r != 0)
		return orch_err_sys(err, r, "log segment of %zu bytes", size);
	return segment_map(s, fd, used, size, err);
}

static int segment_put(struct segment *s, const void *p, size_t n)
{
	int r = 0;

	if (s->map) {
		memcpy(s->map + s->used, p, n);
		if (orch_guard_broken(s->guard)) /* cut in this very moment */
			return -ORCH_ECORRUPT;
	} else {
		r = orch_fd_pwrite_all(s->fd, p, n, (off_t)s->used);
	}
	if (r == 0)
		s->used += n;
	else if (ftruncate(s->fd, (off_t)s->used) == 0)
		s->size = s->used; /* nothing half may stay; the next one begins a segment */
	return r;
}

static size_t round_up_size(size_t least)
{
	size_t size = SEGMENT_FIRST;

	while (size < least)
		size *= 2;
	return size;
}

/* The next segment is larger than the last one, within bounds. */
static size_t next_size(const struct mnt_log *l)
{
	size_t size = round_up_size(l->now.size) * 2;

	return size > SEGMENT_LAST ? SEGMENT_LAST : size;
}

static struct mnt_log *log_new(int dirfd, uint64_t number)
{
	struct mnt_log *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	pthread_mutex_init(&l->lock, NULL);
	pthread_mutex_init(&l->sync_lock, NULL);
	l->owners = 1;
	l->dirfd = fcntl(dirfd, F_DUPFD_CLOEXEC, 0);
	l->number = number;
	l->now.fd = -1;
	l->checkpoint_fd = l->spare_fd = -1;
	l->folder_dirty = true;
	if (l->dirfd < 0) {
		free(l);
		return NULL;
	}
	return l;
}

static void log_free(struct mnt_log *l)
{
	orch_fd_close(l->dirfd);
	pthread_mutex_destroy(&l->lock);
	pthread_mutex_destroy(&l->sync_lock);
	free(l);
}

static bool segment_whole(const struct segment *s)
{
	struct stat st;

	return fstat(s->fd, &st) == 0 && st.st_size >= (off_t)s->size && st.st_nlink > 0 &&
	       !(s->guard && orch_guard_broken(s->guard));
}

/* The end of what is not zeros behind s->used. */
static int find_dirty(const struct segment *s, size_t *out_end)
{
	uint8_t block[16 << 10];
	ssize_t got = 1;

	*out_end = s->used;
	for (size_t at = s->used; at < s->size && got > 0; at += (size_t)got) {
		size_t left = s->size - at, n = left < sizeof(block) ? left : sizeof(block);

		got = pread(s->fd, block, n, (off_t)at);
		if (got < 0)
			return -errno;
		for (ssize_t i = 0; i < got; i++)
			if (block[i])
				*out_end = at + (size_t)i + 1;
	}
	return 0;
}

static int write_zeros(int fd, size_t from, size_t to)
{
	static const uint8_t zeros[16 << 10];
	int r = 0;

	while (r == 0 && from < to) {
		size_t n = to - from < sizeof(zeros) ? to - from : sizeof(zeros);

		r = orch_fd_pwrite_all(fd, zeros, n, (off_t)from);
		from += n;
	}
	return r;
}

/* The blocks are kept: on a full disk there would be no others. */
static int clear_written(struct segment *s)
{
	size_t end;
	int r = find_dirty(s, &end);

	if (r == 0)
		r = write_zeros(s->fd, s->used, end);
	if (r == 0)
		return 0;
	if (ftruncate(s->fd, (off_t)s->used) < 0)
		return -errno;
	s->size = s->used; /* the next transaction finds a segment or no space */
	return 0;
}

/* Bytes of a torn transaction must not be taken for part of a later one. */
static int clear_rest(struct segment *s)
{
	size_t dirty = s->size;

	if (!s->map)
		return clear_written(s);
	while (dirty > s->used && s->map[dirty - 1] == 0)
		dirty--;
	if (dirty > s->used)
		memset(s->map + s->used, 0, dirty - s->used);
	return 0;
}

/* Bytes of a spare that an earlier process left; 0: what is there has not its blocks. */
static size_t spare_left(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_blocks * 512 < st.st_size ||
	    st.st_size < (off_t)FMT_LAYER_ROOM || st.st_size > (off_t)SPARE_BYTES)
		return 0;
	return (size_t)st.st_size;
}

/* Opened, with the blocks that it has already, if any. fd or -errno. */
static int spare_open(const struct mnt_log *l, size_t *out_bytes)
{
	int fd = openat(l->dirfd, SPARE_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	*out_bytes = spare_left(fd);
	if (*out_bytes == 0) {
		if (ftruncate(fd, 0) < 0) {
			orch_fd_close(fd);
			return -EIO;
		}
		orch_fd_in_place(fd);
	}
	return fd;
}

/* As large as it is to be, or else as large as it was. */
static int spare_grow(int fd, size_t *bytes)
{
	int r = posix_fallocate(fd, 0, SPARE_BYTES);

	if (r == 0)
		*bytes = SPARE_BYTES;
	else if (*bytes > 0 && ftruncate(fd, (off_t)*bytes) < 0)
		*bytes = 0;
	return *bytes > 0 ? 0 : -r;
}

/* 0: there is one. Without space there is none; it is tried again later. */
static int spare_make(struct mnt_log *l)
{
	size_t bytes = 0;
	int fd, r;

	if (l->spare_fd >= 0)
		return 0;
	fd = spare_open(l, &bytes);
	r = fd < 0 ? fd : spare_grow(fd, &bytes);
	if (r == 0) {
		l->spare_fd = fd;
		l->spare_bytes = bytes;
		return 0;
	}
	orch_fd_close(fd);
	(void)unlinkat(l->dirfd, SPARE_NAME, 0);
	return r;
}

/* A predecessor may have been killed before it synced what we replayed. */
static int sync_older(int dirfd, uint64_t below)
{
	char name[NAME_BYTES];
	int r = 0;

	for (uint64_t n = below; r == 0 && n-- > 1;) {
		int fd;

		segment_name(n, name);
		fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			break;
		if (fdatasync(fd) < 0)
			r = -errno;
		orch_fd_close(fd);
	}
	return r;
}

int mnt_log_open(int dirfd, uint64_t segment, size_t used, uint64_t seq, uint64_t total,
    struct mnt_log **out, struct orch_err *err)
{
	struct mnt_log *l = log_new(dirfd, segment);
	char name[NAME_BYTES];
	struct stat st;
	size_t least;
	int fd, r;

	if (!l)
		return orch_err_set(err, ENOMEM, "log: no memory");
	segment_name(segment, name);
	fd = openat(dirfd, name, O_RDWR | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0) {
		r = orch_err_sys(err, errno, "%s", name);
		goto undo;
	}
	/* what a killed predecessor preallocated stays as large as it is */
	least = (size_t)st.st_size > used ? (size_t)st.st_size : used + 1;
	r = segment_allocate(&l->now, fd, used, round_up_size(least), err);
	if (r ==
	    -ENOSPC) /* what is there can be read all the same, and what it has behind that be used */
		r = segment_map(&l->now, fd, used,
		    st.st_blocks * 512 >= st.st_size ? (size_t)st.st_size : used, err);
	if (r < 0)
		goto undo;
	l->total = total;
	l->seq = seq;
	r = clear_rest(&l->now);
	if (r == 0)
		r = sync_older(dirfd, segment);
	if (r < 0 || fdatasync(fd) < 0) {
		r = orch_err_sys(err, r < 0 ? -r : errno, "sync %s", name);
		segment_unmap(&l->now);
		goto undo;
	}
	l->durable_seq = seq;
	(void)unlinkat(dirfd, CHECKPOINT_NAME, 0); /* of a process that was killed at it */
	(void)!spare_make(l);
	*out = l;
	return 0;
undo:
	orch_fd_close(fd);
	log_free(l);
	return r;
}

/* For who mounts the layer next: the disk may be full then. A part of it, since idle layers may be many. */
static void spare_leave(struct mnt_log *l)
{
	if (l->spare_fd < 0)
		return;
	if (l->sealed)
		(void)unlinkat(l->dirfd, SPARE_NAME, 0);
	else if (l->spare_bytes > FMT_LAYER_ROOM && ftruncate(l->spare_fd, FMT_LAYER_ROOM) < 0)
		orch_log(ORCH_LOG_WARN, "mount", "spare-not-cut", "errno=%s", orch_err_name(errno));
	orch_fd_close(l->spare_fd);
	l->spare_fd = -1;
}

/* The head is the first that a new segment holds. */
static int segment_begin(struct segment *s, const struct orch_buf *head, struct orch_err *err)
{
	int r = segment_put(s, head->data, head->len);

	if (r == 0)
		return 0;
	segment_unmap(s);
	return orch_err_sys(err, -r, "head of a log segment");
}

static int head_frame(const struct mnt_log *l, const struct fmt_layer_head *head, uint64_t number,
    struct orch_buf *out, struct orch_err *err)
{
	struct fmt_layer_head h = *head;
	int r;

	h.segment = number;
	h.checkpoint = false;
	h.seq = l->seq; /* the last one in this log: a reader sees by it that nothing is missing */
	h.durable = l->durable_seq;
	r = fmt_layer_head_frame(&h, out);
	return r < 0 ? orch_err_sys(err, -r, "log head") : 0;
}

/* A head may be there, of a process that was killed before it gave the file its name as a segment. */
static int spare_clear(int fd)
{
	static const uint8_t zeros[SPARE_HEAD];

	return orch_fd_pwrite_all(fd, zeros, sizeof(zeros), 0);
}

/* The spare becomes segment `number`. It has its blocks already, but for its name. */
static int segment_from_spare(struct mnt_log *l, uint64_t number, const struct fmt_layer_head *head,
    size_t least, struct segment *out, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf frame = ORCH_BUF_INIT;
	char name[NAME_BYTES];
	int r = head_frame(l, head, number, &frame, err);

	if (r < 0)
		return r;
	if (least + frame.len > l->spare_bytes)
		return orch_err_set(err, ENOSPC, "no space for the log");
	r = spare_clear(l->spare_fd);
	if (r < 0)
		return orch_err_sys(err, -r, "spare segment");
	r = segment_map(out, l->spare_fd, 0, l->spare_bytes, err);
	if (r == 0)
		r = segment_begin(out, &frame, err);
	if (r < 0)
		return r;
	/* last: a segment that is not used would be in the way of all that come */
	segment_name(number, name);
	r = orch_rename(l->dirfd, SPARE_NAME, l->dirfd, name, 0);
	if (r < 0) {
		segment_unmap(out);
		return orch_err_sys(err, -r, "%s", name);
	}
	l->spare_fd = -1;
	return 0;
}

/* A new segment of `size` bytes, or more if it has to be: it holds its head and has room for `least`
 * bytes. */
static int segment_make(struct mnt_log *l, uint64_t number, const struct fmt_layer_head *head,
    size_t size, size_t least, struct segment *out, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf frame = ORCH_BUF_INIT;
	char name[NAME_BYTES];
	int fd, r = head_frame(l, head, number, &frame, err);

	if (r < 0)
		return r;
	segment_name(number, name);
	fd = openat(l->dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return orch_err_sys(err, errno, "%s", name);
	orch_fd_in_place(fd);
	if (size < least + frame.len)
		size = round_up_size(least + frame.len);
	r = segment_allocate(out, fd, 0, size, err);
	if (r == 0)
		r = segment_begin(out, &frame, err);
	if (r < 0) {
		unlinkat(l->dirfd, name, 0);
		orch_fd_close(fd);
	}
	return r;
}

/* Where we don't map (btrfs) it takes 10 ms, with all requests waiting, to find that there is no room. */
static bool is_known_full(const struct mnt_log *l)
{
	return !l->now.map && l->full_until_ns && orch_clock_ns() < l->full_until_ns;
}

static bool found_full(struct mnt_log *l, int r)
{
	bool full = r == -ENOSPC || r == -EDQUOT;

	if (full && !is_known_full(l))
		l->full_until_ns = orch_clock_ns() + FULL_NS;
	return full;
}

/* Without a spare the rest of the segment is for removals: they must have their place as long as the disk
 * is full, however much else is tried. */
static bool is_kept_for_removals(struct mnt_log *l)
{
	int r = l->spare_fd >= 0 ? 0 : is_known_full(l) ? -ENOSPC : spare_make(l);

	return found_full(l, r);
}

int mnt_log_create(int dirfd, const struct fmt_layer_head *head, size_t room, struct mnt_log **out,
    struct orch_err *err)
{
	struct mnt_log *l = log_new(dirfd, head->segment);
	int r;

	if (!l)
		return orch_err_set(err, ENOMEM, "log: no memory");
	l->seq = head->seq;
	r = segment_make(l, head->segment, head, SEGMENT_FIRST, room, &l->now, err);
	if (r < 0) {
		log_free(l);
		return r;
	}
	l->total = l->appended = l->now.used;
	if (is_kept_for_removals(l)) {
		mnt_log_close(l);
		return orch_err_set(err, ENOSPC, "no space for the log");
	}
	*out = l;
	return 0;
}

struct mnt_log *mnt_log_ref(struct mnt_log *l)
{
	pthread_mutex_lock(&l->lock);
	l->owners++;
	pthread_mutex_unlock(&l->lock);
	return l;
}

static bool last_owner(struct mnt_log *l)
{
	bool last;

	pthread_mutex_lock(&l->lock);
	last = --l->owners == 0;
	pthread_mutex_unlock(&l->lock);
	return last;
}

void mnt_log_seal(struct mnt_log *l)
{
	pthread_mutex_lock(&l->lock);
	l->sealed = true;
	pthread_mutex_unlock(&l->lock);
}

/* Where there is no spare, its end stays: it is what the next one has for removals. */
static size_t cut_at(const struct mnt_log *l)
{
	size_t room = l->sealed || l->spare_fd >= 0 ? 0 : FMT_LAYER_ROOM;

	return l->now.size - l->now.used > room ? l->now.used + room : l->now.size;
}

void mnt_log_close(struct mnt_log *l)
{
	if (!l || !last_owner(l))
		return;
	mnt_log_checkpoint_abort(l);
	if (l->now.size && !segment_whole(&l->now)) /* cutting could only hide it */
		orch_log(ORCH_LOG_ERROR, "mount", "log-damaged", "segment=%llu",
		    (unsigned long long)l->number);
	else if (l->now.fd >= 0 && ftruncate(l->now.fd, (off_t)cut_at(l)) < 0)
		orch_log(ORCH_LOG_WARN, "mount", "log-not-cut", "errno=%s", orch_err_name(errno));
	spare_leave(l);
	segment_unmap(&l->now);
	orch_fd_close(l->now.fd);
	for (size_t i = 0; i < l->unsynced_count; i++)
		orch_fd_close(l->unsynced[i]);
	log_free(l);
}

/* With l->lock held: the current segment is full. */
static int roll(struct mnt_log *l, const struct fmt_layer_head *head, size_t n, bool removal)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct segment next;
	int r;

	if (l->unsynced_count == UNSYNCED_MAX) {
		if (fdatasync(l->unsynced[0]) < 0)
			return fail(l, -errno);
		orch_fd_close(l->unsynced[0]);
		memmove(l->unsynced, l->unsynced + 1, (UNSYNCED_MAX - 1) * sizeof(int));
		l->unsynced_count--;
	}
	r = segment_make(l, l->number + 1, head, next_size(l), n, &next, &err);
	if (r == -ENOSPC) /* a small one may still fit */
		r = segment_make(l, l->number + 1, head, 0, n, &next, &err);
	if (r == -ENOSPC && removal && l->spare_fd >= 0)
		r = segment_from_spare(l, l->number + 1, head, n, &next, &err);
	if (r < 0) {
		if (r != -ENOSPC)
			orch_log_err("mount", "log-roll", &err);
		return r;
	}
	segment_unmap(&l->now);
	l->unsynced[l->unsynced_count++] = l->now.fd;
	l->now = next;
	l->number++;
	l->total += next.used;
	l->appended += next.used;
	l->folder_dirty = true;
	(void)!spare_make(l);
	return 0;
}

uint64_t mnt_log_durable(struct mnt_log *l)
{
	uint64_t seq;

	pthread_mutex_lock(&l->lock);
	seq = l->durable_seq;
	pthread_mutex_unlock(&l->lock);
	return seq;
}

int mnt_log_look(struct mnt_log *l)
{
	bool whole;

	pthread_mutex_lock(&l->lock);
	whole = segment_whole(&l->now);
	pthread_mutex_unlock(&l->lock);
	return whole ? 0 : -ORCH_ECORRUPT;
}

int mnt_log_append(struct mnt_log *l, const struct fmt_layer_head *head, uint64_t seq,
    const void *p, size_t n, bool removal)
{
	int r;

	pthread_mutex_lock(&l->lock);
	r = l->failed;
	if (r == 0 && !segment_whole(&l->now))
		r = -ORCH_ECORRUPT;
	if (r == 0 && !removal && is_kept_for_removals(l))
		r = -ENOSPC;
	if (r == 0 && n > l->now.size - l->now.used) {
		r = !removal && is_known_full(l) ? -ENOSPC : roll(l, head, n, removal);
		(void)found_full(l, r);
	}
	if (r == 0)
		r = segment_put(&l->now, p, n);
	if (r == 0) {
		l->total += n;
		l->appended += n;
		l->seq = seq;
	}
	pthread_mutex_unlock(&l->lock);
	return r;
}

/* What one sync has to write; descriptors are duplicates, so a roll may go on meanwhile. */
struct sync_work {
	int fds[UNSYNCED_MAX + 1];
	size_t count;
	bool folder;
	uint64_t upto, seq;
};

static int sync_take(struct mnt_log *l, struct sync_work *w)
{
	int fd = fcntl(l->now.fd, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	memcpy(w->fds, l->unsynced, l->unsynced_count * sizeof(int));
	w->count = l->unsynced_count;
	l->unsynced_count = 0;
	w->fds[w->count++] = fd;
	w->folder = l->folder_dirty;
	l->folder_dirty = false;
	w->upto = l->appended;
	w->seq = l->seq;
	return 0;
}

static int sync_do(struct mnt_log *l, struct sync_work *w)
{
	int r = 0;

	for (size_t i = 0; i < w->count; i++) {
		if (r == 0 && fdatasync(w->fds[i]) < 0)
			r = -errno;
		orch_fd_close(w->fds[i]);
	}
	if (r == 0 && w->folder)
		r = orch_fd_sync(l->dirfd);
	return r;
}

int mnt_log_sync(struct mnt_log *l)
{
	struct sync_work w = {.count = 0};
	uint64_t want;
	int r;

	pthread_mutex_lock(&l->lock);
	want = l->appended;
	pthread_mutex_unlock(&l->lock);
	pthread_mutex_lock(&l->sync_lock);
	pthread_mutex_lock(&l->lock);
	r = l->failed;
	if (r == 0 && (l->synced < want || l->folder_dirty))
		r = sync_take(l, &w);
	pthread_mutex_unlock(&l->lock);
	if (r == 0 && w.count > 0) {
		r = sync_do(l, &w);
		pthread_mutex_lock(&l->lock);
		if (r < 0) {
			(void)fail(l, r);
		} else {
			l->synced = w.upto;
			l->durable_seq = w.seq;
		}
		pthread_mutex_unlock(&l->lock);
	}
	pthread_mutex_unlock(&l->sync_lock);
	return r;
}

bool mnt_log_is_full(struct mnt_log *l, size_t n)
{
	bool full;

	pthread_mutex_lock(&l->lock);
	full = n > l->now.size - l->now.used;
	pthread_mutex_unlock(&l->lock);
	return full;
}

uint64_t mnt_log_bytes(struct mnt_log *l)
{
	uint64_t n;

	pthread_mutex_lock(&l->lock);
	n = l->total;
	pthread_mutex_unlock(&l->lock);
	return n;
}

int mnt_log_checkpoint_begin(struct mnt_log *l, uint64_t *out_segment)
{
	l->checkpoint_fd =
	    openat(l->dirfd, CHECKPOINT_NAME, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (l->checkpoint_fd < 0)
		return -errno;
	orch_fd_in_place(l->checkpoint_fd);
	l->checkpoint_bytes = 0;
	*out_segment = l->number + 1;
	return 0;
}

int mnt_log_checkpoint_put(struct mnt_log *l, const void *p, size_t n)
{
	int r = orch_fd_pwrite_all(l->checkpoint_fd, p, n, (off_t)l->checkpoint_bytes);

	if (r == 0)
		l->checkpoint_bytes += n;
	return r;
}

void mnt_log_checkpoint_abort(struct mnt_log *l)
{
	if (l->checkpoint_fd < 0)
		return;
	orch_fd_close(l->checkpoint_fd);
	l->checkpoint_fd = -1;
	unlinkat(l->dirfd, CHECKPOINT_NAME, 0);
}

/* The older segments say nothing that the checkpoint does not. */
static void remove_older(struct mnt_log *l, uint64_t below)
{
	char name[NAME_BYTES];

	for (uint64_t n = below; n-- > 1;) {
		segment_name(n, name);
		if (unlinkat(l->dirfd, name, 0) < 0)
			break;
	}
}

int mnt_log_checkpoint_end(struct mnt_log *l)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct segment next;
	char name[NAME_BYTES];
	int r;

	r = segment_allocate(&next, l->checkpoint_fd, l->checkpoint_bytes,
	    round_up_size((size_t)l->checkpoint_bytes + SEGMENT_FIRST), &err);
	if (r == -ENOSPC) /* the log that it replaces may be what fills the disk */
		r = segment_allocate(&next, l->checkpoint_fd, l->checkpoint_bytes,
		    (size_t)l->checkpoint_bytes + CHECKPOINT_ROOM, &err);
	if (r < 0)
		return r;
	r = orch_fd_sync(l->checkpoint_fd);
	segment_name(l->number + 1, name);
	if (r == 0)
		r = orch_rename(l->dirfd, CHECKPOINT_NAME, l->dirfd, name, 0);
	if (r < 0) {
		segment_unmap(&next);
		return r;
	}
	pthread_mutex_lock(&l->lock);
	if (orch_fd_sync(l->dirfd) < 0)
		(void)fail(l, -EIO); /* which of the two a replay will see is unknown now */
	segment_unmap(&l->now);
	orch_fd_close(l->now.fd);
	for (size_t i = 0; i < l->unsynced_count; i++)
		orch_fd_close(l->unsynced[i]);
	l->unsynced_count = 0;
	l->now = next;
	l->number++;
	l->total = l->checkpoint_bytes;
	l->durable_seq = l->seq;
	l->checkpoint_fd = -1;
	l->full_until_ns = 0; /* there is room again */
	pthread_mutex_unlock(&l->lock);
	remove_older(l, l->number);
	return 0;
}
