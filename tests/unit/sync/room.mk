# Tests of this folder, see docs/testing.md.
check_LIBRARIES += %D%/librig.a
%C%_librig_a_SOURCES = %D%/rig.c %D%/rig.h
check_PROGRAMS += %D%/test-import
%C%_test_import_LDADD = %D%/librig.a $(TEST_LIBS) $(SYNC_LIBS)
check_PROGRAMS += %D%/test-apply
%C%_test_apply_LDADD = %D%/librig.a $(TEST_LIBS) $(SYNC_LIBS)
check_PROGRAMS += %D%/test-commit
%C%_test_commit_LDADD = %D%/librig.a $(TEST_LIBS) $(SYNC_LIBS)
check_PROGRAMS += %D%/test-faults
%C%_test_faults_LDADD = %D%/librig.a $(TEST_LIBS) $(SYNC_LIBS)
