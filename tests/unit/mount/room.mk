# Tests of this folder, see docs/testing.md.
test_programs += %D%/test-node
%C%_test_node_LDADD = $(TEST_LIBS) $(MOUNT_LIBS)
test_programs += %D%/test-options
%C%_test_options_LDADD = $(TEST_LIBS) $(MOUNT_LIBS)
test_programs += %D%/test-log
%C%_test_log_LDADD = $(TEST_LIBS) $(MOUNT_LIBS)
test_programs += %D%/test-ns
%C%_test_ns_LDADD = $(TEST_LIBS) $(MOUNT_LIBS)
test_programs += %D%/test-greet
%C%_test_greet_LDADD = $(TEST_LIBS) $(MOUNT_LIBS)
test_programs += %D%/test-remover
%C%_test_remover_LDADD = $(TEST_LIBS) $(MOUNT_LIBS)
test_programs += %D%/test-requests
%C%_test_requests_LDADD = $(TEST_LIBS) $(MOUNT_LIBS)
test_programs += %D%/test-confine
%C%_test_confine_LDADD = $(TEST_LIBS) $(MOUNT_LIBS)
