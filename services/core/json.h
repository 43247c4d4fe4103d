/*
 * The door to the JSON library (jansson); only json.c includes it. A `struct orch_json` is one
 * value. Values that are got are borrowed from their parent. Strings are UTF-8; bytes that are not
 * go as "<key>_b64" (orch_json_set_bytes). Numbers are 64-bit signed integers or doubles.
 */
#ifndef ORCH_CORE_JSON_H
#define ORCH_CORE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/buf.h"
#include "core/err.h"

struct orch_json;

#define ORCH_JSON_DEPTH_MAX 64

/* One whole document, at most 64 MiB, depth ORCH_JSON_DEPTH_MAX, duplicate keys refused.
 * -EINVAL with line and column in err. */
int orch_json_parse(const char *text, size_t len, struct orch_json **out, struct orch_err *err)
    ORCH_NONNULL(1, 3) ORCH_WUR;
/* indent 0: compact on one line. Keys keep their order of insertion. -ENOMEM for what orch_json_failed,
 * which includes NULL: what a constructor without memory gave. */
int orch_json_format(const struct orch_json *j, unsigned indent, struct orch_buf *out)
    ORCH_NONNULL(3) ORCH_WUR;

struct orch_json *orch_json_object(void) ORCH_WUR; /* NULL: no memory; as all constructors */
struct orch_json *orch_json_array(void) ORCH_WUR;
void orch_json_free(struct orch_json *j); /* owned roots only */
void orch_auto_json(struct orch_json **j);

/* Setters return 0 or -ENOMEM/-EINVAL (not UTF-8); a failure also marks the object, see _failed.
 * set_json and push take *value over and set it to NULL, on success and on failure; the mark of the
 * value goes to the object with it, and a value of NULL (no memory) marks it too. */
/* Whether a setter or push of this root failed (or it is NULL): check once at the end.
 * orch_json_format of such a root is -ENOMEM. */
bool orch_json_failed(const struct orch_json *j);
int orch_json_set_str(struct orch_json *o, const char *key, const char *v); /* v NULL: null */
int orch_json_set_int(struct orch_json *o, const char *key, int64_t v);
int orch_json_set_u64(struct orch_json *o, const char *key, uint64_t v); /* > INT64_MAX: -EINVAL */
int orch_json_set_real(struct orch_json *o, const char *key, double v);
int orch_json_set_bool(struct orch_json *o, const char *key, bool v);
int orch_json_set_null(struct orch_json *o, const char *key);
int orch_json_set_json(struct orch_json *o, const char *key, struct orch_json **value);
/* key: v when v is UTF-8, else key_b64: base64(v). */
int orch_json_set_bytes(struct orch_json *o, const char *key, const void *v, size_t len);
int orch_json_push(struct orch_json *a, struct orch_json **value);
int orch_json_push_str(struct orch_json *a, const char *v);

/* Takes the member out of o: the caller's from then on. NULL when it is not there. */
struct orch_json *orch_json_take(struct orch_json *o, const char *key);

/* Getters: NULL / -ENOENT when absent, -EINVAL when of another type, err names the key. */
const struct orch_json *orch_json_get(const struct orch_json *o, const char *key);
int orch_json_get_str(
    const struct orch_json *o, const char *key, const char **out, struct orch_err *err) ORCH_WUR;
int orch_json_get_int(
    const struct orch_json *o, const char *key, int64_t *out, struct orch_err *err) ORCH_WUR;
int orch_json_get_u64(
    const struct orch_json *o, const char *key, uint64_t *out, struct orch_err *err) ORCH_WUR;
int orch_json_get_bool(
    const struct orch_json *o, const char *key, bool *out, struct orch_err *err) ORCH_WUR;
/* Reads key, or key_b64 decoded; malloc'd, NUL-terminated after *out_len bytes. */
int orch_json_get_bytes(const struct orch_json *o, const char *key, char **out, size_t *out_len,
    struct orch_err *err) ORCH_WUR;
const char *orch_json_str(const struct orch_json *v); /* NULL when not a string */
bool orch_json_int(const struct orch_json *v, int64_t *out);
size_t orch_json_len(const struct orch_json *v); /* of an array or object */
const struct orch_json *orch_json_at(const struct orch_json *a, size_t i);
bool orch_json_is_object(const struct orch_json *v);
bool orch_json_is_array(const struct orch_json *v);
bool orch_json_is_null(const struct orch_json *v);
/* Calls fn for each member in order of insertion until it returns non-zero; returns that. */
int orch_json_each(const struct orch_json *o,
    int (*fn)(const char *key, const struct orch_json *v, void *priv), void *priv);

#endif
