# Tests of this folder, see docs/testing.md.
EXTRA_DIST += %D%/place.h

test_programs += %D%/test-spec
%C%_test_spec_LDADD = $(TEST_LIBS) $(OUTPUT_LIBS)
test_programs += %D%/test-collect
%C%_test_collect_LDADD = $(TEST_LIBS) $(OUTPUT_LIBS)
test_programs += %D%/test-result
%C%_test_result_LDADD = $(TEST_LIBS) $(OUTPUT_LIBS)
test_programs += %D%/test-build-log
%C%_test_build_log_LDADD = $(TEST_LIBS) $(OUTPUT_LIBS)
test_programs += %D%/test-report
%C%_test_report_LDADD = $(TEST_LIBS) $(OUTPUT_LIBS)
test_programs += %D%/test-faults
%C%_test_faults_LDADD = $(TEST_LIBS) $(OUTPUT_LIBS)
