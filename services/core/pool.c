/*
 * The pool of threads. One lock (`lock`) guards everything; no task runs with it held. Tasks that
 * are added from inside a task and find the queue full run at once, so workers never wait for one
 * another.
 */
#include "core/pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

struct task {
	orch_pool_fn *fn;
	void *arg;
};

struct orch_pool {
	pthread_mutex_t lock;
	pthread_cond_t changed_work;  /* a task was queued, or the pool closes */
	pthread_cond_t changed_room;  /* a slot is free */
	pthread_cond_t changed_quiet; /* nothing is queued or running */
	struct task *ring;	      /* lock; ring_cap slots */
	size_t ring_cap;
	size_t first, queued; /* lock */
	size_t running;	      /* lock */
	bool closing;	      /* lock */
	pthread_t *threads;
	unsigned thread_count;
};

/* The pool whose task this thread runs. */
static __thread struct orch_pool *inside;

unsigned orch_cpu_count(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;

	return n > 0 ? (unsigned)n : 1;
}

static void run_task(struct orch_pool *p, struct task t)
{
	struct orch_pool *outer = inside;

	inside = p;
	t.fn(t.arg);
	inside = outer;
}

/* With the lock held and a task queued: runs it without the lock. */
static void run_first(struct orch_pool *p)
{
	struct task t = p->ring[p->first];

	p->first = (p->first + 1) % p->ring_cap;
	p->queued--;
	p->running++;
	pthread_cond_signal(&p->changed_room);
	pthread_mutex_unlock(&p->lock);
	run_task(p, t);
	pthread_mutex_lock(&p->lock);
	p->running--;
	if (p->queued == 0 && p->running == 0)
		pthread_cond_broadcast(&p->changed_quiet);
}

static void *worker(void *arg)
{
	struct orch_pool *p = arg;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		while (p->queued == 0 && !p->closing)
			pthread_cond_wait(&p->changed_work, &p->lock);
		if (p->queued == 0)
			break;
		run_first(p);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* Signals are the main thread's: workers block all of them. */
static void start_threads(struct orch_pool *p, unsigned count)
{
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (p->thread_count < count &&
	       pthread_create(&p->threads[p->thread_count], NULL, worker, p) == 0)
		p->thread_count++;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

struct orch_pool *orch_pool_new(unsigned threads, size_t queue_max)
{
	struct orch_pool *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	if (threads == 0)
		threads = orch_cpu_count();
	p->ring_cap = queue_max ? queue_max : 1;
	p->ring = calloc(p->ring_cap, sizeof(*p->ring));
	p->threads = calloc(threads, sizeof(*p->threads));
	if (!p->ring || !p->threads) {
		free(p->ring);
		free(p->threads);
		free(p);
		return NULL;
	}
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->changed_work, NULL);
	pthread_cond_init(&p->changed_room, NULL);
	pthread_cond_init(&p->changed_quiet, NULL);
	start_threads(p, threads);
	return p;
}

/* False: the caller runs it. */
static bool enqueue(struct orch_pool *p, struct task t)
{
	bool queued = false;

	pthread_mutex_lock(&p->lock);
	while (p->queued == p->ring_cap && inside != p)
		pthread_cond_wait(&p->changed_room, &p->lock);
	if (p->queued < p->ring_cap) {
		p->ring[(p->first + p->queued++) % p->ring_cap] = t;
		pthread_cond_signal(&p->changed_work);
		queued = true;
	}
	pthread_mutex_unlock(&p->lock);
	return queued;
}

void orch_pool_add(struct orch_pool *p, orch_pool_fn *fn, void *arg)
{
	struct task t = {.fn = fn, .arg = arg};

	if (p->thread_count == 0 || !enqueue(p, t))
		run_task(p, t);
}

void orch_pool_drain(struct orch_pool *p)
{
	/* A task that waits for all tasks waits for itself. */
	ORCH_BUG_ON(inside == p);
	pthread_mutex_lock(&p->lock);
	while (p->queued > 0 || p->running > 0)
		pthread_cond_wait(&p->changed_quiet, &p->lock);
	pthread_mutex_unlock(&p->lock);
}

void orch_pool_free(struct orch_pool *p)
{
	if (!p)
		return;
	orch_pool_drain(p);
	pthread_mutex_lock(&p->lock);
	p->closing = true;
	pthread_cond_broadcast(&p->changed_work);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->thread_count; i++)
		pthread_join(p->threads[i], NULL);
	pthread_cond_destroy(&p->changed_work);
	pthread_cond_destroy(&p->changed_room);
	pthread_cond_destroy(&p->changed_quiet);
	pthread_mutex_destroy(&p->lock);
	free(p->threads);
	free(p->ring);
	free(p);
}
