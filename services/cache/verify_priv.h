/* What the files of verify share. */
#ifndef ORCH_CACHE_VERIFY_PRIV_H
#define ORCH_CACHE_VERIFY_PRIV_H

#include <stdatomic.h>
#include "cache/store_priv.h"
#include "cache/verify.h"

struct verify {
	struct cas_store *s;
	const struct cas_verify_spec *spec;
	uint64_t total; /* bytes of objects, for progress */

	pthread_mutex_t lock; /* everything below, and the calls of on_bad and on_progress */
	struct cas_verified done;
	bool lost; /* something that others may name was bad */
	struct orch_digest
	    *away; /* objects that were told and moved away: their records are not told */
	size_t away_count;
	uint64_t progress_at; /* clock of the last on_progress */
	struct orch_err why;  /* of a part that could not go on */
	atomic_int stop;      /* 0 or -errno: a callback's answer, -ECANCELED, or a failure */
};

/* Tells one bad thing; name and error are formatted by the caller. Returns v->stop. */
int verify_bad(
    struct verify *v, enum cas_bad_kind kind, const char *name, const char *error, bool repaired);
/* One more thing checked. Returns v->stop. */
int verify_done(struct verify *v, uint64_t bytes);
/* The run can't go on (memory, a folder that can't be read): r becomes its result. */
int verify_fail(struct verify *v, int r);
/* Moves dirfd/name out of the store's way, to quarantine/<as>. */
int verify_move_away(
    struct verify *v, int dirfd, const char *name, const char *as, struct orch_err *err);

/* Notes that the object was moved away; without memory it is told as missing, too. */
void verify_note_away(struct verify *v, const struct orch_digest *d);
bool verify_is_away(struct verify *v, const struct orch_digest *d);

int verify_packs(struct verify *v, struct orch_err *err);     /* verify_pack.c */
int verify_objects(struct verify *v, struct orch_err *err);   /* verify_object.c */
int verify_counters(struct verify *v, struct orch_err *err);  /* verify_object.c */
int verify_snapshots(struct verify *v, struct orch_err *err); /* verify_snapshot.c */
int verify_database(struct verify *v, struct orch_err *err);  /* verify_names.c */
int verify_refs(struct verify *v, struct orch_err *err);      /* verify_names.c */
int verify_layers(struct verify *v, struct orch_err *err);    /* verify_layer.c */

/* verify_mend.c: true when it is mended. */
/* A record of the database that can't be believed: made again from what it was made of, or removed
 * where it says nothing that could be used. */
bool verify_mend_record(struct verify *v, const struct cas_db_item *item);
/* The record of a snapshot whose identity lies in a pack; how it came about is lost. */
bool verify_rebuild_snapshot(struct verify *v, const struct orch_digest *id);

#endif
