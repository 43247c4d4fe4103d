/* The list of connections with a limit, and the thread that looks at it. See http_limit.h. */
#include "http_limit.h"
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include "core/clock.h"
#include "core/log.h"

struct fsd_limit {
	struct fsd_limit *prev, *next;
	int fd;
	uint64_t until_ns; /* UINT64_MAX: none */
};

struct fsd_limits {
	pthread_mutex_t lock;
	pthread_cond_t sooner;	/* the thread has to look earlier than it knows, or to end */
	struct fsd_limit *list; /* guarded by lock, as all below */
	uint64_t look_ns;	/* when the thread looks next */
	bool ending;
	pthread_t thread;
};

/* With the lock held. Cuts off who is late; returns when the next one will be. */
static uint64_t look(struct fsd_limits *l, uint64_t now_ns)
{
	uint64_t next = UINT64_MAX;

	for (struct fsd_limit *x = l->list; x; x = x->next) {
		if (x->until_ns <= now_ns) {
			orch_log(ORCH_LOG_DEBUG, "http", "too-slow", "fd=%d", x->fd);
			(void)shutdown(x->fd, SHUT_RDWR);
			x->until_ns = UINT64_MAX;
		}
		if (x->until_ns < next)
			next = x->until_ns;
	}
	return next;
}

static void *run(void *arg)
{
	struct fsd_limits *l = arg;

	pthread_mutex_lock(&l->lock);
	while (!l->ending) {
		l->look_ns = look(l, orch_clock_ns());
		if (l->look_ns == UINT64_MAX) {
			pthread_cond_wait(&l->sooner, &l->lock);
		} else {
			struct timespec ts = orch_ns_timespec((int64_t)l->look_ns);

			pthread_cond_timedwait(&l->sooner, &l->lock, &ts);
		}
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

int fsd_limits_start(struct fsd_limits **out, struct orch_err *err)
{
	struct fsd_limits *l = calloc(1, sizeof(*l));
	pthread_condattr_t attr;
	int rc;

	if (!l)
		return orch_err_set(err, ENOMEM, "no memory");
	l->look_ns = UINT64_MAX;
	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l->sooner, &attr);
	pthread_condattr_destroy(&attr);
	rc = pthread_create(&l->thread, NULL, run, l);
	if (rc != 0) {
		pthread_cond_destroy(&l->sooner);
		pthread_mutex_destroy(&l->lock);
		free(l);
		return orch_err_sys(err, rc, "start the thread of time limits");
	}
	*out = l;
	return 0;
}

void fsd_limits_stop(struct fsd_limits *l)
{
	if (!l)
		return;
	pthread_mutex_lock(&l->lock);
	ORCH_BUG_ON(l->list);
	l->ending = true;
	pthread_cond_signal(&l->sooner);
	pthread_mutex_unlock(&l->lock);
	pthread_join(l->thread, NULL);
	pthread_cond_destroy(&l->sooner);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

struct fsd_limit *fsd_limit_add(struct fsd_limits *l, int fd)
{
	struct fsd_limit *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	x->fd = fd;
	x->until_ns = UINT64_MAX;
	pthread_mutex_lock(&l->lock);
	x->next = l->list;
	if (x->next)
		x->next->prev = x;
	l->list = x;
	pthread_mutex_unlock(&l->lock);
	return x;
}

void fsd_limit_set(struct fsd_limits *l, struct fsd_limit *x, unsigned seconds)
{
	uint64_t until_ns = seconds ? orch_deadline_in_ms((uint64_t)seconds * 1000) : UINT64_MAX;

	pthread_mutex_lock(&l->lock);
	x->until_ns = until_ns;
	if (until_ns < l->look_ns) {
		l->look_ns = until_ns;
		pthread_cond_signal(&l->sooner);
	}
	pthread_mutex_unlock(&l->lock);
}

void fsd_limit_remove(struct fsd_limits *l, struct fsd_limit *x)
{
	if (!x)
		return;
	pthread_mutex_lock(&l->lock);
	if (x->prev)
		x->prev->next = x->next;
	else
		l->list = x->next;
	if (x->next)
		x->next->prev = x->prev;
	pthread_mutex_unlock(&l->lock);
	free(x);
}
