/* The commands about this machine. */
#ifndef ORCH_SHIM_MACHINE_H
#define ORCH_SHIM_MACHINE_H

#include "shim/cli.h"

int shim_doctor(struct shim_cli *cli);
int shim_gc(struct shim_cli *cli);

#endif
