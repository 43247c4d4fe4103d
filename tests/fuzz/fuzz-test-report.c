/* Test reports and the remotes of checkouts: text that a build, or a clone, has written. */
#include <stdlib.h>
#include <string.h>
#include "shim/checkout.h"
#include "shim/key.h"
#include "shim/test_report.h"
#include "tests/lib/fuzz.h"

static void fuzz_remote(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size), *url, *repository;

	if (!text)
		return;
	url = shim_checkout_remote(text);
	repository = url ? shim_key_repository(url) : NULL;
	if (repository && strlen(repository) > strlen(url))
		abort();
	free(repository);
	free(url);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct shim_test_counts counts = {0};

	if (shim_test_report_parse((const char *)data, size, &counts, NULL) < 0 && counts.tests)
		abort();
	if (counts.failed > counts.tests || counts.skipped > counts.tests)
		abort();
	fuzz_remote(data, size);
	return 0;
}
