/* The fake: a script is laid out on a time line when it is submitted; every call looks at the clock. */
#include "providers/fake.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/clock.h"

#define EVENTS_MAX 64
#define FAKE_NAME  "fake"

/* Up to log_end of the log is there from at_ns on. */
struct event {
	uint64_t at_ns;
	size_t log_end;
};

struct fake_task {
	struct fake_task *next;
	char *handle;
	struct orch_buf log;
	struct event events[EVENTS_MAX];
	size_t event_count;
	uint64_t end_ns;
	bool deaf;
	struct prv_result end; /* what it is after end_ns */
};

struct fake {
	struct prv base;
	struct fake_task *tasks;
	int fail[PRV_FAKE_CALLS];
	unsigned calls[PRV_FAKE_CALLS];
};

static struct fake *fake_of(struct prv *p)
{
	return (struct fake *)p;
}

void prv_fake_fail_next(struct prv *p, enum prv_fake_call call, int code)
{
	fake_of(p)->fail[call] = code;
}

unsigned prv_fake_calls(const struct prv *p, enum prv_fake_call call)
{
	return ((const struct fake *)p)->calls[call];
}

/* Counts the call; the error that it was told to give. */
static int enter(struct prv *p, enum prv_fake_call call, struct orch_err *err)
{
	struct fake *f = fake_of(p);
	int code = f->fail[call];

	f->calls[call]++;
	f->fail[call] = 0;
	return code ? orch_err_set(err, code, "the fake was told to fail") : 0;
}

static struct fake_task **find(struct prv *p, const char *handle)
{
	struct fake_task **at = &fake_of(p)->tasks;

	while (*at && strcmp((*at)->handle, handle) != 0)
		at = &(*at)->next;
	return at;
}

static struct fake_task *find_or_error(struct prv *p, const char *handle, struct orch_err *err)
{
	struct fake_task *t = *find(p, handle);

	if (!t)
		orch_err_set(err, ENOENT, "there is no task %s", handle);
	return t;
}

static void task_free(struct fake_task *t)
{
	orch_buf_fini(&t->log);
	free(t->handle);
	free(t);
}

static void ends_as(struct fake_task *t, enum prv_outcome outcome, int exit_code, int signal)
{
	t->end.outcome = outcome;
	t->end.exit_code = exit_code;
	t->end.signal = signal;
}

static void add_event(struct fake_task *t, uint64_t at_ns)
{
	if (t->event_count < EVENTS_MAX)
		t->events[t->event_count++] = (struct event){at_ns, t->log.len};
}

/* One step of a script; false when it is unknown. */
static bool step(struct fake_task *t, const char *s, uint64_t *now)
{
	const char *value = strchr(s, ':');
	long n = value ? strtol(value + 1, NULL, 10) : 0;

	if (value && strncmp(s, "out:", 4) == 0) {
		orch_buf_printf(&t->log, "%s\n", value + 1);
	} else if (value && strncmp(s, "lines:", 6) == 0) {
		for (long i = 0; i < n; i++)
			orch_buf_printf(&t->log, "%ld\n", i);
	} else if (value && strncmp(s, "sleep:", 6) == 0) {
		*now += (uint64_t)n * ORCH_NS_PER_MS;
	} else if (value && strncmp(s, "exit:", 5) == 0) {
		ends_as(t, n ? PRV_FAILED : PRV_SUCCEEDED, (int)n, 0);
	} else if (value && strncmp(s, "signal:", 7) == 0) {
		ends_as(t, PRV_KILLED, -1, (int)n);
	} else if (strcmp(s, "none") == 0) {
		ends_as(t, PRV_FAILED, 127, 0);
		snprintf(t->end.message, sizeof(t->end.message), "command not found: %s", s);
	} else if (strcmp(s, "oom") == 0) {
		ends_as(t, PRV_OUT_OF_MEMORY, -1, SIGKILL);
	} else if (strcmp(s, "evicted") == 0) {
		ends_as(t, PRV_EVICTED, -1, 0);
	} else if (strcmp(s, "lost") == 0) {
		ends_as(t, PRV_LOST, -1, 0);
	} else if (strcmp(s, "infra") == 0) {
		ends_as(t, PRV_INFRASTRUCTURE_ERROR, -1, 0);
	} else if (strcmp(s, "deaf") == 0) {
		t->deaf = true;
	} else {
		return false;
	}
	add_event(t, *now);
	return true;
}

static int script_lay_out(struct fake_task *t, const char *script, struct orch_err *err)
{
	orch_auto(free) char *copy = strdup(script);
	uint64_t now = orch_clock_ns();
	char *save = NULL;

	if (!copy)
		return orch_err_sys(err, ENOMEM, "the fake");
	t->end = (struct prv_result){.state = PRV_ENDED, .wall_started_ns = orch_wall_ns()};
	for (char *s = strtok_r(copy, " ", &save); s; s = strtok_r(NULL, " ", &save))
		if (!step(t, s, &now))
			return orch_err_set(err, EINVAL, "the fake knows no step '%s'", s);
	t->end_ns = now;
	return 0;
}

static int fake_submit(
    struct prv *p, const struct prv_task *t, char **out_handle, struct orch_err *err)
{
	struct fake_task *task;
	int r = enter(p, PRV_FAKE_SUBMIT, err);

	if (r < 0)
		return r;
	if (!t->run || !prv_run_name_valid(t->run) || !t->argv || !t->argv[0])
		return orch_err_set(err, EINVAL, "the task has no name or no command");
	task = calloc(1, sizeof(*task));
	if (!task || asprintf(&task->handle, FAKE_NAME ":%s", t->run) < 0) {
		free(task);
		return orch_err_sys(err, ENOMEM, "the fake");
	}
	orch_buf_init(&task->log, ORCH_BUF_MAX_DEFAULT);
	if (*find(p, task->handle))
		r = orch_err_set(err, EEXIST, "there is a task %s already", task->handle);
	if (r == 0)
		r = script_lay_out(task, t->argv[0], err);
	if (r == 0 && t->on_handle)
		r = t->on_handle(t->priv, task->handle);
	if (r == 0 && !(*out_handle = strdup(task->handle)))
		r = -ENOMEM;
	if (r < 0) {
		task_free(task);
		return err && err->code ? r
					: orch_err_sys(err, -r, "the task could not be submitted");
	}
	task->next = fake_of(p)->tasks;
	fake_of(p)->tasks = task;
	return 0;
}

/* How much of the log is there now, and when more comes. */
static size_t log_now(const struct fake_task *t, uint64_t now, uint64_t *out_next_ns)
{
	size_t len = 0;

	*out_next_ns = t->end_ns;
	for (size_t i = 0; i < t->event_count; i++) {
		if (t->events[i].at_ns > now) {
			*out_next_ns = t->events[i].at_ns;
			break;
		}
		len = t->events[i].log_end;
	}
	return len;
}

static int fake_attach(struct prv *p, const char *handle, uint64_t offset,
    const struct prv_sink *sink, uint64_t deadline_ns, int cancel_fd, struct orch_err *err)
{
	int r = enter(p, PRV_FAKE_ATTACH, err);
	struct fake_task *t = r == 0 ? find_or_error(p, handle, err) : NULL;

	if (!t)
		return r < 0 ? r : -ENOENT;
	for (;;) {
		struct pollfd cancel = {.fd = cancel_fd, .events = POLLIN};
		uint64_t now = orch_clock_ns(), next;
		size_t len = log_now(t, now, &next);

		if (len > offset) {
			if (sink && sink->write)
				r = sink->write(sink->priv, t->log.data + offset, len - offset);
			offset = len;
		}
		if (r < 0) {
			t->end_ns = now;
			ends_as(t, PRV_KILLED, -1, SIGTERM);
			return orch_err_sys(err, -r, "the log of %s", handle);
		}
		if (now >= t->end_ns)
			return 0;
		if (now >= deadline_ns)
			return orch_err_set(err, ETIMEDOUT, "%s has not ended", handle);
		if (poll(&cancel, 1,
			orch_deadline_poll_ms(next < deadline_ns ? next : deadline_ns)) > 0)
			return orch_err_set(err, ECANCELED, "%s has not ended", handle);
	}
}

static void state_now(const struct fake_task *t, struct prv_result *out)
{
	uint64_t next;

	*out = t->end;
	out->log_bytes = log_now(t, orch_clock_ns(), &next);
	if (orch_clock_ns() < t->end_ns)
		out->state = PRV_RUNNING;
	else
		out->wall_ended_ns = orch_wall_ns();
}

static int fake_poll(
    struct prv *p, const char *handle, struct prv_result *out, struct orch_err *err)
{
	int r = enter(p, PRV_FAKE_POLL, err);
	struct fake_task *t = r == 0 ? find_or_error(p, handle, err) : NULL;

	if (!t)
		return r < 0 ? r : -ENOENT;
	state_now(t, out);
	return 0;
}

static int fake_cancel(struct prv *p, const char *handle, uint64_t grace_ms,
    const struct prv_sink *sink, struct orch_err *err)
{
	int r = enter(p, PRV_FAKE_CANCEL, err);
	struct fake_task *t = r == 0 ? find_or_error(p, handle, err) : NULL;
	uint64_t now = orch_clock_ns();

	(void)sink;
	if (!t)
		return r < 0 ? r : -ENOENT;
	if (now >= t->end_ns)
		return 0;
	t->end_ns = t->deaf ? now + grace_ms * ORCH_NS_PER_MS : now;
	ends_as(t, PRV_KILLED, -1, t->deaf || grace_ms == 0 ? SIGKILL : SIGTERM);
	while (orch_clock_ns() < t->end_ns)
		poll(NULL, 0, orch_deadline_poll_ms(t->end_ns));
	return 0;
}

static int fake_fetch(struct prv *p, const char *handle, struct orch_err *err)
{
	return find_or_error(p, handle, err) ? 0 : -ENOENT;
}

static int fake_cleanup(struct prv *p, const char *handle, struct orch_err *err)
{
	int r = enter(p, PRV_FAKE_CLEANUP, err);
	struct fake_task **at = find(p, handle), *t = *at;

	if (r < 0 || !t)
		return r;
	*at = t->next;
	task_free(t);
	return 0;
}

static int fake_gc(struct prv *p, const struct prv_gc *how, struct orch_err *err)
{
	(void)p;
	(void)how;
	(void)err;
	return 0; /* nothing outlives the object */
}

static int fake_list(struct prv *p,
    int (*fn)(void *priv, const char *handle, const struct prv_result *r), void *priv,
    struct orch_err *err)
{
	(void)err;
	for (struct fake_task *t = fake_of(p)->tasks; t; t = t->next) {
		struct prv_result result;
		int r;

		state_now(t, &result);
		r = fn(priv, t->handle, &result);
		if (r != 0)
			return r;
	}
	return 0;
}

static int fake_probe(struct prv *p, struct prv_probe *out, struct orch_err *err)
{
	(void)p;
	(void)err;
	for (int f = 0; f < PRV_FEATURES; f++) {
		out->have[f] = f == PRV_FEATURE_RUN;
		snprintf(out->reason[f], sizeof(out->reason[f]), "%s",
		    out->have[f] ? "" : "it is a fake");
	}
	return 0;
}

static int fake_setup(struct prv *p, struct orch_err *err)
{
	(void)p;
	(void)err;
	return 0;
}

static void fake_close(struct prv *p)
{
	struct fake_task *next;

	for (struct fake_task *t = fake_of(p)->tasks; t; t = next) {
		next = t->next;
		task_free(t);
	}
	free(p);
}

static const char *const fake_aliases[] = {NULL};

static const struct prv_ops fake_ops = {
    .name = FAKE_NAME,
    .aliases = fake_aliases,
    .probe = fake_probe,
    .setup = fake_setup,
    .submit = fake_submit,
    .attach = fake_attach,
    .poll = fake_poll,
    .cancel = fake_cancel,
    .fetch = fake_fetch,
    .cleanup = fake_cleanup,
    .gc = fake_gc,
    .list = fake_list,
    .close = fake_close,
};

int prv_fake_open(struct prv **out, struct orch_err *err)
{
	struct fake *f = calloc(1, sizeof(*f));

	if (!f)
		return orch_err_sys(err, ENOMEM, "the fake");
	f->base.ops = &fake_ops;
	*out = &f->base;
	return 0;
}
