/*
 * Makes one folder's tree and stamps out of its entries and adds both to the quarantine. A maker is
 * used for one folder after the other by one thread; a folder's children are made before it.
 */
#ifndef ORCH_SYNC_MAKER_H
#define ORCH_SYNC_MAKER_H

#include "cache/quarantine.h"
#include "format/snapshot.h"
#include "format/stamps.h"
#include "format/tree.h"

struct sync_maker;

struct sync_made { /* what a folder's own entry and stamp need */
	struct orch_digest tree, stamps;
	uint64_t size;	/* bytes of all files below */
	uint64_t count; /* entries below */
};

int sync_maker_new(struct cas_quarantine *q, struct sync_maker **out, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;
void sync_maker_free(struct sync_maker *m);

/* Copies the entry; any order. The stamp of a folder holds its children's stamps. */
int sync_maker_add(struct sync_maker *m, const struct fmt_entry *e, const struct fmt_stamp *s,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;
/* Ends the folder; the maker is empty again, also on failure. */
int sync_maker_end(struct sync_maker *m, struct sync_made *out, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;
/* Adds the snapshot record and tells its id. */
int sync_maker_snapshot(struct sync_maker *m, const struct fmt_snapshot *s,
    struct orch_digest *out_id, struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;

#endif
