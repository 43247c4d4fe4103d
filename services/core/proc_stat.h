/* What /proc/<pid>/stat says. Pure. */
#ifndef ORCH_CORE_PROC_STAT_H
#define ORCH_CORE_PROC_STAT_H

#include <stdint.h>
#include "core/compiler.h"

#define ORCH_PROC_STAT_BYTES 1024 /* room for the whole line */

struct orch_proc_stat {
	char state; /* 'R', 'S', 'T', 'Z', ... */
	int32_t parent, group, session;
	uint32_t flags;	      /* field 9, PF_* of the kernel */
	uint64_t start_ticks; /* field 22 */
};

/* text: the line; the name in it may hold anything, blanks, newlines and brackets too. -EIO. */
int orch_proc_stat_parse(const char *text, struct orch_proc_stat *out) ORCH_NONNULL(1, 2) ORCH_WUR;

#endif
