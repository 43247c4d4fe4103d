# Tests of this folder, see docs/testing.md.
EXTRA_PROGRAMS += %D%/bench-format %D%/bench-files
%C%_bench_format_SOURCES = %D%/bench-format.c
%C%_bench_format_LDADD = $(FORMAT_LIBS)
%C%_bench_files_SOURCES = %D%/bench-files.c
%C%_bench_files_LDADD = $(CORE_LIBS)
EXTRA_DIST += %D%/bench.py
