# Tests of this folder, see docs/testing.md.
EXTRA_DIST += %D%/hostile.h

test_programs += %D%/test-tree
%C%_test_tree_LDADD = $(TEST_LIBS) $(FORMAT_LIBS)
test_programs += %D%/test-stamps
%C%_test_stamps_LDADD = $(TEST_LIBS) $(FORMAT_LIBS)
test_programs += %D%/test-snapshot
%C%_test_snapshot_LDADD = $(TEST_LIBS) $(FORMAT_LIBS)
test_programs += %D%/test-pack
%C%_test_pack_LDADD = $(TEST_LIBS) $(FORMAT_LIBS)
test_programs += %D%/test-layer
%C%_test_layer_LDADD = $(TEST_LIBS) $(FORMAT_LIBS)
test_programs += %D%/test-overlay
%C%_test_overlay_LDADD = $(TEST_LIBS) $(FORMAT_LIBS)
test_programs += %D%/test-msg
%C%_test_msg_LDADD = $(TEST_LIBS) $(FORMAT_LIBS)
test_programs += %D%/test-scan
%C%_test_scan_LDADD = $(TEST_LIBS) $(FORMAT_LIBS)
test_programs += %D%/test-no-memory
%C%_test_no_memory_LDADD = $(TEST_LIBS) $(FORMAT_LIBS)
test_programs += %D%/test-memo
%C%_test_memo_LDADD = $(TEST_LIBS) $(FORMAT_LIBS)
