/*
 * Globs with the meaning of gitignore lines, on paths relative to a root, '/' separated, bytes.
 * `*` and `?` stop at '/', `**` crosses it, `[...]` classes, `\` quotes, a leading or inner '/'
 * anchors at the root, a trailing '/' matches folders only, a leading '!' negates in a list.
 * Pure: no I/O. Matching is bounded: no exponential patterns.
 */
#ifndef ORCH_CORE_GLOB_H
#define ORCH_CORE_GLOB_H

#include <stdbool.h>
#include <stddef.h>
#include "core/err.h"

/* One pattern, one path. */
bool orch_glob_match(const char *pattern, const char *path, bool is_dir) ORCH_NONNULL(1, 2);
/* One component of a pattern against one component of a path, nothing else: here '!' and a trailing
 * blank are what they are. Neither may hold a '/'. */
bool orch_glob_match_name(
    const char *pattern, size_t pattern_len, const char *name, size_t name_len) ORCH_NONNULL(1, 3);

struct orch_globs; /* an ordered list; the last line that matches decides */
struct orch_globs *orch_globs_new(void) ORCH_WUR;
void orch_globs_free(struct orch_globs *g);
/* Blank lines and '#' comments are skipped. */
int orch_globs_add(struct orch_globs *g, const char *line) ORCH_NONNULL(1, 2) ORCH_WUR;
int orch_globs_add_text(struct orch_globs *g, const char *text, size_t len)
    ORCH_NONNULL(1, 2) ORCH_WUR; /* the content of an ignore file */
/* Whether this path itself is excluded; parents are the caller's walk. */
bool orch_globs_match(const struct orch_globs *g, const char *path, bool is_dir) ORCH_NONNULL(1, 2);
bool orch_globs_empty(const struct orch_globs *g) ORCH_NONNULL(1);
/* Whether some line looks at more of a path than its last name. */
bool orch_globs_anchored(const struct orch_globs *g) ORCH_NONNULL(1);

#endif
