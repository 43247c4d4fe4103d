/* Turns on mirrors; see mirrors.h. */
#include "mirrors.h"
#include <pthread.h>
#include <stdlib.h>
#include "core/clock.h"

#define TURN_MS 100

struct fsd_mirror_turn {
	struct fsd_mirror_turn *next;
	struct orch_digest key;
	unsigned users; /* who waits or has it */
	bool taken;
	uint64_t begun; /* fetches of everything, counted */
	uint64_t good;	/* the latest of them that went well; 0: none */
	uid_t good_uid; /* who fetched that: his configuration said from where */
};

struct fsd_mirrors {
	pthread_mutex_t lock; /* all below */
	pthread_cond_t left;
	struct fsd_mirror_turn *list;
};

struct fsd_mirrors *fsd_mirrors_new(void)
{
	struct fsd_mirrors *m = calloc(1, sizeof(*m));
	pthread_condattr_t attr;

	if (!m)
		return NULL;
	pthread_mutex_init(&m->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&m->left, &attr);
	pthread_condattr_destroy(&attr);
	return m;
}

void fsd_mirrors_free(struct fsd_mirrors *m)
{
	if (!m)
		return;
	while (m->list) {
		struct fsd_mirror_turn *t = m->list;

		m->list = t->next;
		free(t);
	}
	pthread_cond_destroy(&m->left);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

/* lock is held. */
static struct fsd_mirror_turn *find_or_add(struct fsd_mirrors *m, const struct orch_digest *key)
{
	struct fsd_mirror_turn *t = m->list;

	while (t && !orch_digest_eq(&t->key, key))
		t = t->next;
	if (t)
		return t;
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->key = *key;
	t->next = m->list;
	m->list = t;
	return t;
}

/* lock is held. Nobody who comes later gains from what it knows. */
static void forget(struct fsd_mirrors *m, struct fsd_mirror_turn *t)
{
	struct fsd_mirror_turn **at = &m->list;

	if (--t->users > 0)
		return;
	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	free(t);
}

int fsd_mirrors_enter(struct fsd_mirrors *m, struct fsd_request *r, const struct orch_digest *key,
    struct fsd_mirror_turn **out, bool *out_fresh, struct orch_err *err)
{
	struct fsd_mirror_turn *t;
	uint64_t begun;
	int rc = 0;

	pthread_mutex_lock(&m->lock);
	t = find_or_add(m, key);
	if (!t) {
		pthread_mutex_unlock(&m->lock);
		return orch_err_set(err, ENOMEM, "no memory");
	}
	begun = t->begun;
	t->users++;
	while (rc == 0 && t->taken) {
		struct timespec ts = orch_ns_timespec((int64_t)orch_deadline_in_ms(TURN_MS));

		pthread_cond_timedwait(&m->left, &m->lock, &ts);
		rc = fsd_request_cancelled(r, err);
	}
	if (rc == 0) {
		t->taken = true;
		*out_fresh = t->good > begun && t->good_uid == r->peer.uid;
		*out = t;
	} else {
		forget(m, t);
	}
	pthread_mutex_unlock(&m->lock);
	return rc;
}

void fsd_mirrors_begin(struct fsd_mirrors *m, struct fsd_mirror_turn *t)
{
	pthread_mutex_lock(&m->lock);
	t->begun++;
	pthread_mutex_unlock(&m->lock);
}

void fsd_mirrors_done(struct fsd_mirrors *m, struct fsd_mirror_turn *t, uid_t uid)
{
	pthread_mutex_lock(&m->lock);
	t->good = t->begun;
	t->good_uid = uid;
	pthread_mutex_unlock(&m->lock);
}

void fsd_mirrors_leave(struct fsd_mirrors *m, struct fsd_mirror_turn *t)
{
	if (!t)
		return;
	pthread_mutex_lock(&m->lock);
	t->taken = false;
	forget(m, t);
	pthread_cond_broadcast(&m->left);
	pthread_mutex_unlock(&m->lock);
}
