/*
 * SIGINT, SIGTERM and SIGHUP as a descriptor that becomes readable: waits poll it. The first signal
 * cancels, the second says not to wait for anything any more (no grace, undo in a hurry), the third
 * ends the process at once; what is left then is in the run's journal. Async-signal-safe inside.
 */
#ifndef ORCH_SHIM_CANCEL_H
#define ORCH_SHIM_CANCEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include "core/err.h"

/* Installs the handlers; SIGPIPE is ignored from now on. The descriptor stays open for ever. */
int shim_cancel_install(struct orch_err *err) ORCH_WUR;
/* Readable two seconds after the first signal: for steps that are better ended than cut off. */
int shim_cancel_late_fd(void);
bool shim_cancelled(void);
const atomic_bool *shim_cancel_flag(void); /* for work that looks at a flag between steps */
bool shim_cancel_forced(void);
int shim_cancel_signal(void); /* the first one; 0: none */

#endif
