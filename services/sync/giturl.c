/* URLs of repositories; see giturl.h. */
#include "sync/giturl.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "core/buf.h"
#include "core/fd.h"
#include "core/number.h"

static const struct scheme {
	const char *prefix;
	const char *port; /* that is left out of the canonical form */
} schemes[] = {
    [SYNC_GITURL_FILE] = {"file://", NULL},
    [SYNC_GITURL_GIT] = {"git://", "9418"},
    [SYNC_GITURL_HTTP] = {"http://", "80"},
    [SYNC_GITURL_HTTPS] = {"https://", "443"},
    [SYNC_GITURL_SSH] = {"ssh://", "22"},
};

/* A URL between "://" and its end, cut up; borrowed. */
struct parts {
	const char *user, *password, *host, *port, *path;
	size_t user_len, password_len, host_len, port_len, path_len;
};

static int wrong(struct orch_err *err, const char *what)
{
	return orch_err_set(err, ORCH_EUSAGE, "the URL of the repository %s", what);
}

static int no_memory(struct orch_err *err)
{
	return orch_err_set(err, ENOMEM, "no memory");
}

/* ---- pieces ---- */

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Undoes %XX. NULL: a bad escape, a control byte that comes of it, or no memory. */
static char *decode(const char *s, size_t n)
{
	char *out = malloc(n + 1), *to = out;

	for (size_t i = 0; out && i < n; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c == '%') {
			int high = i + 2 < n ? hex(s[i + 1]) : -1;
			int low = i + 2 < n ? hex(s[i + 2]) : -1;

			if (high < 0 || low < 0) {
				free(out);
				return NULL;
			}
			c = (unsigned char)(high * 16 + low);
			i += 2;
		}
		if (c < 0x20 || c == 0x7f) {
			free(out);
			return NULL;
		}
		*to++ = (char)c;
	}
	if (out)
		*to = '\0';
	return out;
}

static bool host_ok(const char *s, size_t n)
{
	if (n == 0 || n > 255 || s[0] == '-')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]) && !strchr(".-_", s[i]))
			return false;
	return true;
}

/* [2001:db8::1] */
static bool address_ok(const char *s, size_t n)
{
	if (n < 4 || n > 64 || s[0] != '[' || s[n - 1] != ']')
		return false;
	for (size_t i = 1; i + 1 < n; i++)
		if (hex(s[i]) < 0 && s[i] != ':' && s[i] != '.')
			return false;
	return true;
}

static void add_lower(struct orch_buf *b, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		(void)orch_buf_add_u8(b, (uint8_t)tolower((unsigned char)s[i]));
}

/* Without what names the same repository: slashes at the end, ".git", doubled slashes. */
static void add_path(struct orch_buf *b, const char *s, size_t n)
{
	while (n > 1 && s[n - 1] == '/')
		n--;
	if (n > 5 && memcmp(s + n - 4, ".git", 4) == 0 && s[n - 5] != '/')
		n -= 4;
	for (size_t i = 0; i < n; i++)
		if (s[i] != '/' || i == 0 || s[i - 1] != '/')
			(void)orch_buf_add_u8(b, (uint8_t)s[i]);
}

/* ---- taking apart ---- */

static void split_user(const char **s, size_t *n, struct parts *out)
{
	const char *at = memrchr(*s, '@', *n), *colon;

	if (!at)
		return;
	out->user = *s;
	out->user_len = (size_t)(at - *s);
	colon = memchr(*s, ':', out->user_len);
	if (colon) {
		out->password = colon + 1;
		out->password_len = (size_t)(at - colon - 1);
		out->user_len = (size_t)(colon - *s);
	}
	*n -= (size_t)(at + 1 - *s);
	*s = at + 1;
}

static int split_host(const char *s, size_t n, struct parts *out, struct orch_err *err)
{
	const char *end = n && s[0] == '[' ? memchr(s, ']', n) : memchr(s, ':', n);
	uint64_t port;

	if (end && s[0] == '[')
		end++;
	if (!end || end == s + n) {
		out->host_len = n;
	} else {
		out->host_len = (size_t)(end - s);
		out->port = end + 1;
		out->port_len = n - out->host_len - 1;
		if (*end != ':' || (out->port_len && orch_number_parse(out->port, out->port_len,
							 65535, &port) < 0))
			return wrong(err, "has a wrong port");
	}
	out->host = s;
	if (!host_ok(s, out->host_len) && !address_ok(s, out->host_len))
		return wrong(err, "has no valid host");
	return 0;
}

/* rest: what stands behind "scheme://". */
static int split(const char *rest, struct parts *out, struct orch_err *err)
{
	size_t n = strcspn(rest, "/");
	const char *s = rest;

	*out = (struct parts){.path = rest + n, .path_len = strlen(rest + n)};
	split_user(&s, &n, out);
	if (out->path_len < 2 || strspn(out->path, "/") == out->path_len)
		return wrong(err, "names no repository behind the host");
	return split_host(s, n, out, err);
}

/* user@host:path */
static int split_scp(const char *text, struct parts *out, struct orch_err *err)
{
	const char *s = text, *colon = text[0] == '[' || strstr(text, "@[") ? strstr(text, "]:")
									    : strchr(text, ':');
	size_t n;

	if (colon && *colon == ']')
		colon++;
	if (!colon || memchr(text, '/', (size_t)(colon - text)))
		return wrong(err, "is neither a URL nor an absolute path");
	if (colon[1] == ':')
		return wrong(err, "asks for a transport that orch does not use; it knows https, "
				  "http, ssh, git and paths");
	n = (size_t)(colon - text);
	*out = (struct parts){.path = colon + 1, .path_len = strlen(colon + 1)};
	split_user(&s, &n, out);
	if (out->path_len == 0 || strspn(out->path, "/") == out->path_len)
		return wrong(err, "names no repository behind the host");
	out->host = s;
	out->host_len = n;
	if (!host_ok(s, n) && !address_ok(s, n))
		return wrong(err, "has no valid host");
	return 0;
}

/* ---- putting together ---- */

static bool is_http(enum sync_giturl_scheme s)
{
	return s == SYNC_GITURL_HTTP || s == SYNC_GITURL_HTTPS;
}

static void add_host(struct orch_buf *b, enum sync_giturl_scheme scheme, const struct parts *p)
{
	const char *usual = schemes[scheme].port;

	add_lower(b, p->host, p->host_len);
	if (p->port_len == 0 ||
	    (strlen(usual) == p->port_len && memcmp(usual, p->port, p->port_len) == 0))
		return;
	(void)orch_buf_printf(b, ":%.*s", (int)p->port_len, p->port);
}

static char *make_origin(enum sync_giturl_scheme scheme, const struct parts *p)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;

	(void)orch_buf_add_str(&b, schemes[scheme].prefix);
	add_host(&b, scheme, p);
	return orch_buf_take_str(&b);
}

/* The user belongs to it where the path may depend on it: below a home folder of ssh. */
static char *make_canonical(enum sync_giturl_scheme scheme, const struct parts *p, bool home)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;

	(void)orch_buf_add_str(&b, schemes[scheme].prefix);
	if (scheme == SYNC_GITURL_SSH && p->user_len)
		(void)orch_buf_printf(&b, "%.*s@", (int)p->user_len, p->user);
	add_host(&b, scheme, p);
	(void)orch_buf_add_str(&b, home ? "/~/" : "");
	add_path(&b, p->path, p->path_len);
	return orch_buf_take_str(&b);
}

/* What git is given. */
static char *make_url(enum sync_giturl_scheme scheme, const struct parts *p)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;

	(void)orch_buf_add_str(&b, schemes[scheme].prefix);
	if (!is_http(scheme) && p->user_len)
		(void)orch_buf_printf(&b, "%.*s@", (int)p->user_len, p->user);
	(void)orch_buf_add(&b, p->host, p->host_len);
	if (p->port_len)
		(void)orch_buf_printf(&b, ":%.*s", (int)p->port_len, p->port);
	(void)orch_buf_add(&b, p->path, p->path_len);
	return orch_buf_take_str(&b);
}

static int take_user(const struct parts *p, struct sync_giturl *u, struct orch_err *err)
{
	if (p->user_len) {
		u->user = decode(p->user, p->user_len);
		if (!u->user || u->user[0] == '-')
			return wrong(err, "has a user name that can't be");
	}
	if (!p->password)
		return 0;
	if (!is_http(u->scheme))
		return wrong(err, "holds a password, which only http and https can use");
	u->password = decode(p->password, p->password_len);
	return u->password ? 0 : wrong(err, "has a password that can't be");
}

static int parse_network(const char *rest, struct sync_giturl *u, struct orch_err *err)
{
	struct parts p;
	int r = split(rest, &p, err);

	if (r == 0)
		r = take_user(&p, u, err);
	if (r < 0)
		return r;
	u->url = make_url(u->scheme, &p);
	u->canonical = make_canonical(u->scheme, &p, false);
	u->origin = make_origin(u->scheme, &p);
	return u->url && u->canonical && u->origin ? 0 : no_memory(err);
}

static int parse_scp(const char *text, struct sync_giturl *u, struct orch_err *err)
{
	struct parts p;
	int r = split_scp(text, &p, err);

	u->scheme = SYNC_GITURL_SSH;
	if (r == 0)
		r = take_user(&p, u, err);
	if (r < 0)
		return r;
	u->url = strdup(text); /* as ssh knows it: below the user's home */
	u->canonical = make_canonical(u->scheme, &p, p.path[0] != '/');
	u->origin = make_origin(u->scheme, &p);
	return u->url && u->canonical && u->origin ? 0 : no_memory(err);
}

int sync_giturl_place(struct sync_giturl *u, const char *real_path, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	char *url = strdup(real_path), *canonical;

	(void)orch_buf_add_str(&b, schemes[SYNC_GITURL_FILE].prefix);
	add_path(&b, real_path, strlen(real_path));
	canonical = orch_buf_take_str(&b);
	if (!url || !canonical) {
		free(url);
		free(canonical);
		return no_memory(err);
	}
	free(u->url);
	free(u->canonical);
	u->url = url;
	u->canonical = canonical;
	return 0;
}

static int parse_file(const char *path, struct sync_giturl *u, struct orch_err *err)
{
	if (path[0] != '/' || strspn(path, "/") == strlen(path))
		return wrong(err, "is not an absolute path");
	u->scheme = SYNC_GITURL_FILE;
	return sync_giturl_place(u, path, err);
}

/* file://[localhost]/path, with escapes. */
static int parse_file_url(const char *rest, struct sync_giturl *u, struct orch_err *err)
{
	orch_auto(free) char *path = NULL;

	if (strncasecmp(rest, "localhost/", 10) == 0)
		rest += 9;
	path = decode(rest, strlen(rest));
	return path ? parse_file(path, u, err) : wrong(err, "has a wrong escape");
}

static int check_bytes(const char *text, struct orch_err *err)
{
	size_t n = strlen(text);

	if (n == 0)
		return wrong(err, "is empty");
	if (n > SYNC_GITURL_MAX)
		return wrong(err, "is too long");
	if (text[0] == '-')
		return wrong(err, "begins with '-'");
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f ||
		    (text[i] == ' ' && text[0] != '/'))
			return wrong(err, "holds a blank or a control byte");
	return 0;
}

static int parse(const char *text, struct sync_giturl *u, struct orch_err *err)
{
	int r = check_bytes(text, err);

	if (r < 0)
		return r;
	if (text[0] == '/')
		return parse_file(text, u, err);
	for (size_t i = 0; i < ORCH_ARRAY_LEN(schemes); i++) {
		size_t n = strlen(schemes[i].prefix);

		if (strncasecmp(text, schemes[i].prefix, n) != 0)
			continue;
		u->scheme = (enum sync_giturl_scheme)i;
		return i == SYNC_GITURL_FILE ? parse_file_url(text + n, u, err)
					     : parse_network(text + n, u, err);
	}
	if (strstr(text, "://"))
		return wrong(err, "asks for a transport that orch does not use; it knows https, "
				  "http, ssh, git and paths");
	return parse_scp(text, u, err);
}

int sync_giturl_parse(const char *text, struct sync_giturl *out, struct orch_err *err)
{
	struct sync_giturl u = {0};
	int r = parse(text, &u, err);

	if (r < 0)
		sync_giturl_fini(&u);
	else
		*out = u;
	return r;
}

/* A secret does not stay in freed memory. */
static void forget(char *s)
{
	if (s)
		explicit_bzero(s, strlen(s));
	free(s);
}

void sync_giturl_fini(struct sync_giturl *u)
{
	free(u->url);
	free(u->canonical);
	free(u->origin);
	free(u->user);
	forget(u->password);
	*u = (struct sync_giturl){0};
}

void sync_giturl_key(const struct sync_giturl *u, struct orch_digest *out)
{
	orch_sha256(u->canonical, strlen(u->canonical), out);
}

/* ---- messages ---- */

/* How many bytes of user info, with its '@', begin at s, which stands behind "://". */
static size_t user_info(const char *s)
{
	size_t n = strcspn(s, "/?# \t\n'\"<>");
	const char *at = memrchr(s, '@', n);

	return at ? (size_t)(at + 1 - s) : 0;
}

char *sync_giturl_scrub(const char *text, const char *secret)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	size_t secret_len = secret ? strlen(secret) : 0, skip;

	for (const char *s = text; *s;) {
		if (secret_len && strncmp(s, secret, secret_len) == 0) {
			(void)orch_buf_add_str(&b, "***");
			s += secret_len;
			continue;
		}
		if (strncmp(s, "://", 3) == 0) {
			(void)orch_buf_add_str(&b, "://");
			s += 3;
			skip = user_info(s);
			(void)orch_buf_add_str(&b, skip ? "***@" : "");
			s += skip;
			continue;
		}
		(void)orch_buf_add_u8(
		    &b, (unsigned char)*s < 0x20 || *s == 0x7f ? ' ' : (uint8_t)*s);
		s++;
	}
	return orch_buf_take_str(&b);
}
