# Tests of this folder, see docs/testing.md.
EXTRA_PROGRAMS += %D%/bench-format
%C%_bench_format_SOURCES = %D%/bench-format.c
%C%_bench_format_LDADD = $(FORMAT_LIBS)
