/*
 * Until when a client must have got somewhere: have sent the head of a request, or its body, or have read
 * the answer. The server's own time-out counts silence, so a byte now and then would hold a connection for
 * ever. Here, whoever is late is cut off whatever he sent: his socket is shut down, and the thread that
 * serves it finds that out. One thread looks. Thread-safe.
 */
#ifndef FSD_KEEPER_HTTP_LIMIT_H
#define FSD_KEEPER_HTTP_LIMIT_H

#include "core/err.h"

struct fsd_limits;
struct fsd_limit; /* of one connection */

int fsd_limits_start(struct fsd_limits **out, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
/* All connections were removed. NULL is allowed. */
void fsd_limits_stop(struct fsd_limits *l);

/* fd: open until _remove; it stays the caller's. NULL: no memory. */
struct fsd_limit *fsd_limit_add(struct fsd_limits *l, int fd) ORCH_NONNULL(1) ORCH_WUR;
/* From now; 0: as long as he likes. */
void fsd_limit_set(struct fsd_limits *l, struct fsd_limit *x, unsigned seconds) ORCH_NONNULL(1, 2);
/* NULL is allowed. */
void fsd_limit_remove(struct fsd_limits *l, struct fsd_limit *x) ORCH_NONNULL(1);

#endif
