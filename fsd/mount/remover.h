/*
 * Private files that nothing names any more, until they may go: only once the log that says so is
 * durable. Earlier, a power cut could take the file and leave the log that still names it, and with
 * it what was synced long before (a file that is replaced by renaming another over it).
 *
 * A thread of its own gathers them for a moment, syncs the log once for all, and removes them.
 * Threads: any.
 */
#ifndef ORCH_FSD_MOUNT_REMOVER_H
#define ORCH_FSD_MOUNT_REMOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/compiler.h"

struct mnt_remover;

struct mnt_doomed { /* a private file whose last user has gone */
	uint64_t layer, id;
};

struct mnt_remover_ops {
	/* What was logged before the call is durable. 0 or -errno; may block. */
	int (*make_durable)(void *priv);
	void (*remove)(void *priv, const struct mnt_doomed *v, size_t count);
	void *priv;
};

#define MNT_REMOVER_DELAY_MS 500

/* NULL: no memory, or no thread. */
struct mnt_remover *mnt_remover_new(const struct mnt_remover_ops *ops) ORCH_NONNULL(1) ORCH_WUR;
/* Removes what is left, as far as the log can be made durable. */
void mnt_remover_free(struct mnt_remover *r);

/* They are removed after about MNT_REMOVER_DELAY_MS, or at once (hurry: space is short). v is malloc'd, and
 * the remover's from now on. What is added when the log can't be made durable any more stays: the next
 * mount of the layer removes it. */
void mnt_remover_add(struct mnt_remover *r, struct mnt_doomed *v, size_t count, bool hurry)
    ORCH_NONNULL(1, 2);
/* What was added before the call has been removed when it returns; false: there was nothing. Blocks for a
 * sync. */
bool mnt_remover_flush(struct mnt_remover *r) ORCH_NONNULL(1);

#endif
