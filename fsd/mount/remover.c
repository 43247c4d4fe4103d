/* See remover.h. */
#include "fsd/mount/remover.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>
#include "core/clock.h"
#include "core/err.h"
#include "core/log.h"

struct batch {
	struct batch *next;
	struct mnt_doomed *v;
	size_t count;
};

struct mnt_remover {
	struct mnt_remover_ops ops;
	pthread_t thread;
	pthread_mutex_t lock; /* all below */
	pthread_cond_t wake;  /* of the thread */
	pthread_cond_t done;  /* a round is over */
	struct batch *list;
	uint64_t added, removed; /* batches, counted */
	bool hurry, stop;
	bool failed; /* told once */
};

static struct batch *list_free(struct batch *list)
{
	while (list) {
		struct batch *b = list;

		list = b->next;
		free(b->v);
		free(b);
	}
	return NULL;
}

/* With the lock: more may come, and one sync serves them all. */
static void gather(struct mnt_remover *r)
{
	uint64_t until = orch_deadline_in_ms(MNT_REMOVER_DELAY_MS);
	struct timespec ts = orch_ns_timespec((int64_t)until);

	while (!r->hurry && !r->stop && orch_clock_ns() < until)
		pthread_cond_timedwait(&r->wake, &r->lock, &ts);
}

static void remove_all(struct mnt_remover *r, const struct batch *list)
{
	int rc = r->ops.make_durable(r->ops.priv);

	if (rc < 0) {
		if (!r->failed)
			orch_log(ORCH_LOG_ERROR, "mount", "removed-files-stay",
			    "reason=log-not-durable errno=%s", orch_err_name(-rc));
		r->failed = true;
		return;
	}
	for (const struct batch *b = list; b; b = b->next)
		r->ops.remove(r->ops.priv, b->v, b->count);
}

static void *run(void *arg)
{
	struct mnt_remover *r = arg;

	pthread_mutex_lock(&r->lock);
	while (r->list || !r->stop) {
		struct batch *list;
		uint64_t upto;

		if (!r->list) {
			pthread_cond_wait(&r->wake, &r->lock);
			continue;
		}
		gather(r);
		r->hurry = false;
		list = r->list;
		upto = r->added;
		r->list = NULL;
		pthread_mutex_unlock(&r->lock);
		remove_all(r, list);
		list_free(list);
		pthread_mutex_lock(&r->lock);
		r->removed = upto;
		pthread_cond_broadcast(&r->done);
	}
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

static void init_cond(pthread_cond_t *c)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(c, &attr);
	pthread_condattr_destroy(&attr);
}

static void destroy(struct mnt_remover *r)
{
	pthread_cond_destroy(&r->done);
	pthread_cond_destroy(&r->wake);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

struct mnt_remover *mnt_remover_new(const struct mnt_remover_ops *ops)
{
	struct mnt_remover *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->ops = *ops;
	pthread_mutex_init(&r->lock, NULL);
	init_cond(&r->wake);
	init_cond(&r->done);
	if (pthread_create(&r->thread, NULL, run, r) != 0) {
		destroy(r);
		return NULL;
	}
	return r;
}

void mnt_remover_free(struct mnt_remover *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	r->stop = true;
	pthread_cond_signal(&r->wake);
	pthread_mutex_unlock(&r->lock);
	pthread_join(r->thread, NULL);
	destroy(r);
}

void mnt_remover_add(struct mnt_remover *r, struct mnt_doomed *v, size_t count, bool hurry)
{
	struct batch *b = malloc(sizeof(*b));

	if (!b) { /* the next mount removes them */
		free(v);
		return;
	}
	pthread_mutex_lock(&r->lock);
	*b = (struct batch){r->list, v, count};
	r->list = b;
	r->added++;
	r->hurry |= hurry;
	if (!b->next || hurry)
		pthread_cond_signal(&r->wake);
	pthread_mutex_unlock(&r->lock);
}

bool mnt_remover_flush(struct mnt_remover *r)
{
	uint64_t want;
	bool any;

	pthread_mutex_lock(&r->lock);
	want = r->added;
	any = r->removed < want;
	r->hurry |= any;
	pthread_cond_signal(&r->wake);
	while (r->removed < want)
		pthread_cond_wait(&r->done, &r->lock);
	pthread_mutex_unlock(&r->lock);
	return any;
}
