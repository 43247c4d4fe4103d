/* A NULL-terminated vector of malloc'd strings: argv, environments, lists of globs. */
#ifndef ORCH_CORE_STRV_H
#define ORCH_CORE_STRV_H

#include <stddef.h>
#include "core/compiler.h"

struct orch_strv {
	char **v; /* NULL while empty; else v[count] == NULL */
	size_t count;
	size_t cap;
};

#define ORCH_STRV_INIT                          \
	{                                       \
		.v = NULL, .count = 0, .cap = 0 \
	}

void orch_strv_fini(struct orch_strv *s) ORCH_NONNULL(1);
void orch_auto_strv(struct orch_strv *s);
int orch_strv_add(struct orch_strv *s, const char *str) ORCH_NONNULL(1, 2) ORCH_WUR; /* copies */
int orch_strv_addf(struct orch_strv *s, const char *fmt, ...) ORCH_PRINTF(2, 3) ORCH_WUR;
int orch_strv_add_all(struct orch_strv *s, const char *const *v) ORCH_NONNULL(1) ORCH_WUR;
/* Environment semantics: replaces or adds NAME=VALUE. */
int orch_strv_set_env(struct orch_strv *s, const char *name, const char *value)
    ORCH_NONNULL(1, 2, 3) ORCH_WUR;
const char *orch_strv_get_env(const struct orch_strv *s, const char *name) ORCH_NONNULL(1, 2);
/* Never NULL: an empty vector yields a pointer to a NULL. For execve. */
char *const *orch_strv_argv(const struct orch_strv *s) ORCH_NONNULL(1);

#endif
