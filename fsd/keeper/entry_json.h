/* ENTRY of docs/api.md. */
#ifndef FSD_KEEPER_ENTRY_JSON_H
#define FSD_KEEPER_ENTRY_JSON_H

#include "core/json.h"
#include "format/stamps.h"

/* s may be NULL. NULL: no memory. */
struct orch_json *fsd_entry_json(const struct fmt_entry *e, const struct fmt_stamp *s)
    ORCH_NONNULL(1) ORCH_WUR;

#endif
