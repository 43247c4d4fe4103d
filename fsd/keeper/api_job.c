/* Jobs in the control API: who runs one in a workspace says in which control groups it is. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "api.h"
#include "core/fd.h"
#include "core/freezer.h"
#include "core/path.h"
#include "daemon.h"
#include "jobs.h"
#include "pause.h"
#include "ws_change.h"

/* "pid", or the client itself. */
static int find_leader(struct fsd_request *r, struct fsd_job *job, struct orch_err *err)
{
	const struct orch_json *given = orch_json_get(r->body, "pid");
	int64_t pid = r->peer.pid;
	int rc;

	if (given && !orch_json_is_null(given) && !orch_json_int(given, &pid))
		return orch_err_set(err, EINVAL, "'pid' is not a number");
	if (pid < 1 || pid > INT32_MAX)
		return orch_err_set(err, EINVAL, "'pid' is no process that is seen here");
	rc = orch_proc_id_get((int32_t)pid, &job->leader);
	if (rc == -ESRCH || rc == -ENOENT)
		return orch_err_set(err, EINVAL, "'pid': there is no process %d", (int)pid);
	if (rc == 0)
		rc = fsd_job_may_signal(r->peer.uid, (pid_t)pid);
	if (rc == 0)
		rc = orch_boot_id(job->boot);
	return rc < 0 ? orch_err_sys(err, -rc, "process %d", (int)pid) : 0;
}

/* The keeper, mount processes, and who asks. */
struct never {
	pid_t *v;
	size_t count;
};

static int check_group(const struct fsd_request *r, const struct fsd_job *job, const char *path,
    const struct never *never, struct orch_err *err)
{
	orch_auto(fd) int group = orch_freezer_open(path, err);
	int rc;

	if (group < 0)
		return group;
	rc = fsd_job_check(job, group, never->v, never->count, err);
	if (rc == 0 && r->peer.pid > 0)
		rc = fsd_job_check(job, group, &r->peer.pid, 1, err);
	return rc;
}

/* Those that can be frozen; one at least. Anything else that is wrong with one is refused. */
static int find_groups(
    struct fsd_request *r, const struct never *never, struct fsd_job *job, struct orch_err *err)
{
	const struct orch_json *list = orch_json_get(r->body, "cgroup");

	if (orch_json_len(list) == 0 || orch_json_len(list) > FSD_JOB_GROUPS_MAX)
		return orch_err_set(
		    err, EINVAL, "'cgroup' is a list of 1 to %d folders", FSD_JOB_GROUPS_MAX);
	for (size_t i = 0; i < orch_json_len(list); i++) {
		const char *path = orch_json_str(orch_json_at(list, i));
		int rc;

		if (!path || strlen(path) >= FSD_JOB_PATH_BYTES)
			return orch_err_set(err, EINVAL, "'cgroup': a path is too long");
		rc = check_group(r, job, path, never, err);
		if (rc < 0 && rc != -ENOTSUP)
			return rc;
		if (rc == 0)
			memcpy(job->groups[job->group_count++], path, strlen(path) + 1);
	}
	if (job->group_count == 0)
		return orch_err_set(err, ENOTSUP, "none of the control groups can be frozen");
	return 0;
}

static int set_names(struct fsd_request *r, struct fsd_job *job, struct orch_err *err)
{
	if (!orch_workspace_name_valid(r->params[1]))
		return orch_err_set(err, EINVAL,
		    "'%.200s' can't be the name of a job (1 to 100 of A-Z a-z 0-9 . _ -, not "
		    "beginning with . or -)",
		    r->params[1]);
	memcpy(job->workspace, r->params[0], strlen(r->params[0]) + 1);
	memcpy(job->id, r->params[1], strlen(r->params[1]) + 1);
	job->uid = r->peer.uid;
	return 0;
}

int fsd_api_job_put(struct fsd_request *r, struct orch_json **out, struct orch_err *err)
{
	struct fsd_job job = {.group_count = 0};
	struct never never = {.v = NULL};
	struct fsd_ws *ws;
	int rc = fsd_ws_hold(r, r->params[0], &ws, err);

	(void)out;
	if (rc < 0)
		return rc;
	rc = set_names(r, &job, err);
	if (rc == 0)
		rc = find_leader(r, &job, err);
	if (rc == 0 && fsd_pause_never(r->daemon, &never.v, &never.count) < 0)
		rc = orch_err_set(err, ENOMEM, "no memory");
	if (rc == 0)
		rc = find_groups(r, &never, &job, err);
	free(never.v);
	if (rc == 0)
		rc = fsd_jobs_add(r->daemon->jobs, &job, err);
	fsd_registry_unhold(r->daemon->registry, ws);
	return rc;
}

int fsd_api_job_delete(struct fsd_request *r, struct orch_json **out, struct orch_err *err)
{
	struct fsd_ws *ws;
	int rc = fsd_ws_hold(r, r->params[0], &ws, err);

	(void)out;
	if (rc < 0)
		return rc;
	rc = fsd_jobs_remove(r->daemon->jobs, r->params[0], r->params[1], err);
	fsd_registry_unhold(r->daemon->registry, ws);
	return rc;
}
