/* The provider sandbox in the conformance suite. */
#include "tests/unit/providers/conformance.h"

#include <stdio.h>
#include <stdlib.h>

static int open_sandbox(const char *state_dir, struct prv **out)
{
	struct prv_config config = {.state_dir = state_dir};

	return prv_open("sandbox", &config, out, NULL);
}

int main(void)
{
	struct conformance fixture = {.open = open_sandbox, .own_network = true};
	char path[4096];

	snprintf(
	    path, sizeof(path), "%s/shim", getenv("top_builddir") ? getenv("top_builddir") : ".");
	setenv("ORCH_LIBEXECDIR", path, 0);
	return conformance_run(&fixture);
}
