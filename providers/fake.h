/*
 * The in-memory twin of a provider, for tests of what is above providers: nothing is run. argv[0] is
 * a script of steps, each separated by a blank:
 *
 *   out:TEXT  a line of log        lines:N  N numbered lines      sleep:MS  time passes
 *   exit:N    it exits (default 0) signal:N it is killed          none      command not found
 *   oom  evicted  lost  infra      it ends so                     deaf      it ignores SIGTERM
 *
 * Tasks live in the object, so prv_close forgets them.
 */
#ifndef ORCH_PROVIDERS_FAKE_H
#define ORCH_PROVIDERS_FAKE_H

#include "core/err.h"
#include "providers/provider.h"

enum prv_fake_call {
	PRV_FAKE_SUBMIT,
	PRV_FAKE_ATTACH,
	PRV_FAKE_POLL,
	PRV_FAKE_CANCEL,
	PRV_FAKE_CLEANUP,
	PRV_FAKE_CALLS
};

int prv_fake_open(struct prv **out, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
/* The next call of that kind fails with the (positive) errno. */
void prv_fake_fail_next(struct prv *p, enum prv_fake_call call, int code) ORCH_NONNULL(1);
/* How many calls of that kind there were. */
unsigned prv_fake_calls(const struct prv *p, enum prv_fake_call call) ORCH_NONNULL(1);

#endif
