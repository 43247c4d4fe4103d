/* The control socket: where it may lie, whom it belongs to, that only one daemon has it. */
#ifndef FSD_KEEPER_LISTEN_H
#define FSD_KEEPER_LISTEN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "core/err.h"

struct fsd_listen_spec {
	const char *path;  /* absolute */
	const char *group; /* "" : none */
};

/* Whether a socket may be made there, and the sockets of mounts below it; no side effects.
 * -ENAMETOOLONG, -EBUSY: somebody answers there, -EACCES: the folder is another user's. */
int fsd_listen_check(const struct fsd_listen_spec *s, struct orch_err *err)
    ORCH_NONNULL(1) ORCH_WUR;
/* Makes the folder and the socket, mode 0660, listening. *out_fd is the caller's. */
int fsd_listen_open(const struct fsd_listen_spec *s, int *out_fd, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;
/* Which file a socket has; *out all zero: none. Somebody may have removed it, or put his own there. */
struct fsd_listen_file {
	uint64_t dev, ino;
};
void fsd_listen_look(const char *path, struct fsd_listen_file *out) ORCH_NONNULL(1, 2);
bool fsd_listen_is(const char *path, const struct fsd_listen_file *f) ORCH_NONNULL(1, 2);
/* Only that one. */
void fsd_listen_remove(const char *path, const struct fsd_listen_file *f) ORCH_NONNULL(1, 2);
/* LISTEN_PID and LISTEN_FDS, NULL: not set. True: one socket was handed over to the process self. */
bool fsd_listen_env_parse(const char *pid, const char *fds, pid_t self) ORCH_WUR;
/* A listening socket on s->path that was handed over: by systemd (LISTEN_FDS) or by this program
 * when it replaced itself. 1: *out_fd is the caller's, *out_ours tells whether the file is ours to
 * remove; 0: none was; -EINVAL: one for another path. Takes the variables out of the environment;
 * before any thread. */
int fsd_listen_inherit(const struct fsd_listen_spec *s, int *out_fd, bool *out_ours,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;
/* Makes fd the socket that _inherit finds after exec. -errno */
int fsd_listen_bequeath(int fd) ORCH_WUR;

/* The folder of the socket, malloc'd; NULL: no memory. */
char *fsd_listen_folder(const char *path) ORCH_NONNULL(1) ORCH_WUR;

#endif
