/*
 * Open files behind nodes: objects of the store (read-only) and private files of layers' spools. Each
 * is opened once, whatever number of handles use it, and registered with the kernel once where data
 * bypasses this process (the kernel demands one backing file for all opens of a node). Unused ones
 * stay open for a while; the number of descriptors is bounded.
 *
 * Threads: any. A lock of its own that is never held across opening, closing or registering.
 */
#ifndef ORCH_FSD_MOUNT_CONTENT_H
#define ORCH_FSD_MOUNT_CONTENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "core/err.h"
#include "core/hash.h"

struct mnt_contents;

struct mnt_content_key {
	uint64_t layer, id;	   /* of a private file; layer 0: an object */
	struct orch_digest digest; /* of an object; zeros: the empty file */
};

/* What the file of an object was when its content was checked, or published. */
struct mnt_content_look {
	dev_t dev;
	ino_t ino;
	off_t size;
	int64_t mtime_ns, ctime_ns;
	bool known;
};

struct mnt_content {
	struct mnt_content_key key; /* a seal changes it: read under the lock of the namespace */
	bool is_private;	    /* not an object; never changes */
	int fd;			    /* O_RDWR for private files */
	int backing; /* the kernel's number for it; 0: not registered, read and written by us */
	uint32_t refs;
	struct mnt_content_look look;
	bool stale; /* its file was touched or replaced: only who has it already uses it */
	bool gone;  /* closed with the last reference: its file was removed, or its layer left */
	struct mnt_content *chain;	   /* of the table */
	struct mnt_content *older, *newer; /* of the list of idle ones */
};

/* How a file is registered with the kernel; set when passthrough was agreed on. */
struct mnt_backing_ops {
	int (*open)(void *priv, int fd); /* > 0: the number; <= 0: not possible */
	void (*close)(void *priv, int backing);
	void *priv;
};

/* objects_fd is borrowed. files_max: descriptors that it may keep open. */
int mnt_contents_new(int objects_fd, size_t files_max, struct mnt_contents **out)
    ORCH_NONNULL(3) ORCH_WUR;
void mnt_contents_free(struct mnt_contents *cc);
/* Before the first get. */
void mnt_contents_set_backing(struct mnt_contents *cc, const struct mnt_backing_ops *ops)
    ORCH_NONNULL(1, 2);
bool mnt_contents_passthrough(const struct mnt_contents *cc) ORCH_NONNULL(1);

/* False when opening it would have to read the whole object first (somebody touched its file), so
 * that it does not belong on a request thread. */
bool mnt_contents_is_quick(
    struct mnt_contents *cc, const struct mnt_content_key *key, uint64_t size) ORCH_NONNULL(1, 2);
/* The open file, with a reference. spool_fd: folder of a private file; size: of an object, as its
 * entry says. An object whose file was touched since it was checked is opened and checked anew. -ENOENT, ORCH_ECORRUPT, -ENFILE, -errno; err names the file. */
int mnt_contents_get(struct mnt_contents *cc, const struct mnt_content_key *key, int spool_fd,
    uint64_t size, struct mnt_content **out, struct orch_err *err) ORCH_NONNULL(1, 2, 5) ORCH_WUR;
/* Makes the private file `id` in spool_fd, empty. It must not exist. */
int mnt_contents_create(struct mnt_contents *cc, uint64_t layer, uint64_t id, int spool_fd,
    struct mnt_content **out, struct orch_err *err) ORCH_NONNULL(1, 5) ORCH_WUR;
/* Before c, which is in use, gets another user: ORCH_ECORRUPT or -errno when its object was damaged,
 * or replaced by another file (two files can't be behind one node). Costs a stat. */
int mnt_content_check(struct mnt_contents *cc, const struct mnt_content *c, struct orch_err *err)
    ORCH_NONNULL(1, 2, 3) ORCH_WUR;
/* True once an object was found damaged or replaced: pages that the kernel has may be wrong. */
bool mnt_contents_damage_seen(struct mnt_contents *cc) ORCH_NONNULL(1);
void mnt_content_ref(struct mnt_contents *cc, struct mnt_content *c) ORCH_NONNULL(1, 2);
void mnt_content_put(struct mnt_contents *cc, struct mnt_content *c) ORCH_NONNULL(1);
/* The file has another place now (its layer was sealed); same descriptor, same registration. */
void mnt_content_rekey(struct mnt_contents *cc, struct mnt_content *c, uint64_t layer, uint64_t id)
    ORCH_NONNULL(1, 2);
/* Closes it when nobody uses it any more: its file is about to be removed, or to be sealed. */
void mnt_contents_drop(struct mnt_contents *cc, const struct mnt_content_key *key)
    ORCH_NONNULL(1, 2);
/* The same of all of a layer. */
void mnt_contents_drop_layer(struct mnt_contents *cc, uint64_t layer) ORCH_NONNULL(1);
size_t mnt_contents_count(struct mnt_contents *cc) ORCH_NONNULL(1);

void mnt_spool_name(uint64_t id, char out[24]) ORCH_NONNULL(2);

#endif
