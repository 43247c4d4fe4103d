/*
 * A function with its n-th call failing, for n = 1, 2, ... until a run in which none failed; once for each kind of
 * core/fault.h. After each run no descriptor and no thread may be left. Leaks are the sanitizer build's to see.
 */
#ifndef ORCH_TESTS_LIB_TORTURE_H
#define ORCH_TESTS_LIB_TORTURE_H

#include "tests/lib/tap.h"

struct torture {
	void (*prepare)(void *priv); /* before each run, without faults; may be NULL */
	int (*step)(void *priv);     /* what is tried: 0 or more, or -errno */
	/* After each run, without faults: r is what step returned, told what failed in it ("" for the
	 * run that met no fault, where r must not be negative). May be NULL. */
	void (*check)(void *priv, int r, const char *failed);
	void *priv;
	const char *without; /* kinds that are left out: "thread fork"; NULL: none */
};

/* How many runs met a fault, all kinds together; a build without --enable-fault-injection skips the test. */
unsigned torture(const struct torture *t);

#endif
