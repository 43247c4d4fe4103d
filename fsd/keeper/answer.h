/* What goes back to a client: statuses of errors, the error object. Pure. */
#ifndef FSD_KEEPER_ANSWER_H
#define FSD_KEEPER_ANSWER_H

#include "core/buf.h"
#include "core/err.h"
#include "core/json.h"

/* HTTP status for a positive errno. */
unsigned fsd_answer_status(int code);

/* {"error":{"code","message", and the members of extra}} ; extra may be NULL. Appends to out. */
int fsd_answer_error(const struct orch_err *err, const struct orch_json *extra,
    struct orch_buf *out) ORCH_NONNULL(1, 3) ORCH_WUR;
/* {"result":...}; result NULL: {}. */
int fsd_answer_result(const struct orch_json *result, struct orch_buf *out)
    ORCH_NONNULL(2) ORCH_WUR;

#endif
