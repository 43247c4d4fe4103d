/* A private folder for one test: made by scratch_setup, gone after scratch_teardown. */
#ifndef ORCH_TESTS_UNIT_CORE_SCRATCH_H
#define ORCH_TESTS_UNIT_CORE_SCRATCH_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/fd.h"

struct scratch {
	char path[64];
	int fd; /* the folder */
};

static inline int scratch_setup_at(void **state, const char *base)
{
	struct scratch *s = malloc(sizeof(*s));

	if (!s)
		return -1;
	snprintf(s->path, sizeof(s->path), "%s/orch-test-XXXXXX", base);
	if (!mkdtemp(s->path)) {
		free(s);
		return -1;
	}
	s->fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = s;
	return s->fd < 0 ? -1 : 0;
}

static inline int scratch_setup(void **state)
{
	return scratch_setup_at(state, "/tmp");
}

static inline int scratch_teardown(void **state)
{
	struct scratch *s = *state;
	int r = orch_remove_tree(AT_FDCWD, s->path, NULL);

	close(s->fd);
	free(s);
	return r;
}

#define scratch_test(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

#endif
