/*
 * The name space of one workspace: what a file system call means, without a word of FUSE. A node is
 * its base entry (tree and stamps, mapped) overlaid by the layers' records (chain.h); each change is
 * one transaction in the log before the call returns.
 *
 * Threads: any. One lock, ns->lock, is taken and released within each call and never held across a
 * copy of contents, a sync, or a call back; the exception is mnt_ns_readdir's emit, which only fills
 * memory. Order of locks: docs/locking.md.
 *
 * Errors are -errno as the system call wants them. MNT_AGAIN (positive): the file needs private
 * content first: call mnt_ns_privatise and then again.
 */
#ifndef ORCH_FSD_MOUNT_NS_H
#define ORCH_FSD_MOUNT_NS_H

#include <sys/stat.h>
#include <sys/statvfs.h>
#include "core/pool.h"
#include "fsd/mount/content.h"
#include "format/layer.h"
#include "view/packset.h"

#define MNT_AGAIN 1

struct mnt_ns;
struct mnt_handle;

struct mnt_attr {
	uint64_t id; /* FUSE's node id */
	struct stat st;
};

/* Tells the kernel to forget something, later, on a thread of its own. Called with ns->lock held. */
struct mnt_notify {
	void (*attr)(void *priv, uint64_t id);
	void (*recheck)(void *priv, uint64_t id); /* attr, a moment later */
	/* Its number. wait_sent: the kernel has forgotten that name, and those before it; waits for that without
	 * the lock, until the deadline (0: only looks, also with the lock). */
	uint64_t (*entry)(void *priv, uint64_t parent_id, const char *name, size_t len);
	bool (*wait_sent)(void *priv, uint64_t number, uint64_t deadline_ns);
	/* At once, on this thread, which may serve no requests, and without the lock: has the kernel
	 * write what it holds of the file's data (stores through a mapping that is no passthrough). */
	void (*flush)(void *priv, uint64_t id);
	void *priv;
};

struct mnt_ns_config {
	int layers_fd; /* all borrowed, must outlive */
	struct view_packset *packs;
	struct mnt_contents *contents;
	struct orch_pool *pool; /* copies and the like */
	struct mnt_notify notify;
	uint64_t layer;
	bool read_only;
	bool after_reboot; /* the layer was last written before the machine was started */
};

int mnt_ns_new(const struct mnt_ns_config *config, struct mnt_ns **out, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;
void mnt_ns_free(struct mnt_ns *ns);
/* Removes what a killed predecessor left: unlinked files that were open, files of creates that were
 * never answered. May run while calls are served. */
void mnt_ns_clean(struct mnt_ns *ns) ORCH_NONNULL(1);
/* Name of the workspace, as the layer's head says. */
const char *mnt_ns_workspace(const struct mnt_ns *ns) ORCH_NONNULL(1);

/* Each adds one to the node's lookup count when it succeeds. */
int mnt_ns_lookup(struct mnt_ns *ns, uint64_t parent, const char *name, struct mnt_attr *out)
    ORCH_NONNULL(1, 3, 4) ORCH_WUR;
void mnt_ns_forget(struct mnt_ns *ns, uint64_t id, uint64_t count) ORCH_NONNULL(1);

/* MNT_PASSING: right now. The node's names lead to another one (a descriptor led here), whose changes are not
 * told for this one. */
#define MNT_PASSING 3
int mnt_ns_getattr(struct mnt_ns *ns, uint64_t id, struct stat *out) ORCH_NONNULL(1, 3) ORCH_WUR;

enum mnt_set { /* fields of mnt_setattr that count */
	MNT_SET_MODE = 1,
	MNT_SET_UID = 2,
	MNT_SET_GID = 4,
	MNT_SET_SIZE = 8,
	MNT_SET_ATIME = 16,
	MNT_SET_MTIME = 32,
	MNT_SET_DROP_IDS =
	    64, /* set-id bits, as mnt_ns_drop_set_ids; a change of owner does it too */
	MNT_SET_DROP_SGID = 128, /* and that of the group also where it may not execute */
	MNT_SET_CTIME = 256,	 /* to now, which every other change of attributes does too */
};
struct mnt_setattr {
	unsigned set;
	uint32_t mode, uid, gid;
	uint64_t size;
	int64_t atime_ns, mtime_ns;
};
/* MNT_AGAIN, MNT_PASSING. -ESTALE: the name has another node now, look it up again. */
int mnt_ns_setattr(struct mnt_ns *ns, uint64_t id, const struct mnt_setattr *s, struct stat *out)
    ORCH_NONNULL(1, 3, 4) ORCH_WUR;

/* What a write by somebody without privilege does to a file's set-user-id and set-group-id bits. The latter goes
 * where the group may execute the file, and else only with MNT_SET_DROP_SGID. Cheap when there are none. */
int mnt_ns_drop_set_ids(struct mnt_ns *ns, uint64_t id, unsigned set) ORCH_NONNULL(1) ORCH_WUR;
/* Could that take something away, whoever it is? */
bool mnt_ns_has_set_ids(struct mnt_ns *ns, uint64_t id) ORCH_NONNULL(1);
/* Has the file a set-group-id bit that makes it no program? Then a write by one who is not of the group takes it. */
bool mnt_ns_group_bit(struct mnt_ns *ns, uint64_t id, uint32_t *out_gid) ORCH_NONNULL(1, 3);

/* Target of a symlink, NUL-terminated in out. */
int mnt_ns_readlink(struct mnt_ns *ns, uint64_t id, char out[FMT_SYMLINK_MAX + 1])
    ORCH_NONNULL(1, 3) ORCH_WUR;

struct mnt_make { /* what a new node is */
	enum fmt_type type;
	uint32_t mode, uid, gid;
	uint64_t rdev;
	const char *target; /* symlinks */
};
/* mknod, mkdir, symlink. */
int mnt_ns_make(struct mnt_ns *ns, uint64_t parent, const char *name, const struct mnt_make *m,
    struct mnt_attr *out) ORCH_NONNULL(1, 3, 4, 5) ORCH_WUR;
/* A regular file, opened. name NULL: without a name (O_TMPFILE). */
int mnt_ns_create(struct mnt_ns *ns, uint64_t parent, const char *name, const struct mnt_make *m,
    int flags, struct mnt_attr *out, struct mnt_handle **out_handle)
    ORCH_NONNULL(1, 4, 6, 7) ORCH_WUR;
int mnt_ns_unlink(struct mnt_ns *ns, uint64_t parent, const char *name) ORCH_NONNULL(1, 3) ORCH_WUR;
int mnt_ns_rmdir(struct mnt_ns *ns, uint64_t parent, const char *name) ORCH_NONNULL(1, 3) ORCH_WUR;
int mnt_ns_link(struct mnt_ns *ns, uint64_t id, uint64_t parent, const char *name,
    struct mnt_attr *out) ORCH_NONNULL(1, 4, 5) ORCH_WUR;
/* flags: 0, RENAME_NOREPLACE or RENAME_EXCHANGE. */
int mnt_ns_rename(struct mnt_ns *ns, uint64_t from, const char *from_name, uint64_t to,
    const char *to_name, unsigned flags) ORCH_NONNULL(1, 3, 5) ORCH_WUR;

/* flags as of open(2). MNT_AGAIN, -ESTALE as for setattr; the latter only once for a reader: one who comes
 * again has no name, but a descriptor. MNT_SLOW unless may_block: the object has
 * to be read whole first, do it on another thread. */
#define MNT_SLOW 2
int mnt_ns_open(struct mnt_ns *ns, uint64_t id, int flags, bool may_block, struct mnt_handle **out)
    ORCH_NONNULL(1, 5) ORCH_WUR;
void mnt_ns_release(struct mnt_ns *ns, struct mnt_handle *h) ORCH_NONNULL(1, 2);
/* The kernel's number of the file behind it; 0: this process reads and writes. */
int mnt_handle_backing(const struct mnt_handle *h) ORCH_NONNULL(1);
/* Stores through a mapping may be in pages that only the kernel has. */
bool mnt_ns_hides_stores(struct mnt_ns *ns, const struct mnt_handle *h) ORCH_NONNULL(1, 2);
/* The content that the handle reads and writes now; give it back with mnt_content_put. */
struct mnt_content *mnt_ns_handle_content(struct mnt_ns *ns, const struct mnt_handle *h)
    ORCH_NONNULL(1, 2);
int mnt_ns_fsync(struct mnt_ns *ns, const struct mnt_handle *h, bool data_only)
    ORCH_NONNULL(1) ORCH_WUR; /* h NULL: names only. Blocks */

/* Gives the node private content, on this thread when that is little work, else in the pool; then
 * calls done(arg, 0 or -errno), from any thread. gone(arg): nobody waits for it any more; asked now and
 * then, without locks, from any thread. Its done is called with -EINTR then; a copy that nobody waits for
 * is given up. */
typedef void mnt_done_fn(void *arg, int result);
typedef bool mnt_gone_fn(void *arg);
void mnt_ns_privatise(struct mnt_ns *ns, uint64_t id, mnt_done_fn *done, mnt_gone_fn *gone,
    void *arg) ORCH_NONNULL(1, 3, 4);

/* One directory entry. attr is NULL for plain readdir and for "." and "..". false: no room left. */
typedef bool mnt_emit_fn(void *arg, const char *name, uint64_t ino, enum fmt_type type,
    const struct mnt_attr *attr, uint64_t next_offset);
/* From offset on (0: the start). With plus each emitted node's lookup count grows. */
int mnt_ns_readdir(struct mnt_ns *ns, uint64_t id, uint64_t offset, bool plus, mnt_emit_fn *emit,
    void *arg) ORCH_NONNULL(1, 5) ORCH_WUR;

/* user.* only; the others are -EOPNOTSUPP. */
int mnt_ns_getxattr(struct mnt_ns *ns, uint64_t id, const char *name, struct orch_buf *out)
    ORCH_NONNULL(1, 3, 4) ORCH_WUR;
int mnt_ns_listxattr(struct mnt_ns *ns, uint64_t id, struct orch_buf *out)
    ORCH_NONNULL(1, 3) ORCH_WUR;
/* flags: 0, XATTR_CREATE, XATTR_REPLACE. value NULL: removed. */
int mnt_ns_setxattr(struct mnt_ns *ns, uint64_t id, const char *name, const void *value, size_t len,
    int flags) ORCH_NONNULL(1, 3) ORCH_WUR;

int mnt_ns_statfs(struct mnt_ns *ns, struct statvfs *out) ORCH_NONNULL(1, 2) ORCH_WUR;

/* Seals the top layer; changes go to `layer` (made here) from now on. One instant for names and for
 * files without a writer; files that are open for writing stay with their writers, and the sealed
 * layer gets a copy. With groups, the jobs in these stand still until the copies are made, but not
 * longer than pause_ms; a file that nobody else could write meanwhile is as it was at the instant.
 * Of the others the copy is what was last seen: their paths are called back, NUL-terminated, after
 * the seal. Jobs that can't be frozen are a reason to go on without a pause, and no error. */
struct mnt_seal {
	uint64_t layer;
	const int *groups; /* folders of control groups, borrowed */
	size_t group_count;
	uint64_t pause_ms;
	dev_t dev; /* of the mount, as its users see it */
	/* Nothing is sealed when the top layer recorded nothing: what lies below it is the state. */
	bool share;
	void (*seen)(void *arg, const char *path); /* NULL: no path, it is too deep */
	void *arg;
};
struct mnt_sealed {
	uint64_t sealed; /* 0: the base */
	uint64_t layer;	 /* that is written now */
	uint64_t layers; /* in the chain */
	uint64_t seq, next_ino;
	bool paused;	    /* all groups stood still at the instant */
	uint64_t paused_ns; /* how long they did */
};
int mnt_ns_seal(struct mnt_ns *ns, const struct mnt_seal *ask, struct mnt_sealed *out,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;
/* The base is `snapshot` now, which holds what the layers up to `layer` made; neither these are used any
 * more nor those that were sealed since: what they recorded is in the top layer now. -EBUSY: `layer` is
 * not below the top one. */
int mnt_ns_rebase(struct mnt_ns *ns, const struct orch_digest *snapshot, uint64_t layer,
    struct orch_err *err) ORCH_NONNULL(1, 2) ORCH_WUR;
/* The layers above `keep` (0: all, down to the base) become one with the top one: the chain is short
 * again. Those that leave it are not used any more. -ENOENT: `keep` is not below the top one. */
int mnt_ns_flatten(struct mnt_ns *ns, uint64_t keep, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
/* When there are many sealed strata: merges some. For the control thread, when nobody waits. */
void mnt_ns_tidy(struct mnt_ns *ns) ORCH_NONNULL(1);
/* Appends one JSON line for each path that changed after `since` (docs/api.md). */
int mnt_ns_changes(struct mnt_ns *ns, uint64_t since, struct orch_buf *out, uint64_t *out_seq,
    struct orch_err *err) ORCH_NONNULL(1, 3, 4) ORCH_WUR;

struct mnt_ns_status {
	uint64_t layer, parent, seq, next_ino;
	struct orch_digest snapshot;
	size_t nodes, layers, strata, open_handles, open_files;
	uint64_t log_bytes;
	bool read_only;
};
void mnt_ns_status(struct mnt_ns *ns, struct mnt_ns_status *out) ORCH_NONNULL(1, 2);
/* Everything that was answered is durable: names, and all private files. Blocks. */
int mnt_ns_sync(struct mnt_ns *ns) ORCH_NONNULL(1) ORCH_WUR;

#endif
