# Tests of this folder, see docs/testing.md.
check_PROGRAMS += %D%/test-build
%C%_test_build_LDADD = $(TEST_LIBS) $(CORE_LIBS)
