# Tests of this folder, see docs/testing.md.
test_programs += %D%/test-view
%C%_test_view_LDADD = $(TEST_LIBS) $(VIEW_LIBS)
