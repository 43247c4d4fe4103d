/*
 * Results on standard output: whole documents, and tables that fit a terminal.
 */
#ifndef ORCH_SHIM_OUT_H
#define ORCH_SHIM_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/buf.h"
#include "core/json.h"

/* 0 or -errno (EPIPE too: nobody reads). */
int shim_out(const struct orch_buf *b, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
int shim_out_line(const char *s, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
int shim_out_json(const struct orch_json *j, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;

/* A table is filled cell by cell, row by row; cells are cut at the widest columns where a terminal
 * is too narrow, never otherwise. Control bytes in cells are shown as '?'. */
struct shim_table;
#define SHIM_RIGHT '>' /* the first byte of a heading: numbers, set to the right */

struct shim_table *shim_table_new(const char *const *headings) ORCH_NONNULL(1) ORCH_WUR;
void shim_table_cell(struct shim_table *t, const char *fmt, ...) ORCH_PRINTF(2, 3)
    ORCH_NONNULL(1, 2);
/* width 0: as wide as it needs. */
void shim_table_format(const struct shim_table *t, size_t width, struct orch_buf *out)
    ORCH_NONNULL(1, 3);
/* Prints it for standard output as it is, and frees it. */
int shim_table_print(struct shim_table *t, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
void shim_table_free(struct shim_table *t);

/* "1.5 MiB", "812 B"; "3 m 12 s", "4.2 s", "12 ms"; "2026-11-23 17:46" of an RFC 3339 time. */
#define SHIM_SHORT 32
const char *shim_human_bytes(uint64_t bytes, char out[SHIM_SHORT]) ORCH_NONNULL(2);
const char *shim_human_ns(uint64_t ns, char out[SHIM_SHORT]) ORCH_NONNULL(2);
const char *shim_human_count(uint64_t n, char out[SHIM_SHORT]) ORCH_NONNULL(2); /* "1,236" */
const char *shim_human_time(const char *rfc3339, char out[SHIM_SHORT]) ORCH_NONNULL(2);

/* One "name  value" line for each member; objects below are indented. */
int shim_out_members(const struct orch_json *o, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;

/* Members for tables: "" or 0 when absent. */
const char *shim_get(const struct orch_json *o, const char *key) ORCH_NONNULL(2);
uint64_t shim_get_u64(const struct orch_json *o, const char *key) ORCH_NONNULL(2);
bool shim_get_bool(const struct orch_json *o, const char *key) ORCH_NONNULL(2);

#endif
