/*
 * The read-only view of a store that a mount process, an export and a commit need: packs mapped
 * from <store>/packs, and objects opened from <store>/objects. It includes neither the database
 * nor anything that writes. Thread-safe.
 */
#ifndef ORCH_VIEW_PACKSET_H
#define ORCH_VIEW_PACKSET_H

#include "format/pack.h"
#include "format/snapshot.h"
#include "format/stamps.h"
#include "format/tree.h"

struct view_packset;

/* dirfd of <store>/packs (borrowed, must outlive). Maps nothing yet. */
int view_packset_new(int packs_dirfd, struct view_packset **out, struct orch_err *err)
    ORCH_NONNULL(2) ORCH_WUR;
void view_packset_free(struct view_packset *s); /* every borrowed byte dies */

/* Finds a record in any pack, newest first; lists the folder again once when it is not found.
 * The bytes are borrowed and live until _free (packs that gc replaced stay mapped).
 * -ENOENT with the digest in err; ORCH_ECORRUPT names the pack. */
int view_packset_find(struct view_packset *s, enum fmt_pack_kind kind,
    const struct orch_digest *digest, const uint8_t **out_p, size_t *out_len, struct orch_err *err)
    ORCH_NONNULL(1, 3, 4, 5) ORCH_WUR;
int view_packset_tree(struct view_packset *s, const struct orch_digest *digest,
    struct fmt_tree *out, struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;
int view_packset_stamps(struct view_packset *s, const struct orch_digest *digest,
    struct fmt_stamps *out, struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;
int view_packset_snapshot(struct view_packset *s, const struct orch_digest *id,
    struct fmt_snapshot *out, struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;
/* False: p is borrowed from a pack of which some page has become zeros since it was mapped, so what
 * lies at p may not be what was found. A record is found again with its checksum. */
bool view_packset_sound(struct view_packset *s, const void *p) ORCH_NONNULL(1);
bool view_packset_has(struct view_packset *s, enum fmt_pack_kind kind,
    const struct orch_digest *digest) ORCH_NONNULL(1, 3);

#endif
