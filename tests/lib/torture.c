/* See torture.h. */
#include "tests/lib/torture.h"

#include <dirent.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/fault.h"

#ifdef ORCH_FAULT_INJECTION

#define RUNS_MAX 20000

static const char *const kinds[] = {"alloc", "read", "write:ENOSPC", "fsync", "rename", "open",
    "unlink", "mmap", "fd", "sock", "thread", "fork", "clone", "openat2"};

static unsigned count_in(const char *folder)
{
	DIR *d = opendir(folder);
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static bool left_out(const struct torture *t, const char *kind)
{
	return t->without && strstr(t->without, kind);
}

/* A thread that was joined may be in the list for a moment more. */
static unsigned threads_left(unsigned before)
{
	const struct timespec pause = {.tv_nsec = 5000000};
	unsigned n = count_in("/proc/self/task");

	for (int i = 0; i < 200 && n > before; i++) {
		nanosleep(&pause, NULL);
		n = count_in("/proc/self/task");
	}
	return n;
}

/* One run with the n-th call failing; whether one did. */
static bool run(const struct torture *t, const char *kind, unsigned n)
{
	unsigned fds, threads, now;
	char spec[64], name[16];
	bool met;
	int r;

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(kind, ":"), kind);
	snprintf(spec, sizeof(spec), "%s:%u%s", name, n, strstr(kind, "ENOSPC") ? ":ENOSPC" : "");
	if (t->prepare)
		t->prepare(t->priv);
	fds = count_in("/proc/self/fd");
	threads = count_in("/proc/self/task");
	assert_int_equal(orch_fault_set(spec), 0);
	r = t->step(t->priv);
	met = orch_fault_was_met();
	assert_int_equal(orch_fault_set(NULL), 0);
	if (!met && r < 0)
		fail_msg("%d without a fault, after %s", r, spec);
	if (count_in("/proc/self/fd") != fds)
		fail_msg("%s: %u descriptors, %u before", spec, count_in("/proc/self/fd"), fds);
	now = threads_left(threads);
	if (now > threads)
		fail_msg("%s: %u threads, %u before", spec, now, threads);
	if (t->check)
		t->check(t->priv, r, met ? spec : "");
	return met;
}

static void *nothing(void *arg)
{
	return arg;
}

/* With the first thread of a process the thread sanitizer starts one of its own, which stays. */
static void first_thread(void)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, nothing, NULL), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

unsigned torture(const struct torture *t)
{
	unsigned total = 0;

	first_thread();
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		unsigned n = 1;

		while (!left_out(t, kinds[k]) && run(t, kinds[k], n)) {
			total++;
			assert_true(n++ < RUNS_MAX);
		}
	}
	return total;
}

#else

unsigned torture(const struct torture *t)
{
	(void)t;
	skip();
	return 0;
}

#endif
