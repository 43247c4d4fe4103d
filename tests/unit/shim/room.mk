# Tests of this folder, see docs/testing.md.
test_programs += %D%/test-option %D%/test-key %D%/test-journal %D%/test-test-report %D%/test-out \
	%D%/test-checkout %D%/test-commands %D%/test-doctor
%C%_test_option_LDADD = $(TEST_LIBS) $(SHIM_LIBS)
%C%_test_key_LDADD = $(TEST_LIBS) $(SHIM_LIBS)
%C%_test_journal_LDADD = $(TEST_LIBS) $(SHIM_LIBS)
%C%_test_test_report_LDADD = $(TEST_LIBS) $(SHIM_LIBS)
%C%_test_out_LDADD = $(TEST_LIBS) $(SHIM_LIBS)
%C%_test_checkout_LDADD = $(TEST_LIBS) $(SHIM_LIBS)
%C%_test_doctor_LDADD = $(TEST_LIBS) $(SHIM_LIBS)
%C%_test_commands_LDADD = $(TEST_LIBS) $(SHIM_LIBS)
test_programs += %D%/test-init-parse
%C%_test_init_parse_LDADD = $(TEST_LIBS) $(SHIM_LIBS)
