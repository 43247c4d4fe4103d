# Tests of this folder, see docs/testing.md.
EXTRA_DIST += %D%/conformance.h
test_programs += %D%/test-fake
%C%_test_fake_SOURCES = %D%/test-fake.c %D%/conformance.c
%C%_test_fake_LDADD = $(TEST_LIBS) $(PROVIDERS_LIBS)
test_programs += %D%/test-local
%C%_test_local_SOURCES = %D%/test-local.c %D%/conformance.c
%C%_test_local_LDADD = $(TEST_LIBS) $(PROVIDERS_LIBS)
test_programs += %D%/test-sandbox
%C%_test_sandbox_SOURCES = %D%/test-sandbox.c %D%/conformance.c
%C%_test_sandbox_LDADD = $(TEST_LIBS) $(PROVIDERS_LIBS)
test_programs += %D%/test-confinement
%C%_test_confinement_LDADD = $(TEST_LIBS) $(PROVIDERS_LIBS)
test_programs += %D%/test-provider
%C%_test_provider_LDADD = $(TEST_LIBS) $(PROVIDERS_LIBS)
