/* The table of doctor and gc. */
#include "shim/machine.h"

#include "shim/commands.h"

static const struct shim_option gc_options[] = {
    {.name = "dryRun",
	.type = SHIM_SWITCH,
	.flags = SHIM_FLAG_ONLY,
	.help = "Only say what would be removed"},
};
static const struct shim_options gc_table = {.v = gc_options, .count = ORCH_ARRAY_LEN(gc_options)};
static const struct shim_options *const gc_tables[] = {&gc_table, NULL};

const struct shim_command shim_machine_commands[] = {
    {.name = "doctor",
	.summary = "What this machine can do, and what each lack costs",
	.details = "Ends with 1 when something is missing without which nothing works.",
	.run = shim_doctor},
    {.name = "gc",
	.usage = "[--dry-run]",
	.summary = "Remove what killed runs left: workspaces, processes",
	.details = "A build does the same before it starts.",
	.options = gc_tables,
	.run = shim_gc},
    {.name = NULL},
};
