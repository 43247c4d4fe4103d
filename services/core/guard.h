/*
 * Mapped files that outlive what happens to them. A page of a mapped file that is gone (somebody cut
 * the file, the disk can't read it) raises SIGBUS, which would end the process and with it everything
 * else that it serves. In a guarded range such a page is replaced by zeros instead, for this process
 * and for good: the access goes on, the range is marked as broken, and a counter tells it to whoever
 * holds what was checked before. Zeros are never taken for contents: checksums, magics and names
 * refuse them.
 *
 * The table of ranges is the process's (a signal handler has no context). Adding and removing take a
 * lock; the handler reads the table without one. A SIGBUS elsewhere does what it did before.
 */
#ifndef ORCH_CORE_GUARD_H
#define ORCH_CORE_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/compiler.h"

struct orch_guard;

/* Once, by a program's main, before threads: without it ranges are not guarded. 0 or -errno. */
int orch_guard_install(void) ORCH_WUR;

/* addr is page-aligned; prot as the range was mapped. NULL: no memory. Call _remove before munmap. */
struct orch_guard *orch_guard_add(const void *addr, size_t len, int prot) ORCH_NONNULL(1) ORCH_WUR;
void orch_guard_remove(struct orch_guard *g); /* NULL is allowed */

/* Whether some page of it has become zeros. */
bool orch_guard_broken(const struct orch_guard *g) ORCH_NONNULL(1);
/* Pages that became zeros since the start, in all ranges: while it stays the same, what was read and
 * checked is still what it was. */
uint64_t orch_guard_hits(void);

#endif
