/*
 * A copy of all refs as text, the file `refs` in the store's top folder: what a ref points to can't be
 * found anywhere else when the database is lost. The database is right; each change of it is appended
 * to the copy, and the copy is written anew when the store is opened and differs. The bytes are in
 * docs/format.md.
 */
#ifndef ORCH_CACHE_REF_COPY_H
#define ORCH_CACHE_REF_COPY_H

#include <stdbool.h>
#include "cache/ref.h"

/* What the copy is for may never stand in the way of the store: failures are logged. The caller has
 * change_lock, or is the only one yet. */
void cas_ref_copy_begin(struct cas_store *s) ORCH_NONNULL(1);
/* After a commit that set this ref; id null: that removed it. */
void cas_ref_copy_note(struct cas_store *s, const struct cas_ref *ref) ORCH_NONNULL(1, 2);

/* The last line of each ref, in no order; a null id: it was removed. A non-zero return of fn ends it
 * and is returned. *out_bad: lines that can't be believed. -ENOENT: there is no copy. */
int cas_ref_copy_read(struct cas_store *s, cas_ref_fn *fn, void *priv, unsigned *out_bad,
    struct orch_err *err) ORCH_NONNULL(1, 2, 4) ORCH_WUR;
/* One of them. -ENOENT: it is not in there, or was removed. */
int cas_ref_copy_get(struct cas_store *s, const char *name, struct cas_ref *out)
    ORCH_NONNULL(1, 2, 3) ORCH_WUR;

#endif
