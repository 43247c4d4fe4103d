/* Revisions and lists of refs; see gitrev.h. */
#include "sync/gitrev.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/fd.h"
#include "core/path.h"

#define HEX_DIGITS "0123456789abcdefABCDEF"
#define HEX_SHA256 64

static void lower(const char *s, char *out)
{
	size_t i = 0;

	for (; s[i]; i++)
		out[i] = (char)tolower((unsigned char)s[i]);
	out[i] = '\0';
}

static int parse_name(const char *text, struct sync_gitrev *out, struct orch_err *err)
{
	if (!orch_ref_name_valid(text) || text[0] == '-')
		return orch_err_set(err, ORCH_EUSAGE,
		    "'%.100s' is neither a commit id nor a name that Git allows", text);
	if (strncmp(text, SYNC_GITREF_OWN, strlen(SYNC_GITREF_OWN)) == 0)
		return orch_err_set(
		    err, ORCH_EUSAGE, "names below " SYNC_GITREF_OWN " are the mirror's own");
	out->kind = strncmp(text, "refs/", 5) == 0 ? SYNC_GITREV_REF : SYNC_GITREV_NAME;
	memcpy(out->text, text, strlen(text) + 1); /* 1,000 bytes at most */
	return 0;
}

int sync_gitrev_parse(const char *text, struct sync_gitrev *out, struct orch_err *err)
{
	struct sync_gitrev rev = {0};
	size_t n = strlen(text);
	bool is_hex = strspn(text, HEX_DIGITS) == n;
	int r;

	if (is_hex && n == HEX_SHA256)
		return orch_err_set(err, EOPNOTSUPP,
		    "'%s' is an id of a SHA-256 repository, which orch can't read yet", text);
	if (is_hex && n >= SYNC_GITREV_SHORT && n <= SYNC_GITREV_HEX) {
		rev.kind = n == SYNC_GITREV_HEX ? SYNC_GITREV_ID : SYNC_GITREV_ABBREV;
		lower(text, rev.text);
	} else if (strcmp(text, "HEAD") == 0) {
		rev.kind = SYNC_GITREV_HEAD_REF;
	} else {
		r = parse_name(text, &rev, err);
		if (r < 0)
			return r;
	}
	*out = rev;
	return 0;
}

/* ---- lists ---- */

static int broken(struct orch_err *err, size_t line, const char *what)
{
	return orch_err_set(err, ORCH_ECORRUPT, "list of refs, line %zu: %s", line, what);
}

static bool id_valid(const char *s)
{
	return strspn(s, "0123456789abcdef") == SYNC_GITREV_HEX;
}

/* One line, which ends with a NUL. 1: a ref. 0: none. */
static int parse_line(char *line, struct sync_gitref *out)
{
	if (*line == '#' || *line == '^' || !*line)
		return 0;
	if (!id_valid(line) || line[SYNC_GITREV_HEX] != ' ')
		return -EINVAL;
	out->name = line + SYNC_GITREV_HEX + 1;
	if (strncmp(out->name, "refs/", 5) != 0 || !orch_ref_name_valid(out->name))
		return -EINVAL;
	memcpy(out->id, line, SYNC_GITREV_HEX);
	out->id[SYNC_GITREV_HEX] = '\0';
	return 1;
}

static int by_name(const void *a, const void *b)
{
	const struct sync_gitref *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static size_t count_lines(const char *text, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += text[i] == '\n';
	return n;
}

static int parse_lines(struct sync_gitrefs *r, size_t len, struct orch_err *err)
{
	size_t line = 0;

	for (char *s = r->text, *end = s + len, *nl; s < end; s = nl + 1) {
		int got;

		line++;
		nl = memchr(s, '\n', (size_t)(end - s));
		if (!nl)
			return broken(err, line, "it is cut off");
		*nl = '\0';
		if (strlen(s) != (size_t)(nl - s))
			return broken(err, line, "a NUL byte");
		got = parse_line(s, &r->v[r->count]);
		if (got < 0)
			return broken(err, line, "no id and name of a ref");
		r->count += (size_t)got;
	}
	return 0;
}

static int sort_refs(struct sync_gitrefs *r, struct orch_err *err)
{
	qsort(r->v, r->count, sizeof(*r->v), by_name);
	for (size_t i = 1; i < r->count; i++)
		if (strcmp(r->v[i - 1].name, r->v[i].name) == 0)
			return orch_err_set(err, ORCH_ECORRUPT,
			    "list of refs: %.200s is in it twice", r->v[i].name);
	return 0;
}

int sync_gitrefs_parse(const char *text, size_t len, struct sync_gitrefs *out, struct orch_err *err)
{
	struct sync_gitrefs r = {0};
	size_t lines = count_lines(text, len);
	int rc;

	if (lines > SYNC_GITREFS_MAX)
		return orch_err_set(
		    err, ORCH_ECORRUPT, "list of refs: more than %d", SYNC_GITREFS_MAX);
	r.text = malloc(len + 1);
	r.v = calloc(lines + 1, sizeof(*r.v));
	if (!r.text || !r.v) {
		sync_gitrefs_fini(&r);
		return orch_err_set(err, ENOMEM, "list of refs: no memory");
	}
	if (len)
		memcpy(r.text, text, len);
	r.text[len] = '\0';
	rc = parse_lines(&r, len, err);
	if (rc == 0)
		rc = sort_refs(&r, err);
	if (rc < 0)
		sync_gitrefs_fini(&r);
	else
		*out = r;
	return rc;
}

void sync_gitrefs_fini(struct sync_gitrefs *r)
{
	free(r->text);
	free(r->v);
	*r = (struct sync_gitrefs){0};
}

const struct sync_gitref *sync_gitrefs_find(const struct sync_gitrefs *r, const char *name)
{
	struct sync_gitref key = {.name = name};

	return r->count ? bsearch(&key, r->v, r->count, sizeof(*r->v), by_name) : NULL;
}

bool sync_gitrefs_has_id(const struct sync_gitrefs *r, const char *id)
{
	for (size_t i = 0; i < r->count; i++)
		if (strcmp(r->v[i].id, id) == 0)
			return true;
	return false;
}

int sync_gitshallow_parse(const char *text, size_t len, size_t *out_count, struct orch_err *err)
{
	const size_t line = SYNC_GITREV_HEX + 1;

	for (size_t at = 0; at < len; at += line)
		if (len - at < line || text[at + SYNC_GITREV_HEX] != '\n' || !id_valid(text + at))
			return orch_err_set(
			    err, ORCH_ECORRUPT, "list of shallow commits: at byte %zu", at);
	*out_count = len / line;
	return 0;
}

/* ---- merging ---- */

static bool is_below(const char *name, const char *folder)
{
	return strncmp(name, folder, strlen(folder)) == 0;
}

/* Whether the fetch says what becomes of this ref. */
static bool in_scope(const struct sync_gitrefs_scope *scope, const char *name)
{
	if (scope->name && strcmp(name, scope->name) == 0)
		return true;
	return scope->all && (is_below(name, "refs/heads/") || is_below(name, "refs/tags/"));
}

static void add_ref(struct sync_gitref *v, size_t *n, const char *id, const char *name)
{
	memcpy(v[*n].id, id, SYNC_GITREV_HEX + 1);
	v[(*n)++].name = name;
}

/* What stays of the mirror's, what is taken of the others. v has room for all. */
static size_t choose(const struct sync_gitrefs *mirror, const struct sync_gitrefs *brought,
    const struct sync_gitrefs_scope *scope, struct sync_gitref *v, size_t *changed)
{
	size_t n = 0;

	for (size_t i = 0; i < mirror->count; i++) {
		const char *name = mirror->v[i].name;

		if (!in_scope(scope, name))
			add_ref(v, &n, mirror->v[i].id, name);
		else if (!sync_gitrefs_find(brought, name))
			(*changed)++;
	}
	for (size_t i = 0; i < brought->count; i++) {
		const struct sync_gitref *b = &brought->v[i], *old;

		if (!in_scope(scope, b->name))
			continue;
		old = sync_gitrefs_find(mirror, b->name);
		*changed += !old || strcmp(old->id, b->id) != 0;
		add_ref(v, &n, b->id, b->name);
	}
	return n;
}

static int write_refs(const struct sync_gitref *v, size_t n, struct orch_buf *out)
{
	(void)orch_buf_add_str(out, "# pack-refs with: sorted \n");
	for (size_t i = 0; i < n; i++)
		(void)orch_buf_printf(out, "%s %s\n", v[i].id, v[i].name);
	return out->failed ? -ENOMEM : 0;
}

int sync_gitrefs_merge(const struct sync_gitrefs *mirror, const struct sync_gitrefs *brought,
    const struct sync_gitrefs_scope *scope, struct orch_buf *out, size_t *out_changed,
    struct orch_err *err)
{
	orch_auto(free) struct sync_gitref *v =
	    calloc(mirror->count + brought->count + 1, sizeof(*v));
	char own[sizeof(SYNC_GITREF_COMMITS) + SYNC_GITREV_HEX];
	size_t n, changed = 0;
	int rc;

	if (!v)
		return orch_err_set(err, ENOMEM, "list of refs: no memory");
	n = choose(mirror, brought, scope, v, &changed);
	if (scope->id) {
		snprintf(own, sizeof(own), SYNC_GITREF_COMMITS "%s", scope->id);
		if (!sync_gitrefs_find(mirror, own)) {
			add_ref(v, &n, scope->id, own);
			changed++;
		}
	}
	qsort(v, n, sizeof(*v), by_name);
	rc = write_refs(v, n, out);
	if (rc < 0)
		return orch_err_sys(err, -rc, "list of refs");
	*out_changed = changed;
	return 0;
}
