/*
 * The keeper's end of the messages to a mount process (format/msg.h). A connection is made for one
 * operation and closed after it, so nothing of it outlives a keeper or a mount process. Every call
 * has a deadline. Used by one thread.
 */
#ifndef FSD_KEEPER_MOUNT_CLIENT_H
#define FSD_KEEPER_MOUNT_CLIENT_H

#include <sys/types.h>
#include "core/json.h"
#include "format/msg.h"

struct fsd_mount_hello { /* what a mount process says it is */
	char workspace[104];
	uint64_t layer; /* on top */
	uint64_t seq;
	struct orch_digest snapshot; /* base of its chain */
	pid_t pid;
	char *mountpoint; /* malloc'd; NULL: not told */
};
void fsd_mount_hello_fini(struct fsd_mount_hello *h) ORCH_NONNULL(1);
/* Pure: what an answer to HELLO says. EPROTO names what is missing; _fini in either case. */
int fsd_mount_hello_parse(const struct fmt_msg *m, struct fsd_mount_hello *h, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;
/* Pure: what an answer with a negative status says. -errno. */
int fsd_mount_answer_error(const struct fmt_msg *m, struct orch_err *err) ORCH_NONNULL(1);

struct fsd_mount_client;

/* Connects and says hello. -ENOENT, -ECONNREFUSED: no process serves that socket. */
int fsd_mount_client_open(const char *socket_path, uint64_t deadline_ns,
    struct fsd_mount_client **out, struct orch_err *err) ORCH_NONNULL(1, 3) ORCH_WUR;
void fsd_mount_client_close(struct fsd_mount_client *c);
const struct fsd_mount_hello *fsd_mount_client_hello(const struct fsd_mount_client *c)
    ORCH_NONNULL(1);

struct fsd_seal {
	uint64_t
	    sealed; /* the layer that is immutable now; 0: the base, nothing was changed since */
	uint64_t layer; /* the one that is written from now on */
	uint64_t seq;	/* of the seal */
	uint64_t next_ino;
	uint64_t layers; /* in the chain, the one that is written included; 0: not told */
	struct orch_json *last_write_seen; /* list of paths; never NULL after success */
	uint64_t last_write_seen_more;	   /* how many others there are */
	bool paused;	    /* all jobs that were to stand still did, at the instant */
	uint64_t paused_ns; /* how long they did */
};
void fsd_seal_fini(struct fsd_seal *s) ORCH_NONNULL(1);
/* "last_write_seen" (which is taken out of *s), "last_write_seen_more", "paused", "paused_us" of an answer. */
int fsd_seal_tell(struct fsd_seal *s, struct orch_json *answer) ORCH_NONNULL(1, 2) ORCH_WUR;
/* Pure: what an answer to SEAL says, but for `layer`. *out is written only on success. */
int fsd_seal_parse(const struct fmt_msg *m, struct fsd_seal *out, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;

int fsd_mount_status(struct fsd_mount_client *c, uint64_t deadline_ns, struct orch_json **out,
    struct orch_err *err) ORCH_NONNULL(1, 3) ORCH_WUR;
struct fsd_mount_seal {
	uint64_t next_layer; /* number of the layer that is to be written then */
	const int
	    *groups; /* of jobs that are to stand still, at most ORCH_SOCK_FDS_MAX; borrowed */
	size_t group_count;
	uint64_t pause_ms; /* for at most so long */
	bool share;	   /* when nothing was changed since the last seal, that one's layer does */
};
/* However it ends: nobody stands still because of it any more. */
int fsd_mount_seal(struct fsd_mount_client *c, const struct fsd_mount_seal *ask,
    uint64_t deadline_ns, struct fsd_seal *out, struct orch_err *err)
    ORCH_NONNULL(1, 2, 4) ORCH_WUR;
int fsd_mount_rebase(struct fsd_mount_client *c, const struct orch_digest *snapshot,
    uint64_t up_to_layer, uint64_t deadline_ns, struct orch_err *err) ORCH_NONNULL(1, 2) ORCH_WUR;
/* The chain becomes short: layers above `keep` (0: all) are not used any more. */
int fsd_mount_flatten(struct fsd_mount_client *c, uint64_t keep, uint64_t deadline_ns,
    struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
/* Writes one JSON line for each change to fd. *out_seq: up to which the answer is complete. */
int fsd_mount_changes(struct fsd_mount_client *c, uint64_t since, int fd, uint64_t deadline_ns,
    uint64_t *out_seq, struct orch_err *err) ORCH_NONNULL(1, 5) ORCH_WUR;
/* -EBUSY when it is in use and lazy is false. The process ends when the mount is gone. *out_yours: it has
 * looked who uses it elsewhere, but has not the right to unmount; the caller does that now. */
int fsd_mount_umount(struct fsd_mount_client *c, bool lazy, uint64_t deadline_ns, bool *out_yours,
    struct orch_err *err) ORCH_NONNULL(1, 4) ORCH_WUR;

#endif
