/* Starting orch-mount, and waiting for the end of one. */
#ifndef FSD_KEEPER_MOUNT_PROCESS_H
#define FSD_KEEPER_MOUNT_PROCESS_H

#include "cache/store.h"
#include "core/process.h"
#include "settings.h"
#include "ws_record.h"

/* "<run>/m/<8 digits of the store's id>-<layer>.sock". -ENAMETOOLONG */
int fsd_mount_socket_path(const struct cas_store *s, const char *run_dir, uint64_t layer, char *out,
    size_t cap) ORCH_NONNULL(1, 2, 4) ORCH_WUR;

/* "orch:<workspace>:<8 digits>-<layer>", as the socket is named: what /proc/mounts shows, so that a mount
 * is known wherever it lies. Of a record with its socket's path. */
#define FSD_MOUNT_SOURCE_BYTES 160
void fsd_mount_source(const struct fsd_ws_record *rec, char out[FSD_MOUNT_SOURCE_BYTES])
    ORCH_NONNULL(1, 2);

struct fsd_mount_start {
	struct cas_store *store;
	const struct fsd_settings *settings;
	const struct fsd_ws_record *ws; /* layer, path, control, flags */
	int place_fd;			/* the folder at ws->path; borrowed */
	bool after_reboot; /* the layer was last mounted before the machine was started */
	int cancel_fd;	   /* -1: none */
};
/* Returns when the process has said that the file system is mounted. It has a session of its own
 * and outlives the keeper. On failure the process is gone and nothing is mounted. */
int fsd_mount_process_start(const struct fsd_mount_start *m, struct orch_process **out,
    struct orch_err *err) ORCH_NONNULL(1, 2) ORCH_WUR;

/* Pure: its one line, "ready\n" or "error <errno-name> <message>\n"; changes it. */
int fsd_mount_ready_parse(char *line, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;

/* pidfd of another process if it is that one; -ESRCH: gone; -EINVAL: it names none. */
int fsd_pidfd_open(const struct orch_proc_id *id) ORCH_NONNULL(1) ORCH_WUR;
/* 1: ended, 0: not by the deadline. */
int fsd_pidfd_wait(int pidfd, uint64_t deadline_ns);

#endif
