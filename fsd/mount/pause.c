/* Jobs that stand still. See pause.h. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "core/clock.h"
#include "core/freezer.h"
#include "core/log.h"
#include "core/size.h"
#include "fsd/mount/pause.h"

struct mnt_pause {
	const int *groups;
	size_t count;
	uint64_t began_ns, until_ns, ended_ns;
	int32_t *pids;
	size_t pid_count;
	pthread_t guard;
	pthread_mutex_t lock; /* all below, and the thawing */
	pthread_cond_t changed;
	bool over; /* nobody is frozen any more */
};

static void thaw_locked(struct mnt_pause *p)
{
	int r;

	if (p->over)
		return;
	r = orch_freezer_thaw(p->groups, p->count);
	p->over = true;
	p->ended_ns = orch_clock_ns();
	/* -ENOENT, -ENODEV: the job has ended, and its group with it. */
	if (r < 0 && r != -ENOENT && r != -ENODEV)
		orch_log(ORCH_LOG_ERROR, "mount", "not-thawed", "error=%s", orch_err_name(-r));
}

static void *guard(void *arg)
{
	struct mnt_pause *p = arg;
	struct timespec until = orch_ns_timespec((int64_t)p->until_ns);

	pthread_mutex_lock(&p->lock);
	while (!p->over && orch_clock_ns() < p->until_ns)
		pthread_cond_timedwait(&p->changed, &p->lock, &until);
	if (!p->over)
		orch_log(ORCH_LOG_WARN, "mount", "pause-too-long", "ms=%llu",
		    (unsigned long long)((p->until_ns - p->began_ns) / ORCH_NS_PER_MS));
	thaw_locked(p);
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static int by_number(const void *a, const void *b)
{
	int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

	return x < y ? -1 : x > y;
}

/* Takes v over. */
static int add_pids(struct mnt_pause *p, int32_t *v, size_t count)
{
	size_t bytes;
	int32_t *all;
	int r = orch_size_mul(p->pid_count + count + 1, sizeof(*v), &bytes);

	all = r < 0 ? NULL : realloc(p->pids, bytes);
	if (all) {
		memcpy(all + p->pid_count, v, count * sizeof(*v));
		p->pids = all;
		p->pid_count += count;
	}
	free(v);
	return all ? 0 : -ENOMEM;
}

static int list_pids(struct mnt_pause *p)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < p->count; i++) {
		int32_t *v = NULL;
		size_t count = 0;

		r = orch_freezer_pids(p->groups[i], &v, &count);
		if (r == 0)
			r = add_pids(p, v, count);
	}
	if (r < 0)
		return r;
	if (p->pid_count > 1)
		qsort(p->pids, p->pid_count, sizeof(*p->pids), by_number);
	return 0;
}

/* Who serves the files of those that are to stand still can't be one of them. */
static bool holds_me(const struct mnt_pause *p)
{
	int32_t me = (int32_t)getpid();

	return p->pid_count > 0 &&
	       bsearch(&me, p->pids, p->pid_count, sizeof(me), by_number) != NULL;
}

static int freeze(struct mnt_pause *p, struct orch_err *err)
{
	int r = list_pids(p);

	if (r == 0 && holds_me(p))
		return orch_err_set(err, EINVAL, "the mount process is in the group");
	p->pid_count = 0;
	if (r == 0)
		r = orch_freezer_freeze(p->groups, p->count, p->until_ns, err);
	if (r < 0)
		return r;
	r = list_pids(p); /* who was made since */
	return r < 0 ? orch_err_sys(err, -r, "list a control group") : 0;
}

static int guard_start(struct mnt_pause *p)
{
	pthread_condattr_t attr;
	int r;

	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->changed, &attr);
	pthread_condattr_destroy(&attr);
	r = pthread_create(&p->guard, NULL, guard, p);
	if (r != 0) {
		pthread_cond_destroy(&p->changed);
		pthread_mutex_destroy(&p->lock);
	}
	return -r;
}

int mnt_pause_begin(const int *groups, size_t count, uint64_t limit_ms, struct mnt_pause **out,
    struct orch_err *err)
{
	struct mnt_pause *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return orch_err_sys(err, ENOMEM, "pause");
	p->groups = groups;
	p->count = count;
	p->began_ns = orch_clock_ns();
	p->until_ns = p->began_ns + limit_ms * ORCH_NS_PER_MS;
	r = guard_start(p); /* before anything is frozen: nothing is without who thaws it */
	if (r < 0) {
		free(p);
		return orch_err_sys(err, -r, "pause");
	}
	r = freeze(p, err);
	if (r < 0) {
		(void)mnt_pause_end(p);
		return r;
	}
	*out = p;
	return 0;
}

bool mnt_pause_holds(struct mnt_pause *p)
{
	bool holds;

	pthread_mutex_lock(&p->lock);
	holds = !p->over && orch_clock_ns() < p->until_ns;
	pthread_mutex_unlock(&p->lock);
	return holds;
}

const int32_t *mnt_pause_pids(const struct mnt_pause *p, size_t *out_count)
{
	*out_count = p->pid_count;
	return p->pids;
}

uint64_t mnt_pause_end(struct mnt_pause *p)
{
	uint64_t ns;

	pthread_mutex_lock(&p->lock);
	thaw_locked(p);
	pthread_cond_signal(&p->changed);
	pthread_mutex_unlock(&p->lock);
	pthread_join(p->guard, NULL);
	ns = p->ended_ns - p->began_ns;
	pthread_cond_destroy(&p->changed);
	pthread_mutex_destroy(&p->lock);
	free(p->pids);
	free(p);
	return ns;
}
