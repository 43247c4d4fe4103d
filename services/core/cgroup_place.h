/* Where a control group lies, from the texts in which the kernel tells it. Pure. */
#ifndef ORCH_CORE_CGROUP_PLACE_H
#define ORCH_CORE_CGROUP_PLACE_H

#include "core/compiler.h"

/* The folder of the group that /proc/self/cgroup (groups) names, by /proc/self/mountinfo (mounts).
 * controller: of version 1; "": the tree of version 2. malloc'd; NULL: that hierarchy is not mounted
 * where this process sees its group, or no memory. */
char *orch_cgroup_place(const char *groups, const char *mounts, const char *controller)
    ORCH_NONNULL(1, 2, 3) ORCH_WUR;

#endif
