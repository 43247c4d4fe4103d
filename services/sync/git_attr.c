/* The states of folders; see git_attr.h. */
#include "sync/git_attr_priv.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "core/glob.h"
#include "core/grow.h"

#define ELEMENTS_MAX	   65536		/* of one state */
#define ELEMENTS_TOTAL_MAX ((uint64_t)32 << 20) /* of all */

struct element { /* a rule whose parts before `at` have matched */
	const struct git_rule *rule;
	size_t at;
};
struct sync_git_attr_state {
	struct sync_git_attr_state *next; /* of all, for freeing */
	uint8_t key[SYNC_GIT_KEY_BYTES];
	size_t count;
	struct element v[]; /* as the files are read: a later one wins */
};
struct sync_git_attrs {
	struct sync_git_attr_state none;
	struct git_attr_file *root; /* NULL: none; else among files, too */
	pthread_mutex_t lock;	    /* the lists, and the sum */
	struct sync_git_attr_state *states;
	struct git_attr_file *files;
	uint64_t elements;
};

struct sync_git_attrs *sync_git_attrs_new(void)
{
	struct sync_git_attrs *a = calloc(1, sizeof(*a));

	if (a)
		pthread_mutex_init(&a->lock, NULL);
	return a;
}

void sync_git_attrs_free(struct sync_git_attrs *a)
{
	if (!a)
		return;
	while (a->states) {
		struct sync_git_attr_state *s = a->states;

		a->states = s->next;
		free(s);
	}
	while (a->files) {
		struct git_attr_file *f = a->files;

		a->files = f->next;
		git_attr_file_free(f);
	}
	pthread_mutex_destroy(&a->lock);
	free(a);
}

const struct sync_git_attr_state *sync_git_attrs_none(const struct sync_git_attrs *a)
{
	return &a->none;
}

bool sync_git_attrs_is_empty(const struct sync_git_attr_state *s)
{
	return s->count == 0;
}

void sync_git_attrs_key(const struct sync_git_attr_state *s, uint8_t out[SYNC_GIT_KEY_BYTES])
{
	memcpy(out, s->key, SYNC_GIT_KEY_BYTES);
}

/* ---- a state in the making ---- */

struct maker {
	struct sync_git_attrs *attrs;
	struct element *v;
	size_t count, cap;
	size_t group; /* where the elements of the rule in hand begin */
};

static int too_many(struct orch_err *err)
{
	return orch_err_set(err, EFBIG, "its .gitattributes files have too many rules");
}

/* And, where any number of folders may follow, also what comes when none does. */
static int put(struct maker *m, const struct git_rule *rule, size_t at)
{
	int r = 0;

	for (size_t i = m->group; i < m->count; i++)
		if (m->v[i].at == at)
			return 0;
	if (m->count == ELEMENTS_MAX)
		return -EFBIG;
	r = orch_grow(&m->v, &m->cap, m->count + 1, sizeof(*m->v));
	if (r < 0)
		return r;
	m->v[m->count++] = (struct element){rule, at};
	if (!rule->parts[at].p && at + 1 < rule->part_count)
		return put(m, rule, at + 1); /* no two of these follow each other */
	return 0;
}

static void add_macros(const struct sync_git_attrs *a, struct orch_sha256 *s)
{
	for (size_t i = 0; a->root && i < a->root->macro_count; i++) {
		const struct git_macro *m = &a->root->macros[i];

		orch_sha256_add(s, m->name, strlen(m->name) + 1);
		for (size_t k = 0; k < m->assign_count; k++) {
			const struct git_assign *x = &m->assigns[k];
			const char *text = x->text ? x->text : "";

			orch_sha256_add(s, &x->attr, sizeof(x->attr));
			orch_sha256_add(s, &x->is, sizeof(x->is));
			orch_sha256_add(s, text, strlen(text) + 1);
		}
		orch_sha256_add(s, "", 1);
	}
}

static int make_key(const struct sync_git_attrs *a, struct sync_git_attr_state *state)
{
	struct orch_sha256 *s = orch_sha256_new();
	struct orch_digest d;

	if (!s)
		return -ENOMEM;
	orch_sha256_reset(s);
	add_macros(a, s);
	for (size_t i = 0; i < state->count; i++) {
		uint32_t at = (uint32_t)state->v[i].at;

		orch_sha256_add(s, state->v[i].rule->digest.b, ORCH_DIGEST_BYTES);
		orch_sha256_add(s, &at, sizeof(at));
	}
	orch_sha256_end(s, &d);
	orch_sha256_free(s);
	memcpy(state->key, d.b, SYNC_GIT_KEY_BYTES);
	return 0;
}

static bool is_same(const struct maker *m, const struct sync_git_attr_state *s)
{
	if (m->count != s->count)
		return false;
	for (size_t i = 0; i < m->count; i++)
		if (m->v[i].rule != s->v[i].rule || m->v[i].at != s->v[i].at)
			return false;
	return true;
}

static int keep(struct sync_git_attrs *a, struct sync_git_attr_state *s)
{
	int r = 0;

	pthread_mutex_lock(&a->lock);
	if (a->elements + s->count > ELEMENTS_TOTAL_MAX) {
		r = -EFBIG;
	} else {
		a->elements += s->count;
		s->next = a->states;
		a->states = s;
	}
	pthread_mutex_unlock(&a->lock);
	return r;
}

/* What the maker holds; `like` where that is the same. */
static int finish(
    struct maker *m, const struct sync_git_attr_state *like, const struct sync_git_attr_state **out)
{
	struct sync_git_attr_state *s;
	int r;

	if (is_same(m, like) || !m->count) {
		*out = m->count ? like : &m->attrs->none;
		return 0;
	}
	s = calloc(1, sizeof(*s) + m->count * sizeof(s->v[0]));
	if (!s)
		return -ENOMEM;
	s->count = m->count;
	memcpy(s->v, m->v, m->count * sizeof(s->v[0]));
	r = make_key(m->attrs, s);
	if (r == 0)
		r = keep(m->attrs, s);
	if (r < 0)
		free(s);
	else
		*out = s;
	return r;
}

static int failed(int r, struct orch_err *err)
{
	return r == -EFBIG ? too_many(err) : orch_err_sys(err, -r, ".gitattributes");
}

static int copy_state(struct maker *m, const struct sync_git_attr_state *s)
{
	int r = s->count > ELEMENTS_MAX ? -EFBIG : 0;

	if (r == 0 && s->count)
		r = orch_grow(&m->v, &m->cap, s->count, sizeof(*m->v));
	if (r == 0 && s->count)
		memcpy(m->v, s->v, s->count * sizeof(*m->v));
	m->count = r == 0 ? s->count : 0;
	return r;
}

int sync_git_attrs_add(struct sync_git_attrs *a, const struct sync_git_attr_state *above,
    const char *text, size_t len, const struct sync_git_attr_state **out, size_t *out_ignored,
    struct orch_err *err)
{
	static const struct git_attr_file no_macros;
	const struct git_attr_file *names = a->root ? a->root : &no_macros;
	struct maker m = {.attrs = a};
	struct git_attr_file *f;
	int r = len > SYNC_GIT_ATTR_FILE_MAX
		    ? -EFBIG
		    : git_attr_file_parse(text, len, above ? names : NULL, &f);

	if (r < 0)
		return failed(r, err);
	pthread_mutex_lock(&a->lock);
	f->next = a->files;
	a->files = f;
	pthread_mutex_unlock(&a->lock);
	if (!above)
		a->root = f;
	above = above ? above : &a->none;
	r = copy_state(&m, above);
	for (size_t i = 0; i < f->rule_count && r == 0; i++) {
		m.group = m.count;
		r = put(&m, &f->rules[i], 0);
	}
	if (r == 0)
		r = finish(&m, above, out);
	free(m.v);
	if (r < 0)
		return failed(r, err);
	*out_ignored = f->ignored;
	return 0;
}

static bool part_matches(const struct git_part *p, const char *name, size_t len)
{
	return !p->p || orch_glob_match_name(p->p, p->len, name, len);
}

/* What is left of the element behind a folder of that name. */
static int step(struct maker *m, const struct element *e, const char *name, size_t len)
{
	const struct git_rule *rule = e->rule;
	int r = 0;

	if (!rule->parts[e->at].p)
		r = put(m, rule, e->at);
	else if (e->at + 1 < rule->part_count && part_matches(&rule->parts[e->at], name, len))
		r = put(m, rule, e->at + 1);
	return r;
}

int sync_git_attrs_enter(struct sync_git_attrs *a, const struct sync_git_attr_state *s,
    const char *name, size_t name_len, const struct sync_git_attr_state **out, struct orch_err *err)
{
	struct maker m = {.attrs = a};
	int r = 0;

	for (size_t i = 0; i < s->count && r == 0; i++) {
		if (i == 0 || s->v[i].rule != s->v[i - 1].rule)
			m.group = m.count;
		r = step(&m, &s->v[i], name, name_len);
	}
	if (r == 0)
		r = finish(&m, s, out);
	free(m.v);
	return r < 0 ? failed(r, err) : 0;
}

/* ---- what is said of a file ---- */

#define NUMBERS (GIT_ATTR_BINARY + 1 + GIT_ATTR_MACROS_MAX)

struct look {
	const struct sync_git_attrs *attrs;
	bool said[NUMBERS];
	struct sync_git_attr_value v[SYNC_GIT_ATTRS];
};

/* The last word of a line counts, and a macro says what it stands for where nothing later did. */
static void assign(struct look *l, const struct git_assign *v, size_t count)
{
	static const struct git_assign binary = {SYNC_GIT_ATTR_TEXT, SYNC_GIT_ATTR_UNSET, NULL};

	while (count-- > 0) {
		const struct git_assign *x = &v[count];

		if (l->said[x->attr])
			continue;
		l->said[x->attr] = true;
		if (x->attr < SYNC_GIT_ATTRS) {
			l->v[x->attr] = (struct sync_git_attr_value){x->is, x->text};
		} else if (x->is == SYNC_GIT_ATTR_SET && x->attr == GIT_ATTR_BINARY) {
			assign(l, &binary, 1);
		} else if (x->is == SYNC_GIT_ATTR_SET) {
			const struct git_macro *m =
			    &l->attrs->root->macros[x->attr - GIT_ATTR_BINARY - 1];

			assign(l, m->assigns, m->assign_count);
		}
	}
}

void sync_git_attrs_look(const struct sync_git_attrs *a, const struct sync_git_attr_state *s,
    const char *name, size_t name_len, struct sync_git_attr_value out[SYNC_GIT_ATTRS])
{
	struct look l = {.attrs = a};

	for (size_t i = s->count; i-- > 0;) {
		const struct git_rule *rule = s->v[i].rule;

		if (s->v[i].at == rule->part_count - 1 &&
		    part_matches(&rule->parts[s->v[i].at], name, name_len))
			assign(&l, rule->assigns, rule->assign_count);
	}
	memcpy(out, l.v, sizeof(l.v));
}
