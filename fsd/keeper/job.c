/* One job: its record, and who is in its groups. See job.h. */
#include "job.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "core/buf.h"
#include "core/fd.h"
#include "core/freezer.h"
#include "core/path.h"

/* ---- the record ---- */

static int set_groups(struct orch_json *o, const struct fsd_job *j)
{
	struct orch_json *list = orch_json_array();
	int rc = list ? 0 : -ENOMEM;

	for (size_t i = 0; rc == 0 && i < j->group_count; i++)
		rc = orch_json_push_str(list, j->groups[i]);
	if (rc == 0)
		rc = orch_json_set_json(o, "groups", &list);
	orch_json_free(list);
	return rc;
}

struct orch_json *fsd_job_format(const struct fsd_job *j)
{
	struct orch_json *o = orch_json_object();
	int rc = o ? orch_json_set_int(o, "uid", j->uid) : -ENOMEM;

	if (rc == 0)
		rc = orch_json_set_int(o, "pid", j->leader.pid);
	if (rc == 0)
		rc = orch_json_set_u64(o, "start_ticks", j->leader.start_ticks);
	if (rc == 0)
		rc = orch_json_set_str(o, "boot", j->boot);
	if (rc == 0)
		rc = set_groups(o, j);
	if (rc == 0)
		return o;
	orch_json_free(o);
	return NULL;
}

static int damaged(const char *key, struct orch_err *err)
{
	return orch_err_set(err, ORCH_ECORRUPT, "the record of job '%s' is not one", key);
}

static int take_text(const char *text, size_t len, char *out, size_t cap)
{
	if (!text || len == 0 || len >= cap)
		return -EINVAL;
	memcpy(out, text, len);
	out[len] = '\0';
	return 0;
}

static int get_groups(const struct orch_json *value, struct fsd_job *j)
{
	const struct orch_json *list = orch_json_get(value, "groups");

	if (!list || !orch_json_is_array(list) || orch_json_len(list) > FSD_JOB_GROUPS_MAX)
		return -EINVAL;
	for (size_t i = 0; i < orch_json_len(list); i++) {
		const char *path = orch_json_str(orch_json_at(list, i));

		if (take_text(path, path ? strlen(path) : 0, j->groups[i], FSD_JOB_PATH_BYTES) < 0)
			return -EINVAL;
	}
	j->group_count = orch_json_len(list);
	return 0;
}

static int get_names(const char *key, struct fsd_job *j)
{
	const char *slash = strchr(key, '/');

	if (!slash || take_text(key, (size_t)(slash - key), j->workspace, FSD_NAME_BYTES) < 0 ||
	    take_text(slash + 1, strlen(slash + 1), j->id, FSD_NAME_BYTES) < 0)
		return -EINVAL;
	return orch_workspace_name_valid(j->workspace) && orch_workspace_name_valid(j->id)
		   ? 0
		   : -EINVAL;
}

int fsd_job_parse(
    const char *key, const struct orch_json *value, struct fsd_job *out, struct orch_err *err)
{
	struct fsd_job j = {.group_count = 0};
	const char *boot;
	int64_t uid, pid;

	if (get_names(key, &j) < 0 || get_groups(value, &j) < 0)
		return damaged(key, err);
	if (orch_json_get_int(value, "uid", &uid, err) < 0 ||
	    orch_json_get_int(value, "pid", &pid, err) < 0 ||
	    orch_json_get_u64(value, "start_ticks", &j.leader.start_ticks, err) < 0 ||
	    orch_json_get_str(value, "boot", &boot, err) < 0)
		return damaged(key, err);
	if (uid < 0 || uid > (int64_t)UINT32_MAX || pid < 1 || pid > INT32_MAX ||
	    take_text(boot, strlen(boot), j.boot, sizeof(j.boot)) < 0)
		return damaged(key, err);
	j.uid = (uid_t)uid;
	j.leader.pid = (int32_t)pid;
	*out = j;
	return 0;
}

void fsd_job_key(const struct fsd_job *j, char out[2 * FSD_NAME_BYTES])
{
	snprintf(out, 2 * FSD_NAME_BYTES, "%s/%s", j->workspace, j->id);
}

/* ---- who is in it ---- */

bool fsd_job_lives(const struct fsd_job *j)
{
	char boot[37];

	return orch_boot_id(boot) == 0 && strcmp(boot, j->boot) == 0 &&
	       orch_proc_id_alive(&j->leader) == 1;
}

/* As kill(2) has it: the real and the saved user of the process count. */
int fsd_job_may_signal(uid_t uid, pid_t pid)
{
	orch_auto(buf) struct orch_buf text = ORCH_BUF_INIT;
	unsigned real, saved;
	const char *line;
	char path[32];
	int rc;

	if (uid == 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	rc = pid < 1 ? -EPERM : orch_file_load(AT_FDCWD, path, &text, NULL);
	if (rc < 0)
		return rc == -ENOENT ? -ESRCH : rc;
	line = text.data ? strstr((const char *)text.data, "\nUid:") : NULL;
	if (!line || sscanf(line, "\nUid: %u %*u %u", &real, &saved) != 2)
		return -EPERM;
	return real == uid || saved == uid ? 0 : -EPERM;
}

static int by_number(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return x < y ? -1 : x > y;
}

static int check_one(
    const struct fsd_job *j, pid_t pid, const pid_t *not_in, size_t count, struct orch_err *err)
{
	if (count > 0 && bsearch(&pid, not_in, count, sizeof(pid), by_number))
		return orch_err_set(
		    err, EPERM, "process %d in its control group must not stand still", (int)pid);
	if (fsd_job_may_signal(j->uid, pid) == -EPERM)
		return orch_err_set(err, EPERM,
		    "process %d in its control group is not one of user %u", (int)pid,
		    (unsigned)j->uid);
	return 0;
}

int fsd_job_check(const struct fsd_job *j, int group, const pid_t *not_in, size_t not_in_count,
    struct orch_err *err)
{
	orch_auto(free) int32_t *pids = NULL;
	size_t count = 0;
	int rc = orch_freezer_pids(group, &pids, &count);

	if (rc < 0)
		return orch_err_sys(err, -rc, "control group of job '%s'", j->id);
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = check_one(j, pids[i], not_in, not_in_count, err);
	if (rc < 0)
		orch_err_wrap(err, "job '%s'", j->id);
	return rc;
}
