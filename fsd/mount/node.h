/*
 * The nodes that the kernel knows: lookup counts, opens, the names by which each was looked up, and
 * two tables to find one by FUSE's node id and by inode number. It knows neither layers nor trees
 * nor FUSE. A node id is not an inode number: a file that was copied up while others had it open
 * gets a new node under the same number (docs/architecture.md).
 *
 * Threads: none of its own; every call is made with the name space's lock held.
 */
#ifndef ORCH_FSD_MOUNT_NODE_H
#define ORCH_FSD_MOUNT_NODE_H

#include "format/layer.h"
#include "format/stamps.h"
#include "format/tree.h"

#define MNT_ROOT_ID UINT64_C(1)

struct mnt_content;
struct mnt_copy;
struct mnt_kept;
struct mnt_node;

/* One name by which the kernel knows a node; keeps the parent in memory. */
struct mnt_name {
	struct mnt_name *next;
	struct mnt_node *parent;
	size_t len;
	char name[]; /* NUL-terminated */
};

/* What is known of a folder beside its state; made when it is first needed. */
struct mnt_dir {
	bool loaded; /* tree and stamps are valid (or the folder has no base: has_base false) */
	bool has_base;
	struct fmt_tree tree;
	struct fmt_stamps stamps;
	uint64_t hits;	 /* orch_guard_hits when they were found: with more they are found again */
	int64_t subdirs; /* folders in it; -1: not counted yet */
};

struct mnt_node {
	uint64_t id;
	uint64_t lookups;
	uint32_t children; /* names that have this node as parent */
	uint32_t pins;	   /* work in progress that needs it */
	uint32_t opens;	   /* handles */
	uint32_t writers;  /* handles that may write */
	bool superseded;   /* another node has its names now; it serves the old handles only */
	bool refused;	   /* superseded: somebody who opened it was told to look again */
	bool bypass;	   /* its handles are in passthrough (all of them or none) */
	bool moved;	   /* a seal is giving the sealed layer a copy of its private file */
	bool shared;	   /* its private file has another name, in a sealed layer */
	bool was_written;  /* opened for writing since the last seal: a mapping may still write */
	bool outlived;	   /* a descriptor or mapping of an earlier mount process may write it */
	uint32_t write_opens; /* how often, and how often it was truncated by its name */
	struct fmt_node own;  /* its state while no layer records it; strings borrowed from packs */
	void *own_memory;     /* what own borrows from when it is superseded; freed with the node */
	struct mnt_dir dir;
	struct mnt_node *
	    successor; /* of a superseded one, pinned: the file is known as long as somebody has this */
	struct mnt_content *content; /* while opens > 0 */
	struct mnt_copy *copy;	     /* a copy-up in progress */
	struct mnt_name *names;
	uint32_t listings;     /* folders: how many listings have begun and not ended; or more */
	uint64_t listed_ns;    /* the last time that somebody went on with one */
	struct mnt_kept *kept; /* names for those that began before a commit (listing.h) */
	union {
		uint64_t told_ns;   /* folders: when the kernel was last told the attributes */
		uint64_t last_note; /* superseded files: the number of the note on the last name */
	};
	int64_t told_mtime_ns; /* what the kernel was last told, private files only */
	uint64_t told_size;
	struct mnt_node *next_id, *next_ino; /* chains of the tables */
};

struct mnt_nodes {
	struct mnt_node **by_id, **by_ino;
	size_t buckets; /* power of two, of both tables */
	size_t count;
	uint64_t next_id;
};

int mnt_nodes_init(struct mnt_nodes *t) ORCH_NONNULL(1) ORCH_WUR;
void mnt_nodes_fini(struct mnt_nodes *t) ORCH_NONNULL(1);

struct mnt_node *mnt_nodes_by_id(const struct mnt_nodes *t, uint64_t id) ORCH_NONNULL(1);
/* The current node of that number: never a superseded one. */
struct mnt_node *mnt_nodes_by_ino(const struct mnt_nodes *t, uint64_t ino) ORCH_NONNULL(1);
/* A node with nothing but its number, in both tables; the first one made has MNT_ROOT_ID.
 * NULL: no memory. */
struct mnt_node *mnt_nodes_add(struct mnt_nodes *t, uint64_t ino) ORCH_NONNULL(1) ORCH_WUR;
/* Takes it out of the table of numbers; its id stays good. */
void mnt_nodes_supersede(struct mnt_nodes *t, struct mnt_node *n) ORCH_NONNULL(1, 2);
/* Nothing may refer to it any more. */
void mnt_nodes_remove(struct mnt_nodes *t, struct mnt_node *n) ORCH_NONNULL(1, 2);
bool mnt_node_idle(const struct mnt_node *n) ORCH_NONNULL(1);

/* Each node, any order: *bucket is 0 and prev NULL at the start; NULL at the end. Nothing may be
 * added or removed meanwhile. */
struct mnt_node *mnt_nodes_next(const struct mnt_nodes *t, size_t *bucket, struct mnt_node *prev)
    ORCH_NONNULL(1, 2);

/* Adds the name unless it is there. -ENOMEM. */
int mnt_node_name_add(struct mnt_node *n, struct mnt_node *parent, const char *name, size_t len)
    ORCH_NONNULL(1, 2, 3) ORCH_WUR;
/* Forgets it, if it is there. */
void mnt_node_name_remove(struct mnt_node *n, struct mnt_node *parent, const char *name, size_t len)
    ORCH_NONNULL(1, 2, 3);
/* Takes the first name off; its parent, which has one child less, or NULL when there is none. */
struct mnt_node *mnt_node_name_pop(struct mnt_node *n) ORCH_NONNULL(1);

#endif
