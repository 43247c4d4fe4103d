/*
 * What the files of the name space share; nobody else includes it. Every function here is called
 * with ns->lock held unless its comment says otherwise.
 */
#ifndef ORCH_FSD_MOUNT_NS_PRIV_H
#define ORCH_FSD_MOUNT_NS_PRIV_H

#include <pthread.h>
#include "core/clock.h"
#include "core/log.h"
#include "fsd/mount/chain.h"
#include "fsd/mount/node.h"
#include "fsd/mount/ns.h"
#include "fsd/mount/remover.h"

struct mnt_ns {
	pthread_mutex_t lock; /* all below, but the configuration */
	struct mnt_ns_config config;
	struct mnt_chain chain;
	struct mnt_nodes nodes;
	struct mnt_node *root;
	struct orch_buf frame; /* the transaction in progress */
	size_t frame_at;
	bool unsound;		       /* it would record bytes of a damaged pack */
	bool removal;		       /* it frees space: a full disk must not prevent it */
	uint64_t first_spool;	       /* lower numbers are of earlier mounts; never changes */
	uint64_t next_ino, next_spool; /* the reserved ends are chain.head's */
	uint64_t reported_seq; /* somebody may have seen the state as of it (changes, seal) */
	uint32_t layout;       /* how often the strata were put together in another way */
	uint32_t listed;       /* folders somebody may be in the middle of listing; or more */
	size_t handles;
	struct mnt_handle
	    *open; /* the handles; an unmount may leave some that the kernel never released */
	struct mnt_doomed *doomed; /* handed to the remover by mnt_ns_unlock */
	size_t doomed_count, doomed_cap;
	struct mnt_remover *remover; /* NULL: read-only */
	pthread_mutex_t spool_sync;  /* one sync of the spool folder at a time; taken before lock */
	bool spool_dirty;	     /* files were made in it since */
	pthread_mutex_t outlived_search;  /* outlived.c; taken before lock */
	bool outlived_known;		  /* under outlived_search: who was left at the start */
	struct mnt_log *previous;	  /* of a layer that was just sealed, until it is durable */
	uint64_t no_checkpoint_before_ns; /* one failed: */
	int checkpoint_error;		  /* so; 0 or -errno */
	bool
	    broken; /* memory ran out between log and state, or the log was lost: no more changes */
};

struct mnt_handle {
	struct mnt_handle *next, **prev; /* of ns->open, once it is open */
	struct mnt_node *node;
	int flags;
	bool writer;
	int backing;
};

/* Takes the lock; unlocking also hands over the files that lost their last user. */
void mnt_ns_lock(struct mnt_ns *ns) ORCH_NONNULL(1);
void mnt_ns_unlock(struct mnt_ns *ns) ORCH_NONNULL(1);
/* There is no space: without the lock, waits for what is being removed. False: nothing was. */
bool mnt_ns_reclaim(struct mnt_ns *ns) ORCH_NONNULL(1);

/* Before anything is served: what a power cut took of the top layer's private files is empty
 * (recover.c). */
int mnt_ns_recover(struct mnt_ns *ns, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
/* mnt_chain_spool_give, without the lock held. */
void mnt_ns_spool_give(struct mnt_ns *ns) ORCH_NONNULL(1);

/* ---- nodes and their state (ns.c) */

/* The node, or NULL and *out_r = -ESTALE. */
struct mnt_node *mnt_ns_node(struct mnt_ns *ns, uint64_t id) ORCH_NONNULL(1);
/* The node that changes go to: the one that took a superseded node's names over. May be NULL. */
struct mnt_node *mnt_ns_current(struct mnt_ns *ns, struct mnt_node *n) ORCH_NONNULL(1, 2);
const struct fmt_node *mnt_ns_state(const struct mnt_ns *ns, const struct mnt_node *n)
    ORCH_NONNULL(1, 2);
/* The private file is removed when the lock is given up: nothing names it any more. */
void mnt_ns_doom(struct mnt_ns *ns, const struct fmt_node *state) ORCH_NONNULL(1, 2);
/* Frees it, and parents that were kept for it, when nothing needs them any more. */
void mnt_ns_settle(struct mnt_ns *ns, struct mnt_node *n) ORCH_NONNULL(1);
uint32_t mnt_ns_id_in(uint32_t id, uint32_t owner);
int mnt_ns_new_ino(struct mnt_ns *ns, uint64_t *out) ORCH_NONNULL(1, 2) ORCH_WUR;
int mnt_ns_new_spool(struct mnt_ns *ns, uint64_t *out) ORCH_NONNULL(1, 2) ORCH_WUR;
/* False: what its state borrows from a pack (attributes, target) may have become zeros, because
 * somebody cut the pack: it was read and is not to be believed. Call it behind the reading. */
bool mnt_ns_sound(struct mnt_ns *ns, const struct fmt_node *n) ORCH_NONNULL(1, 2);
/* 0, -EROFS, -EIO. */
int mnt_ns_may_change(struct mnt_ns *ns) ORCH_NONNULL(1) ORCH_WUR;

/* ---- folders (dir.c) */

struct mnt_found { /* what a name is */
	uint64_t ino;
	enum fmt_type type;
	bool from_base;
	struct fmt_entry entry; /* when from_base */
	struct fmt_stamp stamp;
};
int mnt_dir_load(struct mnt_ns *ns, struct mnt_node *dir) ORCH_NONNULL(1, 2) ORCH_WUR;
/* -ENOENT, -ENOTDIR, -EIO. */
int mnt_dir_find(struct mnt_ns *ns, struct mnt_node *dir, const char *name, size_t len,
    struct mnt_found *out) ORCH_NONNULL(1, 2, 3, 5) ORCH_WUR;
/* Does the base or a stratum below the top one have the name (so that removing it needs a whiteout)? */
bool mnt_dir_below_has(struct mnt_ns *ns, struct mnt_node *dir, const char *name, size_t len)
    ORCH_NONNULL(1, 2, 3);
/* The node behind a name; made when the kernel does not know it yet. */
int mnt_dir_node(struct mnt_ns *ns, struct mnt_node *dir, const char *name, size_t len,
    const struct mnt_found *found, struct mnt_node **out) ORCH_NONNULL(1, 2, 3, 5, 6) ORCH_WUR;
/* find and node. */
int mnt_dir_lookup(struct mnt_ns *ns, struct mnt_node *dir, const char *name, size_t len,
    struct mnt_node **out) ORCH_NONNULL(1, 2, 3, 5) ORCH_WUR;
/* Calls fn for each name of the folder until it returns false; base first, then each stratum's own
 * names. A name is where the lowest of these has it, so that nothing is met twice and an offset
 * stays right when a base entry is recorded. cursor: 0.. in the base, (k + 1) << MNT_CURSOR_STRATUM |
 * place in stratum k (dir.c); `next` is the place behind the name. It means something else when strata
 * were put together in another way: see mnt_ns_keep_listings. */
#define MNT_CURSOR_STRATUM 40
typedef bool mnt_walk_fn(
    void *arg, const char *name, size_t len, const struct mnt_found *found, uint64_t next);
int mnt_dir_walk(struct mnt_ns *ns, struct mnt_node *dir, uint64_t cursor, mnt_walk_fn *fn,
    void *arg) ORCH_NONNULL(1, 2, 4) ORCH_WUR;
bool mnt_dir_empty(struct mnt_ns *ns, struct mnt_node *dir, int *out_r) ORCH_NONNULL(1, 2, 3);
/* Folders in it, -1 when too many entries would have to be read for it. */
int64_t mnt_dir_subdirs(struct mnt_ns *ns, struct mnt_node *dir) ORCH_NONNULL(1, 2);
/* After the commit of a change of its entries. */
void mnt_dir_changed(struct mnt_ns *ns, struct mnt_node *dir) ORCH_NONNULL(1, 2);
void mnt_dir_subdirs_add(struct mnt_node *dir, int64_t delta) ORCH_NONNULL(1);
/* The entry of the base; -ENOENT, -EIO. */
int mnt_dir_base_find(struct mnt_ns *ns, struct mnt_node *dir, const char *name, size_t len,
    struct mnt_found *out) ORCH_NONNULL(1, 2, 3, 5) ORCH_WUR;
/* The path of a node from the root, without a leading '/': as one of its names says. -ENOENT: it
 * has none. */
int mnt_node_path(struct mnt_ns *ns, const struct mnt_node *n, struct orch_buf *out)
    ORCH_NONNULL(1, 2, 3) ORCH_WUR;
/* A base entry as a node's state. */
void mnt_state_from_base(const struct fmt_entry *e, const struct fmt_stamp *s, struct fmt_node *out)
    ORCH_NONNULL(1, 2, 3);

/* ---- listings (listing.c) */

/* Strata are about to be put together in another way, or to go: who is in the middle of listing a folder
 * goes on where he is. */
void mnt_ns_keep_listings(struct mnt_ns *ns) ORCH_NONNULL(1);

/* ---- strata (tidy.c) */

/* Without the lock, by the control thread. Layers [0, layers) and those above are in different strata
 * afterwards; *out: the first stratum of those above. */
int mnt_ns_border(struct mnt_ns *ns, size_t layers, size_t *out, struct orch_err *err)
    ORCH_NONNULL(1, 3) ORCH_WUR;

/* ---- attributes (attr.c) */

int mnt_attr_fill(struct mnt_ns *ns, struct mnt_node *n, struct stat *out)
    ORCH_NONNULL(1, 2, 3) ORCH_WUR;
/* stat of a private file that n's state names. */
int mnt_attr_spool_stat(struct mnt_ns *ns, const struct mnt_node *n, const struct fmt_node *state,
    struct stat *out) ORCH_NONNULL(1, 2, 3, 4) ORCH_WUR;

/* ---- transactions (txn.c) */

void mnt_txn_begin(struct mnt_ns *ns) ORCH_NONNULL(1);
/* The number that the transaction in progress will have. */
uint64_t mnt_txn_seq(const struct mnt_ns *ns) ORCH_NONNULL(1);
void mnt_txn_node(struct mnt_ns *ns, const struct fmt_node *n) ORCH_NONNULL(1, 2);
void mnt_txn_link(struct mnt_ns *ns, uint64_t parent, const char *name, size_t len, uint64_t ino,
    enum fmt_type type) ORCH_NONNULL(1, 3);
/* The name is gone: a whiteout if something below has it, else nothing at all. */
void mnt_txn_unlink(struct mnt_ns *ns, struct mnt_node *dir, const char *name, size_t len)
    ORCH_NONNULL(1, 2, 3);
void mnt_txn_gone(struct mnt_ns *ns, uint64_t ino) ORCH_NONNULL(1);
/* What is being put together frees space; it may use what the log keeps for a full disk. */
void mnt_txn_removes(struct mnt_ns *ns) ORCH_NONNULL(1);
/* Records the node and its ancestors as they are, where the top layer has not recorded them. Call
 * it for every node that the transaction changes, before the changed states are added. */
void mnt_txn_pin(struct mnt_ns *ns, struct mnt_node *n) ORCH_NONNULL(1, 2);
/* The folder's mtime and ctime become now; it must be pinned. */
void mnt_txn_touch(struct mnt_ns *ns, struct mnt_node *dir, int64_t now_ns) ORCH_NONNULL(1, 2);
/* Looks whether somebody cut or removed the log's segment under us, and then writes the layer's state
 * into a new one: nothing that was answered is lost. -EIO: that failed; nothing can be changed any more. */
int mnt_txn_look(struct mnt_ns *ns) ORCH_NONNULL(1) ORCH_WUR;
/* Appends to the log, then applies. Failure: nothing happened (but see mnt_ns.broken). */
int mnt_txn_commit(struct mnt_ns *ns) ORCH_NONNULL(1) ORCH_WUR;
/* Without the lock: the names of private files are durable. Blocks. */
int mnt_ns_sync_spool(struct mnt_ns *ns) ORCH_NONNULL(1) ORCH_WUR;
/* Without the lock: all that was committed is durable, in a layer that was just sealed too. Blocks. */
int mnt_ns_sync_log(struct mnt_ns *ns) ORCH_NONNULL(1) ORCH_WUR;
/* The top layer's last record. */
void mnt_txn_sealed(struct mnt_ns *ns, uint64_t successor) ORCH_NONNULL(1);
/* Writes o, the top layer's whole state, as one segment that replaces the others. */
int mnt_txn_checkpoint(struct mnt_ns *ns, const struct fmt_overlay *o,
    const struct fmt_layer_head *head) ORCH_NONNULL(1, 2, 3) ORCH_WUR;

/* ---- writers that outlived an earlier mount process (outlived.c) */

/* Without the lock: private files that such a one may write have a node with `outlived` from now on. The
 * first call looks, at one file after the other. -ENOMEM: not known yet. */
int mnt_outlived_find(struct mnt_ns *ns) ORCH_NONNULL(1) ORCH_WUR;
/* He is gone. The node may go with this. */
void mnt_outlived_clear(struct mnt_ns *ns, struct mnt_node *n) ORCH_NONNULL(1, 2);

/* ---- contents (file.c, copyup.c) */

struct mnt_handle *mnt_handle_new(int flags, bool writer) ORCH_WUR; /* no lock needed */
void mnt_handle_free(struct mnt_handle *h); /* out of the list, if it is in it */
/* It counts from now on. */
void mnt_handle_add(struct mnt_ns *ns, struct mnt_handle *h) ORCH_NONNULL(1, 2);
bool mnt_state_is_private(const struct mnt_ns *ns, const struct fmt_node *state) ORCH_NONNULL(1, 2);
struct mnt_content_key mnt_state_key(const struct fmt_node *state) ORCH_NONNULL(1);
/* The node's state with private content `id` of the top layer; for mnt_txn_node. */
void mnt_state_set_spool(
    const struct mnt_ns *ns, struct fmt_node *state, uint64_t id, uint64_t size) ORCH_NONNULL(1, 2);
/* Takes the lock itself: the node's content with a reference. */
int mnt_file_content(struct mnt_ns *ns, struct mnt_node *n, struct mnt_content **out)
    ORCH_NONNULL(1, 2, 3) ORCH_WUR;
/* Makes an empty private file of the top layer. Called without the lock; check that the top layer
 * is still content->key.layer afterwards. */
int mnt_file_new_spool(struct mnt_ns *ns, struct mnt_content **out) ORCH_NONNULL(1, 2) ORCH_WUR;
/* Without the lock: it is not used after all. */
void mnt_file_discard(struct mnt_ns *ns, struct mnt_content *c) ORCH_NONNULL(1, 2);
/* Has the node's private file c a name more than it needs? Then a sealed layer has the same inode, and
 * the file is copied up before its bytes or times are changed. Takes the lock. */
bool mnt_file_is_shared(struct mnt_ns *ns, const struct mnt_node *n, const struct mnt_content *c)
    ORCH_NONNULL(1, 2, 3);
/* Without the lock: can somebody write the private file in that spool folder (an open descriptor, or a
 * mapping without one)? This process must not have it open for anybody. */
bool mnt_file_is_written(struct mnt_ns *ns, const struct mnt_content_key *key, int spool)
    ORCH_NONNULL(1, 2);
/* Gives the node the empty private content that a truncation wants. Takes the lock. 0, -ESTALE,
 * MNT_AGAIN. */
int mnt_file_make_empty(struct mnt_ns *ns, uint64_t id) ORCH_NONNULL(1) ORCH_WUR;
/* Commits that the node's content is c (private, of the top layer). -ESTALE: done, but others have
 * the old content open in passthrough, so the names belong to a new node now. */
int mnt_file_install(struct mnt_ns *ns, struct mnt_node *n, struct mnt_content *c, uint64_t size)
    ORCH_NONNULL(1, 2, 3) ORCH_WUR;

#endif
