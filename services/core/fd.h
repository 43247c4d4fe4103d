/*
 * Descriptors: full reads and writes, durable replacement of a file, copies that share extents
 * where the file system can, descriptors sent over Unix sockets. All descriptors are O_CLOEXEC.
 */
#ifndef ORCH_CORE_FD_H
#define ORCH_CORE_FD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include "core/buf.h"
#include "core/err.h"

/* Closes when >= 0 and keeps errno. */
void orch_fd_close(int fd);
void orch_auto_fd(int *fd);

/* Whole transfers; retry EINTR and short counts. 0 or -errno; read: -ENODATA when EOF comes first. */
int orch_fd_write_all(int fd, const void *p, size_t n) ORCH_WUR;
int orch_fd_pwrite_all(int fd, const void *p, size_t n, off_t at) ORCH_WUR;
int orch_fd_read_all(int fd, void *p, size_t n) ORCH_WUR;
int orch_fd_pread_all(int fd, void *p, size_t n, off_t at) ORCH_WUR;

/* Appends the rest of fd to buf (bounded by buf->max). */
int orch_fd_slurp(int fd, struct orch_buf *buf) ORCH_NONNULL(2) ORCH_WUR;
/* Opens relative to dirfd (AT_FDCWD allowed) and slurps. */
int orch_file_load(int dirfd, const char *name, struct orch_buf *buf, struct orch_err *err)
    ORCH_NONNULL(2, 3) ORCH_WUR;

/* Temporary name beside `name`, write, fsync, rename over it, fsync the folder. `name` has no '/'
 * unless dirfd is AT_FDCWD. On failure the old file is as it was and the temporary one is gone. */
int orch_file_save(int dirfd, const char *name, const void *p, size_t n, mode_t mode,
    struct orch_err *err) ORCH_NONNULL(2) ORCH_WUR;

/* Asks btrfs to overwrite in place what is allocated (other file systems do so anyhow): on a full disk
 * there is no other place. Of an empty file only. */
void orch_fd_in_place(int fd);

int orch_fd_sync(int fd) ORCH_WUR;			       /* fsync; fault-injectable */
int orch_fd_sync_parent(int dirfd, const char *path) ORCH_WUR; /* fsync of path's folder */
int orch_rename(int fromdir, const char *from, int todir, const char *to,
    unsigned flags) ORCH_WUR; /* renameat2; fault-injectable */

enum orch_copy_how { ORCH_COPY_REFLINKED, ORCH_COPY_COPIED };
/* Makes `to` (empty, writable) hold what `from` holds: FICLONE, else copy that keeps holes.
 * *out_how may be NULL. Checks `cancel` (may be NULL; any thread may set it) between blocks: -ECANCELED. */
int orch_fd_clone_or_copy(int from, int to, const atomic_bool *cancel, enum orch_copy_how *out_how,
    struct orch_err *err) ORCH_WUR;

/* The same; between blocks it asks, on this thread, whether to go on. */
typedef bool orch_go_on_fn(void *arg);
int orch_fd_clone_or_copy_while(int from, int to, orch_go_on_fn *go_on, void *arg,
    struct orch_err *err) ORCH_NONNULL(3) ORCH_WUR;

/* mkdir -p below dirfd, each new folder with mode. */
int orch_mkdirs(int dirfd, const char *path, mode_t mode, struct orch_err *err)
    ORCH_NONNULL(2) ORCH_WUR;
/* rm -rf below dirfd without following links and without crossing file systems; -ENOENT is success.
 * Restores write permission on folders that lack it. */
int orch_remove_tree(int dirfd, const char *name, struct orch_err *err) ORCH_NONNULL(2) ORCH_WUR;

/* A read-only mapping of a whole file, guarded (core/guard.h). addr is NULL for an empty one. */
struct orch_guard;
struct orch_map {
	const uint8_t *addr;
	size_t len;
	struct orch_guard *guard;
};
int orch_map_open(int dirfd, const char *name, struct orch_map *out, struct orch_err *err)
    ORCH_NONNULL(2, 3) ORCH_WUR;
int orch_map_fd(int fd, struct orch_map *out) ORCH_NONNULL(2) ORCH_WUR;
void orch_map_close(struct orch_map *m) ORCH_NONNULL(1);
/* Some page of it could not be read any more and has become zeros. */
bool orch_map_broken(const struct orch_map *m) ORCH_NONNULL(1);

#define ORCH_SOCK_FDS_MAX 8
/* One message (SOCK_SEQPACKET) with up to ORCH_SOCK_FDS_MAX descriptors; deadline_ns is an absolute
 * orch_clock_ns (0: do not wait, UINT64_MAX: no deadline). -ETIMEDOUT, -EPIPE, -errno. */
int orch_sock_send(int sock, const void *p, size_t n, const int *fds, size_t fd_count,
    uint64_t deadline_ns) ORCH_WUR;
/* Receives one message of at most cap bytes; fds (ORCH_SOCK_FDS_MAX slots) become the caller's.
 * Returns the length; 0: the peer has gone; -EMSGSIZE: longer than cap (dropped). */
ssize_t orch_sock_recv(
    int sock, void *p, size_t cap, int *fds, size_t *out_fd_count, uint64_t deadline_ns) ORCH_WUR;
/* Listening / connected Unix sockets; path shorter than 108 bytes or -ENAMETOOLONG with a message.
 * type is SOCK_STREAM or SOCK_SEQPACKET. listen replaces a stale socket file. connect waits until
 * deadline_ns (0: not at all) when the queue of a listener that accepts nobody is full: -ETIMEDOUT. */
int orch_sock_listen(const char *path, int type, mode_t mode, struct orch_err *err)
    ORCH_NONNULL(1) ORCH_WUR;
int orch_sock_connect(const char *path, int type, uint64_t deadline_ns, struct orch_err *err)
    ORCH_NONNULL(1) ORCH_WUR;

#endif
