/* The list of jobs. See jobs.h. The list and the records change together, one change at a time: a record
 * that is written or removed late would be another one's. */
#include "jobs.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "cache/record.h"
#include "core/fd.h"
#include "core/freezer.h"
#include "core/log.h"

struct entry {
	struct entry *next;
	struct fsd_job job;
};

struct fsd_jobs {
	struct cas_store *store;
	pthread_mutex_t
	    change_lock;      /* the list and the records, from a look to the end of a change */
	pthread_mutex_t lock; /* inside change_lock; who only looks takes this alone */
	struct entry *list;   /* guarded by lock */
};

struct fsd_jobs *fsd_jobs_new(struct cas_store *store)
{
	struct fsd_jobs *js = calloc(1, sizeof(*js));

	if (!js)
		return NULL;
	js->store = store;
	pthread_mutex_init(&js->change_lock, NULL);
	pthread_mutex_init(&js->lock, NULL);
	return js;
}

void fsd_jobs_free(struct fsd_jobs *js)
{
	if (!js)
		return;
	while (js->list) {
		struct entry *e = js->list;

		js->list = e->next;
		free(e);
	}
	pthread_mutex_destroy(&js->lock);
	pthread_mutex_destroy(&js->change_lock);
	free(js);
}

static bool is_named(const struct fsd_job *j, const char *workspace, const char *id)
{
	return strcmp(j->workspace, workspace) == 0 && (!id || strcmp(j->id, id) == 0);
}

typedef bool accept_fn(const struct fsd_job *j, const void *arg);

/* So that who only looks waits for no change. */
static bool any(struct fsd_jobs *js, accept_fn *fn, const void *arg)
{
	struct entry *e;

	pthread_mutex_lock(&js->lock);
	for (e = js->list; e && !fn(&e->job, arg); e = e->next)
		;
	pthread_mutex_unlock(&js->lock);
	return e != NULL;
}

/* The first job that fn accepts, out of the list; NULL: none. With change_lock held. */
static struct entry *take(struct fsd_jobs *js, accept_fn *fn, const void *arg)
{
	struct entry **at, *e;

	pthread_mutex_lock(&js->lock);
	for (at = &js->list; *at && !fn(&(*at)->job, arg); at = &(*at)->next)
		;
	e = *at;
	if (e)
		*at = e->next;
	pthread_mutex_unlock(&js->lock);
	return e;
}

static int record_remove(struct fsd_jobs *js, const struct fsd_job *j, struct orch_err *err)
{
	char key[2 * FSD_NAME_BYTES];

	fsd_job_key(j, key);
	return cas_record_remove(js->store, CAS_NS_JOB, key, err);
}

/* With change_lock held. A record that stays costs nothing but a look at the next start. */
static void discard(struct fsd_jobs *js, struct entry *e)
{
	struct orch_err err = ORCH_ERR_INIT;

	if (record_remove(js, &e->job, &err) < 0)
		orch_log(ORCH_LOG_WARN, "keeper", "job-record", "workspace=%s job=%s error=%s",
		    e->job.workspace, e->job.id, err.msg);
	free(e);
}

/* All that fn accepts; how many these were. */
static size_t remove_all(struct fsd_jobs *js, accept_fn *fn, const void *arg, bool tell)
{
	struct entry *e;
	size_t n = 0;

	pthread_mutex_lock(&js->change_lock);
	while ((e = take(js, fn, arg))) {
		if (tell)
			orch_log(ORCH_LOG_INFO, "keeper", "job-ended", "workspace=%s job=%s",
			    e->job.workspace, e->job.id);
		discard(js, e);
		n++;
	}
	pthread_mutex_unlock(&js->change_lock);
	return n;
}

/* ---- add, remove ---- */

/* What is frozen with a group is frozen in those below it, too. */
static bool is_in(const char *group, const char *other)
{
	size_t n = strlen(other);

	return strncmp(group, other, n) == 0 && (group[n] == '\0' || group[n] == '/');
}

static bool shares_group(const struct fsd_job *a, const struct fsd_job *b)
{
	for (size_t i = 0; i < a->group_count; i++)
		for (size_t k = 0; k < b->group_count; k++)
			if (is_in(a->groups[i], b->groups[k]) || is_in(b->groups[k], a->groups[i]))
				return true;
	return false;
}

/* With the lock held. A group that two workspaces froze would be thawed by one under the other. */
static int check_new(struct fsd_jobs *js, const struct fsd_job *job, struct orch_err *err)
{
	size_t count = 0;

	for (struct entry *e = js->list; e; e = e->next) {
		bool same = strcmp(e->job.workspace, job->workspace) == 0;

		if (!same && shares_group(&e->job, job) && fsd_job_lives(&e->job))
			return orch_err_set(err, EBUSY,
			    "job '%s' of workspace '%s' is in the same control group", e->job.id,
			    e->job.workspace);
		count += same && strcmp(e->job.id, job->id) != 0;
	}
	if (count >= FSD_JOBS_MAX)
		return orch_err_set(
		    err, E2BIG, "workspace '%s' has %d jobs already", job->workspace, FSD_JOBS_MAX);
	return 0;
}

/* *old: the one of that name until now; without a group: there was none. */
static int insert(
    struct fsd_jobs *js, const struct fsd_job *job, struct fsd_job *old, struct orch_err *err)
{
	struct entry *e = calloc(1, sizeof(*e)), **at;
	int rc;

	if (!e)
		return orch_err_set(err, ENOMEM, "no memory");
	e->job = *job;
	old->group_count = 0;
	pthread_mutex_lock(&js->lock);
	rc = check_new(js, job, err);
	for (at = &js->list; rc == 0 && *at; at = &(*at)->next)
		if (is_named(&(*at)->job, job->workspace, job->id))
			break;
	if (rc == 0 && *at) {
		*old = (*at)->job;
		(*at)->job = *job;
	} else if (rc == 0) {
		*at = e;
		e = NULL;
	}
	pthread_mutex_unlock(&js->lock);
	free(e);
	return rc;
}

static bool is_job(const struct fsd_job *j, const void *arg)
{
	const struct fsd_job *want = arg;

	return is_named(j, want->workspace, want->id);
}

/* The record of the old one is as it was. */
static void put_back(struct fsd_jobs *js, const struct fsd_job *job, const struct fsd_job *old)
{
	struct entry *e;

	if (old->group_count == 0) {
		free(take(js, is_job, job));
		return;
	}
	pthread_mutex_lock(&js->lock);
	for (e = js->list; e && !is_job(&e->job, job); e = e->next)
		;
	if (e)
		e->job = *old;
	pthread_mutex_unlock(&js->lock);
}

int fsd_jobs_add(struct fsd_jobs *js, const struct fsd_job *job, struct orch_err *err)
{
	orch_auto(json) struct orch_json *value = fsd_job_format(job);
	char key[2 * FSD_NAME_BYTES];
	struct fsd_job old;
	int rc;

	if (!value)
		return orch_err_set(err, ENOMEM, "no memory");
	fsd_jobs_sweep(js);
	fsd_job_key(job, key);
	pthread_mutex_lock(&js->change_lock);
	rc = insert(js, job, &old, err);
	if (rc == 0) {
		rc = cas_record_put(js->store, CAS_NS_JOB, key, value, err);
		if (rc < 0)
			put_back(js, job, &old);
	}
	pthread_mutex_unlock(&js->change_lock);
	return rc;
}

int fsd_jobs_remove(
    struct fsd_jobs *js, const char *workspace, const char *id, struct orch_err *err)
{
	struct fsd_job want = {.group_count = 0};

	if (strlen(workspace) < sizeof(want.workspace) && strlen(id) < sizeof(want.id)) {
		memcpy(want.workspace, workspace, strlen(workspace) + 1);
		memcpy(want.id, id, strlen(id) + 1);
		if (remove_all(js, is_job, &want, false))
			return 0;
	}
	return orch_err_set(err, ENOENT, "no job '%.100s' in workspace '%s'", id, workspace);
}

static bool is_of(const struct fsd_job *j, const void *workspace)
{
	return is_named(j, workspace, NULL);
}

void fsd_jobs_forget(struct fsd_jobs *js, const char *workspace)
{
	(void)remove_all(js, is_of, workspace, false);
}

static bool has_ended(const struct fsd_job *j, const void *arg)
{
	(void)arg;
	return !fsd_job_lives(j);
}

void fsd_jobs_sweep(struct fsd_jobs *js)
{
	if (any(js, has_ended, NULL))
		(void)remove_all(js, has_ended, NULL, true);
}

/* ---- looking ---- */

int fsd_jobs_list(
    struct fsd_jobs *js, const char *workspace, struct fsd_job **out, size_t *out_count)
{
	struct fsd_job *v;
	size_t n = 0;

	fsd_jobs_sweep(js);
	pthread_mutex_lock(&js->lock);
	for (struct entry *e = js->list; e; e = e->next)
		n += is_named(&e->job, workspace, NULL);
	v = calloc(n ? n : 1, sizeof(*v));
	n = 0;
	for (struct entry *e = js->list; v && e; e = e->next)
		if (is_named(&e->job, workspace, NULL))
			v[n++] = e->job;
	pthread_mutex_unlock(&js->lock);
	if (!v)
		return -ENOMEM;
	*out = v;
	*out_count = n;
	return 0;
}

static int show_one(struct orch_json *list, const struct fsd_job *j)
{
	struct orch_json *o = orch_json_object();
	int rc = o ? orch_json_set_str(o, "id", j->id) : -ENOMEM;

	if (rc == 0)
		rc = orch_json_set_int(o, "pid", j->leader.pid);
	if (rc == 0)
		rc = orch_json_push(list, &o);
	orch_json_free(o);
	return rc;
}

int fsd_jobs_show(struct fsd_jobs *js, const char *workspace, struct orch_json *answer)
{
	orch_auto(free) struct fsd_job *jobs = NULL;
	struct orch_json *list = orch_json_array();
	size_t n = 0;
	int rc = list ? fsd_jobs_list(js, workspace, &jobs, &n) : -ENOMEM;

	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = show_one(list, &jobs[i]);
	if (rc == 0)
		rc = orch_json_set_json(answer, "jobs", &list);
	orch_json_free(list);
	return rc;
}

/* ---- at the start ---- */

/* A keeper that was killed together with a mount process may have left it frozen; also when its
 * leader has gone, since what is frozen can't see that. */
static void thaw(const struct fsd_job *j)
{
	for (size_t i = 0; i < j->group_count; i++) {
		int group = orch_freezer_open(j->groups[i], NULL);

		if (group >= 0)
			(void)orch_freezer_thaw(&group, 1);
		orch_fd_close(group);
	}
}

static int on_record(
    void *priv, const char *ns, const char *key, const struct orch_json *value, int status)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct fsd_job job, old;
	int rc = status;

	(void)ns;
	if (rc < 0)
		orch_err_sys(&err, -rc, "record");
	else
		rc = fsd_job_parse(key, value, &job, &err);
	if (rc == 0) {
		thaw(&job);
		rc = insert(priv, &job, &old, &err);
	}
	if (rc < 0)
		orch_log(ORCH_LOG_WARN, "keeper", "job-record", "job=%s error=%s", key, err.msg);
	return 0;
}

int fsd_jobs_load(struct fsd_jobs *js, struct orch_err *err)
{
	int rc = cas_record_list(js->store, CAS_NS_JOB, on_record, js, err);

	if (rc < 0)
		return rc;
	fsd_jobs_sweep(js);
	return 0;
}
