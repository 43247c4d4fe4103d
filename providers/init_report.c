#include "providers/init_report.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

void prv_init_report_take(struct prv_init_report *r, const struct prv_init_message *m)
{
	if (m->magic != PRV_INIT_MAGIC || m->version != PRV_INIT_VERSION)
		return;
	switch (m->kind) {
	case PRV_INIT_READY:
		r->ready = true;
		break;
	case PRV_INIT_SETUP_FAILED:
		r->setup_code = m->value;
		r->setup_step = m->step;
		break;
	case PRV_INIT_EXEC_FAILED:
		r->exec_code = m->value;
		r->exec_step = m->step;
		break;
	case PRV_INIT_ENDED:
		r->ended = true;
		r->wait_status = m->value;
		break;
	default:
		break;
	}
}

static const char *reason(int code)
{
	const char *text = strerrordesc_np(code);

	return text ? text : "for an unknown reason";
}

static const char *step_text(int step)
{
	switch (step) {
	case PRV_INIT_STEP_ENVIRONMENT:
		return "its environment could not be read";
	case PRV_INIT_STEP_OWNER:
		return "it could not become the workspace's owner";
	case PRV_INIT_STEP_CAPABILITIES:
		return "its capabilities could not be dropped";
	default:
		return "its process could not be made";
	}
}

static void not_set_up(const struct prv_init_report *r, struct prv_result *out)
{
	out->outcome = PRV_INFRASTRUCTURE_ERROR;
	snprintf(out->message, sizeof(out->message), "the task could not be set up: %s: %s",
	    step_text(r->setup_step), reason(r->setup_code));
}

static void not_executed(
    const struct prv_init_report *r, const char *command, struct prv_result *out)
{
	out->outcome = PRV_FAILED;
	out->signal = 0;
	out->exit_code = r->exec_code == ENOENT ? 127 : 126;
	if (r->exec_step == PRV_INIT_STEP_FOLDER)
		snprintf(out->message, sizeof(out->message),
		    "the folder of the task cannot be entered: %s", reason(r->exec_code));
	else if (r->exec_code == ENOENT)
		snprintf(out->message, sizeof(out->message), "command not found: %s", command);
	else
		snprintf(out->message, sizeof(out->message), "cannot execute %s: %s", command,
		    reason(r->exec_code));
}

static void never_ready(const char *early, struct prv_result *out)
{
	size_t len = strcspn(early, "\n");

	if (len == 0)
		snprintf(out->message, sizeof(out->message),
		    "the task could not be set up: its first process ended before it was ready");
	else
		snprintf(out->message, sizeof(out->message), "the task could not be set up: %.*s",
		    (int)len, early);
}

static void lost(int outer, struct prv_result *out)
{
	if (WIFSIGNALED(outer))
		snprintf(out->message, sizeof(out->message),
		    "its first process was killed by signal %d", WTERMSIG(outer));
	else
		snprintf(
		    out->message, sizeof(out->message), "its first process ended without a word");
}

void prv_init_report_judge(const struct prv_init_report *r, int outer, const char *command,
    const char *early, struct prv_result *out)
{
	/* what says that it ended before it was ready is no orch-init of ours */
	if (r->ended && r->ready)
		prv_result_from_wait(r->wait_status, out);
	else
		out->outcome = r->ready ? PRV_LOST : PRV_INFRASTRUCTURE_ERROR;
	if (r->exec_code)
		not_executed(r, command, out);
	else if (r->setup_code)
		not_set_up(r, out);
	else if (!r->ready)
		never_ready(early, out);
	else if (!r->ended)
		lost(outer, out);
	if (r->setup_code)
		out->outcome = PRV_INFRASTRUCTURE_ERROR;
}
