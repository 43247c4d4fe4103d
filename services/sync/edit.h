/*
 * A snapshot that is being changed: folders are loaded from the packs where somebody looks at them,
 * and only changed ones are made anew; the others stay what their digests say. So a change costs
 * what it touches. One thread. Names, targets and xattrs are borrowed from the packs or the caller
 * and must outlive the edit.
 */
#ifndef ORCH_SYNC_EDIT_H
#define ORCH_SYNC_EDIT_H

#include "sync/inomap.h"
#include "sync/maker.h"
#include "view/packset.h"

struct sync_folder;

struct sync_node { /* one entry of a loaded folder */
	struct fmt_entry e;
	struct fmt_stamp s;
	struct sync_folder
	    *folder; /* of a DIR that is loaded; NULL: as the digests in e and s say */
	bool gone;
};

struct sync_folder {
	struct sync_node *nodes; /* the first `sorted` as loaded, by name; then added ones */
	uint32_t count, sorted, cap;
	bool dirty;		 /* an entry of this very folder changed */
	struct sync_folder *all; /* of the edit, for freeing */
};

struct sync_edit {
	struct view_packset *packs;
	struct sync_folder *all;
	struct sync_node root; /* type DIR; e.name is "" */
	uint64_t next_ino;
};

/* Begins with the snapshot as it is; *out_snap (borrowed bytes) may be NULL. */
int sync_edit_init(struct sync_edit *x, struct view_packset *packs, const struct orch_digest *id,
    struct fmt_snapshot *out_snap, struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;
void sync_edit_fini(struct sync_edit *x) ORCH_NONNULL(1);

/* The folder of a DIR node, loaded if it was not. NULL and err: it can't be. */
struct sync_folder *sync_edit_load(struct sync_edit *x, struct sync_node *n, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;
/* An empty, dirty folder for n. NULL: no memory. */
struct sync_folder *sync_edit_new_folder(struct sync_edit *x, struct sync_node *n)
    ORCH_NONNULL(1, 2) ORCH_WUR;
/* The entry of that name as it was loaded (it may be gone or changed by now), or NULL. */
struct sync_node *sync_folder_find(struct sync_folder *f, const char *name, size_t len)
    ORCH_NONNULL(1, 2);
/* Adds an entry; names must stay unique. The result is valid until the next _add. NULL: no memory. */
struct sync_node *sync_folder_add(struct sync_folder *f, const struct fmt_entry *e,
    const struct fmt_stamp *s) ORCH_NONNULL(1, 2, 3) ORCH_WUR;
void sync_folder_remove(struct sync_folder *f, struct sync_node *n) ORCH_NONNULL(1, 2);
/* Entries that are there. */
uint32_t sync_folder_count(const struct sync_folder *f) ORCH_NONNULL(1);

/*
 * Calls fn for every name (no folders) whose inode number is in `inos`. With `everywhere` also
 * where nothing is loaded: reads all stamps and loads the folders of what it finds. fn may change
 * the node and says 1 if it did, 0, or -errno.
 */
typedef int sync_link_fn(void *priv, struct sync_node *n);
int sync_edit_links(struct sync_edit *x, const struct sync_inomap *inos, bool everywhere,
    sync_link_fn *fn, void *priv, struct orch_err *err) ORCH_NONNULL(1, 2, 4) ORCH_WUR;

/* Makes the changed folders and the snapshot. snap: source and root_mtime_ns are taken from it; the
 * rest is filled in. */
int sync_edit_write(struct sync_edit *x, struct cas_quarantine *q, struct fmt_snapshot *snap,
    struct orch_digest *out_id, struct orch_err *err) ORCH_NONNULL(1, 2, 3, 4) ORCH_WUR;

#endif
