# Tests of this folder, see docs/testing.md.
check_PROGRAMS += %D%/test-build
%C%_test_build_LDADD = $(TEST_LIBS) $(CORE_LIBS)
check_PROGRAMS += %D%/test-err
%C%_test_err_LDADD = $(TEST_LIBS) $(CORE_LIBS)
check_PROGRAMS += %D%/test-buf
%C%_test_buf_LDADD = $(TEST_LIBS) $(CORE_LIBS)
check_PROGRAMS += %D%/test-hash
%C%_test_hash_LDADD = $(TEST_LIBS) $(CORE_LIBS)
check_PROGRAMS += %D%/test-clock
%C%_test_clock_LDADD = $(TEST_LIBS) $(CORE_LIBS)
check_PROGRAMS += %D%/test-path
%C%_test_path_LDADD = $(TEST_LIBS) $(CORE_LIBS)
EXTRA_DIST += %D%/scratch.h
check_PROGRAMS += %D%/test-json
%C%_test_json_LDADD = $(TEST_LIBS) $(CORE_LIBS)
