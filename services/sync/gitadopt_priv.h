/* What the files about taking over share; nobody else includes it. */
#ifndef ORCH_SYNC_GITADOPT_PRIV_H
#define ORCH_SYNC_GITADOPT_PRIV_H

#include <fcntl.h>
#include "core/strv.h"
#include "sync/gitadopt.h"

#define SYNC_ADOPT_FOLDER (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

struct sync_adopt {
	struct sync_task *task;
	const struct sync_gitadopt_spec *spec;
	struct sync_gitrun run;
	struct orch_strv env;
	int mirror_fd;
	struct orch_strv order; /* new packs, "pack-<id>", each after those that it builds on */
	struct sync_gitadopted made;
};

/* gitpacks.c */

/* Opens in the quarantine; no component is a link: the folder was the fetching user's. */
int sync_adopt_open(
    const struct sync_adopt *a, const char *path, int flags, struct orch_err *err) ORCH_WUR;
/* The names in a folder. */
int sync_adopt_list(int dirfd, struct orch_strv *out, struct orch_err *err) ORCH_WUR;
/* Removes what a killed one left in the folder `path` of the mirror; absent: nothing. */
int sync_adopt_sweep(struct sync_adopt *a, const char *path, struct orch_err *err) ORCH_WUR;
/* Each pack of the quarantine that neither the mirror nor `steps` has is written anew where env says; with
 * strict, all that its objects name is there. */
int sync_adopt_packs(struct sync_adopt *a, bool strict, struct orch_err *err) ORCH_WUR;
/* Whether all that the objects of the packs in the folder `path` name is there. */
int sync_adopt_check(struct sync_adopt *a, const char *path, struct orch_err *err) ORCH_WUR;
/* The same of one pack there. */
int sync_adopt_check_pack(
    struct sync_adopt *a, const char *path, const char *name, struct orch_err *err) ORCH_WUR;
/* Moves packs from the folder `path` into repo.git: those of `order` in that order, or (NULL) all. Durable. */
int sync_adopt_move(struct sync_adopt *a, const char *path, const struct orch_strv *order,
    struct orch_err *err) ORCH_WUR;

/* gitadopt.c */
void sync_adopt_init(
    struct sync_adopt *a, struct sync_task *t, const struct sync_gitadopt_spec *spec);
/* Removes what is left of taking over, too. */
void sync_adopt_fini(struct sync_adopt *a);
/* What a killed one left, and a place for what comes. */
int sync_adopt_begin(struct sync_adopt *a, struct orch_err *err) ORCH_WUR;
/* Every ref of a list (a packed-refs file) names an object that is there, a branch a commit. */
int sync_adopt_check_refs(
    struct sync_adopt *a, const struct orch_buf *text, struct orch_err *err) ORCH_WUR;
/* The mirror's list of refs, as it will be. */
int sync_adopt_refs(struct sync_adopt *a, struct orch_buf *out, struct orch_err *err) ORCH_WUR;
/* The list of refs that was brought, as it is. */
int sync_adopt_brought(
    const struct sync_adopt *a, struct sync_gitrefs *out, struct orch_err *err) ORCH_WUR;
int sync_adopt_save(int mirror_fd, const char *folder, const char *name,
    const struct orch_buf *text, struct orch_err *err) ORCH_WUR;

/* gitsteps.c: a first fetch in steps. */

/* What was checked goes into place, where a killed one was at it. */
int sync_adopt_finish_steps(struct sync_adopt *a, struct orch_err *err) ORCH_WUR;
/* Whether the quarantine is a part of a history (1) or steps were begun and it is the last of them (2); 0: neither. */
int sync_adopt_is_step(struct sync_adopt *a, struct orch_err *err) ORCH_WUR;
int sync_adopt_step(struct sync_adopt *a, bool last, struct orch_err *err) ORCH_WUR;

#endif
