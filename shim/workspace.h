/* What the files of the workspace commands share. */
#ifndef ORCH_SHIM_WORKSPACE_H
#define ORCH_SHIM_WORKSPACE_H

#include "shim/cli.h"

int shim_workspace_exec(struct shim_cli *cli);
int shim_workspace_shell(struct shim_cli *cli);

/* "owner": {"uid","gid"} from a user's name, UID, or UID:GID. */
int shim_json_add_owner(struct orch_json *body, const char *text, struct orch_err *err)
    ORCH_NONNULL(1, 2, 3) ORCH_WUR;

#endif
