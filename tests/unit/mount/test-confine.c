/* What a confined process can't do any more, tried in children. */
#include "tests/lib/tap.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "fsd/mount/confine.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CONFINED 0
#else
#define CONFINED 1
#endif

/* Runs it in a child: 0, or the number that it returned. */
static int in_child(int (*run)(void))
{
	int status = -1;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(run());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static bool refused(long r)
{
	return r == -1 && errno == ENOSYS;
}

static int calls(void)
{
	static char name[] = "true";
	char *const argv[] = {name, NULL};
	struct orch_err err = ORCH_ERR_INIT;

	if (mnt_confine_calls(&err) < 0)
		return 1;
	if (!refused(socket(AF_INET, SOCK_STREAM, 0)) || !refused(socket(AF_UNIX, SOCK_STREAM, 0)))
		return 2;
	if (!refused(execve("/bin/true", argv, NULL)))
		return 3;
	if (!refused(ptrace(PTRACE_TRACEME, 0, 0, 0)))
		return 4;
	if (!refused(mount("none", "/tmp", "tmpfs", 0, NULL)) || !refused(chroot("/")))
		return 5;
	if (!refused(syscall(SYS_bpf, 0, NULL, 0)) || !refused(kill(getpid(), 0)) ||
	    !refused(setuid(0)) || !refused(syscall(SYS_init_module, NULL, 0, "")))
		return 6;
	return 0;
}

static void *nothing(void *arg)
{
	return arg;
}

static int work(void)
{
	char name[] = "/tmp/orch-confine-XXXXXX";
	struct orch_err err = ORCH_ERR_INIT;
	pthread_t thread;
	int fd, r = 0;

	if (mnt_confine_calls(&err) < 0)
		return 1;
	fd = mkstemp(name);
	if (fd < 0 || write(fd, "x", 1) != 1 || fdatasync(fd) < 0 || fallocate(fd, 0, 0, 4096) < 0)
		r = 2;
	if (pthread_create(&thread, NULL, nothing, NULL) != 0 || pthread_join(thread, NULL) != 0)
		r = 3;
	unlink(name);
	return r;
}

static uint64_t status_bits(const char *key)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	unsigned long long bits = 0;

	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, key, strlen(key)) == 0)
			sscanf(line + strlen(key), "%llx", &bits);
	if (f)
		fclose(f);
	return bits;
}

#define PTRACE_AND_OVERRIDE ((UINT64_C(1) << 19) | (UINT64_C(1) << 1))
#define ADMIN		    (UINT64_C(1) << 21)

static int capabilities(bool passthrough)
{
	uint64_t had = status_bits("CapPrm:"), bound = status_bits("CapBnd:");
	uint64_t keep = PTRACE_AND_OVERRIDE | (passthrough ? ADMIN : 0);
	struct orch_err err = ORCH_ERR_INIT;

	if (mnt_confine_capabilities(passthrough, &err) < 0)
		return 1;
	if (status_bits("CapPrm:") != (had & keep) || status_bits("CapEff:") != (had & keep))
		return 2;
	if (status_bits("CapInh:") != 0 || status_bits("CapAmb:") != 0)
		return 3;
	/* without CAP_SETPCAP it stays, and gives nobody anything */
	if ((had & (UINT64_C(1) << 8)) && status_bits("CapBnd:") != (bound & keep))
		return 4;
	return 0;
}

static int with_passthrough(void)
{
	return capabilities(true);
}

static int without_passthrough(void)
{
	return capabilities(false);
}

static void test_what_it_does_not_need_is_refused(void **state)
{
	if (CONFINED)
		assert_int_equal(in_child(calls), 0);
}

static void test_its_work_goes_on(void **state)
{
	assert_int_equal(in_child(work), 0);
}

static void test_capabilities_are_dropped(void **state)
{
	assert_int_equal(in_child(with_passthrough), 0);
	assert_int_equal(in_child(without_passthrough), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_what_it_does_not_need_is_refused),
	    cmocka_unit_test(test_its_work_goes_on),
	    cmocka_unit_test(test_capabilities_are_dropped),
	};

	return tap_run(tests);
}
