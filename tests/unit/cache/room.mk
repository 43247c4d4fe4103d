# Tests of this folder, see docs/testing.md.
CACHE_FIXTURE = %D%/fixture.c %D%/fixture.h

check_PROGRAMS += %D%/test-publish
%C%_test_publish_SOURCES = %D%/test-publish.c $(CACHE_FIXTURE)
%C%_test_publish_LDADD = $(TEST_LIBS) $(CACHE_LIBS)
