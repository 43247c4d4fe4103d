/* See ref_copy.h. Lines, each with its own checksum; the last line of a name counts. Lock: change_lock. */
#include "cache/ref_copy.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cache/store_priv.h"
#include "core/grow.h"
#include "core/log.h"
#include "core/path.h"

#define COPY_NAME  "refs"
#define COPY_FIRST "orch-refs 1\n"
#define COPY_MAX   ((size_t)256 << 20)
#define GROWTH_MIN ((size_t)256 << 10) /* appended, before it is written anew */

/* ---- lines: checksum, id, previous, time, name ---- */

#define CHECK_HEX 16

static void add_line(struct orch_buf *out, const struct cas_ref *ref)
{
	char id[ORCH_DIGEST_HEX + 1], previous[ORCH_DIGEST_HEX + 1], text[sizeof(ref->name) + 200];
	int n;

	orch_digest_format(&ref->id, id);
	orch_digest_format(&ref->previous, previous);
	n = snprintf(
	    text, sizeof(text), "%s %s %" PRId64 " %s", id, previous, ref->wall_ns, ref->name);
	orch_buf_printf(out, "%016" PRIx64 " %s\n", orch_xxh64(text, (size_t)n, 0), text);
}

static int parse_digest(const char *text, struct orch_digest *out)
{
	char hex[ORCH_DIGEST_HEX + 1];

	if (strnlen(text, ORCH_DIGEST_HEX + 1) <= ORCH_DIGEST_HEX || text[ORCH_DIGEST_HEX] != ' ')
		return -ORCH_ECORRUPT;
	memcpy(hex, text, ORCH_DIGEST_HEX);
	hex[ORCH_DIGEST_HEX] = '\0';
	return orch_digest_parse(hex, out);
}

/* There is one text for each value: what was parsed is formatted again and compared. */
static int parse_line(const char *line, struct cas_ref *out)
{
	const size_t id_at = CHECK_HEX + 1, previous_at = id_at + ORCH_DIGEST_HEX + 1,
		     time_at = previous_at + ORCH_DIGEST_HEX + 1;
	orch_auto(buf) struct orch_buf again = ORCH_BUF_INIT;
	const char *name;
	char *end;

	if (strlen(line) < time_at || parse_digest(line + id_at, &out->id) < 0 ||
	    parse_digest(line + previous_at, &out->previous) < 0)
		return -ORCH_ECORRUPT;
	out->wall_ns = strtoll(line + time_at, &end, 10);
	name = *end == ' ' ? end + 1 : end;
	if (strlen(name) >= sizeof(out->name) || !orch_ref_name_valid(name))
		return -ORCH_ECORRUPT;
	memcpy(out->name, name, strlen(name) + 1);
	add_line(&again, out);
	if (again.failed)
		return -ENOMEM;
	return again.len == strlen(line) + 1 && memcmp(again.data, line, again.len - 1) == 0
		   ? 0
		   : -ORCH_ECORRUPT;
}

/* ---- reading ---- */

struct line {
	struct cas_ref ref;
	size_t at; /* its number */
};
struct lines {
	struct line *v;
	size_t count, cap;
};

static int keep(struct lines *l, const struct cas_ref *ref)
{
	int r = orch_grow(&l->v, &l->cap, l->count + 1, sizeof(*l->v));

	if (r < 0)
		return r;
	l->v[l->count] = (struct line){*ref, l->count};
	l->count++;
	return 0;
}

/* By name, those of one name as they were appended. */
static int by_name(const void *a, const void *b)
{
	const struct line *x = a, *y = b;
	int r = strcmp(x->ref.name, y->ref.name);

	return r ? r : (x->at > y->at) - (x->at < y->at);
}

static int parse_all(char *text, struct lines *l, unsigned *bad)
{
	char *line;
	int r = 0;

	if (strncmp(text, COPY_FIRST, sizeof(COPY_FIRST) - 1) == 0)
		text += sizeof(COPY_FIRST) - 1;
	while (r == 0 && *text && (line = strsep(&text, "\n"))) {
		struct cas_ref ref;

		r = text ? parse_line(line, &ref) : -ORCH_ECORRUPT; /* cut off */
		if (r == 0)
			r = keep(l, &ref);
		*bad += r == -ORCH_ECORRUPT;
		r = r == -ORCH_ECORRUPT ? 0 : r;
		if (!text)
			break;
	}
	return r;
}

static int load(struct cas_store *s, struct orch_buf *out, struct orch_err *err)
{
	struct stat st;

	out->max = COPY_MAX;
	if (fstatat(s->root_fd, COPY_NAME, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return orch_err_sys(err, errno, COPY_NAME);
	if (!S_ISREG(st.st_mode))
		return orch_err_set(err, ORCH_ECORRUPT, COPY_NAME " is not a regular file");
	return orch_file_load(s->root_fd, COPY_NAME, out, err);
}

int cas_ref_copy_read(
    struct cas_store *s, cas_ref_fn *fn, void *priv, unsigned *out_bad, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf buf = ORCH_BUF_INIT;
	struct lines l = {NULL, 0, 0};
	unsigned bad = 0;
	int r = load(s, &buf, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < buf.len; i++)
		if (buf.data[i] == 0)
			buf.data[i] = '?'; /* in no line of ours */
	if (orch_buf_add(&buf, "", 1) == 0)
		r = parse_all((char *)buf.data, &l, &bad);
	if (buf.failed || r < 0)
		r = orch_err_set(err, ENOMEM, "out of memory");
	if (l.count)
		qsort(l.v, l.count, sizeof(*l.v), by_name);
	for (size_t i = 0; r == 0 && i < l.count; i++)
		if (i + 1 == l.count || strcmp(l.v[i].ref.name, l.v[i + 1].ref.name) != 0)
			r = fn(priv, &l.v[i].ref);
	free(l.v);
	if (r == 0)
		*out_bad = bad;
	return r;
}

static int find(void *priv, const struct cas_ref *ref)
{
	struct cas_ref *out = priv;

	if (strcmp(ref->name, out->name) != 0)
		return 0;
	*out = *ref;
	return 1;
}

int cas_ref_copy_get(struct cas_store *s, const char *name, struct cas_ref *out)
{
	struct cas_ref x = {.wall_ns = 0};
	unsigned bad;
	int r;

	snprintf(x.name, sizeof(x.name), "%s", name);
	r = cas_ref_copy_read(s, find, &x, &bad, NULL);
	if (r < 0)
		return r;
	if (r == 0 || orch_digest_is_null(&x.id))
		return -ENOENT;
	*out = x;
	return 0;
}

/* ---- writing ---- */

static int format_one(void *priv, const struct cas_db_item *item)
{
	struct orch_buf *out = priv;
	struct cas_ref ref;

	/* of a damaged record the copy may be all that is left */
	if (item->status < 0 ||
	    cas_ref_parse(item->key, item->key_len, item->value, item->value_len, &ref) < 0)
		return -ORCH_ECORRUPT;
	add_line(out, &ref);
	return out->failed ? -ENOMEM : 0;
}

static int save_if_other(struct cas_store *s, const struct orch_buf *now, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf old = ORCH_BUF_INIT;

	if (load(s, &old, NULL) == 0 && old.len == now->len &&
	    memcmp(old.data, now->data, now->len) == 0)
		return 0;
	return orch_file_save(s->root_fd, COPY_NAME, now->data, now->len, 0600, err);
}

static int begin(struct cas_store *s, struct orch_err *err)
{
	struct cas_key all = {CAS_KIND_REF, NULL, 0};
	orch_auto(buf) struct orch_buf now = ORCH_BUF_INIT;
	int r;

	now.max = COPY_MAX;
	orch_buf_add(&now, COPY_FIRST, sizeof(COPY_FIRST) - 1);
	r = cas_db_each(s->db, &all, format_one, &now, err);
	if (r < 0)
		return r == -ORCH_ECORRUPT
			   ? orch_err_set(err, ORCH_ECORRUPT, "the record of a ref is damaged")
			   : r;
	r = save_if_other(s, &now, err);
	if (r < 0)
		return r;
	s->refs_bytes = now.len;
	s->refs_appended = 0;
	s->refs_copied = true;
	return 0;
}

void cas_ref_copy_begin(struct cas_store *s)
{
	struct orch_err err = ORCH_ERR_INIT;

	s->refs_copied = false;
	if (begin(s, &err) < 0)
		orch_log(ORCH_LOG_WARN, "cache", "refs-not-copied", "error=%s", err.msg);
}

static int append(struct cas_store *s, const struct cas_ref *ref)
{
	orch_auto(buf) struct orch_buf line = ORCH_BUF_INIT;
	orch_auto(fd) int fd = openat(
	    s->root_fd, COPY_NAME, O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	add_line(&line, ref);
	s->refs_appended += line.len;
	if (fd < 0 || line.failed)
		return -EIO;
	return orch_fd_write_all(fd, line.data, line.len);
}

void cas_ref_copy_note(struct cas_store *s, const struct cas_ref *ref)
{
	size_t most = s->refs_bytes > GROWTH_MIN ? s->refs_bytes : GROWTH_MIN;

	if (!s->refs_copied || s->refs_appended > most)
		cas_ref_copy_begin(s);
	else if (append(s, ref) < 0)
		s->refs_copied = false; /* a part of the line may be there: all of it, next time */
}
