/* Values that several answers share, and hand-over of objects on success. */
#ifndef FSD_KEEPER_JSON_VALUE_H
#define FSD_KEEPER_JSON_VALUE_H

#include "core/hash.h"
#include "core/json.h"

/* key: 64 hex digits; a null digest is left out. */
int fsd_json_set_digest(struct orch_json *o, const char *key, const struct orch_digest *d)
    ORCH_NONNULL(1, 2, 3);
int fsd_json_set_time(struct orch_json *o, const char *key, int64_t wall_ns) ORCH_NONNULL(1, 2);
/* A deep copy; NULL: no memory. */
struct orch_json *fsd_json_copy(const struct orch_json *j) ORCH_NONNULL(1) ORCH_WUR;
/* A member whose value comes when there may be no memory any more: _settle_bool gives it then. */
int fsd_json_reserve_bool(struct orch_json *o, const char *key) ORCH_NONNULL(1, 2) ORCH_WUR;
void fsd_json_settle_bool(struct orch_json *o, const char *key, bool v) ORCH_NONNULL(1, 2);
/* Hands *o out when rc is 0; else frees it, and says "no memory" unless err is set already. */
int fsd_json_finish(int rc, struct orch_json **o, struct orch_json **out, struct orch_err *err)
    ORCH_NONNULL(2, 3) ORCH_WUR;

#endif
