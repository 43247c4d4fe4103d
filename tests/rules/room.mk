# The rules of the code as programs, see docs/testing.md.
EXTRA_DIST += %D%/rules.py %D%/function-length.allow
dist_check_SCRIPTS += %D%/test_includes.py
dist_check_SCRIPTS += %D%/test_headers.py
dist_check_SCRIPTS += %D%/test_banned.py
dist_check_SCRIPTS += %D%/test_cleanup.py
dist_check_SCRIPTS += %D%/test_foreign_headers.py
dist_check_SCRIPTS += %D%/test_function_length.py
dist_check_SCRIPTS += %D%/test_room_mk.py
dist_check_SCRIPTS += %D%/test_locks.py
dist_check_SCRIPTS += %D%/test_names.py
dist_check_SCRIPTS += %D%/test_scripts.py
dist_check_SCRIPTS += %D%/test_fuzz.py
