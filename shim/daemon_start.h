/* A daemon for a build: the one that answers, or one that is started now. */
#ifndef ORCH_SHIM_DAEMON_START_H
#define ORCH_SHIM_DAEMON_START_H

#include <stdbool.h>
#include "shim/cli.h"

/*
 * Builds that begin together start one daemon: `<socket>.lock` decides who does. Its store and mounts
 * are those of ORCH_STORE and ORCH_MOUNTS, else its defaults; it ends some seconds after its last
 * client. Blocks up to a minute; cli->cancel_fd ends the wait.
 */
int shim_daemon_ensure(struct shim_cli *cli, bool *out_started, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;

#endif
