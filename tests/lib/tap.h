/*
 * How a unit test uses cmocka: include this file (never cmocka.h itself, which wants others before it),
 * end main with "return tap_run(tests);". The output is TAP.
 */
#ifndef ORCH_TESTS_LIB_TAP_H
#define ORCH_TESTS_LIB_TAP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Makes cmocka speak TAP whatever the environment says; called by tap_run. */
void tap_use(void);

#define tap_run(tests) (tap_use(), cmocka_run_group_tests_name(__FILE__, (tests), NULL, NULL))
#define tap_run_with(tests, setup, teardown) \
	(tap_use(), cmocka_run_group_tests_name(__FILE__, (tests), (setup), (teardown)))

#endif
