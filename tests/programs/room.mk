# What scripts/test-programs runs: no part of "make check", see docs/testing.md.
EXTRA_DIST += \
	%D%/programslib.py \
	%D%/test_git.py \
	%D%/test_kernel.py \
	%D%/test_lmdb.py \
	%D%/test_npm.py \
	%D%/test_postgresql.py \
	%D%/test_sqlite.py \
	%D%/test_venv.py
