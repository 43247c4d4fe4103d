/*
 * A store opened by its one keeper: FORMAT, LOCK, folders, database. Everything else of this room
 * works on a struct cas_store. Thread-safe once it is open; a worker process has no store, it has
 * a quarantine (quarantine.h) and a view of packs and objects (services/view).
 */
#ifndef ORCH_CACHE_STORE_H
#define ORCH_CACHE_STORE_H

#include <stdint.h>
#include "core/err.h"
#include "view/packset.h"

#define CAS_FORMAT_VERSION 1
#define CAS_STORE_ID_HEX   32

struct cas_store;
struct cas_reserve;

#define CAS_STORE_CREATE 1u /* make it when the folder is absent or empty */

/*
 * path: a folder on a local file system, owned by the caller's user, writable by nobody else (or
 * absent, with CAS_STORE_CREATE). What an earlier keeper left in tmp/ is removed; of a publish that
 * was cut off, what had been moved into place is recorded.
 * -EBUSY: another keeper has it, err names its pid. ORCH_EFORMAT: FORMAT is of another version, or
 * the folder holds something else. ORCH_ECORRUPT: FORMAT or the database is damaged.
 * -EROFS, -EACCES, -EOPNOTSUPP (network file system) say what is wrong with the folder.
 */
int cas_store_open(const char *path, unsigned flags, struct cas_store **out, struct orch_err *err)
    ORCH_NONNULL(1, 3) ORCH_WUR;
/* No other call may run. Gives up the lock. NULL is allowed. */
void cas_store_close(struct cas_store *s);

const char *cas_store_path(const struct cas_store *s) ORCH_NONNULL(1); /* absolute, borrowed */
const char *cas_store_id(const struct cas_store *s) ORCH_NONNULL(1);   /* 32 hex digits */
/* The secret key of the fingerprints (XXH3). Goes to workers, never to logs or users. */
uint64_t cas_store_seed(const struct cas_store *s) ORCH_NONNULL(1);

/* Folders of the store, borrowed, O_CLOEXEC. */
int cas_store_root_fd(const struct cas_store *s) ORCH_NONNULL(1);
int cas_store_objects_fd(const struct cas_store *s) ORCH_NONNULL(1);
int cas_store_packs_fd(const struct cas_store *s) ORCH_NONNULL(1);
int cas_store_layers_fd(const struct cas_store *s) ORCH_NONNULL(1);
int cas_store_scan_fd(const struct cas_store *s) ORCH_NONNULL(1);
int cas_store_tmp_fd(const struct cas_store *s) ORCH_NONNULL(1);

/* What is kept for a full disk (reserve.h); lives as long as the store. */
struct cas_reserve *cas_store_reserve(const struct cas_store *s) ORCH_NONNULL(1);
/* The keeper's view of the packs; lives as long as the store. */
struct view_packset *cas_store_packset(const struct cas_store *s) ORCH_NONNULL(1);

#endif
