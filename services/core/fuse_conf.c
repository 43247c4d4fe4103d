/* See fuse_conf.h. */
#include "core/fuse_conf.h"
#include <ctype.h>
#include <fcntl.h>
#include <string.h>
#include "core/buf.h"
#include "core/fd.h"
#include "core/number.h"

#define CONF_MAX_BYTES	  65536
#define MOUNT_MAX_DEFAULT 1000

struct word {
	const char *p;
	size_t len;
};

static void trim(struct word *w)
{
	while (w->len && isspace((unsigned char)w->p[0])) {
		w->p++;
		w->len--;
	}
	while (w->len && isspace((unsigned char)w->p[w->len - 1]))
		w->len--;
}

static bool skip(struct word *w, const char *text)
{
	size_t n = strlen(text);

	trim(w);
	if (w->len < n || memcmp(w->p, text, n) != 0)
		return false;
	w->p += n;
	w->len -= n;
	trim(w);
	return true;
}

static void parse_max(struct word w, int64_t *out)
{
	bool negative = skip(&w, "-");
	uint64_t n;

	if (orch_number_parse(w.p, w.len, INT32_MAX, &n) == 0)
		*out = negative ? -(int64_t)n : (int64_t)n;
}

static void parse_line(struct word w, struct orch_fuse_conf *out)
{
	static const char allow[] = "user_allow_other";
	const char *comment = memchr(w.p, '#', w.len);

	if (comment)
		w.len = (size_t)(comment - w.p);
	trim(&w);
	if (w.len == sizeof(allow) - 1 && memcmp(w.p, allow, w.len) == 0)
		out->user_allow_other = true;
	else if (skip(&w, "mount_max") && skip(&w, "="))
		parse_max(w, &out->mount_max);
}

void orch_fuse_conf_parse(const char *text, size_t len, struct orch_fuse_conf *out)
{
	*out = (struct orch_fuse_conf){.mount_max = MOUNT_MAX_DEFAULT};
	while (len) {
		const char *end = memchr(text, '\n', len);
		size_t n = end ? (size_t)(end - text) : len;

		parse_line((struct word){text, n}, out);
		n += end != NULL;
		text += n;
		len -= n;
	}
}

void orch_fuse_conf_load(const char *path, struct orch_fuse_conf *out)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;

	orch_buf_init(&b, CONF_MAX_BYTES);
	if (orch_file_load(AT_FDCWD, path, &b, NULL) < 0)
		b.len = 0;
	orch_fuse_conf_parse((const char *)b.data, b.len, out);
}
