# Tests of this folder, see docs/testing.md.
dist_check_SCRIPTS += %D%/test_harness.py
dist_check_SCRIPTS += %D%/test_dist.py
