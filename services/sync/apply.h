/*
 * Three-way application: what changed from `base` to `incoming` is done to `mine`, path by path,
 * and the result is a new snapshot. Costs what changed: equal subtrees are skipped by digest.
 * docs/sync.md has the table of cases. Reads packs only, no object.
 */
#ifndef ORCH_SYNC_APPLY_H
#define ORCH_SYNC_APPLY_H

#include "cache/quarantine.h"
#include "sync/task.h"

enum sync_conflict_how {
	SYNC_CONFLICT_FAIL,    /* list them all, make nothing */
	SYNC_CONFLICT_KEEP,    /* mine stays */
	SYNC_CONFLICT_REPLACE, /* incoming wins */
	/* Incoming wins, also where only mine changed: what incoming has becomes as it has it. */
	SYNC_CONFLICT_SOURCE,
};

struct sync_conflict { /* borrowed for the time of the call */
	const char *path;
	enum fmt_type base, incoming, mine; /* 0: absent */
};

struct sync_apply_spec {
	struct view_packset *packs;
	struct cas_quarantine *quarantine;
	const struct orch_digest *base, *incoming, *mine; /* snapshots */
	enum sync_conflict_how how;
	const char *source; /* identity of the result; NULL: that of incoming */
	size_t source_len;
	int64_t wall_ns; /* the time of the sync; raised above every mtime in mine */
	/* Called for each conflict, in the order of paths. May be NULL. */
	void (*on_conflict)(void *priv, const struct sync_conflict *c);
	void *priv;
};

struct sync_applied {
	struct orch_digest snapshot;
	uint64_t files, bytes; /* entries and bytes of the result */
	uint64_t changed;      /* paths that were added, replaced or removed in mine */
	uint64_t reset;	       /* others that only mine had changed, put back by _SOURCE */
	uint64_t conflicts;
};

/* ORCH_ECONFLICT: conflicts and SYNC_CONFLICT_FAIL; out->conflicts is set, nothing was made. */
int sync_apply(struct sync_task *t, const struct sync_apply_spec *spec, struct sync_applied *out,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;

#endif
