/* Who is at the other end of a connection, as the kernel says; and who may do what. */
#ifndef FSD_KEEPER_PEER_H
#define FSD_KEEPER_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "core/err.h"
#include "core/json.h"

#define FSD_PEER_GROUPS_MAX 1024

struct fsd_peer {
	uid_t uid;
	gid_t gid;
	pid_t pid;
	gid_t *groups; /* supplementary; may be NULL */
	size_t group_count;
};

/* Of a connected Unix socket. */
int fsd_peer_load(int sock, struct fsd_peer *out, struct orch_err *err) ORCH_NONNULL(2) ORCH_WUR;
void fsd_peer_fini(struct fsd_peer *p) ORCH_NONNULL(1);

/* Root and the daemon's own user may do everything. */
bool fsd_peer_is_admin(const struct fsd_peer *p) ORCH_NONNULL(1);
/* -EPERM unless the daemon can act under the peer's ids: it is root, or the peer is its user. */
int fsd_peer_actable(const struct fsd_peer *p, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
/* {"uid","gid","groups"} as a worker's task wants it; NULL: no memory. */
struct orch_json *fsd_peer_to_json(const struct fsd_peer *p) ORCH_NONNULL(1) ORCH_WUR;

/* Runs fn in a child process that has the peer's ids and nothing else, and hands back what fn
 * returned (0 or -errno) and up to out_cap bytes that it wrote to out. Waits at most 10 s. */
int fsd_peer_run(const struct fsd_peer *p, int (*fn)(void *arg, char *out, size_t out_cap),
    void *arg, char *out, size_t out_cap, struct orch_err *err) ORCH_NONNULL(1, 2, 4) ORCH_WUR;

#endif
