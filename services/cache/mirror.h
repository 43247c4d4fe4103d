/*
 * The folders of mirrors, git/<key>/: one a Git repository. This room knows the layout and the lock;
 * what is in repo.git is services/sync's (gitadopt.h). Thread-safe.
 *
 *   git/<key>/url        which repository, one line, no secret
 *   git/<key>/repo.git   bare, complete (whatever an object names is there, too), with our own config
 *   git/<key>/incoming   objects that are being taken over; nobody reads it
 *   git/<key>/steps      of a first fetch that goes in steps: what came so far, not complete: packs in
 *                        objects/pack, packed-refs and shallow as git has them; the file checked, when
 *                        all of it is complete and on its way into repo.git: what packed-refs will be
 *   git/<key>/memo       what its objects became in this store (memo.h)
 */
#ifndef ORCH_CACHE_MIRROR_H
#define ORCH_CACHE_MIRROR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>
#include "cache/store.h"
#include "core/hash.h"

#define CAS_MIRROR_FOLDER   "git" /* of the store: one folder a repository */
#define CAS_MIRROR_REPO	    "repo.git"
#define CAS_MIRROR_INCOMING "incoming"
#define CAS_MIRROR_STEPS    "steps"
#define CAS_MIRROR_CHECKED  "steps/checked"
#define CAS_MIRROR_MEMO	    "memo" /* memo.h */
/* A list of refs is not longer (sync/gitrev.h has the same figure). */
#define CAS_MIRROR_REFS_BYTES ((size_t)256 << 20)

/* Opens git/<key>, made when it is not there. url goes into the file of that name; -ORCH_ECORRUPT when
 * another one is there. *out_fd: the folder, the caller's. */
int cas_mirror_open(struct cas_store *s, const struct orch_digest *key, const char *url,
    int *out_fd, struct orch_err *err) ORCH_NONNULL(1, 2, 3, 4) ORCH_WUR;

struct cas_mirror {
	struct orch_digest key;
	const char *url;	    /* "": the file is missing; valid during the call */
	uint64_t packs, pack_bytes; /* what came in steps counts, too */
};
/* A non-zero return of fn ends it and is returned. What has no name of a mirror is passed over. */
int cas_mirror_each(struct cas_store *s, int (*fn)(void *priv, const struct cas_mirror *m),
    void *priv, struct orch_err *err) ORCH_NONNULL(1, 2) ORCH_WUR;
/* Opens one that is there. -ENOENT. *out_fd: its folder, the caller's. */
int cas_mirror_get(struct cas_store *s, const struct orch_digest *key, int *out_fd,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;
/* The next open makes it anew, empty. -ENOENT: there is none. Waits for the lock. Who still reads it may miss
 * a file. */
int cas_mirror_remove(struct cas_store *s, const struct orch_digest *key, const atomic_bool *cancel,
    uint64_t timeout_ms, struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;

/* The same folder once more, with the lock of its one writer. It lasts as long as anybody has this
 * open file: a worker and what it has started, too. Waits until *cancel; -ETIMEDOUT after timeout_ms. */
int cas_mirror_lock(int mirror_fd, const atomic_bool *cancel, uint64_t timeout_ms, int *out_fd,
    struct orch_err *err) ORCH_NONNULL(2, 4) ORCH_WUR;

/* Whether what came in steps was checked and is to be put into place before anybody looks. */
bool cas_mirror_unfinished(int mirror_fd);
/* Forgets what came in steps; absent: success. The caller has the lock. */
int cas_mirror_drop_steps(int mirror_fd, struct orch_err *err) ORCH_WUR;

/*
 * Makes repo.git in the quarantine, which is new and empty, for somebody to fetch into: it knows the
 * mirror's refs (of a first fetch in steps: what came so far) and has its packs as hard links, which
 * belong to us. Everything else in it belongs to uid:gid.
 */
int cas_mirror_seed(
    int mirror_fd, int quarantine_fd, uid_t uid, gid_t gid, struct orch_err *err) ORCH_WUR;

#endif
