/* The queue of a stream: a ring would save a copy, a buffer is enough. */
#include "events.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "core/buf.h"
#include "core/clock.h"
#include "core/fd.h"

#define QUEUE_BYTES (1u << 20)

struct fsd_events {
	pthread_mutex_t lock;
	pthread_cond_t space; /* something was taken, or cancelled */
	struct orch_buf buf;  /* guarded by lock, as all below */
	size_t taken;	      /* bytes of buf that are gone already */
	bool any, ended, cancelled;
	int wake_fd;
	uint64_t stall_ms;
};

struct fsd_events *fsd_events_new(uint64_t stall_ms)
{
	struct fsd_events *e = calloc(1, sizeof(*e));
	pthread_condattr_t attr;

	if (!e)
		return NULL;
	e->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (e->wake_fd < 0) {
		free(e);
		return NULL;
	}
	e->stall_ms = stall_ms;
	orch_buf_init(&e->buf, ORCH_BUF_MAX_DEFAULT);
	pthread_mutex_init(&e->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&e->space, &attr);
	pthread_condattr_destroy(&attr);
	return e;
}

void fsd_events_free(struct fsd_events *e)
{
	if (!e)
		return;
	pthread_cond_destroy(&e->space);
	pthread_mutex_destroy(&e->lock);
	orch_fd_close(e->wake_fd);
	orch_buf_fini(&e->buf);
	free(e);
}

static void wake(struct fsd_events *e)
{
	uint64_t one = 1;

	/* Full counter: it is readable already. */
	if (write(e->wake_fd, &one, sizeof(one)) < 0)
		return;
}

/* With the lock held. */
static int wait_space(struct fsd_events *e)
{
	struct timespec until = orch_ns_timespec((int64_t)orch_deadline_in_ms(e->stall_ms));

	while (!e->cancelled && e->buf.len - e->taken > QUEUE_BYTES)
		if (pthread_cond_timedwait(&e->space, &e->lock, &until) == ETIMEDOUT)
			return -ETIMEDOUT;
	return e->cancelled ? -ECANCELED : 0;
}

int fsd_events_add(struct fsd_events *e, const void *line, size_t n)
{
	int rc;

	pthread_mutex_lock(&e->lock);
	rc = wait_space(e);
	if (rc == 0)
		rc = orch_buf_reserve(&e->buf, n + 1);
	if (rc == 0) {
		(void)orch_buf_add(&e->buf, line, n);
		(void)orch_buf_add(&e->buf, "\n", 1);
		e->any = true;
	}
	pthread_mutex_unlock(&e->lock);
	wake(e);
	return rc;
}

int fsd_events_add_json(struct fsd_events *e, const struct orch_json *line)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	int rc = orch_json_format(line, 0, &b);

	return rc < 0 ? rc : fsd_events_add(e, b.data, b.len);
}

bool fsd_events_any(struct fsd_events *e)
{
	bool any;

	pthread_mutex_lock(&e->lock);
	any = e->any;
	pthread_mutex_unlock(&e->lock);
	return any;
}

void fsd_events_end(struct fsd_events *e, const void *line, size_t n)
{
	pthread_mutex_lock(&e->lock);
	if (line && orch_buf_reserve(&e->buf, n + 1) == 0) {
		(void)orch_buf_add(&e->buf, line, n);
		(void)orch_buf_add(&e->buf, "\n", 1);
		e->any = true;
	}
	e->ended = true;
	pthread_mutex_unlock(&e->lock);
	wake(e);
}

void fsd_events_cancel(struct fsd_events *e)
{
	pthread_mutex_lock(&e->lock);
	e->cancelled = true;
	pthread_cond_broadcast(&e->space);
	pthread_mutex_unlock(&e->lock);
}

int fsd_events_wake_fd(struct fsd_events *e)
{
	return e->wake_fd;
}

ssize_t fsd_events_take(struct fsd_events *e, char *out, size_t max)
{
	uint64_t count;
	ssize_t n;

	/* EAGAIN: nobody woke us. */
	if (read(e->wake_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return -errno;
	pthread_mutex_lock(&e->lock);
	n = (ssize_t)(e->buf.len - e->taken);
	if (n > (ssize_t)max)
		n = (ssize_t)max;
	if (n > 0)
		memcpy(out, e->buf.data + e->taken, (size_t)n);
	else if (e->ended)
		n = -ENODATA;
	if (n > 0)
		e->taken += (size_t)n;
	if (e->taken == e->buf.len) {
		orch_buf_reset(&e->buf);
		e->taken = 0;
	} else if (n > 0) {
		wake(e);
	}
	pthread_cond_broadcast(&e->space);
	pthread_mutex_unlock(&e->lock);
	return n;
}
