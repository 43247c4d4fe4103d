/*
 * Named points of failure; empty unless configured with --enable-fault-injection. The counters are
 * the one writable global that this costs, and only test builds have it.
 */
#include "core/fault.h"

#ifdef ORCH_FAULT_INJECTION

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/err.h"

struct fault_point {
	atomic_ullong calls;
	unsigned long long first; /* 0: never */
	bool on;		  /* every call from the first */
	int code;
};

static struct fault_point points[ORCH_FAULT_KINDS];
static atomic_bool met;
static pthread_once_t points_once = PTHREAD_ONCE_INIT;

static const char *const kind_names[ORCH_FAULT_KINDS] = {
    [ORCH_FAULT_ALLOC] = "alloc",
    [ORCH_FAULT_READ] = "read",
    [ORCH_FAULT_WRITE] = "write",
    [ORCH_FAULT_FSYNC] = "fsync",
    [ORCH_FAULT_RENAME] = "rename",
    [ORCH_FAULT_OPENAT2] = "openat2",
    [ORCH_FAULT_CLONE] = "clone",
};

static int kind_parse(const char *s, size_t len)
{
	for (int k = 0; k < ORCH_FAULT_KINDS; k++)
		if (strlen(kind_names[k]) == len && memcmp(kind_names[k], s, len) == 0)
			return k;
	return -EINVAL;
}

static int code_parse(const char *s)
{
	char *end;
	long v = strtol(s, &end, 10);

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
	points[kind].on = *end == '+';
	end += *end == '+';
	code = *end == ':' ? code_parse(end + 1) : kind == ORCH_FAULT_ALLOC ? ENOMEM : EIO;
	if (code < 0 || (*end && *end != ':'))
		return -EINVAL;
	points[kind].code = code;
	points[kind].first = n;
	return 0;
}

int orch_fault_set(const char *spec)
{
	char copy[256];
	char *save = NULL;

	atomic_store(&met, false);
	for (int k = 0; k < ORCH_FAULT_KINDS; k++) {
		points[k].first = 0;
		atomic_store(&points[k].calls, 0);
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

static void points_init(void)
{
	const char *spec = getenv("ORCH_FAULT");

	if (spec && *spec && orch_fault_set(spec) < 0) {
		fprintf(stderr, "orch: ORCH_FAULT=%s is not kind:n[+][:errno]\n", spec);
		abort();
	}
}

int orch_fault(enum orch_fault_kind kind)
{
	struct fault_point *p = &points[kind];
	unsigned long long n;

	pthread_once(&points_once, points_init);
	if (p->first == 0)
		return 0;
	n = atomic_fetch_add(&p->calls, 1) + 1;
	if (n != p->first && !(p->on && n > p->first))
		return 0;
	atomic_store(&met, true);
	return p->code;
}

bool orch_fault_was_met(void)
{
	return atomic_load(&met);
}

#else
/* ISO C wants one declaration in a file. */
typedef int orch_fault_is_compiled_out;
#endif
