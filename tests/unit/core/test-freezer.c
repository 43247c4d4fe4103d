/* Freezing of control groups that others made: what is frozen stands still, and nothing else is touched. */
#include "tests/lib/tap.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/fd.h"
#include "core/freezer.h"

static const char *const places[] = {
    "/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/freezer", NULL};

/* A group with one process in it that counts as fast as it can. */
struct counter {
	char path[256];
	pid_t pid;
	volatile uint64_t *count; /* shared */
};

static void put(const char *dir, const char *file, const char *text)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(orch_fd_write_all(fd, text, strlen(text)), 0);
	close(fd);
}

static void sleep_ms(long ms)
{
	struct timespec ts = {.tv_nsec = ms * 1000000};

	nanosleep(&ts, NULL);
}

static void count_on(volatile uint64_t *count)
{
	for (;;)
		(*count)++;
}

/* False: no group can be made there. */
static bool start(struct counter *c, const char *place, const char *name)
{
	char pid[32], procs[300];

	/* the tests of another clone may run at the same time */
	snprintf(c->path, sizeof(c->path), "%s/%s.%d", place, name, (int)getpid());
	if (mkdir(c->path, 0755) < 0)
		return false;
	snprintf(procs, sizeof(procs), "%s/cgroup.procs", c->path);
	if (access(procs, W_OK) < 0) { /* a plain folder: version 1 keeps its trees in one */
		rmdir(c->path);
		return false;
	}
	c->count = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(c->count != MAP_FAILED);
	c->pid = fork();
	assert_true(c->pid >= 0);
	if (c->pid == 0)
		count_on(c->count);
	snprintf(pid, sizeof(pid), "%d", (int)c->pid);
	put(c->path, "cgroup.procs", pid);
	return true;
}

static void end(struct counter *c)
{
	kill(c->pid, SIGKILL);
	assert_int_equal(waitpid(c->pid, NULL, 0), c->pid);
	munmap((void *)(uintptr_t)c->count, 4096);
	for (int i = 0; i < 200 && rmdir(c->path) < 0; i++)
		sleep_ms(5);
	assert_int_equal(access(c->path, F_OK), -1);
}

static bool counts(const struct counter *c)
{
	uint64_t before = *c->count, deadline_ns = orch_deadline_in_ms(5000);

	while (*c->count == before && orch_clock_ns() < deadline_ns)
		sleep_ms(1);
	return *c->count != before;
}

static bool stands_still(const struct counter *c)
{
	uint64_t before = *c->count;

	sleep_ms(60);
	return *c->count == before;
}

static void check_place(const char *place, unsigned *tried)
{
	struct counter c;
	int32_t *pids;
	size_t count;
	int group;

	if (!start(&c, place, "orch.test.freezer"))
		return;
	group = orch_freezer_open(c.path, NULL);
	if (group == -ENOTSUP) {
		end(&c);
		return;
	}
	assert_true(group >= 0);
	(*tried)++;
	assert_true(counts(&c));
	assert_int_equal(orch_freezer_freeze(&group, 1, orch_deadline_in_ms(10000), NULL), 0);
	assert_true(stands_still(&c));
	assert_int_equal(orch_freezer_pids(group, &pids, &count), 0);
	assert_int_equal(count, 1);
	assert_int_equal(pids[0], c.pid);
	free(pids);
	assert_int_equal(orch_freezer_thaw(&group, 1), 0);
	assert_true(counts(&c));
	assert_int_equal(orch_freezer_thaw(&group, 1), 0); /* of what is not frozen */
	close(group);
	end(&c);
}

static void what_is_frozen_stands_still(void **state)
{
	unsigned tried = 0;

	(void)state;
	for (size_t i = 0; places[i]; i++)
		check_place(places[i], &tried);
	if (tried == 0)
		skip();
}

/* The first place where a counter's group can be frozen. */
static bool start_anywhere(struct counter *c, const char *name, int *out_group)
{
	for (size_t i = 0; places[i]; i++) {
		if (!start(c, places[i], name))
			continue;
		*out_group = orch_freezer_open(c->path, NULL);
		if (*out_group >= 0)
			return true;
		end(c);
	}
	return false;
}

static void groups_below_are_frozen_and_listed(void **state)
{
	struct counter c, below;
	int32_t *pids;
	size_t count;
	int group;

	(void)state;
	if (!start_anywhere(&c, "orch.test.outer", &group))
		skip();
	assert_true(start(&below, c.path, "inner"));
	assert_int_equal(orch_freezer_freeze(&group, 1, orch_deadline_in_ms(10000), NULL), 0);
	assert_true(stands_still(&below));
	assert_int_equal(orch_freezer_pids(group, &pids, &count), 0);
	assert_int_equal(count, 2);
	assert_true(pids[0] + pids[1] == c.pid + below.pid);
	free(pids);
	assert_int_equal(orch_freezer_thaw(&group, 1), 0);
	assert_true(counts(&below));
	end(&below);
	close(group);
	end(&c);
}

static void a_failure_thaws_what_was_frozen(void **state)
{
	struct counter c;
	int groups[2];

	(void)state;
	if (!start_anywhere(&c, "orch.test.both", &groups[0]))
		skip();
	groups[1] = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(
	    orch_freezer_freeze(groups, 2, orch_deadline_in_ms(10000), NULL), -ENOTSUP);
	assert_true(counts(&c));
	close(groups[0]);
	close(groups[1]);
	end(&c);
}

static pid_t start_idle(const char *path)
{
	char text[32];
	pid_t pid = fork();

	assert_true(pid >= 0);
	while (pid == 0)
		pause();
	snprintf(text, sizeof(text), "%d", (int)pid);
	put(path, "cgroup.procs", text);
	return pid;
}

/* With no time at all nothing is frozen before the deadline, unless at the first look. */
static void a_deadline_that_has_passed_undoes_it(void **state)
{
	struct counter c;
	int group, r;
	pid_t more[32];

	(void)state;
	if (!start_anywhere(&c, "orch.test.late", &group))
		skip();
	for (size_t i = 0; i < ORCH_ARRAY_LEN(more); i++)
		more[i] = start_idle(c.path);
	r = orch_freezer_freeze(&group, 1, 0, NULL);
	assert_true(r == -ETIMEDOUT || r == 0);
	if (r == 0)
		assert_int_equal(orch_freezer_thaw(&group, 1), 0);
	assert_true(counts(&c));
	for (size_t i = 0; i < ORCH_ARRAY_LEN(more); i++) {
		kill(more[i], SIGKILL);
		assert_int_equal(waitpid(more[i], NULL, 0), more[i]);
	}
	close(group);
	end(&c);
}

static void what_is_no_group_of_ours_is_refused(void **state)
{
	static const char *const bad[] = {"", "/", "orch.x", "/tmp/orch.x", "/sys/fs/cgroup",
	    "/sys/fs/cgroup/", "/sys/fs/cgroup/foreign", "/sys/fs/cgroup/orch.x/",
	    "/sys/fs/cgroup/../orch.x", "/sys/fs/cgroup/./orch.x", "/sys/fs/cgroup//orch.x",
	    "/sys/fs/cgroup/orch.x/y"};
	struct orch_err err = ORCH_ERR_INIT;

	(void)state;
	for (size_t i = 0; i < ORCH_ARRAY_LEN(bad); i++)
		assert_int_equal(orch_freezer_open(bad[i], &err), -EINVAL);
	assert_int_equal(orch_freezer_open("/sys/fs/cgroup/orch.none.such", &err), -ENOENT);
	assert_non_null(strstr(err.msg, "orch.none.such"));
}

/* On a machine with version 1, /sys/fs/cgroup itself is a plain tmpfs. */
static void a_folder_that_is_no_group_is_refused(void **state)
{
	char plain[64], link[64];

	(void)state;
	snprintf(plain, sizeof(plain), "/sys/fs/cgroup/orch.plain.%d", (int)getpid());
	snprintf(link, sizeof(link), "/sys/fs/cgroup/orch.link.%d", (int)getpid());
	if (access("/sys/fs/cgroup/cgroup.procs", F_OK) == 0 || mkdir(plain, 0755) < 0)
		skip();
	assert_int_equal(orch_freezer_open(plain, NULL), -EINVAL);
	rmdir(plain);
	assert_int_equal(symlink("/sys/fs/cgroup/freezer", link), 0);
	assert_int_equal(orch_freezer_open(link, NULL), -ELOOP);
	unlink(link);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_frozen_stands_still),
	    cmocka_unit_test(groups_below_are_frozen_and_listed),
	    cmocka_unit_test(a_failure_thaws_what_was_frozen),
	    cmocka_unit_test(a_deadline_that_has_passed_undoes_it),
	    cmocka_unit_test(what_is_no_group_of_ours_is_refused),
	    cmocka_unit_test(a_folder_that_is_no_group_is_refused),
	};

	return tap_run(tests);
}
