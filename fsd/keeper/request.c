/* Requests: what a route allows in body and query. Pure. */
#include "request.h"
#include <poll.h>
#include <string.h>
#include "core/nearest.h"
#include "core/number.h"

#define SPEC_WORDS_MAX 16

/* One word of a specification: "name:kind?" or "name?". */
struct word {
	char name[32];
	char kind; /* 0: none given */
	bool optional;
};

static size_t split(const char *spec, struct word *out)
{
	size_t n = 0;

	while (spec && *spec) {
		size_t len = strcspn(spec, " "), name = strcspn(spec, ":? ");

		ORCH_BUG_ON(n == SPEC_WORDS_MAX || name >= sizeof(out->name));
		memcpy(out[n].name, spec, name);
		out[n].name[name] = '\0';
		out[n].kind = spec[name] == ':' ? spec[name + 1] : '\0';
		out[n].optional = len && spec[len - 1] == '?';
		n++;
		spec += len;
		spec += strspn(spec, " ");
	}
	return n;
}

/* Whether key is the word, or for paths the word with _b64. */
static bool names(const struct word *w, const char *key)
{
	size_t n = strlen(w->name);

	if (strncmp(w->name, key, n) != 0)
		return false;
	return !key[n] || (w->kind == 'p' && strcmp(key + n, "_b64") == 0);
}

struct known {
	const struct word *words;
	size_t count;
	const char *what;
	struct orch_err *err;
};

static int check_known(const char *key, const struct orch_json *v, void *priv)
{
	const struct known *k = priv;
	const char *list[SPEC_WORDS_MAX], *near;

	(void)v;
	for (size_t i = 0; i < k->count; i++) {
		if (names(&k->words[i], key))
			return 0;
		list[i] = k->words[i].name;
	}
	near = orch_nearest(key, list, k->count);
	if (near)
		return orch_err_set(
		    k->err, EINVAL, "unknown %s '%s' (did you mean '%s'?)", k->what, key, near);
	return orch_err_set(k->err, EINVAL, "unknown %s '%.64s'", k->what, key);
}

static bool all_strings(const struct orch_json *a)
{
	if (!orch_json_is_array(a))
		return false;
	for (size_t i = 0; i < orch_json_len(a); i++)
		if (!orch_json_str(orch_json_at(a, i)))
			return false;
	return true;
}

static bool is_bool(const struct orch_json *o, const char *name)
{
	bool b;

	return orch_json_get_bool(o, name, &b, NULL) == 0;
}

static const struct orch_json *get_b64(const struct orch_json *body, const struct word *w)
{
	size_t n = strnlen(w->name, sizeof(w->name) - 1);
	char key[sizeof(w->name) + 4];

	memcpy(key, w->name, n);
	memcpy(key + n, "_b64", 5);
	return orch_json_get(body, key);
}

static int check_member(const struct word *w, const struct orch_json *body, struct orch_err *err)
{
	const struct orch_json *v = orch_json_get(body, w->name);

	if (!v && w->kind == 'p')
		v = get_b64(body, w);
	if (!v || orch_json_is_null(v))
		return w->optional ? 0
				   : orch_err_set(err, EINVAL, "member '%s' is missing", w->name);
	switch (w->kind) {
	case 's':
	case 'p':
		return orch_json_str(v)
			   ? 0
			   : orch_err_set(err, EINVAL, "'%s' is not a string", w->name);
	case 'b':
		return is_bool(body, w->name)
			   ? 0
			   : orch_err_set(err, EINVAL, "'%s' is neither true nor false", w->name);
	case 'o':
		return orch_json_is_object(v)
			   ? 0
			   : orch_err_set(err, EINVAL, "'%s' is not an object", w->name);
	case 'a':
		return all_strings(v)
			   ? 0
			   : orch_err_set(err, EINVAL, "'%s' is not a list of strings", w->name);
	default:
		return 0;
	}
}

int fsd_request_check_body(const char *spec, const struct orch_json *body, struct orch_err *err)
{
	struct word words[SPEC_WORDS_MAX];
	struct known k = {
	    .words = words, .count = split(spec, words), .what = "member", .err = err};
	int rc;

	if (!orch_json_is_object(body))
		return orch_err_set(err, EINVAL, "the body is not a JSON object");
	rc = orch_json_each(body, check_known, &k);
	for (size_t i = 0; rc == 0 && i < k.count; i++)
		rc = check_member(&words[i], body, err);
	return rc;
}

int fsd_request_check_query(const char *spec, const struct orch_json *query, struct orch_err *err)
{
	struct word words[SPEC_WORDS_MAX];
	struct known k = {
	    .words = words, .count = split(spec, words), .what = "parameter", .err = err};
	int rc = orch_json_each(query, check_known, &k);

	for (size_t i = 0; rc == 0 && i < k.count; i++)
		if (!words[i].optional && !orch_json_get(query, words[i].name))
			rc = orch_err_set(err, EINVAL, "parameter '%s' is missing", words[i].name);
	return rc;
}

const char *fsd_body_str(const struct fsd_request *r, const char *key)
{
	return orch_json_str(orch_json_get(r->body, key));
}

bool fsd_body_bool(const struct fsd_request *r, const char *key, bool fallback)
{
	bool v;

	return orch_json_get_bool(r->body, key, &v, NULL) == 0 ? v : fallback;
}

const char *fsd_query_str(const struct fsd_request *r, const char *key)
{
	return orch_json_str(orch_json_get(r->query, key));
}

int fsd_query_u64(const struct fsd_request *r, const char *key, uint64_t *out, struct orch_err *err)
{
	const char *text = fsd_query_str(r, key);

	if (!text)
		*out = 0;
	else if (orch_number_parse(text, strlen(text), UINT64_MAX, out) < 0)
		return orch_err_set(err, EINVAL, "'%s' is not a number", key);
	return 0;
}

int fsd_body_ids(const struct fsd_request *r, const char *key, uid_t *out_uid, gid_t *out_gid,
    struct orch_err *err)
{
	const struct orch_json *o = orch_json_get(r->body, key);
	int64_t uid, gid;

	if (orch_json_get_int(o, "uid", &uid, err) < 0 ||
	    orch_json_get_int(o, "gid", &gid, err) < 0)
		return orch_err_set(
		    err, EINVAL, "'%s' is neither a name nor {\"uid\",\"gid\"}", key);
	if (uid < 0 || uid >= (int64_t)UINT32_MAX || gid < 0 || gid >= (int64_t)UINT32_MAX)
		return orch_err_set(err, EINVAL, "'%s' is out of range", key);
	*out_uid = (uid_t)uid;
	*out_gid = (gid_t)gid;
	return 0;
}

bool fsd_request_cancel_flag(const struct fsd_request *r)
{
	return atomic_load_explicit(r->cancel, memory_order_acquire);
}

int fsd_request_cancelled(const struct fsd_request *r, struct orch_err *err)
{
	struct pollfd p = {.fd = r->client_fd, .events = 0};

	if (fsd_request_cancel_flag(r) || (poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR))))
		return orch_err_set(err, ECANCELED, "cancelled");
	return 0;
}
