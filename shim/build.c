/* orch-shim build: the table of phases and the order of things when one fails. */
#include "shim/build.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/clock.h"
#include "core/fd.h"
#include "shim/build_hint.h"
#include "shim/build_options.h"
#include "shim/cancel.h"
#include "shim/commands.h"
#include "shim/daemon_start.h"
#include "shim/out.h"
#include "shim/say.h"

/* ---- states */

static const enum shim_exit exits[OUT_STATES] = {
    [OUT_SUCCEEDED] = SHIM_OK,
    [OUT_FAILED] = SHIM_FAILED,
    [OUT_KILLED] = SHIM_FAILED,
    [OUT_OUT_OF_MEMORY] = SHIM_FAILED,
    [OUT_TIMED_OUT] = SHIM_TIMED_OUT,
    [OUT_CANCELLED] = SHIM_CANCELLED,
    [OUT_EVICTED] = SHIM_INFRASTRUCTURE,
    [OUT_LOST] = SHIM_INFRASTRUCTURE,
    [OUT_INFRASTRUCTURE_ERROR] = SHIM_INFRASTRUCTURE,
};

enum shim_exit shim_state_exit(enum out_state state)
{
	return exits[state];
}

void shim_build_warn(struct shim_build *b, const char *where, const char *fmt, ...)
{
	orch_auto(buf) struct orch_buf text = ORCH_BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	orch_buf_vprintf(&text, fmt, ap);
	va_end(ap);
	shim_say(SHIM_SAY_WARN, "%s", text.data ? (const char *)text.data : where);
	if (orch_strv_add(&b->warnings, where) < 0)
		return;
	if (orch_strv_add(&b->warnings, text.data ? (const char *)text.data : "") < 0)
		b->warnings.count--; /* told on the terminal at least */
}

void shim_build_detail(struct shim_build *b, const char *fmt, ...)
{
	struct shim_phase_time *t = &b->phases[b->phase_count - 1];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(t->detail, sizeof(t->detail), fmt, ap);
	va_end(ap);
}

void shim_build_end(struct shim_build *b, enum out_state state, const char *fmt, ...)
{
	va_list ap;

	if (b->state != OUT_SUCCEEDED)
		return;
	b->state = state;
	va_start(ap, fmt);
	vsnprintf(b->reason, sizeof(b->reason), fmt, ap);
	va_end(ap);
}

/* What could not be done, as a state: a phase has no other way to fail than by its error. */
static void end_by_error(struct shim_build *b, const char *phase, const struct orch_err *err)
{
	if (!shim_cancelled() && b->state == OUT_SUCCEEDED)
		shim_build_hint(b, phase, err);
	if (shim_cancelled())
		shim_build_end(b, OUT_CANCELLED, "cancelled by signal %d", shim_cancel_signal());
	else
		shim_build_end(
		    b, b->source_refused ? OUT_FAILED : OUT_INFRASTRUCTURE_ERROR, "%s", err->msg);
}

/* ---- phases */

enum when {
	WHILE_GOOD, /* nothing has failed so far */
	AFTER_RUN,  /* the command was run to its end, whatever came of it */
	ON_SUCCESS, /* it succeeded, and what it had to leave is there */
};

struct phase {
	const char *name;  /* in result.json */
	const char *title; /* on the terminal */
	enum when when;
	bool best_effort;  /* its failure is told, and is not the build's */
	bool needs_daemon; /* one is started again when the last one died meanwhile */
	unsigned limit_s;  /* for the daemon's answers; the command has a limit of its own */
	int (*run)(struct shim_build *b, struct orch_err *err);
	int (*undo)(struct shim_build *b, struct orch_err *err);
};

#define HOURS	    3600
#define RETRY_S_MAX 30

static const struct phase phases[] = {
    {"connect", "connecting to the daemon", WHILE_GOOD, false, false, 120, shim_build_connect,
	NULL},
    {"import", "importing the source", WHILE_GOOD, false, false, 12 * HOURS, shim_build_import,
	NULL},
    {"choose", "choosing what to start from", WHILE_GOOD, false, false, 12 * HOURS,
	shim_build_choose, NULL},
    {"workspace", "making the workspace", WHILE_GOOD, false, false, 12 * HOURS,
	shim_build_workspace, shim_build_release},
    {"run", "running the command", WHILE_GOOD, false, false, 0, shim_build_run,
	shim_build_undo_run},
    {"collect", "collecting the outputs", AFTER_RUN, false, true, 12 * HOURS, shim_build_collect,
	NULL},
    {"tests", "reading the test results", AFTER_RUN, false, false, 0, shim_build_tests, NULL},
    {"commit", "keeping the result for the next build", ON_SUCCESS, true, true, 12 * HOURS,
	shim_build_commit, NULL},
};

static bool is_due(const struct shim_build *b, const struct phase *p)
{
	if (shim_cancelled())
		return false;
	if (p->when == AFTER_RUN)
		return b->ran && b->state <= OUT_OUT_OF_MEMORY;
	return b->state == OUT_SUCCEEDED;
}

static struct shim_phase_time *begin_phase(struct shim_build *b, const char *name)
{
	struct shim_phase_time *t;

	ORCH_BUG_ON(b->phase_count == SHIM_PHASES_MAX);
	t = &b->phases[b->phase_count++];
	*t = (struct shim_phase_time){.name = name, .begin_ns = orch_clock_ns()};
	return t;
}

static void end_phase(struct shim_build *b, const struct phase *p, struct shim_phase_time *t,
    bool failed, const struct orch_err *err)
{
	char took[SHIM_SHORT];

	shim_say_progress(NULL);
	t->end_ns = orch_clock_ns();
	t->failed = failed;
	if (t->failed && p->best_effort && !shim_cancelled())
		shim_build_warn(b, p->name, "%s", err->msg);
	else if (t->failed)
		end_by_error(b, p->name, err);
	shim_say(SHIM_SAY_DETAIL, "%s: %s", p->name, shim_human_ns(t->end_ns - t->begin_ns, took));
}

static void run_phase(struct shim_build *b, const struct phase *p)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct shim_phase_time *t = begin_phase(b, p->name);
	bool started;
	int r = 0;

	shim_say(SHIM_SAY_DETAIL, "%s", p->title);
	shim_say_progress(p->run == shim_build_run ? NULL : p->title);
	b->cli->deadline_ns = p->limit_s ? orch_deadline_in_ms(p->limit_s * 1000ull) : ORCH_FOREVER;
	if (p->needs_daemon)
		r = shim_daemon_ensure(b->cli, &started, &err);
	if (r == 0)
		r = p->run(b, &err);
	if (r < 0 && !err.code)
		orch_err_sys(&err, -r, "%s", p->title);
	b->cli->deadline_ns = ORCH_FOREVER;
	end_phase(b, p, t, r < 0, &err);
}

static void undo_phases(struct shim_build *b, size_t begun)
{
	struct shim_phase_time *t = begin_phase(b, "release");

	while (begun-- > 0) {
		struct orch_err err = ORCH_ERR_INIT;

		if (phases[begun].undo && phases[begun].undo(b, &err) < 0) {
			t->failed = true;
			shim_build_warn(b, "release", "%s", err.msg);
		}
	}
	t->end_ns = orch_clock_ns();
}

static void run_phases(struct shim_build *b)
{
	size_t begun = 0;

	for (size_t i = 0; i < ORCH_ARRAY_LEN(phases); i++) {
		if (!is_due(b, &phases[i]))
			continue;
		begun = i + 1;
		run_phase(b, &phases[i]);
	}
	if (shim_cancelled())
		shim_build_end(b, OUT_CANCELLED, "cancelled by signal %d", shim_cancel_signal());
	undo_phases(b, begun);
}

static void forget_attempt(struct shim_build *b)
{
	b->state = OUT_SUCCEEDED;
	b->reason[0] = '\0';
	b->hint[0] = '\0';
	b->phase_count = 1; /* resolve */
	b->ran = false;
	b->source_changed = b->source_reset = 0;
	free(orch_take(b->from_run));
	free(orch_take(b->why_cold));
	out_collection_fini(&b->collected);
	b->has_collected = false;
}

/* One second, two, four, ... and thirty at most; a signal ends the wait. */
static bool wait_before_retry(const struct shim_build *b, int attempt)
{
	int seconds = attempt < 5 ? 1 << attempt : RETRY_S_MAX;
	struct pollfd p = {.fd = b->cli->cancel_fd, .events = POLLIN};

	shim_say(SHIM_SAY_WARN, "%s; trying again in %d s, retry %d of %d", b->reason, seconds,
	    attempt + 1, b->retries);
	return poll(&p, 1, seconds * 1000) == 0;
}

static void run_attempts(struct shim_build *b)
{
	for (int attempt = 0;; attempt++) {
		run_phases(b);
		if (attempt == b->retries || shim_cancelled() ||
		    shim_state_exit(b->state) != SHIM_INFRASTRUCTURE)
			return;
		if (!wait_before_retry(b, attempt)) {
			b->state = OUT_SUCCEEDED;
			shim_build_end(
			    b, OUT_CANCELLED, "cancelled by signal %d", shim_cancel_signal());
			return;
		}
		forget_attempt(b);
	}
}

/* ---- the command */

static int build(struct shim_build *b)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct shim_phase_time *t = begin_phase(b, "resolve");
	int r = shim_build_inputs(b, &err);

	t->end_ns = orch_clock_ns();
	if (r < 0)
		return shim_fail(b->cli, &err);
	if (shim_on(b->in, "printInput"))
		return shim_build_print_input(b, &err) < 0 ? shim_fail(b->cli, &err) : SHIM_OK;
	if (shim_on(b->in, "dryRun"))
		return shim_build_print_plan(b, &err) < 0 ? shim_fail(b->cli, &err) : SHIM_OK;
	r = shim_build_begin(b, &err);
	if (r < 0)
		return shim_fail(b->cli, &err) == SHIM_USAGE ? SHIM_USAGE : SHIM_INFRASTRUCTURE;
	run_attempts(b);
	shim_build_report(b);
	return b->source_refused && b->state == OUT_FAILED ? SHIM_USAGE : shim_state_exit(b->state);
}

static int run_build(struct shim_cli *cli)
{
	struct shim_build b = {.cli = cli,
	    .in = &cli->values,
	    .folder = -1,
	    .workspace_lock = -1,
	    .exit_code = -1,
	    .begin_ns = orch_clock_ns()};
	int code;

	if (shim_on(b.in, "orchestratorDebug") && !cli->verbose)
		shim_say_setup(true, cli->quiet, cli->json_log);
	code = build(&b);
	shim_build_fini(&b);
	return code;
}

void shim_build_fini(struct shim_build *b)
{
	char *const owned[] = {b->run, b->source_dir, b->output_dir, b->output_base, b->key,
	    b->source_ref, b->build_ref, b->branch, b->commit, b->workspace, b->from_run,
	    b->why_cold, b->mount_path, b->task_name, b->runs_folder};

	for (size_t i = 0; i < ORCH_ARRAY_LEN(owned); i++)
		free(owned[i]);
	orch_strv_fini(&b->argv);
	orch_strv_fini(&b->env);
	orch_strv_fini(&b->warnings);
	out_specs_free(b->specs);
	orch_fd_close(b->workspace_lock);
	out_collection_fini(&b->collected);
	shim_checkout_fini(&b->checkout);
	shim_journal_end(b->journal);
	orch_fd_close(b->folder);
}

const struct shim_command shim_build_commands[] = {
    {.name = "build",
	.usage = "[options] [-- COMMAND [ARG...]]",
	.summary = "Build in a workspace that is there at once, and collect what came of it",
	.details = "The source is imported, the result of the last good build with the same cache "
		   "key is laid "
		   "under it, and the command is run there, in a sandbox. A build that succeeds is "
		   "what the "
		   "next one starts from; one that fails changes nothing.\n\n"
		   "Each option may also be a GitHub Actions input (INPUT_CACHEKEY) or a variable "
		   "(ORCH_CACHE_KEY, "
		   "and for the options of game-ci CACHE_KEY and cacheKey); --print-input shows "
		   "what comes from "
		   "where.\n\n"
		   "Exit codes: 0 the build succeeded and every required output and test result is "
		   "there; 1 it ran "
		   "and failed; 2 usage, nothing was started; 3 infrastructure, worth a retry; 4 "
		   "cancelled by a "
		   "signal; 5 timed out.",
	.options = shim_build_options,
	.takes_command = true,
	.run = run_build},
    {.name = NULL},
};
