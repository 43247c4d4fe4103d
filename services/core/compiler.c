/* What compiler.h declares: the end after a mistake of our own, and the cleanup of malloc'd memory. */
#include "core/compiler.h"

#include <stdio.h>
#include <stdlib.h>

void orch_bug(const char *file, int line, const char *what)
{
	fprintf(stderr, "orch: bug at %s:%d: %s\n", file, line, what);
	abort();
}

void orch_auto_free(void *pp)
{
	void **p = pp;

	free(*p);
	*p = NULL;
}
