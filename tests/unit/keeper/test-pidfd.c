/* The descriptor of a process that a record names: not of whoever has its number now. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "core/clock.h"
#include "core/fd.h"
#include "fsd/keeper/mount_process.h"
#include "tests/lib/tap.h"

struct other {
	sem_t there, end;
	pid_t tid;
};

static void *live(void *arg)
{
	struct other *o = arg;

	o->tid = (pid_t)syscall(SYS_gettid);
	sem_post(&o->there);
	sem_wait(&o->end);
	return NULL;
}

static void it_is_the_same_process(void **state)
{
	struct orch_proc_id id;
	int fd;

	(void)state;
	assert_int_equal(orch_proc_id_get(getpid(), &id), 0);
	fd = fsd_pidfd_open(&id);
	assert_true(fd >= 0);
	orch_fd_close(fd);
	id.start_ticks++;
	assert_int_equal(fsd_pidfd_open(&id), -ESRCH);
	id.pid = 0; /* nobody can have ended */
	assert_int_equal(fsd_pidfd_open(&id), -EINVAL);
}

static void a_thread_has_its_number_now(void **state)
{
	struct other o = {.tid = 0};
	struct orch_proc_id id;
	pthread_t t;

	(void)state;
	sem_init(&o.there, 0, 0);
	sem_init(&o.end, 0, 0);
	assert_int_equal(pthread_create(&t, NULL, live, &o), 0);
	sem_wait(&o.there);
	assert_int_equal(orch_proc_id_get(o.tid, &id), 0);
	assert_int_equal(fsd_pidfd_open(&id), -ESRCH);
	sem_post(&o.end);
	pthread_join(t, NULL);
	sem_destroy(&o.there);
	sem_destroy(&o.end);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(it_is_the_same_process),
	    cmocka_unit_test(a_thread_has_its_number_now),
	};

	return tap_run(tests);
}
