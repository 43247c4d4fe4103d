# Tests of this folder, see docs/testing.md.
test_libraries += %D%/librig.a
%C%_librig_a_SOURCES = %D%/rig.c %D%/rig.h
test_programs += %D%/test-import
%C%_test_import_LDADD = %D%/librig.a $(TEST_LIBS) $(SYNC_LIBS)
test_programs += %D%/test-apply
%C%_test_apply_LDADD = %D%/librig.a $(TEST_LIBS) $(SYNC_LIBS)
test_programs += %D%/test-commit
%C%_test_commit_LDADD = %D%/librig.a $(TEST_LIBS) $(SYNC_LIBS)
test_programs += %D%/test-faults
%C%_test_faults_LDADD = %D%/librig.a $(TEST_LIBS) $(SYNC_LIBS)
test_programs += %D%/test-git
%C%_test_git_LDADD = $(TEST_LIBS) $(SYNC_LIBS)
test_programs += %D%/test-git-pure
%C%_test_git_pure_LDADD = $(TEST_LIBS) $(SYNC_LIBS)
