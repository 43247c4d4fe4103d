/*
 * What git says: its progress, and what it means when it fails. Pure. All of it may be a hostile
 * server's: nothing here is believed for more than a message and a figure to show.
 */
#ifndef ORCH_SYNC_GITSAY_H
#define ORCH_SYNC_GITSAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/err.h"

struct sync_gitsay_progress {
	const char
	    *phase; /* "count", "compress" (the server's), "receive", "resolve", "check"; static */
	uint64_t done, total; /* objects; total 0: not known */
	uint64_t bytes;	      /* received so far; 0: not told */
	uint64_t rate_bytes;  /* a second; 0: not told */
};

/* One line of git's progress ("Receiving objects:  12% (120/1000), 1.20 MiB | 300.00 KiB/s"),
 * without its end. False: something else. */
bool sync_gitsay_parse(const char *line, struct sync_gitsay_progress *out) ORCH_NONNULL(1, 2);

/* Milliseconds that are left at that pace since started_ns; 0: not known. */
uint64_t sync_gitsay_left_ms(const struct sync_gitsay_progress *p, uint64_t elapsed_ns)
    ORCH_NONNULL(1);

struct sync_gitsay_cause {
	int code;	  /* positive errno */
	bool again;	  /* worth another try: the connection broke */
	const char *what; /* one sentence: what happened, what to do; static */
};

/* Why git failed, of all that it wrote to standard error; never NULL. Its language is C. */
const struct sync_gitsay_cause *sync_gitsay_cause(const char *said) ORCH_NONNULL(1);
/* The line of `said` that tells most: the first "fatal:" or "error:", else the last one.
 * Borrowed: *out_len bytes. */
const char *sync_gitsay_line(const char *said, size_t *out_len) ORCH_NONNULL(1, 2);

#endif
