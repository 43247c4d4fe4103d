/*
 * What the kernel is to forget, queued: notifications are never sent from a thread that serves
 * requests, since the kernel may want an answer of it first. The same attribute notification is not
 * queued twice. Knows nothing of FUSE: a thread of the door takes items and sends them.
 *
 * Threads: any. A lock of its own, the innermost one.
 */
#ifndef ORCH_FSD_MOUNT_NOTIFY_H
#define ORCH_FSD_MOUNT_NOTIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/compiler.h"

struct mnt_queue;

struct mnt_note {
	struct mnt_note *next;
	uint64_t due_ns; /* 0: at once */
	uint64_t id;	 /* node, or parent when name_len > 0 */
	size_t name_len; /* 0: attributes */
	char name[];	 /* NUL-terminated */
};

struct mnt_queue *mnt_queue_new(void) ORCH_WUR;
void mnt_queue_free(struct mnt_queue *q);
/* Without memory nothing is queued: the kernel then believes what it knows a little longer. */
void mnt_queue_attr(struct mnt_queue *q, uint64_t id) ORCH_NONNULL(1);
/* The same, MNT_RECHECK_MS later (once, however often it is asked for meanwhile). */
#define MNT_RECHECK_MS 100
void mnt_queue_recheck(struct mnt_queue *q, uint64_t id) ORCH_NONNULL(1);
/* Its number, for _is_sent; names are sent in their order. */
uint64_t mnt_queue_entry(struct mnt_queue *q, uint64_t parent, const char *name, size_t len)
    ORCH_NONNULL(1, 3);
/* True: whoever took it has come back for the next one. Waits for that until the deadline (0: only looks). */
bool mnt_queue_wait_sent(struct mnt_queue *q, uint64_t number, uint64_t deadline_ns)
    ORCH_NONNULL(1);
/* Blocks until there is something to send; free() it. By one thread, which has sent what it took before. NULL: stopped, and nothing is left but what is
 * not due yet. */
struct mnt_note *mnt_queue_take(struct mnt_queue *q) ORCH_NONNULL(1);
void mnt_queue_stop(struct mnt_queue *q) ORCH_NONNULL(1);

#endif
