# Tests of this folder, see docs/testing.md.
dist_check_SCRIPTS += %D%/test_build_kill.py
dist_check_SCRIPTS += %D%/test_full_store.py
dist_check_SCRIPTS += %D%/test_fault_loop.py
dist_check_SCRIPTS += %D%/test_fault_git.py
dist_check_SCRIPTS += %D%/test_fault_shim.py
dist_check_SCRIPTS += %D%/test_power_cut.py
noinst_PROGRAMS += %D%/db-tool
%C%_db_tool_SOURCES = %D%/db-tool.c
%C%_db_tool_LDADD = $(CACHE_LIBS)
dist_check_SCRIPTS += %D%/test_corruption.py
dist_check_SCRIPTS += %D%/test_database_logs.py
dist_check_SCRIPTS += %D%/test_kill_everything.py
