/*
 * What the kernel does not tell of who asks: once it allows idmapped mounts it sends the ids of the caller
 * with those requests alone that make something. Reads /proc; nothing of FUSE.
 */
#ifndef ORCH_FSD_MOUNT_CALLER_H
#define ORCH_FSD_MOUNT_CALLER_H

#include <stdbool.h>
#include <sys/types.h>
#include "core/compiler.h"

/* Whether a write by this thread leaves a file its set-id bits: it has CAP_FSETID in our user namespace.
 * It waits for the answer to its request, so it is the one that asked. tid 0 (of a pid namespace that ours
 * does not see), and one that can't be looked at: false. */
bool mnt_caller_keeps_set_ids(pid_t tid);
/* It has been sent what ends it, and ends when its request is answered. False as above. */
bool mnt_caller_is_killed(pid_t tid);
/* The group by which it reaches files, in our user namespace. -errno: it can't be looked at. */
int mnt_caller_group(pid_t tid, gid_t *out) ORCH_NONNULL(2) ORCH_WUR;

#endif
