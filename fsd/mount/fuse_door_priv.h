/*
 * What the files behind door.h share; only fuse_*.c include it, and nothing else of orch knows libfuse.
 *
 *   fuse_door.c     life: made, mounted, unmounted, freed
 *   fuse_loop.c     its threads
 *   fuse_freeze.c   requests that wait while the mount is frozen
 *   fuse_ops.c      the table of operations; what is agreed with the kernel
 *   fuse_request.c  what requests have in common
 *   fuse_name.c  fuse_attr.c  fuse_folder.c  fuse_open.c  fuse_data.c     the requests
 *
 * A new operation: its function in the file of its kind, one line below, one in the table. If it changes something, its
 * number goes into fuse_freeze.c too.
 *
 * Threads. A request is read by one of MNT_FUSE_THREADS threads, which calls its function; a held one is called by the
 * thread that thaws. It is answered there, or in the pool, or in the thread that has copied a file for it. The functions
 * of door.h are called by the main thread, but for the callbacks of mnt_door_notify: by any. What those queue is sent by
 * the notifier; `flush` alone sends at once.
 */
#ifndef ORCH_FSD_MOUNT_FUSE_DOOR_PRIV_H
#define ORCH_FSD_MOUNT_FUSE_DOOR_PRIV_H

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>
#include <pthread.h>
#include "fsd/mount/door.h"
#include "fsd/mount/requests.h"

#define MNT_FUSE_MODERN	 (FUSE_MINOR_VERSION >= 17)
#define MNT_FUSE_THREADS 2
/* The kernel may believe what it is told for ever. */
#define MNT_FUSE_FOREVER_S (10.0 * 365 * 86400)

struct mnt_fuse_parked; /* fuse_freeze.c */

struct mnt_door {
	/* set before the threads start */
	struct fuse_session *session;
	struct mnt_ns *ns;
	struct mnt_contents *contents;
	struct orch_pool *pool;
	struct mnt_queue *queue;
	struct mnt_door_config config;
	char *mountpoint;
	bool placed;	   /* by mount_id; else by fusermount3, at mountpoint */
	uint64_t mount_id; /* as the kernel names it; valid when placed */
	int ended_fd;

	/* the main thread's */
	pthread_t threads[MNT_FUSE_THREADS], notifier;
	unsigned thread_count;
	bool notifying, mounted;

	bool passthrough; /* set by the kernel's hello */
	struct mnt_requests requests;
	pthread_mutex_t freeze_lock; /* all below */
	pthread_cond_t greeted;	     /* the kernel has said hello (INIT), or will never */
	bool hello, gone;
	bool frozen;
	struct mnt_fuse_parked *parked, **parked_last;
};

/* ---- fuse_request.c */

struct mnt_door *mnt_fuse_door(fuse_req_t req);
struct mnt_handle *mnt_fuse_handle(const struct fuse_file_info *fi);
/* 0 or -errno, and nothing else. */
void mnt_fuse_reply(fuse_req_t req, int r);
struct fuse_entry_param mnt_fuse_entry(const struct mnt_attr *a);
/* r: 0, a is counted as looked up; else -errno. */
void mnt_fuse_reply_entry(fuse_req_t req, int r, const struct mnt_attr *a);
/* A thing of whoever asks. */
struct mnt_make mnt_fuse_make(fuse_req_t req, enum fmt_type type, mode_t mode);

/* MNT_SET_DROP_*: what a write or a change of owner by whoever asks takes of the file's set-id bits. */
unsigned mnt_fuse_ids_lost(fuse_req_t req, fuse_ino_t ino);

/* A request that waits for its file to be copied; the first member of what the request needs besides. */
struct mnt_fuse_wait {
	fuse_req_t req;
	fuse_ino_t ino;
	int tries;
	/* Does it again (r 0) or replies -errno. In the thread that copied, or before the wait returns. */
	void (*again)(struct mnt_fuse_wait *w, int r);
};
/* Has the file copied. -EBUSY when that was of no use too often. w is again()'s from here on. */
void mnt_fuse_wait_private(struct mnt_fuse_wait *w);

/* What was stored through mappings of the node comes as writes before this returns: not for a thread that serves
 * requests. */
void mnt_fuse_flush(struct mnt_door *d, fuse_ino_t ino);

/* A request that the pool does. */
struct mnt_fuse_task {
	fuse_req_t req;
	fuse_ino_t ino;
	struct mnt_handle *from, *to; /* the kernel keeps them open until the reply */
	off_t from_at, to_at;
	size_t len;
	bool data_only;
	int whence;
};
/* run() gets a copy of the task, to be freed by it, and replies. */
void mnt_fuse_in_pool(fuse_req_t req, void (*run)(void *), const struct mnt_fuse_task *task);

/* ---- fuse_freeze.c */

/* True: the request waits, and buf is empty now. */
bool mnt_fuse_park(struct mnt_door *d, struct fuse_buf *buf);
/* Those that still wait are never answered; the session is over. */
void mnt_fuse_drop_parked(struct mnt_door *d);

/* ---- fuse_ops.c: the table; each function is declared as libfuse's struct has it */

extern const struct fuse_lowlevel_ops mnt_fuse_ops;
/* Contents are registered with the kernel from now on, which has agreed (d->passthrough). */
void mnt_fuse_use_passthrough(struct mnt_door *d);

#define MNT_FUSE_OP(name) __typeof__(*((struct fuse_lowlevel_ops *)0)->name) mnt_fuse_##name

/* fuse_name.c */
MNT_FUSE_OP(lookup);
MNT_FUSE_OP(forget);
MNT_FUSE_OP(forget_multi);
MNT_FUSE_OP(mknod);
MNT_FUSE_OP(mkdir);
MNT_FUSE_OP(symlink);
MNT_FUSE_OP(unlink);
MNT_FUSE_OP(rmdir);
MNT_FUSE_OP(rename);
MNT_FUSE_OP(link);
MNT_FUSE_OP(readlink);

/* fuse_attr.c */
MNT_FUSE_OP(getattr);
MNT_FUSE_OP(setattr);
MNT_FUSE_OP(statfs);
MNT_FUSE_OP(getxattr);
MNT_FUSE_OP(listxattr);
MNT_FUSE_OP(setxattr);
MNT_FUSE_OP(removexattr);

/* fuse_folder.c */
MNT_FUSE_OP(opendir);
MNT_FUSE_OP(readdir);
MNT_FUSE_OP(readdirplus);

/* fuse_open.c */
MNT_FUSE_OP(open);
MNT_FUSE_OP(create);
#if MNT_FUSE_MODERN
MNT_FUSE_OP(tmpfile);
#endif
MNT_FUSE_OP(release);

/* fuse_data.c */
MNT_FUSE_OP(read);
MNT_FUSE_OP(write_buf);
MNT_FUSE_OP(fallocate);
MNT_FUSE_OP(lseek);
MNT_FUSE_OP(copy_file_range);
MNT_FUSE_OP(fsync);
MNT_FUSE_OP(fsyncdir);

#endif
