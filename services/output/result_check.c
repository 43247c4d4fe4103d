/*
 * Whether a document is a result or a manifest: tables of fields, walked with a stack of contexts that
 * is as deep as the tables are. Unknown fields are fine: a newer version may have written them. Pure.
 */
#include <stdio.h>
#include <string.h>
#include "output/result.h"

enum want {
	WANT_INT, /* >= 0 */
	WANT_INT_OR_NULL,
	WANT_BOOL,
	WANT_TEXT, /* or key_b64 */
	WANT_TEXT_OR_NULL,
	WANT_STATE,
	WANT_CHANGE, /* produced, unchanged, missing */
	WANT_SHA256, /* only where it is: folders have none */
	WANT_LIST,
	WANT_OBJECT,
	WANT_OBJECT_OR_NULL,
};

struct rule {
	const char *key;
	enum want want;
	const struct rule *each; /* of a list: its elements; of an object: its members */
};

static const struct rule file_rules[] = {
    {"path", WANT_TEXT, NULL},
    {"type", WANT_TEXT, NULL},
    {"change", WANT_CHANGE, NULL},
    {"mode", WANT_TEXT, NULL},
    {"mtime", WANT_TEXT, NULL},
    {"sha256", WANT_SHA256, NULL},
    {0},
};
static const struct rule output_rules[] = {
    {"name", WANT_TEXT, NULL},
    {"required", WANT_BOOL, NULL},
    {"change", WANT_CHANGE, NULL},
    {"count", WANT_INT, NULL},
    {"produced", WANT_INT, NULL},
    {"size", WANT_INT, NULL},
    {"files", WANT_LIST, file_rules},
    {0},
};
static const struct rule manifest_output_rules[] = {
    {"type", WANT_TEXT, NULL},
    {"path", WANT_TEXT, NULL},
    {"required", WANT_BOOL, NULL},
    {"change", WANT_CHANGE, NULL},
    {"size", WANT_INT, NULL},
    {"count", WANT_INT, NULL},
    {"files", WANT_LIST, file_rules},
    {0},
};
static const struct rule phase_rules[] = {
    {"name", WANT_TEXT, NULL},
    {"state", WANT_TEXT, NULL},
    {"begin_ms", WANT_INT, NULL},
    {"duration_ms", WANT_INT, NULL},
    {0},
};
static const struct rule cache_rules[] = {
    {"key", WANT_TEXT_OR_NULL, NULL},
    {"hit", WANT_BOOL, NULL},
    {"from", WANT_TEXT_OR_NULL, NULL},
    {"why", WANT_TEXT_OR_NULL, NULL},
    {"source_files", WANT_INT, NULL},
    {"source_read", WANT_INT, NULL},
    {"source_changed", WANT_INT, NULL},
    {"source_bytes", WANT_INT, NULL},
    {0},
};
static const struct rule test_rules[] = {
    {"files", WANT_INT, NULL},
    {"total", WANT_INT, NULL},
    {"passed", WANT_INT, NULL},
    {"failed", WANT_INT, NULL},
    {"skipped", WANT_INT, NULL},
    {0},
};
static const struct rule resource_rules[] = {
    {"user_ms", WANT_INT, NULL},
    {"system_ms", WANT_INT, NULL},
    {"peak_bytes", WANT_INT, NULL},
    {0},
};
static const struct rule log_rules[] = {
    {"name", WANT_TEXT_OR_NULL, NULL},
    {"bytes", WANT_INT, NULL},
    {0},
};
static const struct rule pair_rules[] = {
    {"name", WANT_TEXT_OR_NULL, NULL},
    {"value", WANT_TEXT_OR_NULL, NULL},
    {0},
};
static const struct rule result_rules[] = {
    {"version", WANT_INT, NULL},
    {"run", WANT_TEXT, NULL},
    {"state", WANT_STATE, NULL},
    {"exit_code", WANT_INT_OR_NULL, NULL},
    {"signal", WANT_INT_OR_NULL, NULL},
    {"reason", WANT_TEXT_OR_NULL, NULL},
    {"begin", WANT_TEXT, NULL},
    {"end", WANT_TEXT, NULL},
    {"duration_ms", WANT_INT, NULL},
    {"attempts", WANT_INT, NULL},
    {"command", WANT_LIST, NULL},
    {"cache", WANT_OBJECT, cache_rules},
    {"resources", WANT_OBJECT_OR_NULL, resource_rules},
    {"tests", WANT_OBJECT_OR_NULL, test_rules},
    {"phases", WANT_LIST, phase_rules},
    {"outputs", WANT_LIST, output_rules},
    {"missing", WANT_LIST, NULL},
    {"skipped", WANT_LIST, NULL},
    {"log", WANT_OBJECT, log_rules},
    {"warnings", WANT_LIST, pair_rules},
    {"facts", WANT_LIST, pair_rules},
    {0},
};
static const struct rule manifest_rules[] = {
    {"version", WANT_INT, NULL},
    {"buildGuid", WANT_TEXT, NULL},
    {"timestamp", WANT_TEXT, NULL},
    {"state", WANT_STATE, NULL},
    {"outputs", WANT_LIST, manifest_output_rules},
    {"missing", WANT_LIST, NULL},
    {"skipped", WANT_LIST, NULL},
    {0},
};

static bool is_int(const struct orch_json *v)
{
	int64_t n;

	return orch_json_int(v, &n) && n >= 0;
}

static bool is_text(const struct orch_json *o, const char *key, const struct orch_json *v)
{
	char b64[64];

	if (v != NULL)
		return orch_json_str(v) != NULL;
	snprintf(b64, sizeof(b64), "%s_b64", key);
	v = orch_json_get(o, b64);
	return v != NULL && orch_json_str(v) != NULL;
}

static bool is_state(const struct orch_json *v)
{
	const char *s = v == NULL ? NULL : orch_json_str(v);
	enum out_state state;

	return s != NULL && out_state_parse(s, &state) == 0;
}

static bool is_change(const struct orch_json *v)
{
	const char *s = v == NULL ? NULL : orch_json_str(v);

	return s != NULL && (strcmp(s, "produced") == 0 || strcmp(s, "unchanged") == 0 ||
				strcmp(s, "missing") == 0);
}

static bool is_sha256(const struct orch_json *v)
{
	const char *s = v == NULL ? NULL : orch_json_str(v);
	struct orch_digest d;

	return v == NULL || (s != NULL && orch_digest_parse(s, &d) == 0);
}

static bool fits(const struct orch_json *o, const struct rule *r, const struct orch_json *v)
{
	bool boolean;

	switch (r->want) {
	case WANT_INT:
		return v != NULL && is_int(v);
	case WANT_INT_OR_NULL:
		return v != NULL && (orch_json_is_null(v) || is_int(v));
	case WANT_BOOL:
		return orch_json_get_bool(o, r->key, &boolean, NULL) == 0;
	case WANT_TEXT:
		return is_text(o, r->key, v);
	case WANT_TEXT_OR_NULL:
		return (v != NULL && orch_json_is_null(v)) || is_text(o, r->key, v);
	case WANT_STATE:
		return is_state(v);
	case WANT_CHANGE:
		return is_change(v);
	case WANT_SHA256:
		return is_sha256(v);
	case WANT_LIST:
		return v != NULL && orch_json_is_array(v);
	case WANT_OBJECT:
		return v != NULL && orch_json_is_object(v);
	case WANT_OBJECT_OR_NULL:
		return v != NULL && (orch_json_is_null(v) || orch_json_is_object(v));
	}
	return false;
}

#define DEPTH_MAX 4 /* of the tables above */

struct level {
	const struct orch_json *list; /* whose elements are being looked at; NULL: one object */
	size_t next;
	const struct orch_json *object;
	const struct rule *first, *rule;
};

static int wrong(const struct level *v, size_t depth, struct orch_err *err)
{
	char path[128] = "";
	size_t n = 0;

	for (size_t i = 0; i <= depth; i++) {
		n += (size_t)snprintf(
		    path + n, sizeof(path) - n, "%s%s", i == 0 ? "" : ".", v[i].rule->key);
		if (i < depth && v[i + 1].list != NULL)
			n += (size_t)snprintf(
			    path + n, sizeof(path) - n, "[%zu]", v[i + 1].next - 1);
		if (n >= sizeof(path))
			break;
	}
	return orch_err_set(err, EINVAL, "field %s is missing or not what it should be", path);
}

/* Steps to the next element of the level's list; false when there is none. */
static bool next_element(struct level *l)
{
	if (l->list == NULL || l->next >= orch_json_len(l->list))
		return false;
	l->object = orch_json_at(l->list, l->next++);
	l->rule = l->first;
	return true;
}

static int check(const struct orch_json *root, const struct rule *rules, struct orch_err *err)
{
	struct level v[DEPTH_MAX] = {{.object = root, .first = rules, .rule = rules}};
	size_t depth = 0;

	for (;;) {
		struct level *l = &v[depth];
		const struct orch_json *value;

		if (l->rule->key == NULL) {
			if (next_element(l))
				continue;
			if (depth == 0)
				return 0;
			depth--;
			v[depth].rule++;
			continue;
		}
		value =
		    orch_json_is_object(l->object) ? orch_json_get(l->object, l->rule->key) : NULL;
		if (!orch_json_is_object(l->object) || !fits(l->object, l->rule, value))
			return wrong(v, depth, err);
		if (l->rule->each == NULL || orch_json_is_null(value)) {
			l->rule++;
			continue;
		}
		ORCH_BUG_ON(depth + 1 >= DEPTH_MAX);
		depth++;
		v[depth] = (struct level){.first = l->rule->each};
		if (orch_json_is_array(value)) {
			v[depth].list = value;
			if (!next_element(&v[depth])) { /* an empty list */
				depth--;
				l->rule++;
			}
		} else {
			v[depth].object = value;
			v[depth].rule = l->rule->each;
		}
	}
}

static int check_version(const struct orch_json *j, const char *what, struct orch_err *err)
{
	int64_t version;
	int r;

	if (j == NULL || !orch_json_is_object(j))
		return orch_err_set(err, EINVAL, "%s is not an object", what);
	r = orch_json_get_int(j, "version", &version, err);
	if (r < 0)
		return orch_err_set(err, EINVAL, "%s has no version", what);
	if (version != 1)
		return orch_err_set(err, ORCH_EFORMAT, "%s has version %lld, this program knows 1",
		    what, (long long)version);
	return 0;
}

int out_result_check(const struct orch_json *j, struct orch_err *err)
{
	int r = check_version(j, "result.json", err);

	return r < 0 ? r : check(j, result_rules, err);
}

int out_manifest_check(const struct orch_json *j, struct orch_err *err)
{
	int r = check_version(j, "manifest.json", err);

	return r < 0 ? r : check(j, manifest_rules, err);
}
