/*
 * The worker's side of publishing: a folder of its own (tmp/<id>) in which it collects the objects
 * and records that the store does not have yet. No database, no lock of the store, no right to
 * anything but that folder. The keeper adopts the finished folder (publish.h).
 * Thread-safe: several hashing threads add at once. _open, _finish and _free by one thread alone.
 */
#ifndef ORCH_CACHE_QUARANTINE_H
#define ORCH_CACHE_QUARANTINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include "cache/manifest.h"
#include <sys/stat.h>
#include "view/packset.h"

struct cas_quarantine;

struct cas_quarantine_spec {
	int dirfd;		      /* tmp/<id>, writable; borrowed, must outlive */
	int objects_fd;		      /* <store>/objects; borrowed */
	struct view_packset *packset; /* what the store has; borrowed */
	uint64_t seed;		      /* cas_store_seed */
	const atomic_bool *cancel;    /* NULL: never; any thread may set it: -ECANCELED */
};

/* The folder must be empty. */
int cas_quarantine_open(const struct cas_quarantine_spec *spec, struct cas_quarantine **out,
    struct orch_err *err) ORCH_NONNULL(1, 2) ORCH_WUR;
/* Closes and forgets; deletes nothing (the keeper removes the folder). */
void cas_quarantine_free(struct cas_quarantine *q);

struct cas_added {
	struct cas_object object;
	struct stat st; /* of the source, of the moment whose bytes were taken (_add_fd only) */
	bool is_new;	/* neither the store nor this quarantine had it */
};

/*
 * Takes the bytes of fd (a regular file, open for reading; its offset is not used) as an object.
 * Reflink where source and store share such a file system, else one pass that copies and hashes;
 * holes stay holes. When size, mtime or ctime moved meanwhile it is read again, CAS_ADD_TRIES times
 * in all; then -EAGAIN with name in err. name is for messages only.
 */
#define CAS_ADD_TRIES 4
int cas_quarantine_add_fd(struct cas_quarantine *q, int fd, const char *name, struct cas_added *out,
    struct orch_err *err) ORCH_NONNULL(1, 3, 4) ORCH_WUR;
int cas_quarantine_add_bytes(struct cas_quarantine *q, const void *p, size_t n,
    struct cas_added *out, struct orch_err *err) ORCH_NONNULL(1, 4) ORCH_WUR;

/* Adds a tree, stamps or snapshot record, named by the SHA-256 of its bytes, unless the store or
 * the quarantine has it. Its bytes are checked by the keeper, not here. */
int cas_quarantine_add_record(struct cas_quarantine *q, enum fmt_pack_kind kind, const void *p,
    size_t n, struct orch_digest *out_digest, struct orch_err *err) ORCH_NONNULL(1, 5) ORCH_WUR;

/* The new scan index of the source folder; publishing moves it to scan/<key>. */
int cas_quarantine_save_scan(struct cas_quarantine *q, const void *p, size_t n,
    struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;

/* What was learned of a Git repository (format/memo.h); publishing moves it to the repository's memo. */
int cas_quarantine_save_memo(struct cas_quarantine *q, const void *p, size_t n,
    struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;

struct cas_quarantine_stats {
	uint64_t objects, object_bytes; /* new ones */
	uint64_t records, record_bytes; /* new ones */
	uint64_t hashed_bytes;		/* read and hashed, new or not */
	uint64_t reflinked_bytes;
};
void cas_quarantine_stats(struct cas_quarantine *q, struct cas_quarantine_stats *out)
    ORCH_NONNULL(1, 2);

/* Seals the pack and writes the manifest; nothing may be added afterwards. Syncs nothing (the
 * keeper does). Any earlier failure of an _add that could have left a hole is returned again. */
int cas_quarantine_finish(struct cas_quarantine *q, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;

#endif
