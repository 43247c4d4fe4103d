#include "shim/key.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/buf.h"
#include "core/hash.h"
#include "core/path.h"

#define PART_MAX 160 /* bytes of an encoded part; longer ones end with a digest instead */
#define HASH_HEX 32

static bool is_plain(unsigned char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-' || c == '+' || c == '=' || c == ',' || c == '@';
}

/* Git's rules about dots: none at the ends of a part, no two in a row, no ".lock" at the end. */
static bool dot_is_plain(const char *s, size_t at)
{
	const char *rest = s + at + 1;

	return at > 0 && s[at - 1] != '.' && *rest && *rest != '.' && strcmp(rest, "lock") != 0;
}

static void add_encoded(struct orch_buf *out, const char *s)
{
	for (size_t i = 0; s[i]; i++) {
		if (is_plain((unsigned char)s[i]) || (s[i] == '.' && dot_is_plain(s, i)))
			orch_buf_add(out, s + i, 1);
		else
			orch_buf_printf(out, "%%%02X", (unsigned char)s[i]);
	}
}

static void add_part(struct orch_buf *out, const char *s)
{
	orch_auto(buf) struct orch_buf part = ORCH_BUF_INIT;
	char hex[ORCH_DIGEST_HEX + 1];
	struct orch_digest d;

	add_encoded(&part, s);
	if (out->len)
		orch_buf_add_str(out, "/");
	if (part.len <= PART_MAX) {
		orch_buf_add(out, part.data ? (const char *)part.data : "", part.len);
		return;
	}
	orch_sha256(s, strlen(s), &d);
	orch_digest_format(&d, hex);
	orch_buf_printf(
	    out, "%.*s%%%.*s", PART_MAX - HASH_HEX, (const char *)part.data, HASH_HEX, hex);
}

int shim_key_make(const struct shim_key_parts *parts, char **out, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf key = ORCH_BUF_INIT, engine = ORCH_BUF_INIT;
	const char *version = parts->engine_version, *project = parts->project_path;

	orch_buf_add_str(&engine, parts->engine);
	if (version && version[0] && strcmp(version, "auto") != 0)
		orch_buf_printf(&engine, " %s", version);
	add_part(&key, parts->repository);
	add_part(&key, parts->branch && parts->branch[0] ? parts->branch : " ");
	add_part(&key, parts->platform);
	add_part(&key, engine.data ? (const char *)engine.data : "");
	if (project && project[0] && strcmp(project, ".") != 0)
		add_part(&key, project);
	*out = orch_buf_take_str(&key);
	return *out ? 0 : orch_err_sys(err, ENOMEM, "make the cache key");
}

static bool can_stay(const char *text)
{
	orch_auto(buf) struct orch_buf ref = ORCH_BUF_INIT;

	orch_buf_printf(&ref, "source/%s", text);
	return !strchr(text, '%') && strlen(text) <= PART_MAX && !ref.failed &&
	       orch_ref_name_valid((const char *)ref.data);
}

int shim_key_from_user(const char *text, char **out, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf key = ORCH_BUF_INIT;

	if (!text[0])
		return orch_err_set(err, EINVAL, "--cache-key is empty");
	if (can_stay(text))
		orch_buf_add_str(&key, text);
	else
		add_part(&key, text);
	*out = orch_buf_take_str(&key);
	return *out ? 0 : orch_err_sys(err, ENOMEM, "make the cache key");
}

char *shim_key_repository(const char *url)
{
	const char *scheme = strstr(url, "://"), *host = scheme ? scheme + 3 : url;
	size_t authority = strcspn(host, "/"), n;
	const char *at = scheme ? memrchr(host, '@', authority) : NULL;
	char *s;

	if (asprintf(&s, "%.*s%s", (int)(host - url), url, at ? at + 1 : host) < 0)
		return NULL;
	n = strlen(s);
	while (n > 1 && s[n - 1] == '/')
		s[--n] = '\0';
	if (n > 4 && strcmp(s + n - 4, ".git") == 0)
		s[n - 4] = '\0';
	return s;
}
