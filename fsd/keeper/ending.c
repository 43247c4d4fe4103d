/* How the daemon ends. See ending.h. */
#include "ending.h"
#include <errno.h>
#include <stddef.h>

static int stopping(struct orch_err *err)
{
	return orch_err_set(err, ESHUTDOWN, "the daemon is stopping");
}

static int replaced(struct orch_err *err)
{
	return orch_err_set(err, EAGAIN, "the daemon is being upgraded; ask again");
}

int fsd_ending_check(const struct fsd_ending *e, struct orch_err *err)
{
	return e->stops || e->end == FSD_END_STOP ? stopping(err) : 0;
}

int fsd_ending_check_stream(const struct fsd_ending *e, struct orch_err *err)
{
	return e->upgrading || e->end == FSD_END_REPLACE ? replaced(err) : 0;
}

int fsd_ending_begin_stop(struct fsd_ending *e, struct orch_err *err)
{
	e->stops++;
	if (e->end != FSD_END_REPLACE)
		return 0;
	e->stops--;
	return replaced(err);
}

void fsd_ending_give_up_stop(struct fsd_ending *e)
{
	e->stops--;
}

int fsd_ending_begin_upgrade(struct fsd_ending *e, struct orch_err *err)
{
	bool idle = false;

	if (fsd_ending_check(e, NULL) < 0)
		return stopping(err);
	if (atomic_compare_exchange_strong(&e->upgrading, &idle, true))
		return 0;
	return orch_err_set(err, EBUSY, "another upgrade is under way");
}

void fsd_ending_give_up_upgrade(struct fsd_ending *e)
{
	e->upgrading = false;
}

bool fsd_ending_decide(struct fsd_ending *e, enum fsd_end how)
{
	int none = FSD_END_NONE;

	return atomic_compare_exchange_strong(&e->end, &none, (int)how) || none == (int)how;
}
