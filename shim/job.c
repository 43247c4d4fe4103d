/* Jobs of a workspace. See job.h. */
#include "shim/job.h"

#include <unistd.h>
#include "shim/api.h"
#include "shim/say.h"

#define CALL_MS 5000 /* the command waits for it */
#define END_MS	1000 /* nobody needs the answer */

static struct orch_json *make_body(const char *const *folders, size_t count)
{
	struct orch_json *body = orch_json_object(), *list = orch_json_array();

	for (size_t i = 0; list && i < count; i++)
		(void)orch_json_push_str(list, folders[i]);
	if (body && list && orch_json_set_int(body, "pid", getpid()) == 0 &&
	    orch_json_set_json(body, "cgroup", &list) == 0)
		return body;
	orch_json_free(list);
	orch_json_free(body);
	return NULL;
}

int shim_job_begin(struct shim_job *job, const char *const *folders, size_t count)
{
	orch_auto(json) struct orch_json *body = make_body(folders, count);
	struct orch_err err = ORCH_ERR_INIT;
	struct shim_call call = {.method = "PUT",
	    .path = "/v1/workspaces/%/jobs/%",
	    .parts = {job->workspace, job->name},
	    .body = body,
	    .timeout_ms = CALL_MS};
	int r = body ? shim_call(job->cli, &call, NULL, &err) : orch_err_sys(&err, ENOMEM, "job");

	job->known = r == 0;
	if (r < 0)
		shim_say(SHIM_SAY_DETAIL, "a fork of the workspace won't pause this: %s", err.msg);
	return 0;
}

void shim_job_end(struct shim_job *job)
{
	struct orch_err ignored = ORCH_ERR_INIT;
	struct shim_call call = {.method = "DELETE",
	    .path = "/v1/workspaces/%/jobs/%",
	    .parts = {job->workspace, job->name},
	    .timeout_ms = END_MS,
	    .ignore_cancel = true};

	if (job->known && shim_call(job->cli, &call, NULL, &ignored) < 0)
		shim_disconnect(job->cli); /* it sees for itself that this process has gone */
	job->known = false;
}
