/*
 * What is told to people on standard error (or as JSON lines with --log-format json), and whether it
 * is told at all. Standard output belongs to results.
 */
#ifndef ORCH_SHIM_SAY_H
#define ORCH_SHIM_SAY_H

#include <stdbool.h>
#include "core/compiler.h"

enum shim_voice { SHIM_SAY_ERROR, SHIM_SAY_WARN, SHIM_SAY_INFO, SHIM_SAY_DETAIL };

/* Once, in main. verbose: details too; quiet: errors and warnings only. */
void shim_say_setup(bool verbose, bool quiet, bool json);

/* One line, without its newline. A progress bar on the terminal is taken away first. */
void shim_say(enum shim_voice voice, const char *fmt, ...) ORCH_PRINTF(2, 3) ORCH_NONNULL(2);

/* A line that the next one overwrites, on a terminal only; NULL or "": nothing is left of it. */
void shim_say_progress(const char *line);

bool shim_say_has_progress(void); /* whether progress lines would be seen */

#endif
