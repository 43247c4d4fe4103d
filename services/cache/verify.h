/*
 * Reads everything that the store holds and tells each thing that is not as it was written. With
 * repair, mends what can be mended without another copy: mtime and mode of good objects, object
 * records; wrong files are moved to <store>/quarantine/, so that they are never served. Runs beside
 * everything else.
 */
#ifndef ORCH_CACHE_VERIFY_H
#define ORCH_CACHE_VERIFY_H

#include <stdatomic.h>
#include <stdbool.h>
#include "cache/store.h"
#include "core/json.h"

enum cas_bad_kind {
	CAS_BAD_FORMAT, /* FORMAT */
	CAS_BAD_PACK,	/* packs/<n> as a whole */
	CAS_BAD_RECORD, /* one record of a pack */
	CAS_BAD_OBJECT,
	CAS_BAD_SNAPSHOT, /* its record, or something below it is missing */
	CAS_BAD_REF,
	CAS_BAD_DATABASE, /* a record of the database */
	CAS_BAD_LAYER,
	CAS_BAD_SCAN,
	CAS_BAD_MEMO,  /* a table of a Git memo */
	CAS_BAD_STRAY, /* something in the store's folders that is not the store's */
};
const char *cas_bad_kind_name(enum cas_bad_kind k); /* "object", ... */

struct cas_bad { /* borrowed for the time of the call */
	enum cas_bad_kind kind;
	const char *name;  /* digest, ref, "packs/12", ... */
	const char *error; /* a sentence */
	bool repaired;
};

/* What the owner of a record says of it. */
struct cas_record_state {
	enum cas_bad_kind kind;
	char error[512]; /* in: why the record can't be read, when it can't */
	bool repaired;
};

struct cas_verify_spec {
	bool repair;
	unsigned threads;	   /* 0: one for each CPU */
	const atomic_bool *cancel; /* NULL: never */
	/* Both are called one at a time, from any thread; a negative return ends the run. */
	int (*on_bad)(void *priv, const struct cas_bad *bad);
	/* Looks at one record of the keeper, whose meaning the store does not know; value NULL: it can't
	 * be read. 0: it is good; 1: *out says what is wrong. NULL: records need only be JSON. */
	int (*on_record)(void *priv, const char *ns, const char *key, const struct orch_json *value,
	    struct cas_record_state *out);
	int (*on_progress)(void *priv, uint64_t checked, uint64_t bytes, uint64_t total); /* NULL */
	void *priv;
};
struct cas_verified {
	uint64_t checked; /* objects, pack records, database records, snapshots, refs, layers */
	uint64_t bytes;	  /* read */
	uint64_t bad, repaired;
};
/* 0 also when bad things were found: look at out->bad. */
int cas_verify(struct cas_store *s, const struct cas_verify_spec *spec, struct cas_verified *out,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;

#endif
