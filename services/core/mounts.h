/*
 * What is mounted where (/proc/self/mountinfo), and taking a mount away by who it is, not by its path
 * alone: an unprivileged user may move folders of his own, with mounts on them, and put a link or
 * another folder in their place. Nothing here asks a mounted file system anything: its process may be
 * dead or stuck.
 */
#ifndef ORCH_CORE_MOUNTS_H
#define ORCH_CORE_MOUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/err.h"

/* One line of mountinfo. */
struct orch_mount {
	uint64_t id; /* used again by the kernel after the unmount */
	unsigned major, minor;
	char type[64];	  /* "fuse.orch", ... */
	char source[160]; /* cut off if longer */
	char path[4096];  /* where it is now, seen from our root */
};

/* Pick one mount from the text of a mountinfo file: the topmost on exactly that path; the one with that
 * id; the last one of that type and source; the last one of that device, but not on a path that
 * ends with one of the paths `but_on`, or, for one that ends with a slash, lies in such a folder (a list
 * that NULL ends; NULL: on any); all of that type and source, at most cap, the topmost last. Pure. */
bool orch_mounts_pick(const char *text, size_t len, const char *path, struct orch_mount *out)
    ORCH_NONNULL(1, 3, 4);
bool orch_mounts_pick_id(const char *text, size_t len, uint64_t id, struct orch_mount *out)
    ORCH_NONNULL(1, 4);
bool orch_mounts_pick_source(const char *text, size_t len, const char *type, const char *source,
    struct orch_mount *out) ORCH_NONNULL(1, 3, 4, 5);
bool orch_mounts_pick_device(const char *text, size_t len, unsigned major, unsigned minor,
    const char *const *but_on, struct orch_mount *out) ORCH_NONNULL(1, 6);
size_t orch_mounts_list_source(const char *text, size_t len, const char *type, const char *source,
    struct orch_mount *out, size_t cap) ORCH_NONNULL(1, 3, 4, 5);

/* The same from what the kernel says now. 1: *out, 0: there is none, or -errno. */
int orch_mounts_find(const char *path, struct orch_mount *out, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;
int orch_mounts_find_id(uint64_t id, struct orch_mount *out, struct orch_err *err)
    ORCH_NONNULL(2) ORCH_WUR;
int orch_mounts_find_source(const char *type, const char *source, struct orch_mount *out,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;
/* How many there are, at most cap, or -errno. */
int orch_mounts_load_source(const char *type, const char *source, struct orch_mount *out,
    size_t cap, struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;

/* Id of the mount that an open descriptor (O_PATH too) lies on. -errno */
int orch_mount_id_of(int fd, uint64_t *out) ORCH_NONNULL(2) ORCH_WUR;

/* The root of that very mount (O_PATH, the caller's), reached without following a link. -ESTALE: it is not
 * there (any more, or it was moved: look again), -EPERM: we may not go there. */
int orch_mount_open(const struct orch_mount *m) ORCH_NONNULL(1) ORCH_WUR;
/* Takes away that very mount: its folder is reached without following a link, and what lies there is
 * compared with m->id first. lazy: MNT_DETACH. -EBUSY: in use (not with lazy), -ESTALE: it is not
 * there (any more, or it was moved: look again), -EPERM: an ordinary user's, for fusermount3. */
int orch_mount_detach(const struct orch_mount *m, bool lazy) ORCH_NONNULL(1) ORCH_WUR;
/* The same of the mount with that id, type and source, wherever it was moved to; 0 also when it is gone. */
int orch_mount_remove(uint64_t id, const char *type, const char *source, bool lazy,
    struct orch_err *err) ORCH_NONNULL(2, 3) ORCH_WUR;

#endif
