# Tests of this folder, see docs/testing.md.
check_PROGRAMS += %D%/test-request
%C%_test_request_LDADD = $(TEST_LIBS) $(WORKER_LIBS)
