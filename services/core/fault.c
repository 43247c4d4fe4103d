/*
 * Points of failure: what is to fail, and the counters; empty unless configured with --enable-fault-injection.
 * The table is the one writable global that this costs, and only test builds have it. It is this
 * process's own, or a file that several processes map. Any thread.
 */
#include "core/fault.h"

#ifdef ORCH_FAULT_INJECTION

#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "core/err.h"

#define TRACE_MAX   65536
#define TRACE_DEPTH 10
#define POINTS_MAX  32

struct fault_point {
	atomic_ullong calls;
	atomic_ullong first; /* 0: never */
	atomic_ullong on;    /* not 0: every call from the first */
	atomic_ullong code;
	atomic_ullong fired; /* how many calls failed */
	atomic_ullong where; /* of the last one: return address below the start of the program */
};

/* One call that was counted, as recorded when `tracing` is set. */
struct fault_trace {
	atomic_ullong kind_and_n; /* kind << 32 | n */
	atomic_ullong path;	  /* hash of the return addresses */
};

/* Also the layout of the file; tests/lib/faults.py knows it. */
struct fault_table {
	char program[24]; /* short name of the one that counts; "": all of them */
	atomic_ullong tracing;
	atomic_ullong traced;
	struct fault_point points[POINTS_MAX];
	struct fault_trace trace[TRACE_MAX];
};

/* Only a file traces: this one goes without. */
static struct fault_point own_points[POINTS_MAX];
static struct fault_table *table;
static struct fault_point *points = own_points;
static pthread_once_t points_once = PTHREAD_ONCE_INIT;
extern const char __executable_start[];

static const struct {
	const char *name;
	int code;
} kinds[ORCH_FAULT_KINDS] = {
    [ORCH_FAULT_ALLOC] = {"alloc", ENOMEM},
    [ORCH_FAULT_READ] = {"read", EIO},
    [ORCH_FAULT_WRITE] = {"write", EIO},
    [ORCH_FAULT_FSYNC] = {"fsync", EIO},
    [ORCH_FAULT_RENAME] = {"rename", EIO},
    [ORCH_FAULT_OPENAT2] = {"openat2", EIO},
    [ORCH_FAULT_CLONE] = {"clone", EIO},
    [ORCH_FAULT_OPEN] = {"open", EIO},
    [ORCH_FAULT_UNLINK] = {"unlink", EIO},
    [ORCH_FAULT_MMAP] = {"mmap", ENOMEM},
    [ORCH_FAULT_FD] = {"fd", EMFILE},
    [ORCH_FAULT_SOCK] = {"sock", EIO},
    [ORCH_FAULT_THREAD] = {"thread", EAGAIN},
    [ORCH_FAULT_FORK] = {"fork", EAGAIN},
};

static int kind_parse(const char *s, size_t len)
{
	for (int k = 0; k < ORCH_FAULT_KINDS; k++)
		if (strlen(kinds[k].name) == len && memcmp(kinds[k].name, s, len) == 0)
			return k;
	return -EINVAL;
}

#define CODE_KILL 4096 /* no errno */

static int code_parse(const char *s)
{
	char *end;
	long v = strtol(s, &end, 10);

	if (strcmp(s, "KILL") == 0)
		return CODE_KILL;
	if (*s && !*end && v > 0 && v < 4096)
		return (int)v;
	v = orch_err_code(s);
	return v > 0 ? (int)v : -EINVAL;
}

/* One "kind:n[+][:errno]". */
static int point_set(char *spec)
{
	char *colon = strchr(spec, ':');
	unsigned long long n;
	int kind, code;
	char *end;

	if (!colon)
		return -EINVAL;
	kind = kind_parse(spec, (size_t)(colon - spec));
	n = strtoull(colon + 1, &end, 10);
	if (kind < 0 || n == 0)
		return -EINVAL;
	atomic_store(&points[kind].on, *end == '+');
	end += *end == '+';
	code = *end == ':' ? code_parse(end + 1) : kinds[kind].code;
	if (code < 0 || (*end && *end != ':'))
		return -EINVAL;
	atomic_store(&points[kind].code, (unsigned)code);
	atomic_store(&points[kind].first, n);
	return 0;
}

static int spec_set(const char *spec)
{
	char copy[256];
	char *save = NULL;

	for (int k = 0; k < ORCH_FAULT_KINDS; k++) {
		atomic_store(&points[k].first, 0);
		atomic_store(&points[k].calls, 0);
		atomic_store(&points[k].fired, 0);
	}
	if (!spec)
		return 0;
	if (strlen(spec) >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, spec, strlen(spec) + 1);
	for (char *s = strtok_r(copy, ",", &save); s; s = strtok_r(NULL, ",", &save)) {
		int r = point_set(s);

		if (r < 0)
			return r;
	}
	return 0;
}

/* By system calls: the functions of these names would come back to here. */
static void table_map(const char *path)
{
	int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
	long at = fd < 0 ? -1
			 : syscall(SYS_mmap, NULL, sizeof(*table), PROT_READ | PROT_WRITE,
			       MAP_SHARED, fd, 0);

	if (at == -1) {
		fprintf(stderr, "orch: ORCH_FAULT_FILE=%s: %m\n", path);
		abort();
	}
	close(fd);
	table = (struct fault_table *)at;
	points = table->points;
}

static void points_init(void)
{
	const char *path = getenv("ORCH_FAULT_FILE");
	const char *spec = getenv("ORCH_FAULT");

	if (path && *path)
		table_map(path);
	else if (spec && *spec && spec_set(spec) < 0) {
		fprintf(stderr, "orch: ORCH_FAULT=%s is not kind:n[+][:errno]\n", spec);
		abort();
	}
}

int orch_fault_set(const char *spec)
{
	pthread_once(&points_once, points_init);
	return spec_set(spec);
}

/* Which way the program came here: two calls with one way are of one kind for a test that samples. */
static void trace_call(enum orch_fault_kind kind, unsigned long long n)
{
	void *frames[TRACE_DEPTH];
	int count = backtrace(frames, TRACE_DEPTH);
	uint64_t hash = 14695981039346656037u;
	unsigned long long at = atomic_fetch_add(&table->traced, 1);

	for (int i = 0; i < count; i++)
		hash = (hash ^ (uint64_t)((const char *)frames[i] - __executable_start)) *
		       1099511628211u;
	if (at >= TRACE_MAX)
		return;
	atomic_store(&table->trace[at].path, hash);
	atomic_store(&table->trace[at].kind_and_n, (uint64_t)kind << 32 | n);
}

int orch_fault(enum orch_fault_kind kind)
{
	return orch_fault_from(kind, __builtin_return_address(0));
}

int orch_fault_from(enum orch_fault_kind kind, const void *caller)
{
	struct fault_point *p;
	unsigned long long n, first;

	pthread_once(&points_once, points_init);
	p = &points[kind];
	first = atomic_load(&p->first);
	if (first == 0)
		return 0;
	if (table && table->program[0] &&
	    strncmp(table->program, program_invocation_short_name, sizeof(table->program)) != 0)
		return 0;
	n = atomic_fetch_add(&p->calls, 1) + 1;
	if (table && atomic_load(&table->tracing))
		trace_call(kind, n);
	if (n != first && !(atomic_load(&p->on) && n > first))
		return 0;
	atomic_fetch_add(&p->fired, 1);
	atomic_store(&p->where, (uint64_t)((const char *)caller - __executable_start));
	if (atomic_load(&p->code) == CODE_KILL)
		(void)raise(SIGKILL); /* by tgkill, which a confined process may call */
	return (int)atomic_load(&p->code);
}

bool orch_fault_was_met(void)
{
	for (int k = 0; k < ORCH_FAULT_KINDS; k++)
		if (atomic_load(&points[k].fired) != 0)
			return true;
	return false;
}

uint64_t orch_fault_calls(enum orch_fault_kind kind)
{
	return atomic_load(&points[kind].calls);
}

#else
/* ISO C wants one declaration in a file. */
typedef int orch_fault_is_compiled_out;
#endif
