/*
 * How many requests of each kind the kernel has sent: what a benchmark and whoever wonders why a
 * build is slow look at first. Pure but for its counters; any thread may count.
 */
#ifndef ORCH_FSD_MOUNT_REQUESTS_H
#define ORCH_FSD_MOUNT_REQUESTS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include "core/compiler.h"

struct orch_json;

/* Numbers of the kernel's protocol; those that it gets in the future are counted as 0, "other". */
#define MNT_REQUEST_KINDS 54

struct mnt_requests {
	_Atomic uint64_t count[MNT_REQUEST_KINDS];
};

/* Counts one request, as it was read from /dev/fuse. */
void mnt_requests_note(struct mnt_requests *r, const void *request, size_t bytes) ORCH_NONNULL(1);
/* {"total": n, "lookup": n, ...}, kinds that never came left out. NULL: no memory. */
struct orch_json *mnt_requests_show(const struct mnt_requests *r) ORCH_NONNULL(1) ORCH_WUR;

#endif
