/*
 * Taking over what a fetch brought: from a quarantine, whose content is hostile, into the mirror. Runs
 * under the daemon's ids with the mirror's lock held (cas_mirror_lock), so there is one at a time.
 *
 * What holds before and after: whatever an object of the mirror names is in the mirror, too. Each pack
 * is written anew by `git index-pack --strict`, which checks the hash, the form and the links of every
 * object of it, into a folder aside; only when all of them are good they are moved. So a commit that
 * is there is complete, whatever else the server sent.
 *
 * Killed anywhere, the mirror is as it was, or has sound packs that no ref names yet.
 */
#ifndef ORCH_SYNC_GITADOPT_H
#define ORCH_SYNC_GITADOPT_H

#include <stdbool.h>
#include <stdint.h>
#include "core/err.h"
#include "sync/gitfind.h"
#include "sync/gitrev.h"
#include "sync/task.h"

struct sync_gitadopt_spec {
	int mirror_fd; /* its folder, locked */
	int quarantine_fd; /* what sync_gitfetch left; -1: nothing, only what a killed one left is ended */
	struct sync_gitrefs_scope scope;
	bool part; /* it may be a part of a history: kept in `steps` until all of it is there */
};

struct sync_gitadopted {
	uint64_t packs, pack_bytes; /* that are new */
	uint64_t refs_changed;
	bool part; /* more is to come */
};

/* ORCH_ECORRUPT: what is in the quarantine is not sound or not complete; nothing was taken. */
int sync_gitadopt(struct sync_task *t, const struct sync_gitadopt_spec *spec,
    struct sync_gitadopted *out, struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;

struct sync_gitverified {
	uint64_t packs, pack_bytes, refs; /* looked at */
	uint64_t bad;
};
/* Looks whether what must hold of a mirror does: hash, form and links of every object of every pack, and
 * the objects of refs. on_bad: a pack's name or "packed-refs", and why. The mirror is locked. */
int sync_gitverify(struct sync_task *t, int mirror_fd,
    void (*on_bad)(void *priv, const char *name, const char *why), void *priv,
    struct sync_gitverified *out, struct orch_err *err) ORCH_NONNULL(1, 3, 5) ORCH_WUR;

#endif
