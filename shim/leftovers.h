/* What killed runs left, by their journals: found and undone by the next build, or by orch-shim gc. */
#ifndef ORCH_SHIM_LEFTOVERS_H
#define ORCH_SHIM_LEFTOVERS_H

#include <stdbool.h>
#include "shim/cli.h"

/* Tells what it undoes (dry_run: what it would undo). How many things were left over. */
int shim_leftovers_undo(struct shim_cli *cli, bool dry_run) ORCH_NONNULL(1);

#endif
