/* What a line of /proc/<pid>/maps says. Pure. */
#ifndef ORCH_CORE_PROC_MAP_H
#define ORCH_CORE_PROC_MAP_H

#include <stdbool.h>
#include <stdint.h>
#include "core/compiler.h"

struct orch_proc_map {
	unsigned major, minor; /* of the file's device */
	uint64_t ino;	       /* 0: no file */
	bool shared;
};

/* The line that *text begins with; *text goes behind it, also when it is none (-EIO): "" is the end. Looks at no
 * more than that line: a process may have tens of thousands of them. */
int orch_proc_map_parse(const char **text, struct orch_proc_map *out) ORCH_NONNULL(1, 2) ORCH_WUR;

#endif
