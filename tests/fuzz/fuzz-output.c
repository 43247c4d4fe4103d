/* What a user may say about outputs: a spec is taken or refused, and what was taken decides on any path. */
#include <stdlib.h>
#include <string.h>
#include "output/spec.h"
#include "tests/lib/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const paths[] = {"a", "a/b", "dist/x.pdb", "\xff", "a/b/c/d/e"};
	struct out_specs *s = out_specs_new();
	char *text = malloc(size + 1), *line, *rest;

	if (s == NULL || text == NULL)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	for (line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
		(void)!out_specs_add(s, line, NULL);
	for (size_t i = 0; i < out_specs_count(s); i++) {
		for (size_t k = 0; k < ORCH_ARRAY_LEN(paths); k++) {
			int n = out_specs_line(s, i, paths[k], true, -1);

			(void)out_specs_takes(s, i, n);
			(void)out_specs_below(s, i, paths[k]);
		}
	}
	free(text);
	out_specs_free(s);
	return 0;
}
