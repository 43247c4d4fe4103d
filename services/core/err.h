/*
 * The error object (see docs/errors.md for the whole contract).
 *
 * A function that can fail returns int: >= 0 is success, -errno is failure. It may take a last
 * parameter `struct orch_err *err`: caller-owned, NULL allowed, written only on failure. The
 * message names the object and the cause; callers add context in front on the way up, and the
 * edge (main, an API handler, a log line) reports it once.
 */
#ifndef ORCH_CORE_ERR_H
#define ORCH_CORE_ERR_H

#include <errno.h>
#include <stdarg.h>
#include "core/compiler.h"

/* One errno for each condition that callers act on; everything else is the system's own errno. */
#define ORCH_ECORRUPT	EBADMSG	  /* stored bytes are not what was written */
#define ORCH_EFORMAT	EPROTO	  /* a format or version that we do not know */
#define ORCH_EQUOTA	EDQUOT	  /* a quota of orch's own */
#define ORCH_ECANCELLED ECANCELED /* cancelled by the caller */
#define ORCH_ETIMEOUT	ETIMEDOUT /* a deadline passed */
#define ORCH_ECONFLICT	ESTALE	  /* compare-and-swap lost, or a sync conflict */
#define ORCH_EUSAGE	EINVAL	  /* the caller's input is wrong; nothing was done */
#define ORCH_ENODAEMON	EHOSTDOWN /* no daemon answers on the control socket */

struct orch_err {
	int code;	/* positive errno; 0: never set */
	char msg[1016]; /* NUL-terminated; cut at the end when too long */
};

#define ORCH_ERR_INIT                \
	{                            \
		.code = 0, .msg = "" \
	}

/* Sets the message; code is a positive errno. Returns -code, so `return orch_err_set(...)` works. */
int orch_err_set(struct orch_err *err, int code, const char *fmt, ...) ORCH_PRINTF(3, 4);

/* As orch_err_set, and appends ": " and the text of the errno. */
int orch_err_sys(struct orch_err *err, int code, const char *fmt, ...) ORCH_PRINTF(3, 4);

/* Puts context and ": " in front of a message that is set; nothing when err is NULL or was never set.
 * It gives no number back: a NULL has none, so the caller returns the one that is in hand. */
void orch_err_wrap(struct orch_err *err, const char *fmt, ...) ORCH_PRINTF(2, 3);

/* "ECORRUPT", "ENOSPC", ...; a static string, for JSON and logs. */
const char *orch_err_name(int code);

/* The inverse: 0 when the name is unknown. */
int orch_err_code(const char *name) ORCH_NONNULL(1);

#endif
