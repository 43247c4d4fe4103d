/* What the file of a journal says (journal.h writes it): who owns the run, and what is left of it. Pure. */
#ifndef ORCH_SHIM_JOURNAL_TEXT_H
#define ORCH_SHIM_JOURNAL_TEXT_H

#include <stddef.h>
#include "core/clock.h"
#include "core/strv.h"

struct shim_run {
	char *id, *socket;
	struct orch_proc_id owner;
	char boot[37];
	struct orch_strv kinds, names; /* in the order of their making; struck out: kind "" */
};

/* Lines that can't be understood are passed over, as is a last one without its end: a crash cut it
 * off, and what it would have announced was never made. -EINVAL: nothing says whose run it is.
 * _fini in either case. */
int shim_run_parse(const char *text, size_t len, struct shim_run *out) ORCH_NONNULL(1, 3) ORCH_WUR;
void shim_run_fini(struct shim_run *run) ORCH_NONNULL(1);

#endif
