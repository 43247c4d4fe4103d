/* orch-shim build: its place in the table. */
#include "shim/commands.h"

const struct shim_command shim_build_commands[] = {
    {.name = "build", .later = true},
    {.name = NULL},
};
