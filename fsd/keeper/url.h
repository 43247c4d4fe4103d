/* The target of a request: path split from query, percent-encoding undone, routes matched. Pure. */
#ifndef FSD_KEEPER_URL_H
#define FSD_KEEPER_URL_H

#include <stddef.h>
#include "core/json.h"
#include "request.h"

/* Decodes n bytes; malloc'd. NULL: a bad escape, a NUL byte, or no memory. */
char *fsd_url_decode(const char *s, size_t n) ORCH_NONNULL(1) ORCH_WUR;

/* "a=1&b=2" to {"a":"1","b":"2"}; s may be NULL. -EINVAL: not so, twice the same, not UTF-8. */
int fsd_url_query(const char *s, struct orch_json **out, struct orch_err *err)
    ORCH_NONNULL(2) ORCH_WUR;

/* Matches the path (path_len bytes of the target) with a pattern. 1: yes, params[] are malloc'd
 * and the caller's; 0: no; -EINVAL: a bad escape. */
int fsd_url_match(const char *pattern, const char *path, size_t path_len,
    char *params[FSD_PARAMS_MAX]) ORCH_NONNULL(1, 2, 4) ORCH_WUR;

/* The route for method and path. NULL: *out_status is 404, 405 (allow: methods for the header) or
 * 400. */
const struct fsd_route *fsd_url_route(const struct fsd_route *routes, const char *method,
    const char *path, size_t path_len, char *params[FSD_PARAMS_MAX], unsigned *out_status,
    char allow[64]) ORCH_NONNULL(1, 2, 3, 5, 6, 7);

#endif
