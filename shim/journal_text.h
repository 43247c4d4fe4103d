/* What the file of a journal says (journal.h writes it): who owns the run, and what is left of it. Pure. */
#ifndef ORCH_SHIM_JOURNAL_TEXT_H
#define ORCH_SHIM_JOURNAL_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include "core/buf.h"
#include "core/clock.h"
#include "core/err.h"
#include "core/json.h"
#include "core/strv.h"

struct shim_run {
	char *id, *socket;
	struct orch_proc_id owner;
	char boot[37];
	struct orch_strv kinds, names; /* in the order of their making; struck out: kind "" */
};

/* Appends a line: the object, and a checksum of it and of all lines before it. *sum: 0 for the first
 * line, then as the last call left it. */
int shim_run_line(struct orch_buf *out, const struct orch_json *o, uint64_t *sum)
    ORCH_NONNULL(1, 2, 3) ORCH_WUR;

/* A last line without its end is passed over: a crash cut it off, and what it would have announced was
 * never made. Any other line that is not as it was written makes the whole untrustworthy
 * (-ORCH_ECORRUPT): a line that is missing may be one that said that a thing is to stay. What is
 * whole and not known to this version is passed over. -EINVAL: nothing says whose run it is.
 * _fini in either case. */
int shim_run_parse(const char *text, size_t len, struct shim_run *out) ORCH_NONNULL(1, 3) ORCH_WUR;
void shim_run_fini(struct shim_run *run) ORCH_NONNULL(1);

#endif
