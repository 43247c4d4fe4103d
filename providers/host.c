/*
 * The calls of the providers that run on this host: a handle that this process submitted is served by
 * its task, every other one by its record.
 */
#include "providers/host.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/cgroup.h"
#include "core/path.h"
#include "providers/host_priv.h"

static struct prv_host *host_of(struct prv *p)
{
	return (struct prv_host *)p;
}

int prv_host_open(struct prv_host *h, const struct prv_config *config, struct orch_err *err)
{
	if (config->state_dir)
		h->state_dir = orch_path_absolute(config->state_dir);
	if (config->state_dir && !h->state_dir)
		return orch_err_sys(err, ENOMEM, "cannot open a provider");
	return 0;
}

void prv_host_close(struct prv *p)
{
	struct prv_host *h = host_of(p);
	struct prv_host_task *next;

	for (struct prv_host_task *t = h->tasks; t; t = next) {
		next = *prv_host_task_next(t);
		prv_host_task_free(t);
	}
	free(h->state_dir);
	free(h);
}

void prv_probe_set(struct prv_probe *out, enum prv_feature f, bool have, const char *fmt, ...)
{
	va_list ap;

	out->have[f] = have;
	out->reason[f][0] = '\0';
	if (have)
		return;
	va_start(ap, fmt);
	vsnprintf(out->reason[f], sizeof(out->reason[f]), fmt, ap);
	va_end(ap);
}

void prv_host_probe(const struct prv_host *h, struct prv_probe *out)
{
	static const char why[] = "no control group of this machine can be used for it";
	int r = orch_cgroup_probe();
	unsigned can = r < 0 ? 0 : (unsigned)r;

	prv_probe_set(out, PRV_FEATURE_LIMIT_MEMORY, can & ORCH_CGROUP_MEMORY,
	    "%s; out of memory looks like signal 9", why);
	prv_probe_set(out, PRV_FEATURE_LIMIT_CPU, can & ORCH_CGROUP_CPU, "%s", why);
	prv_probe_set(out, PRV_FEATURE_LIMIT_PIDS, can & ORCH_CGROUP_PIDS, "%s", why);
	prv_probe_set(out, PRV_FEATURE_REATTACH, h->state_dir, "no folder for records was given");
}

/* The run in "<provider>:<run>"; NULL when the handle is another provider's or none. */
static const char *run_of(const struct prv_host *h, const char *handle)
{
	size_t len = strlen(h->base.ops->name);

	if (strncmp(handle, h->base.ops->name, len) != 0 || handle[len] != ':')
		return NULL;
	return prv_run_name_valid(handle + len + 1) ? handle + len + 1 : NULL;
}

static struct prv_host_task **find_own(struct prv_host *h, const char *handle)
{
	struct prv_host_task **at = &h->tasks;

	while (*at && strcmp(prv_host_task_handle(*at), handle) != 0)
		at = prv_host_task_next(*at);
	return at;
}

/* The run of a task of another process; NULL and the error when there can be none. */
static const char *other_run(const struct prv_host *h, const char *handle, struct orch_err *err)
{
	const char *run = h->state_dir ? run_of(h, handle) : NULL;

	if (!run)
		orch_err_set(err, ENOENT, "there is no task %s", handle);
	return run;
}

static bool is_absolute(const char *path)
{
	return path && path[0] == '/';
}

static int check_mounts(const struct prv_task *t, struct orch_err *err)
{
	for (size_t i = 0; i < t->mount_count; i++) {
		if (!is_absolute(t->mounts[i].host) || !is_absolute(t->mounts[i].inside))
			return orch_err_set(err, EINVAL, "a mount needs two absolute paths");
		if (access(t->mounts[i].host, F_OK) < 0)
			return orch_err_sys(err, errno == ENOENT ? EINVAL : errno,
			    "cannot mount %s", t->mounts[i].host);
	}
	return 0;
}

static int check_task(struct prv_host *h, const struct prv_task *t, struct orch_err *err)
{
	struct stat st;

	if (!t->run || !prv_run_name_valid(t->run))
		return orch_err_set(
		    err, EINVAL, "'%s' cannot be the name of a run", t->run ? t->run : "");
	if (!t->argv || !t->argv[0] || !t->argv[0][0])
		return orch_err_set(err, EINVAL, "the task %s has no command", t->run);
	if (!is_absolute(t->workspace))
		return orch_err_set(err, EINVAL, "the task %s has no absolute workspace", t->run);
	if (stat(t->workspace, &st) < 0)
		return orch_err_sys(err, errno, "the workspace %s", t->workspace);
	if (!S_ISDIR(st.st_mode))
		return orch_err_sys(err, ENOTDIR, "the workspace %s", t->workspace);
	if (t->workspace_inside && !is_absolute(t->workspace_inside))
		return orch_err_set(
		    err, EINVAL, "the path of the workspace inside is not absolute");
	if (t->cwd && !orch_path_valid(t->cwd))
		return orch_err_set(err, EINVAL, "'%s' is no folder within the workspace", t->cwd);
	if (geteuid() != 0 && t->uid != geteuid())
		return orch_err_set(err, ENOTSUP,
		    "only root can run a task as another user (uid %u, this is %u)",
		    (unsigned)t->uid, (unsigned)geteuid());
	if (check_mounts(t, err) < 0)
		return -EINVAL;
	return h->check ? h->check(h, t, err) : 0;
}

int prv_host_submit(
    struct prv *p, const struct prv_task *t, char **out_handle, struct orch_err *err)
{
	struct prv_host *h = host_of(p);
	orch_auto(free) char *handle = NULL;
	struct prv_host_task *task;
	int r = check_task(h, t, err);

	if (r < 0)
		return r;
	if (asprintf(&handle, "%s:%s", p->ops->name, t->run) < 0)
		return orch_err_sys(err, ENOMEM, "cannot start the task %s", t->run);
	if (*find_own(h, handle))
		return orch_err_set(err, EEXIST, "there is a task %s already", handle);
	r = t->on_handle ? t->on_handle(t->priv, handle) : 0;
	if (r < 0)
		return orch_err_sys(err, -r, "the task %s could not be journalled", t->run);
	r = prv_host_task_start(h, t, handle, &task, err);
	if (r < 0)
		return r;
	*prv_host_task_next(task) = h->tasks;
	h->tasks = task;
	*out_handle = orch_take(handle);
	return 0;
}

int prv_host_attach(struct prv *p, const char *handle, uint64_t offset, const struct prv_sink *sink,
    uint64_t deadline_ns, int cancel_fd, struct orch_err *err)
{
	struct prv_host *h = host_of(p);
	struct prv_host_task *t = *find_own(h, handle);
	const char *run;

	if (t)
		return prv_host_task_attach(t, offset, sink, deadline_ns, cancel_fd, err);
	run = other_run(h, handle, err);
	return run ? prv_host_other_attach(
			 h->state_dir, run, offset, sink, deadline_ns, cancel_fd, err)
		   : -ENOENT;
}

int prv_host_poll(struct prv *p, const char *handle, struct prv_result *out, struct orch_err *err)
{
	struct prv_host *h = host_of(p);
	struct prv_host_task *t = *find_own(h, handle);
	const char *run;

	if (t) {
		prv_host_task_poll(t, out);
		return 0;
	}
	run = other_run(h, handle, err);
	return run ? prv_host_other_poll(h->state_dir, run, out, err) : -ENOENT;
}

int prv_host_cancel(struct prv *p, const char *handle, uint64_t grace_ms,
    const struct prv_sink *sink, struct orch_err *err)
{
	struct prv_host *h = host_of(p);
	struct prv_host_task *t = *find_own(h, handle);
	const char *run;

	if (t)
		return prv_host_task_cancel(t, grace_ms, sink, err);
	run = other_run(h, handle, err);
	return run ? prv_host_other_cancel(h->state_dir, run, grace_ms, err) : -ENOENT;
}

/* The workspace is the host's own folder. */
int prv_host_fetch(struct prv *p, const char *handle, struct orch_err *err)
{
	struct prv_result result;

	return prv_host_poll(p, handle, &result, err);
}

int prv_host_cleanup(struct prv *p, const char *handle, struct orch_err *err)
{
	struct prv_host *h = host_of(p);
	struct prv_host_task **at = find_own(h, handle), *t = *at;
	const char *run = h->state_dir ? run_of(h, handle) : NULL;

	if (!t)
		return run ? prv_host_other_cleanup(h->state_dir, run, err) : 0;
	*at = *prv_host_task_next(t);
	prv_host_task_free(t);
	return run ? prv_record_remove(h->state_dir, run, err) : 0;
}

int prv_host_gc(struct prv *p, const struct prv_gc *how, struct orch_err *err)
{
	struct prv_host *h = host_of(p);

	return h->state_dir ? prv_host_other_gc(h->state_dir, p->ops->name, how, err) : 0;
}

int prv_host_list(struct prv *p,
    int (*fn)(void *priv, const char *handle, const struct prv_result *r), void *priv,
    struct orch_err *err)
{
	struct prv_host *h = host_of(p);

	(void)err;
	if (h->state_dir)
		return prv_host_other_list(h->state_dir, p->ops->name, fn, priv);
	for (struct prv_host_task *t = h->tasks; t; t = *prv_host_task_next(t)) {
		struct prv_result result;
		int r;

		prv_host_task_poll(t, &result);
		r = fn(priv, prv_host_task_handle(t), &result);
		if (r != 0)
			return r;
	}
	return 0;
}
