/*
 * The log of the top layer: segments layers/<id>/log.<n>, preallocated and mapped (where the file system
 * overwrites in place; else written), so that appending is a copy into memory, a full disk is -ENOSPC when
 * a segment is made (never SIGBUS later), and what was appended survives the death of every process. It
 * knows frames as bytes only.
 *
 * Threads: any. A lock of its own, the innermost one; syncs run outside of it.
 */
#ifndef ORCH_FSD_MOUNT_LOG_H
#define ORCH_FSD_MOUNT_LOG_H

#include "format/layer.h"

struct mnt_log;

/* Goes on in segment head->segment of the folder dirfd (borrowed, must outlive), behind `used` bytes
 * that were replayed up to transaction seq; what lies behind is made zeros, what was there is made
 * durable. `total` is the length of all segments. */
int mnt_log_open(int dirfd, uint64_t segment, size_t used, uint64_t seq, uint64_t total,
    struct mnt_log **out, struct orch_err *err) ORCH_NONNULL(6) ORCH_WUR;
/* A new layer: writes log.<head->segment> with its head, which must not exist yet; `room` bytes can be
 * appended whatever becomes of the disk. */
int mnt_log_create(int dirfd, const struct fmt_layer_head *head, size_t room, struct mnt_log **out,
    struct orch_err *err) ORCH_NONNULL(2, 4) ORCH_WUR;
/* A second owner, for a sync that may outlast a seal. Close it too. */
struct mnt_log *mnt_log_ref(struct mnt_log *l) ORCH_NONNULL(1);
/* Its layer was sealed: nothing is appended any more, and the last close leaves no spare. */
void mnt_log_seal(struct mnt_log *l) ORCH_NONNULL(1);
/* The last one cuts the preallocated rest off, but for what the next process has for removals on a full
 * disk; reports nothing, since nothing can be lost but what was
 * before (mnt_log_look). */
void mnt_log_close(struct mnt_log *l);

/* The transaction up to which all is known to be durable, for fmt_txn_durable; 0: not known. */
uint64_t mnt_log_durable(struct mnt_log *l) ORCH_NONNULL(1);
/* Whether its current segment is what we made it. -ORCH_ECORRUPT: somebody cut or removed it, so what
 * was appended may be lost; a checkpoint puts the state into a new one. */
int mnt_log_look(struct mnt_log *l) ORCH_NONNULL(1) ORCH_WUR;
/* Appends whole frames, the last of which is transaction seq. When they don't fit, a new segment begins with *head (its segment number is
 * filled in). 0, -ENOSPC, -EIO (an earlier sync failed), -ORCH_ECORRUPT (as _look says), -errno; nothing
 * was appended then.
 * removal: it frees space, so on a full disk it may use the spare segment that is kept for that. Where that
 * is used up, anything else is -ENOSPC until there can be another one. */
int mnt_log_append(struct mnt_log *l, const struct fmt_layer_head *head, uint64_t seq,
    const void *p, size_t n, bool removal) ORCH_NONNULL(1, 2, 4) ORCH_WUR;
/* All that was appended before the call is durable afterwards. Blocks; many callers share a sync. */
int mnt_log_sync(struct mnt_log *l) ORCH_NONNULL(1) ORCH_WUR;
/* Whether `n` bytes more want a new segment. */
bool mnt_log_is_full(struct mnt_log *l, size_t n) ORCH_NONNULL(1) ORCH_WUR;
/* Bytes in all segments since the last checkpoint. */
uint64_t mnt_log_bytes(struct mnt_log *l) ORCH_NONNULL(1);

/* Replaces all segments by one that the caller fills: _begin makes a temporary file, _put appends,
 * _end makes it durable, gives it its name and removes the older ones. After a failed _put or _end
 * the log is as it was. Nothing may be appended between. */
int mnt_log_checkpoint_begin(struct mnt_log *l, uint64_t *out_segment) ORCH_NONNULL(1, 2) ORCH_WUR;
int mnt_log_checkpoint_put(struct mnt_log *l, const void *p, size_t n) ORCH_NONNULL(1, 2) ORCH_WUR;
int mnt_log_checkpoint_end(struct mnt_log *l) ORCH_NONNULL(1) ORCH_WUR;
void mnt_log_checkpoint_abort(struct mnt_log *l) ORCH_NONNULL(1);

#endif
