/* The table of doctor and gc. */
#include "shim/machine.h"

#include "shim/commands.h"

const struct shim_command shim_machine_commands[] = {
    {.name = "doctor",
	.summary = "What this machine can do, and what each lack costs",
	.details = "Ends with 1 when something is missing without which nothing works.",
	.run = shim_doctor},
    {.name = "gc", .later = true},
    {.name = NULL},
};
