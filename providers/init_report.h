/* What orch-init has said of a task, and what that makes of its end. Pure. */
#ifndef ORCH_PROVIDERS_INIT_REPORT_H
#define ORCH_PROVIDERS_INIT_REPORT_H

#include <stdbool.h>
#include "providers/init_protocol.h"
#include "providers/provider.h"

struct prv_init_report { /* zeros: nothing yet */
	bool ready, ended;
	int wait_status;	    /* once it ended */
	int setup_code, setup_step; /* errno; 0: nothing failed */
	int exec_code, exec_step;
};

/* A message of another magic or version is passed over. */
void prv_init_report_take(struct prv_init_report *r, const struct prv_init_message *m)
    ORCH_NONNULL(1, 2);
/* Fills outcome, exit_code, signal, core_dumped and message. outer: wait status of the first process;
 * command: argv[0]; early: what was written before orch-init was ready. */
void prv_init_report_judge(const struct prv_init_report *r, int outer, const char *command,
    const char *early, struct prv_result *out) ORCH_NONNULL(1, 3, 4, 5);

#endif
