/*
 * The structured log: one line an event, to standard error or a file descriptor.
 * text:  2026-11-23T17:46:50.123Z level=info module=keeper event=mounted workspace=a pid=12
 * json:  {"time":"...","level":"info","module":"keeper","event":"mounted","workspace":"a","pid":12}
 * Values are quoted and escaped where needed; a line is written with one write(2). Secrets never.
 * Thread-safe.
 */
#ifndef ORCH_CORE_LOG_H
#define ORCH_CORE_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include "core/compiler.h"
#include "core/err.h"

enum orch_log_level { ORCH_LOG_ERROR, ORCH_LOG_WARN, ORCH_LOG_INFO, ORCH_LOG_DEBUG };
enum orch_log_format { ORCH_LOG_TEXT, ORCH_LOG_JSON };

/* Set once in main before other threads start. fd is borrowed. */
void orch_log_setup(int fd, enum orch_log_level level, enum orch_log_format format);
/* "error", "warn", "info", "debug"; -EINVAL. */
int orch_log_level_parse(const char *s, enum orch_log_level *out) ORCH_NONNULL(1, 2) ORCH_WUR;
bool orch_log_enabled(enum orch_log_level level);

/*
 * fields is a sequence of "key=%conv" separated by single blanks; each value is formatted alone and
 * quoted when it holds blanks, quotes or control bytes:
 *   orch_log(ORCH_LOG_INFO, "keeper", "mounted", "workspace=%s pid=%d", name, pid);
 * Conversions: %s %d %i %u %ld %lu %lld %llu %zu %zd %x %o %c (with PRI macros). No others.
 */
void orch_log(enum orch_log_level level, const char *module, const char *event, const char *fields,
    ...) ORCH_PRINTF(4, 5) ORCH_NONNULL(2, 3, 4);
/* One error with its message as field "error". */
void orch_log_err(const char *module, const char *event, const struct orch_err *err)
    ORCH_NONNULL(1, 2, 3);

#endif
