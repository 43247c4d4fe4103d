# Tests. A C unit test is two lines in tests/unit/<room>/room.mk, a Python test one line in
# the room.mk of its folder (see docs/testing.md). All of them speak TAP.

TESTS =
TEST_EXTENSIONS = .py
LOG_DRIVER = env AM_TAP_AWK='$(AWK)' $(SHELL) $(top_srcdir)/build-aux/tap-driver.sh
LOG_COMPILER = $(SHELL) $(top_srcdir)/tests/lib/unit
PY_LOG_DRIVER = $(LOG_DRIVER)
PY_LOG_COMPILER = $(PYTHON3) -B
AM_TESTS_ENVIRONMENT = PYTHONPATH='$(abs_top_srcdir)/tests/lib' top_srcdir='$(top_srcdir)' top_builddir='$(top_builddir)' \
	LSAN_OPTIONS="$${LSAN_OPTIONS-suppressions='$(abs_top_srcdir)/tests/lib/lsan.supp'}"; \
	TSAN_OPTIONS="$${TSAN_OPTIONS-halt_on_error=0:die_after_fork=0:suppressions='$(abs_top_srcdir)/tests/lib/tsan.supp'}"; \
	export PYTHONPATH top_srcdir top_builddir LSAN_OPTIONS TSAN_OPTIONS;

# TEST_LIBS(cmocka and the wrapper) come first in the LDADD of each unit test:
#   test_programs += %D%/test-thing
#   %C%_test_thing_LDADD = $(TEST_LIBS) $(CORE_LIBS)
TEST_LIBS = tests/lib/libtest.a $(CMOCKA_LIBS)
test_libraries += tests/lib/libtest.a
tests_lib_libtest_a_SOURCES = tests/lib/tap.c tests/lib/tap.h tests/lib/torture.c tests/lib/torture.h
# A fuzz target with its plain main: $(FUZZ_LIBS) and the room's libraries; needs tests/fuzz/corpus/<program>/.
FUZZ_LIBS = tests/lib/libfuzz.a
test_libraries += tests/lib/libfuzz.a
tests_lib_libfuzz_a_SOURCES = tests/lib/fuzz.c tests/lib/fuzz.h
dist_check_SCRIPTS =
EXTRA_DIST += tests/lib/orchtest.py tests/lib/faults.py tests/lib/gitservers.py tests/lib/load.py tests/lib/workerlib.py tests/lib/gitlib.py tests/lib/lsan.supp tests/lib/tsan.supp tests/lib/unit

include tests/unit/core/room.mk
include tests/unit/format/room.mk
include tests/unit/view/room.mk
include tests/unit/cache/room.mk
include tests/unit/sync/room.mk
include tests/unit/output/room.mk
include tests/unit/keeper/room.mk
include tests/unit/mount/room.mk
include tests/unit/worker/room.mk
include tests/unit/providers/room.mk
include tests/unit/shim/room.mk
include tests/integration/room.mk
include tests/mount/room.mk
include tests/programs/room.mk
include tests/crash/room.mk
include tests/fuzz/room.mk
include tests/perf/room.mk
include tests/rules/room.mk

# Known to make in any case (scripts/fuzz builds some alone), built by "make check" only if they can run.
EXTRA_PROGRAMS += $(test_programs)
EXTRA_LIBRARIES = $(test_libraries)
CLEANFILES += $(test_programs) $(test_libraries)
if TESTS_ENABLED
if HAVE_CMOCKA
check_PROGRAMS = $(test_programs)
check_LIBRARIES = $(test_libraries)
TESTS += $(test_programs)
endif
TESTS += $(dist_check_SCRIPTS)
endif
