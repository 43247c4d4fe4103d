# Fuzz targets, see docs/testing.md. Two lines each, and a corpus:
#   check_PROGRAMS += %D%/fuzz-thing
#   %C%_fuzz_thing_LDADD = $(FUZZ_LIBS) $(FORMAT_LIBS)
EXTRA_DIST += %D%/corpus
check_PROGRAMS += %D%/fuzz-tree
%C%_fuzz_tree_LDADD = $(FUZZ_LIBS) $(FORMAT_LIBS)
check_PROGRAMS += %D%/fuzz-stamps
%C%_fuzz_stamps_LDADD = $(FUZZ_LIBS) $(FORMAT_LIBS)
check_PROGRAMS += %D%/fuzz-snapshot
%C%_fuzz_snapshot_LDADD = $(FUZZ_LIBS) $(FORMAT_LIBS)
check_PROGRAMS += %D%/fuzz-pack
%C%_fuzz_pack_LDADD = $(FUZZ_LIBS) $(FORMAT_LIBS)
check_PROGRAMS += %D%/fuzz-layer
%C%_fuzz_layer_LDADD = $(FUZZ_LIBS) $(FORMAT_LIBS)
check_PROGRAMS += %D%/fuzz-msg
%C%_fuzz_msg_LDADD = $(FUZZ_LIBS) $(FORMAT_LIBS)
check_PROGRAMS += %D%/fuzz-scan
%C%_fuzz_scan_LDADD = $(FUZZ_LIBS) $(FORMAT_LIBS)
