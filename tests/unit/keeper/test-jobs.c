/* The list of jobs and their records in the store: what is known now is what the next keeper knows. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cache/record.h"
#include "core/fd.h"
#include "fsd/keeper/jobs.h"
#include "tests/lib/tap.h"

#define ROUNDS 50
#define CALLS  8 /* of each thread in a round */

struct rig {
	char root[128];
	struct cas_store *store;
	struct fsd_jobs *jobs;
	struct fsd_job job[2]; /* of one id, with other leaders */
	pthread_barrier_t start;
	unsigned absent; /* calls of the other thread that found no job, or failed */
};

static void job_init(struct fsd_job *j, pid_t pid)
{
	*j = (struct fsd_job){
	    .workspace = "w", .id = "j", .uid = geteuid(), .group_count = 1, .groups = {"/none"}};
	assert_int_equal(orch_proc_id_get(pid, &j->leader), 0);
	assert_int_equal(orch_boot_id(j->boot), 0);
}

static void rig_init(struct rig *rig)
{
	const char *tmp = getenv("TMPDIR");
	struct orch_err err = ORCH_ERR_INIT;
	char store[160];

	*rig = (struct rig){.absent = 0};
	snprintf(rig->root, sizeof(rig->root), "%s/orch-jobs-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(rig->root));
	snprintf(store, sizeof(store), "%s/store", rig->root);
	assert_int_equal(cas_store_open(store, CAS_STORE_CREATE, &rig->store, &err), 0);
	rig->jobs = fsd_jobs_new(rig->store);
	assert_non_null(rig->jobs);
	job_init(&rig->job[0], getpid());
	job_init(&rig->job[1], getppid());
	pthread_barrier_init(&rig->start, NULL, 2);
}

static void rig_fini(struct rig *rig)
{
	pthread_barrier_destroy(&rig->start);
	fsd_jobs_free(rig->jobs);
	cas_store_close(rig->store);
	assert_int_equal(orch_remove_tree(AT_FDCWD, rig->root, NULL), 0);
}

/* The leader of the one job; 0: there is none. */
static pid_t known(struct fsd_jobs *jobs)
{
	orch_auto(free) struct fsd_job *v = NULL;
	size_t n;

	assert_int_equal(fsd_jobs_list(jobs, "w", &v, &n), 0);
	assert_true(n <= 1);
	return n ? v[0].leader.pid : 0;
}

/* What a keeper that starts now knows. */
static pid_t known_next(struct rig *rig)
{
	struct fsd_jobs *next = fsd_jobs_new(rig->store);
	struct orch_err err = ORCH_ERR_INIT;
	pid_t pid;

	assert_non_null(next);
	assert_int_equal(fsd_jobs_load(next, &err), 0);
	pid = known(next);
	fsd_jobs_free(next);
	return pid;
}

static void *remover(void *arg)
{
	struct rig *rig = arg;

	for (int i = 0; i < ROUNDS; i++) {
		pthread_barrier_wait(&rig->start);
		for (int k = 0; k < CALLS; k++)
			if (fsd_jobs_remove(rig->jobs, "w", "j", NULL) < 0)
				rig->absent++;
		pthread_barrier_wait(&rig->start);
	}
	return NULL;
}

static void *other_putter(void *arg)
{
	struct rig *rig = arg;

	for (int i = 0; i < ROUNDS; i++) {
		pthread_barrier_wait(&rig->start);
		for (int k = 0; k < CALLS; k++)
			if (fsd_jobs_add(rig->jobs, &rig->job[1], NULL) < 0)
				rig->absent++;
		pthread_barrier_wait(&rig->start);
	}
	return NULL;
}

/* A job is put while the other thread does something to it; after each round the records say what the list
 * says. */
static void beside(void *(*other)(void *), struct rig *rig)
{
	pthread_t thread;

	rig_init(rig);
	assert_int_equal(pthread_create(&thread, NULL, other, rig), 0);
	for (int i = 0; i < ROUNDS; i++) {
		int rc = 0;

		pthread_barrier_wait(&rig->start);
		for (int k = 0; k < CALLS; k++)
			rc |= fsd_jobs_add(rig->jobs, &rig->job[0], NULL);
		pthread_barrier_wait(&rig->start);
		assert_int_equal(rc, 0);
		assert_int_equal(known_next(rig), known(rig->jobs));
	}
	pthread_join(thread, NULL);
}

static void put_beside_remove(void **state)
{
	struct rig rig;

	(void)state;
	beside(remover, &rig);
	assert_true(rig.absent < ROUNDS * CALLS);
	rig_fini(&rig);
}

static void put_beside_put(void **state)
{
	struct rig rig;

	(void)state;
	beside(other_putter, &rig);
	assert_int_equal(rig.absent, 0);
	rig_fini(&rig);
}

/* A leader that has gone takes its job along, from the records too. */
static void ended_jobs_are_forgotten(void **state)
{
	struct rig rig;
	pid_t child = fork();
	int status;

	(void)state;
	if (child == 0)
		_exit(pause());
	rig_init(&rig);
	job_init(&rig.job[1], child);
	assert_int_equal(fsd_jobs_add(rig.jobs, &rig.job[1], NULL), 0);
	assert_int_equal(known_next(&rig), child);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	assert_int_equal(known(rig.jobs), 0);
	assert_int_equal(known_next(&rig), 0);
	rig_fini(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(put_beside_remove),
	    cmocka_unit_test(put_beside_put),
	    cmocka_unit_test(ended_jobs_are_forgotten),
	};

	return tap_run(tests);
}
