/* The credential helper; see gitcred.h. */
#include "sync/gitcred.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "core/fd.h"
#include "core/number.h"
#include "sync/gitrun.h"
#include "sync/giturl.h"

#define FILE_MAX 65536

static bool is_line(const char *s)
{
	return !strpbrk(s, "\r\n");
}

int sync_gitcred_file(const char *origin, const char *user, const char *secret)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	int r;

	if (!is_line(origin) || !is_line(user) || !is_line(secret))
		return -EINVAL;
	(void)orch_buf_printf(&b, "%s\n%s\n%s\n", origin, user, secret);
	r = b.failed ? -ENOMEM : sync_gitrun_input(b.data, b.len);
	if (b.data)
		explicit_bzero(b.data, b.len);
	return r;
}

/* The value of "key=" in lines; *out_len bytes. NULL: none. */
static const char *find_line(const char *lines, const char *key, size_t *out_len)
{
	size_t n = strlen(key);

	while (*lines) {
		size_t len = strcspn(lines, "\n");

		if (len > n && strncmp(lines, key, n) == 0 && lines[n] == '=') {
			*out_len = len - n - 1;
			return lines + n + 1;
		}
		lines += len;
		lines += *lines == '\n';
	}
	return NULL;
}

/* Whether git asks for this origin ("https://host[:port]"). */
static bool is_for(const char *origin, const char *asked)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	size_t protocol_len, host_len;
	const char *protocol = find_line(asked, "protocol", &protocol_len);
	const char *host = find_line(asked, "host", &host_len);
	struct sync_giturl u;
	bool same;

	if (!protocol || !host || memchr(host, '/', host_len) || memchr(host, '@', host_len))
		return false;
	(void)orch_buf_printf(
	    &b, "%.*s://%.*s/x", (int)protocol_len, protocol, (int)host_len, host);
	if (b.failed || sync_giturl_parse((const char *)b.data, &u, NULL) < 0)
		return false;
	same = u.origin && strcmp(u.origin, origin) == 0;
	sync_giturl_fini(&u);
	return same;
}

int sync_gitcred_answer(const char *file, const char *asked, struct orch_buf *out)
{
	orch_auto(free) char *copy = strdup(file);
	char *origin = copy, *user, *secret, *end;

	if (!copy)
		return -ENOMEM;
	user = strchr(origin, '\n');
	secret = user ? strchr(user + 1, '\n') : NULL;
	end = secret ? strchr(secret + 1, '\n') : NULL;
	if (!end || end[1])
		return -EINVAL;
	*user++ = *secret++ = *end = '\0';
	if (!is_for(origin, asked))
		return 0;
	(void)orch_buf_printf(out, "username=%s\npassword=%s\n", user, secret);
	return out->failed ? -ENOMEM : 0;
}

static int load(struct orch_buf *out)
{
	const char *number = getenv(SYNC_GITCRED_FD);
	uint64_t fd;

	if (!number || orch_number_parse(number, strlen(number), INT32_MAX, &fd) < 0)
		return -EINVAL;
	orch_buf_init(out, FILE_MAX);
	for (;;) {
		char block[1024];
		ssize_t n = pread((int)fd, block, sizeof(block), (off_t)out->len);

		if (n < 0)
			return -errno;
		if (n == 0)
			return out->len ? 0 : -EINVAL;
		if (orch_buf_add(out, block, (size_t)n) < 0)
			return -ENOMEM;
	}
}

int sync_gitcred_main(const char *action)
{
	orch_auto(buf) struct orch_buf file = ORCH_BUF_INIT;
	orch_auto(buf) struct orch_buf asked = ORCH_BUF_INIT;
	orch_auto(buf) struct orch_buf answer = ORCH_BUF_INIT;
	int r;

	if (strcmp(action, "get") != 0)
		return 0; /* nothing is kept, nothing is to be forgotten */
	r = load(&file);
	orch_buf_init(&asked, FILE_MAX);
	if (r == 0)
		r = orch_fd_slurp(STDIN_FILENO, &asked);
	if (r == 0)
		r = sync_gitcred_answer(
		    (const char *)file.data, asked.data ? (const char *)asked.data : "", &answer);
	if (r == 0 && answer.len)
		r = orch_fd_write_all(STDOUT_FILENO, answer.data, answer.len);
	return r < 0;
}

static int add_base64(struct orch_buf *out, const uint8_t *p, size_t n)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < n; i += 3) {
		size_t left = n - i;
		uint32_t v = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
			     (left > 2 ? p[i + 2] : 0);

		(void)orch_buf_add_u8(out, (uint8_t)digits[v >> 18]);
		(void)orch_buf_add_u8(out, (uint8_t)digits[v >> 12 & 63]);
		(void)orch_buf_add_u8(out, (uint8_t)(left > 1 ? digits[v >> 6 & 63] : '='));
		(void)orch_buf_add_u8(out, (uint8_t)(left > 2 ? digits[v & 63] : '='));
	}
	return out->failed ? -ENOMEM : 0;
}

int sync_gitcred_header(const char *user, const char *secret, struct orch_buf *out)
{
	orch_auto(buf) struct orch_buf pair = ORCH_BUF_INIT;
	int r;

	if (!is_line(user) || !is_line(secret))
		return -EINVAL;
	(void)orch_buf_printf(&pair, "%s:%s", user, secret);
	(void)orch_buf_add_str(out, "Authorization: Basic ");
	r = pair.failed ? -ENOMEM : add_base64(out, pair.data, pair.len);
	if (pair.data)
		explicit_bzero(pair.data, pair.len);
	return r;
}
