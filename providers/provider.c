/* What all providers share: names, the registry, the usual course of a task. */
#include "providers/provider.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "core/clock.h"
#include "core/nearest.h"
#include "providers/host.h"

static const char *const outcome_names[PRV_OUTCOMES] = {
    [PRV_SUCCEEDED] = "succeeded",
    [PRV_FAILED] = "failed",
    [PRV_KILLED] = "killed",
    [PRV_OUT_OF_MEMORY] = "out-of-memory",
    [PRV_TIMED_OUT] = "timed-out",
    [PRV_CANCELLED] = "cancelled",
    [PRV_EVICTED] = "evicted",
    [PRV_LOST] = "lost",
    [PRV_INFRASTRUCTURE_ERROR] = "infrastructure-error",
};

static const char *const feature_names[PRV_FEATURES] = {
    [PRV_FEATURE_RUN] = "run",
    [PRV_FEATURE_ISOLATION] = "isolation",
    [PRV_FEATURE_NETWORK_OFF] = "network-off",
    [PRV_FEATURE_LIMIT_MEMORY] = "limit-memory",
    [PRV_FEATURE_LIMIT_CPU] = "limit-cpu",
    [PRV_FEATURE_LIMIT_PIDS] = "limit-pids",
    [PRV_FEATURE_TREE_KILL] = "tree-kill",
    [PRV_FEATURE_REATTACH] = "reattach",
};

/* Every provider that can be asked for by name. */
static const struct {
	const struct prv_ops *ops;
	int (*open)(const struct prv_config *config, struct prv **out, struct orch_err *err);
} registry[] = {
    {&prv_sandbox_ops, prv_sandbox_open},
    {&prv_local_ops, prv_local_open},
};

const char *prv_outcome_name(enum prv_outcome o)
{
	ORCH_BUG_ON((unsigned)o >= PRV_OUTCOMES);
	return outcome_names[o];
}

int prv_outcome_parse(const char *name, enum prv_outcome *out)
{
	for (int o = 0; o < PRV_OUTCOMES; o++) {
		if (strcmp(outcome_names[o], name) == 0) {
			*out = (enum prv_outcome)o;
			return 0;
		}
	}
	return -EINVAL;
}

const char *prv_feature_name(enum prv_feature f)
{
	ORCH_BUG_ON((unsigned)f >= PRV_FEATURES);
	return feature_names[f];
}

bool prv_run_name_valid(const char *run)
{
	static const char letters[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	size_t len = strlen(run);

	return len > 0 && len <= PRV_RUN_NAME_MAX && run[0] != '.' && run[0] != '-' &&
	       strspn(run, letters) == len;
}

const char *prv_name_at(size_t i)
{
	return i < ORCH_ARRAY_LEN(registry) ? registry[i].ops->name : NULL;
}

/* Its place in the registry, -1 when there is none. */
static int registry_find(const char *name)
{
	for (size_t i = 0; i < ORCH_ARRAY_LEN(registry); i++) {
		if (strcmp(registry[i].ops->name, name) == 0)
			return (int)i;
		for (const char *const *a = registry[i].ops->aliases; *a; a++)
			if (strcmp(*a, name) == 0)
				return (int)i;
	}
	return -1;
}

const char *prv_resolve(const char *name)
{
	int i = registry_find(name);

	return i < 0 ? NULL : registry[i].ops->name;
}

static int unknown_provider(const char *name, struct orch_err *err)
{
	const char *names[64];
	const char *near;
	size_t n = 0;

	for (size_t i = 0; i < ORCH_ARRAY_LEN(registry); i++) {
		names[n++] = registry[i].ops->name;
		for (const char *const *a = registry[i].ops->aliases;
		     *a && n < ORCH_ARRAY_LEN(names); a++)
			names[n++] = *a;
	}
	near = orch_nearest(name, names, n);
	if (near)
		return orch_err_set(
		    err, EINVAL, "unknown provider '%s'; did you mean '%s'?", name, near);
	return orch_err_set(
	    err, EINVAL, "unknown provider '%s'; there are sandbox and local", name);
}

int prv_open(
    const char *name, const struct prv_config *config, struct prv **out, struct orch_err *err)
{
	int i = registry_find(name);

	return i < 0 ? unknown_provider(name, err) : registry[i].open(config, out, err);
}

void prv_close(struct prv *p)
{
	if (p)
		p->ops->close(p);
}

void prv_result_from_wait(int wait_status, struct prv_result *out)
{
	out->state = PRV_ENDED;
	out->exit_code = -1;
	out->signal = 0;
	out->core_dumped = false;
	if (WIFSIGNALED(wait_status)) {
		out->outcome = PRV_KILLED;
		out->signal = WTERMSIG(wait_status);
		out->core_dumped = WCOREDUMP(wait_status);
	} else {
		out->exit_code = WEXITSTATUS(wait_status);
		out->outcome = out->exit_code == 0 ? PRV_SUCCEEDED : PRV_FAILED;
	}
}

static void infrastructure_error(struct prv_result *out, const struct orch_err *why)
{
	*out = (struct prv_result){
	    .state = PRV_ENDED,
	    .outcome = PRV_INFRASTRUCTURE_ERROR,
	    .exit_code = -1,
	    .wall_started_ns = orch_wall_ns(),
	    .wall_ended_ns = orch_wall_ns(),
	};
	snprintf(
	    out->message, sizeof(out->message), "%.*s", (int)sizeof(out->message) - 1, why->msg);
}

/* Follows a submitted task to its end. Negative: the sink's error, or the provider's. */
static int run_to_end(struct prv *p, const struct prv_task *t, const char *handle,
    struct prv_result *out, struct orch_err *err)
{
	int r = p->ops->attach(p, handle, 0, &t->sink, t->deadline_ns, t->cancel_fd, err);
	int why = r;

	if (r == -ETIMEDOUT || r == -ECANCELED)
		r = p->ops->cancel(p, handle, t->grace_ms, &t->sink, err);
	if (r == 0)
		r = p->ops->poll(p, handle, out, err);
	if (r == 0 && out->state != PRV_ENDED)
		r = orch_err_set(err, EIO, "the task %s has not ended", handle);
	if (r == 0 && why != 0) {
		out->outcome = why == -ETIMEDOUT ? PRV_TIMED_OUT : PRV_CANCELLED;
		out->message[0] = '\0';
	}
	return r;
}

/* A sink that remembers its own error, to tell it from the provider's. */
struct watched_sink {
	struct prv_sink inner;
	int failed;
};

static int watched_write(void *priv, const void *p, size_t n)
{
	struct watched_sink *w = priv;
	int r = w->inner.write ? w->inner.write(w->inner.priv, p, n) : 0;

	if (r < 0)
		w->failed = r;
	return r;
}

int prv_run(struct prv *p, const struct prv_task *t, struct prv_result *out, struct orch_err *err)
{
	struct watched_sink watch = {.inner = t->sink};
	struct orch_err why = ORCH_ERR_INIT;
	struct prv_task task = *t;
	orch_auto(free) char *handle = NULL;
	int r;

	task.sink = (struct prv_sink){watched_write, &watch};
	r = p->ops->submit(p, &task, &handle, &why);
	if (r == -EINVAL || r == -EEXIST || r == -ENOTSUP || r == -ECANCELED) {
		if (err)
			*err = why;
		return r;
	}
	if (r == 0) {
		r = run_to_end(p, &task, handle, out, &why);
		/* the result stands, whatever the tidying says */
		p->ops->cleanup(p, handle, NULL);
	}
	if (watch.failed) {
		if (err)
			*err = why;
		return watch.failed;
	}
	if (r < 0)
		infrastructure_error(out, &why);
	return 0;
}
