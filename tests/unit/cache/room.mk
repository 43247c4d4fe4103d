# Tests of this folder, see docs/testing.md.
CACHE_FIXTURE = %D%/fixture.c %D%/fixture.h

test_programs += %D%/test-db
%C%_test_db_SOURCES = %D%/test-db.c $(CACHE_FIXTURE)
%C%_test_db_LDADD = $(TEST_LIBS) $(CACHE_LIBS)

test_programs += %D%/test-diff
%C%_test_diff_SOURCES = %D%/test-diff.c $(CACHE_FIXTURE)
%C%_test_diff_LDADD = $(TEST_LIBS) $(CACHE_LIBS)

test_programs += %D%/test-full-disk
%C%_test_full_disk_SOURCES = %D%/test-full-disk.c $(CACHE_FIXTURE)
%C%_test_full_disk_LDADD = $(TEST_LIBS) $(CACHE_LIBS)

test_programs += %D%/test-kill
%C%_test_kill_SOURCES = %D%/test-kill.c $(CACHE_FIXTURE)
%C%_test_kill_LDADD = $(TEST_LIBS) $(CACHE_LIBS)

test_programs += %D%/test-layer
%C%_test_layer_SOURCES = %D%/test-layer.c $(CACHE_FIXTURE)
%C%_test_layer_LDADD = $(TEST_LIBS) $(CACHE_LIBS)

test_programs += %D%/test-pack
%C%_test_pack_SOURCES = %D%/test-pack.c $(CACHE_FIXTURE)
%C%_test_pack_LDADD = $(TEST_LIBS) $(CACHE_LIBS)

test_programs += %D%/test-publish
%C%_test_publish_SOURCES = %D%/test-publish.c $(CACHE_FIXTURE)
%C%_test_publish_LDADD = $(TEST_LIBS) $(CACHE_LIBS)

test_programs += %D%/test-quarantine
%C%_test_quarantine_SOURCES = %D%/test-quarantine.c $(CACHE_FIXTURE)
%C%_test_quarantine_LDADD = $(TEST_LIBS) $(CACHE_LIBS)

test_programs += %D%/test-refs
%C%_test_refs_SOURCES = %D%/test-refs.c $(CACHE_FIXTURE)
%C%_test_refs_LDADD = $(TEST_LIBS) $(CACHE_LIBS)

test_programs += %D%/test-store
%C%_test_store_SOURCES = %D%/test-store.c $(CACHE_FIXTURE)
%C%_test_store_LDADD = $(TEST_LIBS) $(CACHE_LIBS)

test_programs += %D%/test-verify
%C%_test_verify_SOURCES = %D%/test-verify.c $(CACHE_FIXTURE)
%C%_test_verify_LDADD = $(TEST_LIBS) $(CACHE_LIBS)

test_programs += %D%/test-faults
%C%_test_faults_SOURCES = %D%/test-faults.c $(CACHE_FIXTURE)
%C%_test_faults_LDADD = $(TEST_LIBS) $(CACHE_LIBS)
