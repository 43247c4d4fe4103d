/* Looking into a mirror; see gitfind.h. */
#include "sync/gitfind.h"

#include <stdio.h>
#include <string.h>
#include "cache/mirror.h"
#include "core/fd.h"

#define ANSWER_MAX     ((size_t)256 << 20)
#define OBJECTS_MAX    4096 /* with one abbreviation */
#define CANDIDATES_MAX 3

struct finder {
	struct sync_gitrun run;
	struct orch_strv env;
	int mirror_fd;
	const struct sync_gitrev *rev;
	struct sync_gitrefs refs;
	/* commits that are meant, each once */
	char found[CANDIDATES_MAX][SYNC_GITREV_HEX + 1];
	size_t count;
	const char *other_type; /* an object of that id is there, but no commit */
};

int sync_gitfind_env(
    int mirror_fd, const char *objects, struct orch_strv *env, struct orch_err *err)
{
	static const char *const fixed[][2] = {
	    {"HOME", "/nonexistent"},
	    {"GIT_CONFIG_NOSYSTEM", "1"},
	    {"GIT_CONFIG_GLOBAL", "/dev/null"},
	};
	char path[96];
	int r;

	snprintf(path, sizeof(path), "/proc/self/fd/%d/" CAS_MIRROR_REPO, mirror_fd);
	r = sync_gitrun_env(env, path);
	for (size_t i = 0; r == 0 && i < ORCH_ARRAY_LEN(fixed); i++)
		r = orch_strv_set_env(env, fixed[i][0], fixed[i][1]);
	if (r == 0 && objects) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", mirror_fd, objects);
		r = orch_strv_set_env(env, "GIT_OBJECT_DIRECTORY", path);
		snprintf(
		    path, sizeof(path), "/proc/self/fd/%d/" CAS_MIRROR_REPO "/objects", mirror_fd);
		if (r == 0)
			r = orch_strv_set_env(env, "GIT_ALTERNATE_OBJECT_DIRECTORIES", path);
	}
	return r < 0 ? orch_err_sys(err, -r, "environment of git") : 0;
}

int sync_gitfind_refs(int mirror_fd, struct sync_gitrefs *out, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	int r;

	orch_buf_init(&b, CAS_MIRROR_REFS_BYTES);
	r = orch_file_load(mirror_fd, CAS_MIRROR_REPO "/packed-refs", &b, err);
	if (r < 0 && r != -ENOENT)
		return r;
	r = sync_gitrefs_parse(b.data ? (const char *)b.data : "", b.len, out, err);
	if (r < 0)
		orch_err_wrap(err, "refs of the mirror");
	return r;
}

int sync_gitfind_check(struct sync_gitrun *run, const struct orch_buf *asked, struct orch_buf *out,
    struct orch_err *err)
{
	const char *argv[] = {"git", "cat-file", "--batch-check", NULL};
	orch_auto(fd) int in = sync_gitrun_input(asked->data, asked->len);
	int r;

	if (in < 0)
		return orch_err_sys(err, -in, "list for git cat-file");
	orch_buf_init(out, ANSWER_MAX);
	run->stdin_fd = in;
	run->out = out;
	r = sync_gitrun(run, argv, err);
	run->stdin_fd = -1;
	run->out = NULL;
	return r;
}

static void add_found(struct finder *f, const char *id)
{
	for (size_t i = 0; i < f->count; i++)
		if (strncmp(f->found[i], id, SYNC_GITREV_HEX) == 0)
			return;
	if (f->count == CANDIDATES_MAX)
		return;
	memcpy(f->found[f->count], id, SYNC_GITREV_HEX);
	f->found[f->count++][SYNC_GITREV_HEX] = '\0';
}

/* One line of cat-file: "<id> commit 234". */
static void see_answer(struct finder *f, const char *line, size_t n)
{
	static const char *const others[] = {"tree", "blob"};
	const char *type = line + SYNC_GITREV_HEX + 1;

	if (n < SYNC_GITREV_HEX + 6 || line[SYNC_GITREV_HEX] != ' ')
		return;
	if (strncmp(type, "commit ", 7) == 0)
		add_found(f, line);
	for (size_t i = 0; i < ORCH_ARRAY_LEN(others); i++)
		if (strncmp(type, others[i], 4) == 0)
			f->other_type = others[i];
}

/* Which of them are commits, or tags of one. */
static int look_up(struct finder *f, const struct orch_buf *asked, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf answer = ORCH_BUF_INIT;
	int r = sync_gitfind_check(&f->run, asked, &answer, err);
	const char *s = answer.data ? (const char *)answer.data : "";

	while (r == 0 && *s) {
		size_t n = strcspn(s, "\n");

		see_answer(f, s, n);
		s += n;
		s += *s == '\n';
	}
	return r;
}

/* The object itself, for the message, and the commit that it leads to. */
static void ask(struct orch_buf *b, const char *id)
{
	(void)orch_buf_printf(b, "%s\n%s^{commit}\n", id, id);
}

static int ask_ref(struct finder *f, struct orch_buf *b, const char *folder, const char *name)
{
	char full[1100];
	const struct sync_gitref *ref;

	if (snprintf(full, sizeof(full), "%s%s", folder, name) >= (int)sizeof(full))
		return 0;
	ref = sync_gitrefs_find(&f->refs, full);
	if (ref)
		ask(b, ref->id);
	return ref != NULL;
}

/* Every object whose id begins so. */
static int ask_abbreviated(struct finder *f, struct orch_buf *b, struct orch_err *err)
{
	char option[64];
	const char *argv[] = {"git", "rev-parse", option, NULL};
	orch_auto(buf) struct orch_buf out = ORCH_BUF_INIT;
	int r;

	snprintf(option, sizeof(option), "--disambiguate=%.39s", f->rev->text);
	orch_buf_init(&out, OBJECTS_MAX * (SYNC_GITREV_HEX + 1));
	f->run.out = &out;
	r = sync_gitrun(&f->run, argv, err);
	f->run.out = NULL;
	if (r < 0)
		return r;
	for (const char *s = (const char *)out.data; s && *s;) {
		size_t n = strcspn(s, "\n");

		if (n == SYNC_GITREV_HEX)
			(void)orch_buf_printf(b, "%.40s^{commit}\n", s);
		s += n;
		s += *s == '\n';
	}
	return 0;
}

static int find(struct finder *f, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf asked = ORCH_BUF_INIT;
	const char *text = f->rev->text;
	int r = 0;

	switch (f->rev->kind) {
	case SYNC_GITREV_ID:
		ask(&asked, text);
		break;
	case SYNC_GITREV_HEAD_REF:
		(void)ask_ref(f, &asked, SYNC_GITREF_HEAD, "");
		break;
	case SYNC_GITREV_REF:
		(void)ask_ref(f, &asked, "", text);
		break;
	case SYNC_GITREV_ABBREV:
		r = ask_abbreviated(f, &asked, err);
		__attribute__((fallthrough)); /* it may be a name, too */
	case SYNC_GITREV_NAME:
		(void)ask_ref(f, &asked, "refs/heads/", text);
		(void)ask_ref(f, &asked, "refs/tags/", text);
		break;
	}
	if (r == 0 && asked.failed)
		r = orch_err_set(err, ENOMEM, "no memory");
	return r < 0 || asked.len == 0 ? r : look_up(f, &asked, err);
}

static int conclude(const struct finder *f, struct sync_gitfound *out, struct orch_err *err)
{
	const char *text = f->rev->text;

	*out = (struct sync_gitfound){.has_refs = f->refs.count > 0};
	if (f->count > 1)
		return orch_err_set(err, ENOTUNIQ,
		    "'%.100s' can mean %.12s and %.12s%s: give the whole id, or the whole name "
		    "(refs/...)",
		    text, f->found[0], f->found[1], f->count > 2 ? " and others" : "");
	if (f->count == 0 && f->other_type)
		return orch_err_set(
		    err, ORCH_EUSAGE, "'%.100s' is a %s, not a commit", text, f->other_type);
	if (f->count == 0)
		return 0;
	out->found = true;
	memcpy(out->commit, f->found[0], sizeof(out->commit));
	return 0;
}

int sync_gitfind(struct sync_task *t, int mirror_fd, const struct sync_gitrev *rev,
    struct sync_gitfound *out, struct orch_err *err)
{
	struct finder f = {.mirror_fd = mirror_fd, .rev = rev, .env = ORCH_STRV_INIT};
	int r;

	f.run = (struct sync_gitrun){
	    .task = t, .env = &f.env, .fds = &f.mirror_fd, .fd_count = 1, .stdin_fd = -1};
	r = sync_gitfind_env(mirror_fd, NULL, &f.env, err);
	if (r == 0)
		r = sync_gitfind_refs(mirror_fd, &f.refs, err);
	if (r == 0)
		r = find(&f, err);
	if (r == 0)
		r = conclude(&f, out, err);
	sync_gitrefs_fini(&f.refs);
	orch_strv_fini(&f.env);
	return r;
}
