/* The queue of notifications. See notify.h. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "core/clock.h"
#include "fsd/mount/notify.h"

#define RECENT 64 /* attribute notes that are looked at for a double */

struct list {
	struct mnt_note *first, **last;
	uint64_t recent[RECENT]; /* ids of attribute notes in it, by hash; 0: none */
};

struct mnt_queue {
	pthread_mutex_t lock; /* all below */
	pthread_cond_t filled, sent;
	struct list now,
	    later; /* later: in the order of due_ns, since the delay is always the same */
	uint64_t names_queued, names_taken, names_sent; /* counted */
	bool stopped;
};

struct mnt_queue *mnt_queue_new(void)
{
	struct mnt_queue *q = calloc(1, sizeof(*q));
	pthread_condattr_t attr;

	if (!q)
		return NULL;
	pthread_mutex_init(&q->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&q->filled, &attr);
	pthread_cond_init(&q->sent, &attr);
	pthread_condattr_destroy(&attr);
	q->now.last = &q->now.first;
	q->later.last = &q->later.first;
	return q;
}

static struct mnt_note *pop(struct list *l)
{
	struct mnt_note *n = l->first;

	l->first = n->next;
	if (!l->first)
		l->last = &l->first;
	if (n->name_len == 0 && l->recent[n->id % RECENT] == n->id)
		l->recent[n->id % RECENT] = 0;
	return n;
}

void mnt_queue_free(struct mnt_queue *q)
{
	if (!q)
		return;
	while (q->now.first)
		free(pop(&q->now));
	while (q->later.first)
		free(pop(&q->later));
	pthread_cond_destroy(&q->sent);
	pthread_cond_destroy(&q->filled);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

static bool push(
    struct mnt_queue *q, struct list *l, uint64_t id, const char *name, size_t len, uint64_t due_ns)
{
	struct mnt_note *n = malloc(sizeof(*n) + len + 1);

	if (!n)
		return false;
	*n = (struct mnt_note){.id = id, .name_len = len, .due_ns = due_ns};
	memcpy(n->name, name, len);
	n->name[len] = 0;
	if (!l->first)
		pthread_cond_signal(&q->filled);
	*l->last = n;
	l->last = &n->next;
	return true;
}

static void push_attr(struct mnt_queue *q, struct list *l, uint64_t id, uint64_t due_ns)
{
	pthread_mutex_lock(&q->lock);
	if (l->recent[id % RECENT] != id) {
		l->recent[id % RECENT] = id;
		(void)push(q, l, id, "", 0, due_ns);
	}
	pthread_mutex_unlock(&q->lock);
}

void mnt_queue_attr(struct mnt_queue *q, uint64_t id)
{
	push_attr(q, &q->now, id, 0);
}

void mnt_queue_recheck(struct mnt_queue *q, uint64_t id)
{
	push_attr(q, &q->later, id, orch_deadline_in_ms(MNT_RECHECK_MS));
}

uint64_t mnt_queue_entry(struct mnt_queue *q, uint64_t parent, const char *name, size_t len)
{
	uint64_t number;

	pthread_mutex_lock(&q->lock);
	if (push(q, &q->now, parent, name, len, 0))
		q->names_queued++;
	number = q->names_queued;
	pthread_mutex_unlock(&q->lock);
	return number;
}

bool mnt_queue_wait_sent(struct mnt_queue *q, uint64_t number, uint64_t deadline_ns)
{
	struct timespec ts = orch_ns_timespec((int64_t)deadline_ns);
	int r = deadline_ns == 0 ? ETIMEDOUT : 0;
	bool is;

	pthread_mutex_lock(&q->lock);
	while (!(is = q->names_sent >= number) && r == 0)
		r = pthread_cond_timedwait(&q->sent, &q->lock, &ts);
	pthread_mutex_unlock(&q->lock);
	return is;
}

/* With the lock: what is to be sent now; NULL and the time to wait for otherwise. */
static struct mnt_note *due(struct mnt_queue *q, uint64_t *out_wait_until)
{
	*out_wait_until = ORCH_FOREVER;
	if (q->now.first)
		return pop(&q->now);
	if (!q->later.first)
		return NULL;
	if (orch_clock_ns() >= q->later.first->due_ns)
		return pop(&q->later);
	*out_wait_until = q->later.first->due_ns;
	return NULL;
}

struct mnt_note *mnt_queue_take(struct mnt_queue *q)
{
	struct mnt_note *n;
	uint64_t until;

	pthread_mutex_lock(&q->lock);
	if (q->names_sent < q->names_taken)
		pthread_cond_broadcast(&q->sent);
	q->names_sent = q->names_taken;
	while (!(n = due(q, &until)) && !q->stopped) {
		struct timespec ts = orch_ns_timespec((int64_t)until);

		if (until == ORCH_FOREVER)
			pthread_cond_wait(&q->filled, &q->lock);
		else
			pthread_cond_timedwait(&q->filled, &q->lock, &ts);
	}
	if (n && n->name_len > 0)
		q->names_taken++;
	pthread_mutex_unlock(&q->lock);
	return n;
}

void mnt_queue_stop(struct mnt_queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->stopped = true;
	pthread_cond_signal(&q->filled);
	pthread_mutex_unlock(&q->lock);
}
