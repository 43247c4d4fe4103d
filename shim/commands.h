/* The families of commands, one file each; every table ends with a row without a name. */
#ifndef ORCH_SHIM_COMMANDS_H
#define ORCH_SHIM_COMMANDS_H

#include "shim/cli.h"

extern const struct shim_command shim_build_commands[];
extern const struct shim_command shim_snapshot_commands[];
extern const struct shim_command shim_ref_commands[];
extern const struct shim_command shim_workspace_commands[];
extern const struct shim_command shim_lfs_commands[];
extern const struct shim_command shim_store_commands[];
extern const struct shim_command shim_daemon_commands[];
extern const struct shim_command shim_machine_commands[];

#endif
