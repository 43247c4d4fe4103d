# Fuzz targets, see docs/testing.md. Two lines each, and a corpus:
#   check_PROGRAMS += %D%/fuzz-thing
#   %C%_fuzz_thing_LDADD = $(FUZZ_LIBS) $(FORMAT_LIBS)
EXTRA_DIST += %D%/corpus
