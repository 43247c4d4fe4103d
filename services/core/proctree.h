/*
 * Finding the processes that come from one, where no control group holds them together: its process
 * group, its session, its descendants, and whoever carries its mark in the environment (which is how
 * a double-forked one that made a session of its own is still known).
 */
#ifndef ORCH_CORE_PROCTREE_H
#define ORCH_CORE_PROCTREE_H

#include <sys/types.h>
#include "core/compiler.h"

/*
 * Sends `signal` (0: only counts) to every live process that comes from `root`, but never to this
 * one. root must not have been reaped, so that nobody else has its number. mark: "NAME=value" to be
 * looked for in environments, NULL: none. Returns how many were found (they may have ended since, and
 * left children that are in no list yet: look again until it is 0), or -errno.
 */
int orch_proctree_signal(pid_t root, const char *mark, int signal);

#endif
