/*
 * Test reports: JUnit (testsuites or testsuite) and NUnit 3 (test-run). A strict reader that wants
 * well-formed XML and counts tests; it resolves no entities and reads no DTD. Pure.
 */
#ifndef ORCH_SHIM_TEST_REPORT_H
#define ORCH_SHIM_TEST_REPORT_H

#include <stddef.h>
#include <stdint.h>
#include "core/err.h"

struct shim_test_counts {
	uint64_t tests, failed, skipped;
};

/* -EINVAL with the line: not XML, or neither JUnit nor NUnit 3. Adds to *out. */
int shim_test_report_parse(const char *text, size_t len, struct shim_test_counts *out,
    struct orch_err *err) ORCH_NONNULL(1, 3) ORCH_WUR;

#endif
