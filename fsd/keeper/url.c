/* Request targets. A segment is decoded after the path was split, so %2F stays inside it. */
#include "url.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

char *fsd_url_decode(const char *s, size_t n)
{
	char *out = malloc(n + 1);
	size_t len = 0;

	for (size_t i = 0; out && i < n; i++) {
		int hi = -1, lo = -1;

		if (s[i] != '%') {
			out[len++] = s[i];
			continue;
		}
		if (n - i > 2) {
			hi = hex(s[i + 1]);
			lo = hex(s[i + 2]);
		}
		if (hi < 0 || lo < 0 || (hi == 0 && lo == 0)) {
			free(out);
			return NULL;
		}
		out[len++] = (char)(hi << 4 | lo);
		i += 2;
	}
	if (out)
		out[len] = '\0';
	return out;
}

static int query_item(struct orch_json *o, const char *s, size_t n, struct orch_err *err)
{
	const char *eq = memchr(s, '=', n);
	size_t name_len = eq ? (size_t)(eq - s) : n;
	orch_auto(free) char *name = fsd_url_decode(s, name_len);
	orch_auto(free) char *value =
	    eq ? fsd_url_decode(eq + 1, n - name_len - 1) : fsd_url_decode("", 0);

	if (!name || !value || !*name)
		return orch_err_set(err, EINVAL, "the query is not name=value&...");
	if (orch_json_get(o, name))
		return orch_err_set(err, EINVAL, "parameter '%s' is there twice", name);
	if (orch_json_set_str(o, name, value) < 0)
		return orch_err_set(err, EINVAL, "the query is not UTF-8");
	return 0;
}

int fsd_url_query(const char *s, struct orch_json **out, struct orch_err *err)
{
	orch_auto(json) struct orch_json *o = orch_json_object();

	if (!o)
		return orch_err_set(err, ENOMEM, "no memory");
	while (s && *s) {
		size_t n = strcspn(s, "&");
		int rc = n ? query_item(o, s, n, err) : 0;

		if (rc < 0)
			return rc;
		s += n + (s[n] == '&');
	}
	*out = orch_take(o);
	return 0;
}

static void params_free(char *params[FSD_PARAMS_MAX])
{
	for (size_t i = 0; i < FSD_PARAMS_MAX; i++) {
		free(params[i]);
		params[i] = NULL;
	}
}

static size_t segment(const char *s, size_t n)
{
	const char *slash = memchr(s, '/', n);

	return slash ? (size_t)(slash - s) : n;
}

int fsd_url_match(
    const char *pattern, const char *path, size_t path_len, char *params[FSD_PARAMS_MAX])
{
	size_t pattern_len = strlen(pattern), count = 0;

	memset(params, 0, FSD_PARAMS_MAX * sizeof(params[0]));
	for (;;) {
		size_t a = segment(pattern, pattern_len), b = segment(path, path_len);

		if (a == 2 && memcmp(pattern, "{}", 2) == 0) {
			ORCH_BUG_ON(count == FSD_PARAMS_MAX);
			params[count] = fsd_url_decode(path, b);
			if (!params[count++] || b == 0)
				goto bad;
		} else if (a != b || memcmp(pattern, path, a) != 0) {
			params_free(params);
			return 0;
		}
		if (a == pattern_len || b == path_len) {
			if (a == pattern_len && b == path_len)
				return 1;
			params_free(params);
			return 0;
		}
		pattern += a + 1;
		pattern_len -= a + 1;
		path += b + 1;
		path_len -= b + 1;
	}
bad:
	params_free(params);
	return -EINVAL;
}

const struct fsd_route *fsd_url_route(const struct fsd_route *routes, const char *method,
    const char *path, size_t path_len, char *params[FSD_PARAMS_MAX], unsigned *out_status,
    char allow[64])
{
	*out_status = 404;
	allow[0] = '\0';
	for (const struct fsd_route *r = routes; r->method; r++) {
		size_t have = strlen(allow);
		int rc = fsd_url_match(r->pattern, path, path_len, params);

		if (rc > 0 && strcmp(r->method, method) == 0)
			return r;
		if (rc < 0)
			*out_status = 400;
		if (rc <= 0)
			continue;
		params_free(params);
		*out_status = 405;
		snprintf(allow + have, 64 - have, "%s%s", have ? ", " : "", r->method);
	}
	return NULL;
}
