/*
 * <store>/reserve: bytes that are kept for the day when the disk is full. Whatever removes something
 * has to write a little first; where that finds no room, a piece of the reserve is given back and it is
 * tried again. It is made again when there is room. How much there is of it is what the file says, so a
 * kill at any point is harmless, and so is who removes or cuts it. Only the owner of LOCK uses it.
 * Thread-safe.
 */
#ifndef ORCH_CACHE_RESERVE_H
#define ORCH_CACHE_RESERVE_H

#include <stdbool.h>
#include <stdint.h>
#include "core/err.h"

#define CAS_RESERVE_NAME "reserve"
#define CAS_RESERVE_MAX	 ((uint64_t)8 << 20)
#define CAS_RESERVE_PART 64 /* of the file system, when that is less */
#define CAS_RESERVE_PIECE \
	((uint64_t)32 << 10) /* given back at first, twice as much each time at once */
#define CAS_RESERVE_ROOM ((uint64_t)1 << 20) /* free bytes without which nothing new is begun */

struct cas_reserve;

struct cas_reserve_state {
	uint64_t bytes; /* there now */
	uint64_t whole; /* when there is room; 0: this file system is too small or can't keep any */
	uint64_t free;	/* on the file system, without what is root's alone */
};

/* root_fd: the store's folder, borrowed. Touches nothing. NULL: no memory. */
struct cas_reserve *cas_reserve_new(int root_fd) ORCH_WUR;
void cas_reserve_free(struct cas_reserve *r);

/* rc: what an operation came to. True: it was for want of space and there is more of that now, so it is
 * worth a try again. Ends, since a piece is gone each time. Syncs a file. r NULL: false. */
bool cas_reserve_give(struct cas_reserve *r, int rc);
/* Makes it whole when there is as much room again besides. Quick when it is. */
void cas_reserve_fill(struct cas_reserve *r) ORCH_NONNULL(1);
void cas_reserve_look(struct cas_reserve *r, struct cas_reserve_state *out) ORCH_NONNULL(1, 2);
/* For what makes new things, before it writes. -ENOSPC, with the next step: the reserve is not whole and
 * can't be made whole, or there is next to nothing besides. */
int cas_reserve_check(struct cas_reserve *r, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;

#endif
