/* The workspaces in memory: one list, one lock, one condition for all turns. */
#include "registry.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "cache/record.h"
#include "core/fd.h"
#include "core/path.h"
#include "core/process.h"

#define TURN_MS 100 /* so often a waiter looks whether its client has gone */

struct fsd_registry {
	struct cas_store *store;
	pthread_mutex_t lock;
	pthread_cond_t turn; /* some workspace was released */
	struct fsd_ws *list; /* ordered by name; guarded by lock */
};

struct fsd_registry *fsd_registry_new(struct cas_store *store)
{
	struct fsd_registry *g = calloc(1, sizeof(*g));
	pthread_condattr_t attr;

	if (!g)
		return NULL;
	g->store = store;
	pthread_mutex_init(&g->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&g->turn, &attr);
	pthread_condattr_destroy(&attr);
	return g;
}

static void ws_free(struct fsd_ws *ws)
{
	orch_fd_close(ws->pidfd);
	orch_fd_close(ws->place_fd);
	orch_process_free(ws->process);
	free(ws->place);
	free(ws);
}

void fsd_registry_free(struct fsd_registry *g)
{
	if (!g)
		return;
	while (g->list) {
		struct fsd_ws *ws = g->list;

		g->list = ws->next;
		ws_free(ws);
	}
	pthread_cond_destroy(&g->turn);
	pthread_mutex_destroy(&g->lock);
	free(g);
}

/* With the lock held, as everything below that has no lock of its own. */
static struct fsd_ws *find(struct fsd_registry *g, const char *name)
{
	for (struct fsd_ws *ws = g->list; ws; ws = ws->next)
		if (!ws->gone && strcmp(ws->record.name, name) == 0)
			return ws;
	return NULL;
}

static void unlink_ws(struct fsd_registry *g, struct fsd_ws *ws)
{
	struct fsd_ws **at = &g->list;

	while (*at && *at != ws)
		at = &(*at)->next;
	if (*at)
		*at = ws->next;
}

static int no_such(const char *name, struct orch_err *err)
{
	return orch_err_set(err, ENOENT, "no workspace '%s'", name);
}

static void wait_turn(struct fsd_registry *g, uint64_t deadline_ns)
{
	uint64_t until = orch_deadline_in_ms(TURN_MS);
	struct timespec ts;

	if (until > deadline_ns)
		until = deadline_ns;
	ts = orch_ns_timespec((int64_t)until);
	pthread_cond_timedwait(&g->turn, &g->lock, &ts);
}

/* A removed one is freed by the last who has to do with it. */
static void free_if_unused(struct fsd_registry *g, struct fsd_ws *ws)
{
	if (!ws->gone || ws->waiters || ws->holders || ws->busy || ws->committing)
		return;
	unlink_ws(g, ws);
	ws_free(ws);
}

/* flag: of ws, that it is to be free of. -ENOENT: it was removed; it may be freed then. */
static int wait_free(struct fsd_registry *g, struct fsd_ws *ws, const bool *flag,
    struct fsd_request *r, uint64_t deadline_ns, struct orch_err *err)
{
	int rc = 0;

	ws->waiters++;
	while (rc == 0 && *flag && !ws->gone) {
		wait_turn(g, deadline_ns);
		if (r)
			rc = fsd_request_cancelled(r, err);
		if (rc == 0 && *flag && orch_clock_ns() >= deadline_ns)
			rc = orch_err_set(err, EBUSY,
			    "another operation on workspace '%s' takes too long", ws->record.name);
	}
	ws->waiters--;
	if (!ws->gone)
		return rc;
	rc = no_such(ws->record.name, err);
	free_if_unused(g, ws);
	return rc;
}

int fsd_registry_acquire(struct fsd_registry *g, const char *name, struct fsd_request *r,
    uint64_t deadline_ns, struct fsd_ws **out, struct orch_err *err)
{
	struct fsd_ws *ws;
	int rc;

	pthread_mutex_lock(&g->lock);
	ws = find(g, name);
	rc = ws && !ws->fresh ? wait_free(g, ws, &ws->busy, r, deadline_ns, err)
			      : no_such(name, err);
	if (rc == 0) {
		ws->busy = true;
		*out = ws;
	}
	pthread_mutex_unlock(&g->lock);
	return rc;
}

int fsd_registry_commit_begin(struct fsd_registry *g, const char *name, struct fsd_request *r,
    uint64_t deadline_ns, struct fsd_ws **out, struct orch_err *err)
{
	struct fsd_ws *ws;
	int rc;

	pthread_mutex_lock(&g->lock);
	ws = find(g, name);
	rc = ws && !ws->fresh ? wait_free(g, ws, &ws->committing, r, deadline_ns, err)
			      : no_such(name, err);
	if (rc == 0) {
		ws->committing = true;
		*out = ws;
	}
	pthread_mutex_unlock(&g->lock);
	return rc;
}

void fsd_registry_commit_end(struct fsd_registry *g, struct fsd_ws *ws)
{
	pthread_mutex_lock(&g->lock);
	ws->committing = false;
	free_if_unused(g, ws);
	pthread_cond_broadcast(&g->turn);
	pthread_mutex_unlock(&g->lock);
}

int fsd_registry_acquire_again(struct fsd_registry *g, struct fsd_ws *ws, struct fsd_request *r,
    uint64_t deadline_ns, struct orch_err *err)
{
	int rc;

	pthread_mutex_lock(&g->lock);
	rc = wait_free(g, ws, &ws->busy, r, deadline_ns, err);
	if (rc == 0)
		ws->busy = true;
	pthread_mutex_unlock(&g->lock);
	return rc;
}

int fsd_registry_hold(
    struct fsd_registry *g, const char *name, struct fsd_ws **out, struct orch_err *err)
{
	struct fsd_ws *ws;
	int rc = 0;

	pthread_mutex_lock(&g->lock);
	ws = find(g, name);
	if (!ws || ws->fresh)
		rc = no_such(name, err);
	else if (ws->leaving)
		rc = orch_err_set(err, EBUSY, "workspace '%s' is being removed", name);
	if (rc == 0) {
		ws->holders++;
		*out = ws;
	}
	pthread_mutex_unlock(&g->lock);
	return rc;
}

void fsd_registry_unhold(struct fsd_registry *g, struct fsd_ws *ws)
{
	pthread_mutex_lock(&g->lock);
	ws->holders--;
	free_if_unused(g, ws);
	pthread_cond_broadcast(&g->turn);
	pthread_mutex_unlock(&g->lock);
}

void fsd_ws_leave_holders(struct fsd_registry *g, struct fsd_ws *ws)
{
	pthread_mutex_lock(&g->lock);
	ws->leaving = true;
	while (ws->holders)
		pthread_cond_wait(&g->turn, &g->lock);
	pthread_mutex_unlock(&g->lock);
}

struct fsd_ws *fsd_registry_try_acquire(struct fsd_registry *g, const char *name)
{
	struct fsd_ws *ws;

	pthread_mutex_lock(&g->lock);
	ws = find(g, name);
	if (ws && (ws->busy || ws->fresh))
		ws = NULL;
	if (ws)
		ws->busy = true;
	pthread_mutex_unlock(&g->lock);
	return ws;
}

static void insert(struct fsd_registry *g, struct fsd_ws *ws)
{
	struct fsd_ws **at = &g->list;

	while (*at && strcmp((*at)->record.name, ws->record.name) < 0)
		at = &(*at)->next;
	ws->next = *at;
	*at = ws;
}

int fsd_registry_reserve(
    struct fsd_registry *g, const char *name, struct fsd_ws **out, struct orch_err *err)
{
	struct fsd_ws *ws;
	bool taken;

	if (!orch_workspace_name_valid(name))
		return orch_err_set(err, EINVAL,
		    "'%.200s' can't be the name of a workspace (1 to 100 of A-Z a-z 0-9 . _ -, "
		    "not beginning with . or -)",
		    name);
	ws = calloc(1, sizeof(*ws));
	if (!ws)
		return orch_err_set(err, ENOMEM, "no memory");
	ws->pidfd = ws->place_fd = -1;
	ws->busy = ws->fresh = true;
	memcpy(ws->record.name, name, strlen(name) + 1);
	pthread_mutex_lock(&g->lock);
	taken = find(g, name) != NULL;
	if (!taken)
		insert(g, ws);
	pthread_mutex_unlock(&g->lock);
	if (taken) {
		free(ws);
		return orch_err_set(err, EEXIST, "workspace '%s' exists already", name);
	}
	*out = ws;
	return 0;
}

void fsd_registry_release(struct fsd_registry *g, struct fsd_ws *ws)
{
	if (!ws)
		return;
	orch_fd_close(ws->place_fd);
	ws->place_fd = -1;
	pthread_mutex_lock(&g->lock);
	free(ws->place);
	ws->place = NULL;
	ws->busy = false;
	if (ws->fresh)
		ws->gone = true;
	free_if_unused(g, ws);
	pthread_cond_broadcast(&g->turn);
	pthread_mutex_unlock(&g->lock);
}

void fsd_ws_show(struct fsd_registry *g, struct fsd_ws *ws, const struct fsd_ws_record *r)
{
	pthread_mutex_lock(&g->lock);
	ws->record = *r;
	ws->fresh = false;
	pthread_mutex_unlock(&g->lock);
}

int fsd_ws_save(
    struct fsd_registry *g, struct fsd_ws *ws, const struct fsd_ws_record *r, struct orch_err *err)
{
	orch_auto(json) struct orch_json *j = fsd_ws_record_format(r);
	int rc;

	if (!j)
		return orch_err_set(err, ENOMEM, "no memory");
	rc = cas_record_put(g->store, CAS_NS_WORKSPACE, r->name, j, err);
	if (rc < 0) {
		orch_err_wrap(err, "record of workspace '%s'", r->name);
		return rc;
	}
	fsd_ws_show(g, ws, r);
	return 0;
}

int fsd_ws_remove(struct fsd_registry *g, struct fsd_ws *ws, struct orch_err *err)
{
	int rc = 0;

	if (!ws->fresh)
		rc = cas_record_remove(g->store, CAS_NS_WORKSPACE, ws->record.name, err);
	pthread_mutex_lock(&g->lock);
	ws->gone = rc >= 0;
	ws->leaving = false;
	pthread_mutex_unlock(&g->lock);
	return rc < 0 ? rc : 0;
}

int fsd_registry_look(
    struct fsd_registry *g, const char *name, struct fsd_ws_record *out, struct orch_err *err)
{
	struct fsd_ws *ws;

	pthread_mutex_lock(&g->lock);
	ws = find(g, name);
	if (ws && ws->fresh)
		ws = NULL;
	if (ws)
		*out = ws->record;
	pthread_mutex_unlock(&g->lock);
	return ws ? 0 : no_such(name, err);
}

static bool is_shown(const struct fsd_ws *ws)
{
	return !ws->gone && !ws->fresh;
}

int fsd_registry_list(struct fsd_registry *g, struct fsd_ws_record **out, size_t *out_count)
{
	struct fsd_ws_record *v;
	size_t n = 0;

	pthread_mutex_lock(&g->lock);
	for (struct fsd_ws *ws = g->list; ws; ws = ws->next)
		n += is_shown(ws);
	v = calloc(n ? n : 1, sizeof(*v));
	n = 0;
	for (struct fsd_ws *ws = g->list; v && ws; ws = ws->next)
		if (is_shown(ws))
			v[n++] = ws->record;
	pthread_mutex_unlock(&g->lock);
	if (!v)
		return -ENOMEM;
	*out = v;
	*out_count = n;
	return 0;
}

unsigned fsd_registry_mounted(struct fsd_registry *g)
{
	unsigned n = 0;

	pthread_mutex_lock(&g->lock);
	for (struct fsd_ws *ws = g->list; ws; ws = ws->next)
		n += !ws->gone && (ws->fresh || ws->record.state == FSD_WS_MOUNTED);
	pthread_mutex_unlock(&g->lock);
	return n;
}

static bool has_place(const struct fsd_ws *ws, const char *path)
{
	return (ws->place && strcmp(ws->place, path) == 0) ||
	       (ws->record.state == FSD_WS_MOUNTED && strcmp(ws->record.path, path) == 0);
}

int fsd_registry_claim_place(struct fsd_registry *g, struct fsd_ws *ws, const char *path)
{
	char *place = strdup(path);
	int rc = place ? 0 : -ENOMEM;

	pthread_mutex_lock(&g->lock);
	for (struct fsd_ws *x = g->list; x && rc == 0; x = x->next)
		if (x != ws && !x->gone && has_place(x, path))
			rc = -EBUSY;
	if (rc == 0) {
		free(ws->place);
		ws->place = place;
		place = NULL;
	}
	pthread_mutex_unlock(&g->lock);
	free(place);
	return rc;
}
