# Tests of this folder, see docs/testing.md.
dist_check_SCRIPTS += %D%/test_harness.py
dist_check_SCRIPTS += %D%/test_dist.py
dist_check_SCRIPTS += %D%/test_worker.py
dist_check_SCRIPTS += %D%/test_api_page.py
dist_check_SCRIPTS += %D%/test_api_refs.py
dist_check_SCRIPTS += %D%/test_api_hostile.py
dist_check_SCRIPTS += %D%/test_settings.py
dist_check_SCRIPTS += %D%/test_systemd.py
dist_check_SCRIPTS += %D%/test_man.py
dist_check_SCRIPTS += %D%/test_cli.py
dist_check_SCRIPTS += %D%/test_cli_verbs.py
dist_check_SCRIPTS += %D%/test_links.py
dist_check_SCRIPTS += %D%/test_git_mirror.py
dist_check_SCRIPTS += %D%/test_git_servers.py
dist_check_SCRIPTS += %D%/test_git_steps.py
dist_check_SCRIPTS += %D%/test_git_import.py
dist_check_SCRIPTS += %D%/test_git_snapshot.py
