# Tests of this folder, see docs/testing.md.
test_programs += %D%/test-ending
%C%_test_ending_LDADD = $(TEST_LIBS) $(KEEPER_LIBS)
test_programs += %D%/test-events
%C%_test_events_LDADD = $(TEST_LIBS) $(KEEPER_LIBS)
test_programs += %D%/test-jobs
%C%_test_jobs_LDADD = $(TEST_LIBS) $(KEEPER_LIBS)
test_programs += %D%/test-idmap
%C%_test_idmap_LDADD = $(TEST_LIBS) $(KEEPER_LIBS)
test_programs += %D%/test-request
%C%_test_request_LDADD = $(TEST_LIBS) $(KEEPER_LIBS)
test_programs += %D%/test-url
%C%_test_url_LDADD = $(TEST_LIBS) $(KEEPER_LIBS)
test_programs += %D%/test-views
%C%_test_views_LDADD = $(TEST_LIBS) $(KEEPER_LIBS)
test_programs += %D%/test-ws-record
%C%_test_ws_record_LDADD = $(TEST_LIBS) $(KEEPER_LIBS)
