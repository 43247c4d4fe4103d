#include "shim/task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/clock.h"
#include "providers/provider.h"
#include "shim/say.h"

#define GRACE_MS 2000 /* of the five seconds in which a cancelled build is over */

static const enum out_state states[PRV_OUTCOMES] = {
    [PRV_SUCCEEDED] = OUT_SUCCEEDED,
    [PRV_FAILED] = OUT_FAILED,
    [PRV_KILLED] = OUT_KILLED,
    [PRV_OUT_OF_MEMORY] = OUT_OUT_OF_MEMORY,
    [PRV_TIMED_OUT] = OUT_TIMED_OUT,
    [PRV_CANCELLED] = OUT_CANCELLED,
    [PRV_EVICTED] = OUT_EVICTED,
    [PRV_LOST] = OUT_LOST,
    [PRV_INFRASTRUCTURE_ERROR] = OUT_INFRASTRUCTURE_ERROR,
};

static int on_handle(void *priv, const char *handle)
{
	const struct shim_task *task = priv;
	orch_auto(free) char *name = NULL;

	if (!task->on_name)
		return 0;
	if (asprintf(&name, "%s %s", task->provider, handle) < 0)
		return -ENOMEM;
	return task->on_name(task->priv, name);
}

static int on_groups(void *priv, const char *const *folders, size_t count)
{
	const struct shim_task *task = priv;

	return task->on_groups ? task->on_groups(task->priv, folders, count) : 0;
}

static void say_why(
    const struct shim_task *task, const struct prv_result *r, struct shim_task_end *end)
{
	const char *more = r->message;

	switch (r->outcome) {
	case PRV_FAILED:
		snprintf(end->reason, sizeof(end->reason),
		    "the command ended with exit code %d%s%.200s", r->exit_code,
		    more[0] ? ": " : "", more);
		break;
	case PRV_KILLED:
		snprintf(end->reason, sizeof(end->reason),
		    "the command was killed by signal %d (%s)%s", r->signal,
		    sigdescr_np(r->signal) ? sigdescr_np(r->signal) : "unknown",
		    r->core_dumped ? ", core dumped" : "");
		break;
	case PRV_TIMED_OUT:
		snprintf(end->reason, sizeof(end->reason),
		    "the command ran longer than %llu s and was ended",
		    (unsigned long long)task->timeout_ms / 1000);
		break;
	case PRV_OUT_OF_MEMORY:
		snprintf(end->reason, sizeof(end->reason), "the command ran out of memory");
		break;
	default:
		snprintf(end->reason, sizeof(end->reason), "%.250s",
		    more[0]			  ? more
		    : r->outcome == PRV_SUCCEEDED ? ""
						  : prv_outcome_name(r->outcome));
	}
}

static void take_result(
    const struct shim_task *task, const struct prv_result *r, struct shim_task_end *end)
{
	end->state = states[r->outcome];
	end->exit_code = r->exit_code;
	end->signal = r->signal;
	end->started = r->wall_started_ns != 0;
	end->resources = (struct out_resources){.known = r->cpu_ns || r->memory_peak_bytes,
	    .user_ns = r->cpu_ns,
	    .peak_bytes = r->memory_peak_bytes};
	say_why(task, r, end);
}

static uint64_t deadline_of(const struct shim_task *task)
{
	return task->timeout_ms ? orch_deadline_in_ms(task->timeout_ms) : ORCH_FOREVER;
}

int shim_task_run(const struct shim_task *task, struct shim_task_end *end, struct orch_err *err)
{
	const struct prv_config config = {.state_dir = task->state_dir};
	struct prv_result result = {.exit_code = -1};
	struct prv_task t = {
	    .run = task->run,
	    .argv = task->argv,
	    .env = task->env,
	    .workspace = task->tree,
	    .workspace_inside = task->inside,
	    .cwd = strcmp(task->folder, ".") == 0 ? NULL : task->folder,
	    .network = task->network,
	    .interactive = task->terminal,
	    .uid = task->uid,
	    .gid = task->gid,
	    .sink = {.write = task->on_output, .priv = task->priv},
	    .deadline_ns = deadline_of(task),
	    .cancel_fd = task->cancel_fd,
	    .grace_ms = GRACE_MS,
	    .on_handle = on_handle,
	    .on_groups = on_groups,
	    .priv = (void *)(uintptr_t)task,
	};
	struct prv *p = NULL;
	int r = prv_open(task->provider, &config, &p, err);

	if (r < 0)
		return r;
	r = prv_run(p, &t, &result, err);
	prv_close(p);
	if (r == 0)
		take_result(task, &result, end);
	return r;
}

int shim_task_undo(const char *name, const char *state_dir, struct orch_err *err)
{
	const struct prv_config config = {.state_dir = state_dir};
	const char *blank = strchr(name, ' ');
	orch_auto(free) char *provider = blank ? strndup(name, (size_t)(blank - name)) : NULL;
	struct prv *p = NULL;
	int r;

	if (!provider)
		return orch_err_set(err, EINVAL, "'%s' names no task", name);
	r = prv_open(provider, &config, &p, err);
	if (r < 0)
		return r;
	r = p->ops->cleanup(p, blank + 1, err);
	prv_close(p);
	return r;
}

static void gc_of(const char *name, const struct prv_config *config, const struct prv_gc *how)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct prv *p = NULL;

	if (prv_open(name, config, &p, &err) < 0 || p->ops->gc(p, how, &err) < 0)
		shim_say(SHIM_SAY_WARN, "%s: %s", name, err.msg);
	prv_close(p);
}

void shim_task_gc(const char *state_dir, bool dry_run,
    void (*tell)(void *priv, const char *kind, const char *name), void *priv)
{
	const struct prv_config config = {.state_dir = state_dir};
	const struct prv_gc how = {.dry_run = dry_run, .on_item = tell, .priv = priv};
	const char *name;

	for (size_t i = 0; (name = prv_name_at(i)); i++)
		gc_of(name, &config, &how);
}
