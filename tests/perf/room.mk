# Tests of this folder, see docs/testing.md.
noinst_PROGRAMS += %D%/bench-files
EXTRA_PROGRAMS += %D%/bench-format
%C%_bench_format_SOURCES = %D%/bench-format.c
%C%_bench_format_LDADD = $(FORMAT_LIBS)
%C%_bench_files_SOURCES = %D%/bench-files.c
%C%_bench_files_LDADD = $(CORE_LIBS)
# scripts/bench, and a test of its frame.
EXTRA_DIST += \
	%D%/bench/__main__.py \
	%D%/bench/disk.py \
	%D%/bench/figures.py \
	%D%/bench/load.py \
	%D%/bench/machine.py \
	%D%/bench/peers.py \
	%D%/bench/place.py \
	%D%/bench/rows.py \
	%D%/bench/rows_build.py \
	%D%/bench/rows_kill.py \
	%D%/bench/rows_life.py \
	%D%/bench/rows_read.py \
	%D%/bench/rows_transfer.py \
	%D%/bench/rows_walk.py \
	%D%/bench/rows_write.py \
	%D%/bench/sizes.py \
	%D%/bench/sources.py \
	%D%/bench/table.py
dist_check_SCRIPTS += %D%/test_bench.py
