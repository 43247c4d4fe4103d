/*
 * What every provider has to do, whatever it runs tasks on. A test program fills in a fixture and
 * hands it to conformance_run; a provider that lacks a feature (its probe says so) skips what needs it.
 */
#ifndef ORCH_TESTS_UNIT_PROVIDERS_CONFORMANCE_H
#define ORCH_TESTS_UNIT_PROVIDERS_CONFORMANCE_H

#include <stdbool.h>

#include "providers/provider.h"

struct conformance {
	/* A fresh object; called for each test, and twice in tests of two processes. */
	int (*open)(const char *state_dir, struct prv **out);
	bool scripted;	  /* the fake: argv[0] is its script and no shell */
	bool own_network; /* tasks get network = false, where that can be done */
};

/* Runs the suite; for the end of main. */
int conformance_run(const struct conformance *fixture);

#endif
