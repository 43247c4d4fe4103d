/*
 * What a mount process may still do once its mount is made: the capabilities that its work needs and
 * system calls on files, memory, threads and the sockets that it has. No program is started, no socket
 * made, no network reached, nobody traced, whatever a crafted request or a damaged store makes of it.
 *
 * Both are for good and are called while there is one thread; later ones inherit them.
 */
#ifndef ORCH_FSD_MOUNT_CONFINE_H
#define ORCH_FSD_MOUNT_CONFINE_H

#include <stdbool.h>
#include "core/err.h"

/* Of root's process: CAP_SYS_PTRACE and CAP_DAC_OVERRIDE stay (who has a file of the mount open, and the
 * control groups of jobs), with passthrough CAP_SYS_ADMIN as well (the kernel registers files for nobody
 * else); bounding and ambient set go with the rest. What is not there at the start is not asked for. */
int mnt_confine_capabilities(bool passthrough, struct orch_err *err) ORCH_WUR;

/* Sets no_new_privs; system calls that are not on the list answer ENOSYS. Does nothing in a build with
 * the address or thread sanitizer, which need others. */
int mnt_confine_calls(struct orch_err *err) ORCH_WUR;

#endif
