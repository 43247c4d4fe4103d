/* The groups of jobs that are to stand still. See pause.h. */
#include "pause.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include "core/freezer.h"
#include "core/log.h"
#include "daemon.h"
#include "jobs.h"
#include "registry.h"

static int by_number(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return x < y ? -1 : x > y;
}

int fsd_pause_never(struct fsd_daemon *d, pid_t **out, size_t *out_count)
{
	orch_auto(free) struct fsd_ws_record *list = NULL;
	size_t n = 0, count = 0;
	int rc = fsd_registry_list(d->registry, &list, &n);
	pid_t *v = rc < 0 ? NULL : calloc(n + 1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	v[count++] = getpid();
	for (size_t i = 0; i < n; i++)
		if (list[i].state == FSD_WS_MOUNTED && list[i].process.pid > 0)
			v[count++] = list[i].process.pid;
	qsort(v, count, sizeof(*v), by_number);
	*out = v;
	*out_count = count;
	return 0;
}

static void add_group(struct fsd_pause *p, const struct fsd_job *j, const char *path,
    const pid_t *never, size_t never_count)
{
	struct orch_err err = ORCH_ERR_INIT;
	int group = p->count < ORCH_ARRAY_LEN(p->groups)
			? orch_freezer_open(path, &err)
			: orch_err_set(&err, E2BIG, "too many jobs to stand still together");
	int rc = group < 0 ? group : fsd_job_check(j, group, never, never_count, &err);

	if (rc == 0) {
		p->groups[p->count++] = group;
		return;
	}
	orch_fd_close(group);
	orch_log(ORCH_LOG_WARN, "keeper", "not-paused", "workspace=%s job=%s error=%s",
	    j->workspace, j->id, err.msg);
}

void fsd_pause_open(
    struct fsd_daemon *d, const char *workspace, struct fsd_pause *p, struct fsd_mount_seal *ask)
{
	orch_auto(free) struct fsd_job *jobs = NULL;
	orch_auto(free) pid_t *never = NULL;
	size_t n = 0, never_count = 0;

	p->count = 0;
	if (d->settings->pause_limit_s == 0 || fsd_jobs_list(d->jobs, workspace, &jobs, &n) < 0 ||
	    n == 0 || fsd_pause_never(d, &never, &never_count) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < jobs[i].group_count; k++)
			add_group(p, &jobs[i], jobs[i].groups[k], never, never_count);
	ask->groups = p->groups;
	ask->group_count = p->count;
	ask->pause_ms = d->settings->pause_limit_s * 1000;
}

void fsd_pause_close(struct fsd_pause *p)
{
	while (p->count > 0)
		orch_fd_close(p->groups[--p->count]);
}
