/* orch-fsd --repair-database: the store's database made anew, and then everything is looked at. */
#ifndef FSD_KEEPER_REPAIR_H
#define FSD_KEEPER_REPAIR_H

#include <stdio.h>
#include "settings.h"

/* While no keeper runs (-EBUSY); mount processes may live, the next keeper finds them. A line to `to`
 * for each thing that came back, is lost, or is still bad. Before any thread. */
int fsd_repair_database(const struct fsd_settings *s, FILE *to, struct orch_err *err)
    ORCH_NONNULL(1, 2, 3) ORCH_WUR;

#endif
