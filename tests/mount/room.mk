# Tests of this folder, see docs/testing.md.
noinst_PROGRAMS += %D%/mount-tool
%C%_mount_tool_SOURCES = %D%/mount-tool.c
%C%_mount_tool_LDADD = $(VIEW_LIBS)
EXTRA_DIST += %D%/mountlib.py %D%/model.py
dist_check_SCRIPTS += %D%/test_files.py
dist_check_SCRIPTS += %D%/test_folders.py
dist_check_SCRIPTS += %D%/test_kill.py
dist_check_SCRIPTS += %D%/test_model.py
dist_check_SCRIPTS += %D%/test_seal.py
dist_check_SCRIPTS += %D%/test_keeper.py
dist_check_SCRIPTS += %D%/test_keeper_seal.py
dist_check_SCRIPTS += %D%/test_fidelity.py
dist_check_SCRIPTS += %D%/test_workspace_verbs.py
dist_check_SCRIPTS += %D%/test_build.py
dist_check_SCRIPTS += %D%/test_build_signals.py
dist_check_SCRIPTS += %D%/test_sync.py
