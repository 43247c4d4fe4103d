# Tests of this folder, see docs/testing.md.
test_programs += %D%/test-request
%C%_test_request_LDADD = $(TEST_LIBS) $(WORKER_LIBS)
