/* The queue of notifications. See notify.h. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "fsd/mount/notify.h"

#define RECENT 64 /* attribute notes that are looked at for a double */

struct mnt_queue {
	pthread_mutex_t lock;
	pthread_cond_t filled;
	struct mnt_note *first, **last;
	uint64_t recent[RECENT]; /* ids of attribute notes that are queued, by hash; 0: none */
	bool stopped;
};

struct mnt_queue *mnt_queue_new(void)
{
	struct mnt_queue *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->filled, NULL);
	q->last = &q->first;
	return q;
}

void mnt_queue_free(struct mnt_queue *q)
{
	if (!q)
		return;
	while (q->first) {
		struct mnt_note *n = q->first;

		q->first = n->next;
		free(n);
	}
	pthread_cond_destroy(&q->filled);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

static void push(struct mnt_queue *q, uint64_t id, const char *name, size_t len)
{
	struct mnt_note *n = malloc(sizeof(*n) + len + 1);

	if (!n)
		return;
	*n = (struct mnt_note){.id = id, .name_len = len};
	memcpy(n->name, name, len);
	n->name[len] = 0;
	*q->last = n;
	q->last = &n->next;
	pthread_cond_signal(&q->filled);
}

void mnt_queue_attr(struct mnt_queue *q, uint64_t id)
{
	pthread_mutex_lock(&q->lock);
	if (q->recent[id % RECENT] != id) {
		q->recent[id % RECENT] = id;
		push(q, id, "", 0);
	}
	pthread_mutex_unlock(&q->lock);
}

void mnt_queue_entry(struct mnt_queue *q, uint64_t parent, const char *name, size_t len)
{
	pthread_mutex_lock(&q->lock);
	push(q, parent, name, len);
	pthread_mutex_unlock(&q->lock);
}

struct mnt_note *mnt_queue_take(struct mnt_queue *q)
{
	struct mnt_note *n;

	pthread_mutex_lock(&q->lock);
	while (!q->first && !q->stopped)
		pthread_cond_wait(&q->filled, &q->lock);
	n = q->first;
	if (n) {
		q->first = n->next;
		if (!q->first)
			q->last = &q->first;
		if (n->name_len == 0 && q->recent[n->id % RECENT] == n->id)
			q->recent[n->id % RECENT] = 0;
	}
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
