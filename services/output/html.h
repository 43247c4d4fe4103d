/*
 * Hostile text as HTML: the only way in which a string that is not ours gets into a page. Pure.
 * Room-internal.
 */
#ifndef ORCH_OUTPUT_HTML_H
#define ORCH_OUTPUT_HTML_H

#include <stddef.h>
#include <stdint.h>
#include "core/buf.h"

/* Escaped for element content and quoted attributes. What can't be shown (control bytes, newlines,
 * bytes that are not UTF-8, marks that turn the direction of text around) becomes visible: \x1b, \u202e. */
void html_text(struct orch_buf *out, const char *s) ORCH_NONNULL(1, 2);
void html_span(struct orch_buf *out, const char *s, size_t n) ORCH_NONNULL(1, 2);
/* A log: newlines and tabs stay; terminal escapes go; of a line that was written over with carriage
 * returns the last state stays; the rest as html_text. */
void html_log(struct orch_buf *out, const char *p, size_t n) ORCH_NONNULL(1);
/* A relative URL of a path: every byte that is not plainly safe is percent-encoded. */
void html_href(struct orch_buf *out, const char *path) ORCH_NONNULL(1, 2);

/* "340 ms", "3.4 s", "2 min 05 s", "1 h 02 min" */
void html_duration(struct orch_buf *out, uint64_t ns) ORCH_NONNULL(1);
/* "17 B", "1.4 MiB" */
void html_size(struct orch_buf *out, uint64_t bytes) ORCH_NONNULL(1);

#endif
