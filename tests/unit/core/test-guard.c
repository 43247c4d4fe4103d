/* Mapped files that are cut under their readers: zeros and a mark instead of a dead process. */
#include "tests/lib/tap.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "core/fd.h"
#include "core/guard.h"

#define PAGE ((size_t)4096)

/* An unlinked file of `pages` pages full of 'x'. */
static int file_of(size_t pages)
{
	char name[] = "guard-test-XXXXXX", block[PAGE];
	int fd = mkstemp(name);

	assert_true(fd >= 0);
	assert_int_equal(unlink(name), 0);
	memset(block, 'x', sizeof(block));
	for (size_t i = 0; i < pages; i++)
		assert_int_equal(orch_fd_write_all(fd, block, sizeof(block)), 0);
	return fd;
}

/* In each test: cmocka has a handler of its own while one runs. */
static void install(void)
{
	assert_int_equal(orch_guard_install(), 0);
}

static void test_a_cut_file_reads_as_zeros(void **state)
{
	struct orch_map map, other;
	int fd = file_of(10), fd2 = file_of(2);
	uint64_t hits;

	install();
	assert_int_equal(orch_map_fd(fd, &map), 0);
	assert_int_equal(orch_map_fd(fd2, &other), 0);
	hits = orch_guard_hits();
	assert_int_equal(map.addr[9 * PAGE], 'x');
	assert_false(orch_map_broken(&map));
	assert_int_equal(ftruncate(fd, (off_t)(3 * PAGE)), 0);
	assert_int_equal(map.addr[9 * PAGE + 17], 0);
	assert_true(orch_map_broken(&map));
	assert_int_equal(orch_guard_hits(), hits + 1);
	assert_int_equal(map.addr[9 * PAGE], 0); /* the page is there now */
	assert_int_equal(orch_guard_hits(), hits + 1);
	assert_int_equal(map.addr[3 * PAGE], 0);
	assert_int_equal(orch_guard_hits(), hits + 2);
	assert_int_equal(map.addr[3 * PAGE - 1], 'x'); /* what is left of the file is served */
	assert_false(orch_map_broken(&other));
	assert_int_equal(other.addr[PAGE], 'x');
	orch_map_close(&map);
	orch_map_close(&other);
	close(fd);
	close(fd2);
}

static void test_a_store_goes_on(void **state)
{
	int fd = file_of(4);
	char *p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	struct orch_guard *g = orch_guard_add(p, 4 * PAGE, PROT_READ | PROT_WRITE);

	install();
	assert_non_null(g);
	assert_int_equal(ftruncate(fd, 0), 0);
	memset(p, 'y', 4 * PAGE);
	assert_true(orch_guard_broken(g));
	assert_int_equal(p[4 * PAGE - 1], 'y');
	orch_guard_remove(g);
	munmap(p, 4 * PAGE);
	close(fd);
}

static void test_there_are_many(void **state)
{
	enum { COUNT = 1000 };
	struct orch_map maps[COUNT];
	int fd = file_of(2);

	install();
	for (int i = 0; i < COUNT; i++)
		assert_int_equal(orch_map_fd(fd, &maps[i]), 0);
	for (int i = 0; i < COUNT; i += 2)
		orch_map_close(&maps[i]);
	for (int i = 0; i < COUNT; i += 2)
		assert_int_equal(orch_map_fd(fd, &maps[i]), 0);
	assert_int_equal(ftruncate(fd, 0), 0);
	for (int i = 0; i < COUNT; i++)
		assert_int_equal(maps[i].addr[PAGE], 0);
	for (int i = 0; i < COUNT; i++) {
		assert_true(orch_map_broken(&maps[i]));
		orch_map_close(&maps[i]);
	}
	close(fd);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
enum death { NOT_GUARDED, NO_LONGER_GUARDED, SENT };

static void die(enum death how)
{
	int fd = file_of(1);
	volatile const char *p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	struct rlimit none = {0, 0};
	struct sigaction usual = {.sa_handler = SIG_DFL};

	setrlimit(RLIMIT_CORE, &none);
	sigaction(SIGBUS, &usual, NULL);
	if (orch_guard_install() < 0)
		_exit(2);
	if (how == NO_LONGER_GUARDED)
		orch_guard_remove(orch_guard_add((const void *)(uintptr_t)p, PAGE, PROT_READ));
	if (how == SENT)
		kill(getpid(), SIGBUS);
	if (ftruncate(fd, 0) == 0 && p[0] == 'x')
		_exit(1);
	_exit(0);
}

/* Elsewhere a SIGBUS is what it was before: the end. */
static void test_elsewhere_it_ends_the_process(void **state)
{
	for (enum death how = NOT_GUARDED; how <= SENT; how++) {
		pid_t pid = fork();
		int status;

		if (pid == 0)
			die(how);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGBUS);
	}
}
#else /* a sanitizer has a handler of its own */
static void test_elsewhere_it_ends_the_process(void **state)
{
	skip();
}
#endif

static void *read_all(void *arg)
{
	const struct orch_map *map = arg;
	size_t n = 0;

	for (size_t i = 0; i < map->len; i += 64)
		n += map->addr[i] == 'x';
	return (void *)n;
}

static void test_threads(void **state)
{
	install();
	for (int round = 0; round < 50; round++) {
		pthread_t threads[4];
		struct orch_map map;
		int fd = file_of(64);

		assert_int_equal(orch_map_fd(fd, &map), 0);
		for (int i = 0; i < 4; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, read_all, &map), 0);
		assert_int_equal(ftruncate(fd, (off_t)((size_t)round * PAGE)), 0);
		for (int i = 0; i < 4; i++)
			pthread_join(threads[i], NULL);
		assert_true((size_t)read_all(&map) >= (size_t)round * (PAGE / 64));
		orch_map_close(&map);
		close(fd);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_a_cut_file_reads_as_zeros),
	    cmocka_unit_test(test_a_store_goes_on),
	    cmocka_unit_test(test_there_are_many),
	    cmocka_unit_test(test_elsewhere_it_ends_the_process),
	    cmocka_unit_test(test_threads),
	};

	return tap_run(tests);
}
