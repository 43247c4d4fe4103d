/*
 * The door to jansson: a `struct orch_json` is a json_t under another name. Trees have no owner but
 * their root; no locks: one tree, one thread.
 */
#include "core/json.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "core/utf8.h"

#define TEXT_MAX_BYTES ((size_t)64 << 20)

/*
 * "A failure marks the object": the mark is the top bit of the reference count, which a tree with
 * one owner never reaches. It is on roots only: it moves to the parent when a value is taken over,
 * and is cleared before the library sees the count again.
 */
#define FAILED_MARK ((size_t)1 << (sizeof(size_t) * CHAR_BIT - 1))

static json_t *native(struct orch_json *j)
{
	return (json_t *)j;
}

static const json_t *native_const(const struct orch_json *j)
{
	return (const json_t *)j;
}

static struct orch_json *ours(json_t *j)
{
	return (struct orch_json *)j;
}

static const struct orch_json *ours_const(const json_t *j)
{
	return (const struct orch_json *)j;
}

#ifdef ORCH_FAULT_INJECTION
/* The library's allocations are points of failure, too. */
static __attribute__((constructor)) void allocate_here(void)
{
	json_set_alloc_funcs(malloc, free);
}
#endif

struct orch_json *orch_json_object(void)
{
	return ours(json_object());
}

struct orch_json *orch_json_array(void)
{
	return ours(json_array());
}

static bool is_container(const json_t *j)
{
	return json_is_object(j) || json_is_array(j);
}

bool orch_json_failed(const struct orch_json *j)
{
	return !j || (is_container(native_const(j)) && (native_const(j)->refcount & FAILED_MARK));
}

/* Clears the mark; whether it was there. */
static bool take_mark(json_t *j)
{
	bool failed = orch_json_failed(ours(j));

	if (j && failed)
		j->refcount &= ~FAILED_MARK;
	return failed;
}

static int mark_failed(struct orch_json *j, int code)
{
	if (j && is_container(native_const(j)))
		native(j)->refcount |= FAILED_MARK;
	return -code;
}

void orch_json_free(struct orch_json *j)
{
	if (!j)
		return;
	take_mark(native(j));
	json_decref(native(j));
}

void orch_auto_json(struct orch_json **j)
{
	orch_json_free(*j);
	*j = NULL;
}

/* Depth of the deepest value, 1 for a scalar; stops counting beyond the maximum. */
static unsigned depth_of(const json_t *j, unsigned level)
{
	unsigned deepest = level;
	const char *key;
	json_t *v;
	size_t i;

	if (level > ORCH_JSON_DEPTH_MAX)
		return level;
	if (json_is_array(j)) {
		json_array_foreach(j, i, v)
		{
			unsigned d = depth_of(v, level + 1);

			deepest = d > deepest ? d : deepest;
		}
	} else if (json_is_object(j)) {
		union {
			const json_t *borrowed;
			json_t *object;
		} u = {.borrowed = j};

		json_object_foreach(u.object, key, v)
		{
			unsigned d = depth_of(v, level + 1);

			deepest = d > deepest ? d : deepest;
		}
	}
	return deepest;
}

int orch_json_parse(const char *text, size_t len, struct orch_json **out, struct orch_err *err)
{
	json_error_t e = {.text = ""}; /* without memory for its reader, the library sets no code */
	json_t *j;

	if (len > TEXT_MAX_BYTES)
		return orch_err_set(err, EINVAL, "a JSON text of %zu bytes is too long", len);
	j = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
	if (!j && (!e.text[0] || json_error_code(&e) == json_error_out_of_memory))
		return orch_err_sys(err, ENOMEM, "cannot read JSON");
	if (!j && json_error_code(&e) == json_error_null_character)
		return orch_err_set(err, EINVAL,
		    "JSON, line %d, column %d: a text can't have a zero byte (\\u0000)", e.line,
		    e.column);
	if (!j)
		return orch_err_set(
		    err, EINVAL, "JSON, line %d, column %d: %s", e.line, e.column, e.text);
	if (depth_of(j, 1) > ORCH_JSON_DEPTH_MAX) {
		json_decref(j);
		return orch_err_set(
		    err, EINVAL, "JSON: nested deeper than %d levels", ORCH_JSON_DEPTH_MAX);
	}
	*out = ours(j);
	return 0;
}

struct sink {
	struct orch_buf *out;
	int r;
};

static int append(const char *p, size_t n, void *priv)
{
	struct sink *s = priv;

	s->r = orch_buf_add(s->out, p, n);
	return s->r < 0 ? -1 : 0;
}

int orch_json_format(const struct orch_json *j, unsigned indent, struct orch_buf *out)
{
	size_t look = indent ? JSON_INDENT(indent < 31 ? indent : 31) : JSON_COMPACT;
	struct sink sink = {.out = out};

	if (orch_json_failed(j))
		return -ENOMEM;
	if (json_dump_callback(native_const(j), append, &sink, JSON_ENCODE_ANY | look) < 0)
		return sink.r < 0 ? sink.r : -ENOMEM;
	return 0;
}

/* Puts v (owned; NULL: it could not be made) at key. */
static int set_new(struct orch_json *o, const char *key, json_t *v)
{
	if (!o || !json_is_object(native(o)) || !orch_utf8_valid(key, strlen(key))) {
		json_decref(v);
		return mark_failed(o, EINVAL);
	}
	if (!v)
		return mark_failed(o, ENOMEM);
	return json_object_set_new(native(o), key, v) < 0 ? mark_failed(o, ENOMEM) : 0;
}

int orch_json_set_str(struct orch_json *o, const char *key, const char *v)
{
	size_t len = v ? strlen(v) : 0;

	if (!v)
		return orch_json_set_null(o, key);
	if (!orch_utf8_valid(v, len))
		return mark_failed(o, EINVAL);
	return set_new(o, key, json_stringn_nocheck(v, len));
}

int orch_json_set_int(struct orch_json *o, const char *key, int64_t v)
{
	return set_new(o, key, json_integer(v));
}

int orch_json_set_u64(struct orch_json *o, const char *key, uint64_t v)
{
	return v > INT64_MAX ? mark_failed(o, EINVAL)
			     : set_new(o, key, json_integer((json_int_t)v));
}

int orch_json_set_real(struct orch_json *o, const char *key, double v)
{
	if (__builtin_isnan(v) || __builtin_isinf(v))
		return mark_failed(o, EINVAL);
	return set_new(o, key, json_real(v));
}

int orch_json_set_bool(struct orch_json *o, const char *key, bool v)
{
	return set_new(o, key, json_boolean(v));
}

int orch_json_set_null(struct orch_json *o, const char *key)
{
	return set_new(o, key, json_null());
}

/* Takes *value without its mark; whether it was whole. */
static bool take_value(struct orch_json **value, json_t **out)
{
	json_t *v = native(*value);

	*value = NULL;
	*out = v;
	return v && !take_mark(v);
}

int orch_json_set_json(struct orch_json *o, const char *key, struct orch_json **value)
{
	json_t *v;
	bool whole = take_value(value, &v);
	int r = set_new(o, key, v);

	return r == 0 && !whole ? mark_failed(o, ENOMEM) : r;
}

int orch_json_push(struct orch_json *a, struct orch_json **value)
{
	json_t *v;
	bool whole = take_value(value, &v);

	if (!a || !json_is_array(native(a))) {
		json_decref(v);
		return mark_failed(a, EINVAL);
	}
	if (!v)
		return mark_failed(a, ENOMEM);
	if (json_array_append_new(native(a), v) < 0 || !whole)
		return mark_failed(a, ENOMEM);
	return 0;
}

int orch_json_push_str(struct orch_json *a, const char *s)
{
	size_t len = strlen(s);
	struct orch_json *v;

	if (!orch_utf8_valid(s, len))
		return mark_failed(a, EINVAL);
	v = ours(json_stringn_nocheck(s, len));
	return orch_json_push(a, &v);
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* malloc'd, padded (RFC 4648, section 4). */
static char *base64_format(const uint8_t *p, size_t n)
{
	char *out = n > SIZE_MAX / 2 ? NULL : malloc(n / 3 * 4 + 5);
	char *o = out;

	if (!out)
		return NULL;
	for (size_t i = 0; i < n; i += 3) {
		size_t left = n - i;
		uint32_t v = (uint32_t)p[i] << 16;

		v |= left > 1 ? (uint32_t)p[i + 1] << 8 : 0;
		v |= left > 2 ? p[i + 2] : 0;
		*o++ = base64_digits[v >> 18];
		*o++ = base64_digits[v >> 12 & 63];
		*o++ = left > 1 ? base64_digits[v >> 6 & 63] : '=';
		*o++ = left > 2 ? base64_digits[v & 63] : '=';
	}
	*o = '\0';
	return out;
}

static int base64_value(char c)
{
	const char *p = c ? strchr(base64_digits, c) : NULL;

	return p ? (int)(p - base64_digits) : -1;
}

/* One group of four digits into three bytes; how many it holds, or -EINVAL. */
static int base64_group(const char *s, bool last, uint8_t out[3])
{
	int pad = s[3] != '=' ? 0 : s[2] != '=' ? 1 : 2;
	uint32_t v = 0;

	if (pad && !last)
		return -EINVAL;
	for (int i = 0; i < 4; i++) {
		int digit = i < 4 - pad ? base64_value(s[i]) : 0;

		if (digit < 0)
			return -EINVAL;
		v = v << 6 | (uint32_t)digit;
	}
	out[0] = (uint8_t)(v >> 16);
	out[1] = (uint8_t)(v >> 8);
	out[2] = (uint8_t)v;
	/* bits that belong to no byte are zero in the one canonical form */
	if ((pad == 1 && out[2]) || (pad == 2 && (out[1] || out[2])))
		return -EINVAL;
	return 3 - pad;
}

static int base64_parse(const char *s, size_t len, char **out, size_t *out_len)
{
	orch_auto(free) uint8_t *bytes = len % 4 ? NULL : malloc(len / 4 * 3 + 1);
	size_t n = 0;

	if (!bytes)
		return len % 4 ? -EINVAL : -ENOMEM;
	for (size_t i = 0; i < len; i += 4) {
		int r = base64_group(s + i, i + 4 == len, bytes + n);

		if (r < 0)
			return r;
		n += (size_t)r;
	}
	bytes[n] = '\0';
	*out_len = n;
	*out = (char *)orch_take(bytes);
	return 0;
}

/* The key under which bytes go that are no text; malloc'd. */
static char *base64_key(const char *key)
{
	char *out = NULL;

	return asprintf(&out, "%s_b64", key) < 0 ? NULL : out;
}

static int set_base64(struct orch_json *o, const char *key, const void *v, size_t len)
{
	orch_auto(free) char *name = base64_key(key);
	orch_auto(free) char *text = base64_format(v, len);

	return name && text ? orch_json_set_str(o, name, text) : mark_failed(o, ENOMEM);
}

int orch_json_set_bytes(struct orch_json *o, const char *key, const void *v, size_t len)
{
	if (len == 0)
		return orch_json_set_str(o, key, "");
	/* U+0000 is text, but no reader of JSON likes it. */
	if (!orch_utf8_valid(v, len) || memchr(v, '\0', len))
		return set_base64(o, key, v, len);
	return set_new(o, key, json_stringn_nocheck(v, len));
}

const struct orch_json *orch_json_get(const struct orch_json *o, const char *key)
{
	return ours_const(json_object_get(native_const(o), key));
}

/* The member of that key: NULL and the error when it is not there. */
static const json_t *member(
    const struct orch_json *o, const char *key, struct orch_err *err, int *out_r)
{
	const json_t *v = native_const(orch_json_get(o, key));

	*out_r = v ? 0 : orch_err_set(err, ENOENT, "%s is missing", key);
	return v;
}

struct orch_json *orch_json_take(struct orch_json *o, const char *key)
{
	json_t *v = json_object_get(native(o), key);

	json_incref(v);
	json_object_del(native(o), key);
	return ours(v);
}

int orch_json_get_str(
    const struct orch_json *o, const char *key, const char **out, struct orch_err *err)
{
	const json_t *v;
	int r;

	v = member(o, key, err, &r);
	if (!v)
		return r;
	if (!json_is_string(v))
		return orch_err_set(err, EINVAL, "%s is not a string", key);
	*out = json_string_value(v);
	return 0;
}

int orch_json_get_int(
    const struct orch_json *o, const char *key, int64_t *out, struct orch_err *err)
{
	const json_t *v;
	int r;

	v = member(o, key, err, &r);
	if (!v)
		return r;
	if (!json_is_integer(v))
		return orch_err_set(err, EINVAL, "%s is not an integer", key);
	*out = json_integer_value(v);
	return 0;
}

int orch_json_get_u64(
    const struct orch_json *o, const char *key, uint64_t *out, struct orch_err *err)
{
	int64_t v = 0;
	int r = orch_json_get_int(o, key, &v, err);

	if (r < 0)
		return r;
	if (v < 0)
		return orch_err_set(err, EINVAL, "%s is negative", key);
	*out = (uint64_t)v;
	return 0;
}

int orch_json_get_bool(const struct orch_json *o, const char *key, bool *out, struct orch_err *err)
{
	const json_t *v;
	int r;

	v = member(o, key, err, &r);
	if (!v)
		return r;
	if (!json_is_boolean(v))
		return orch_err_set(err, EINVAL, "%s is neither true nor false", key);
	*out = json_is_true(v);
	return 0;
}

static int get_base64(
    const struct orch_json *o, const char *key, char **out, size_t *out_len, struct orch_err *err)
{
	orch_auto(free) char *name = base64_key(key);
	const json_t *v;
	int r;

	if (!name)
		return orch_err_sys(err, ENOMEM, "cannot read %s", key);
	v = native_const(orch_json_get(o, name));
	if (!v)
		return orch_err_set(err, ENOENT, "%s is missing", key);
	if (!json_is_string(v))
		return orch_err_set(err, EINVAL, "%s is not a string", name);
	r = base64_parse(json_string_value(v), json_string_length(v), out, out_len);
	return r < 0 ? orch_err_set(err, -r, "%s is not base64", name) : 0;
}

int orch_json_get_bytes(
    const struct orch_json *o, const char *key, char **out, size_t *out_len, struct orch_err *err)
{
	const json_t *v = native_const(orch_json_get(o, key));
	size_t len;
	char *copy;

	if (!v)
		return get_base64(o, key, out, out_len, err);
	if (!json_is_string(v))
		return orch_err_set(err, EINVAL, "%s is not a string", key);
	len = json_string_length(v);
	copy = malloc(len + 1);
	if (!copy)
		return orch_err_sys(err, ENOMEM, "cannot read %s", key);
	memcpy(copy, json_string_value(v), len + 1);
	*out = copy;
	*out_len = len;
	return 0;
}

const char *orch_json_str(const struct orch_json *v)
{
	return json_string_value(native_const(v));
}

bool orch_json_int(const struct orch_json *v, int64_t *out)
{
	if (!json_is_integer(native_const(v)))
		return false;
	*out = json_integer_value(native_const(v));
	return true;
}

size_t orch_json_len(const struct orch_json *v)
{
	const json_t *j = native_const(v);

	return json_is_object(j) ? json_object_size(j) : json_array_size(j);
}

const struct orch_json *orch_json_at(const struct orch_json *a, size_t i)
{
	return ours_const(json_array_get(native_const(a), i));
}

bool orch_json_is_object(const struct orch_json *v)
{
	return json_is_object(native_const(v));
}

bool orch_json_is_array(const struct orch_json *v)
{
	return json_is_array(native_const(v));
}

bool orch_json_is_null(const struct orch_json *v)
{
	return json_is_null(native_const(v));
}

int orch_json_each(const struct orch_json *o,
    int (*fn)(const char *key, const struct orch_json *v, void *priv), void *priv)
{
	union {
		const struct orch_json *borrowed;
		json_t *object;
	} u = {.borrowed = o};
	const char *key;
	json_t *v;

	if (!orch_json_is_object(o))
		return 0;
	json_object_foreach(u.object, key, v)
	{
		int r = fn(key, ours_const(v), priv);

		if (r != 0)
			return r;
	}
	return 0;
}
