/*
 * What runs in a workspace and may be made to stand still: a job is named by who runs it, and known
 * by its leader (whose end is the job's) and the folders of its control groups. Here: the value and
 * its JSON, and the look at what is really in its groups. The list of them is jobs.h.
 */
#ifndef FSD_KEEPER_JOB_H
#define FSD_KEEPER_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "core/clock.h"
#include "core/json.h"
#include "ws_record.h"

#define FSD_JOB_GROUPS_MAX 8
#define FSD_JOB_PATH_BYTES 512

struct fsd_job {
	char workspace[FSD_NAME_BYTES];
	char id[FSD_NAME_BYTES];
	uid_t uid; /* of who said so: what is in its groups must be that user's */
	struct orch_proc_id leader;
	char boot[37];
	size_t group_count;
	char groups[FSD_JOB_GROUPS_MAX][FSD_JOB_PATH_BYTES]; /* such as can be frozen */
};

/* What is stored, but for workspace and id; NULL: no memory. */
struct orch_json *fsd_job_format(const struct fsd_job *j) ORCH_NONNULL(1) ORCH_WUR;
/* key: "workspace/id". -ECORRUPT. */
int fsd_job_parse(const char *key, const struct orch_json *value, struct fsd_job *out,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;
/* "workspace/id". */
void fsd_job_key(const struct fsd_job *j, char out[2 * FSD_NAME_BYTES]) ORCH_NONNULL(1, 2);

/* Its leader lives, and the machine was not started again. */
bool fsd_job_lives(const struct fsd_job *j) ORCH_NONNULL(1);

/* Whether a user may signal a process: root every one, others theirs. -EPERM, -ESRCH: gone. */
int fsd_job_may_signal(uid_t uid, pid_t pid) ORCH_WUR;
/* -EPERM when a process in the open group may not be signalled by the job's user, or is one of `not_in`
 * (ascending): then that group is not frozen. */
int fsd_job_check(const struct fsd_job *j, int group, const pid_t *not_in, size_t not_in_count,
    struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;

#endif
