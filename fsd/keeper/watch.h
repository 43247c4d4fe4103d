/* A thread that notices the end of mount processes, and buries them. */
#ifndef FSD_KEEPER_WATCH_H
#define FSD_KEEPER_WATCH_H

#include "daemon.h"

struct fsd_watch;

int fsd_watch_start(struct fsd_daemon *d, struct fsd_watch **out, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;
void fsd_watch_stop(struct fsd_watch *w);

#endif
