# Tests of this folder, see docs/testing.md.
check_PROGRAMS += %D%/test-ending
%C%_test_ending_LDADD = $(TEST_LIBS) $(KEEPER_LIBS)
check_PROGRAMS += %D%/test-events
%C%_test_events_LDADD = $(TEST_LIBS) $(KEEPER_LIBS)
check_PROGRAMS += %D%/test-request
%C%_test_request_LDADD = $(TEST_LIBS) $(KEEPER_LIBS)
check_PROGRAMS += %D%/test-url
%C%_test_url_LDADD = $(TEST_LIBS) $(KEEPER_LIBS)
check_PROGRAMS += %D%/test-ws-record
%C%_test_ws_record_LDADD = $(TEST_LIBS) $(KEEPER_LIBS)
