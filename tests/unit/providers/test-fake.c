/* The fake in the conformance suite. */
#include "tests/unit/providers/conformance.h"

#include "providers/fake.h"

static int open_fake(const char *state_dir, struct prv **out)
{
	(void)state_dir;
	return prv_fake_open(out, NULL);
}

int main(void)
{
	struct conformance fixture = {.open = open_fake, .scripted = true};

	return conformance_run(&fixture);
}
