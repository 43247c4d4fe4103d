/* Taking over what was fetched; see gitadopt.h. */
#include "sync/gitadopt_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cache/mirror.h"
#include "core/fd.h"
#include "core/path.h"
#include "sync/gitfetch.h"

#define REPO	 CAS_MIRROR_REPO
#define INCOMING CAS_MIRROR_INCOMING

/* ---- refs ---- */

int sync_adopt_brought(const struct sync_adopt *a, struct sync_gitrefs *out, struct orch_err *err)
{
	orch_auto(fd) int fd =
	    sync_adopt_open(a, SYNC_GITFETCH_REFS, O_RDONLY | O_NONBLOCK | O_NOFOLLOW, err);
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	struct stat st;
	int r;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return orch_err_set(err, ORCH_ECORRUPT, "the list of refs is no file");
	orch_buf_init(&b, SYNC_GITREFS_BYTES);
	r = orch_fd_slurp(fd, &b);
	if (r < 0)
		return orch_err_sys(err, -r, "the list of refs");
	return sync_gitrefs_parse(b.data ? (const char *)b.data : "", b.len, out, err);
}

/* Of every ref: its object is there, and a branch's is a commit. answer: a line for each. */
static int judge_refs(
    const struct sync_gitrefs *refs, const struct orch_buf *answer, struct orch_err *err)
{
	const char *s = answer->data ? (const char *)answer->data : "";

	for (size_t i = 0; i < refs->count; i++) {
		const struct sync_gitref *ref = &refs->v[i];
		size_t n = strcspn(s, "\n");
		bool commit =
		    n > SYNC_GITREV_HEX + 7 && strncmp(s + SYNC_GITREV_HEX, " commit", 7) == 0;

		if (strncmp(s, ref->id, SYNC_GITREV_HEX) != 0 ||
		    (n > 8 && strncmp(s + n - 8, " missing", 8) == 0))
			return orch_err_set(err, ORCH_ECORRUPT, "%.200s is %s, which did not come",
			    ref->name, ref->id);
		if (!commit &&
		    (strncmp(ref->name, "refs/heads/", 11) == 0 ||
			strncmp(ref->name, SYNC_GITREF_COMMITS, strlen(SYNC_GITREF_COMMITS)) == 0))
			return orch_err_set(err, ORCH_ECORRUPT, "%.200s is no commit", ref->name);
		s += n;
		s += *s == '\n';
	}
	return 0;
}

/* text: the new packed-refs. */
int sync_adopt_check_refs(struct sync_adopt *a, const struct orch_buf *text, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf asked = ORCH_BUF_INIT;
	orch_auto(buf) struct orch_buf answer = ORCH_BUF_INIT;
	struct sync_gitrefs refs;
	int r = sync_gitrefs_parse((const char *)text->data, text->len, &refs, err);

	if (r < 0)
		return r;
	orch_buf_init(&asked, SYNC_GITREFS_BYTES);
	for (size_t i = 0; i < refs.count; i++)
		(void)orch_buf_printf(&asked, "%s\n", refs.v[i].id);
	r = asked.failed ? orch_err_set(err, ENOMEM, "no memory")
			 : sync_gitfind_check(&a->run, &asked, &answer, err);
	if (r == 0)
		r = judge_refs(&refs, &answer, err);
	sync_gitrefs_fini(&refs);
	return r;
}

int sync_adopt_refs(struct sync_adopt *a, struct orch_buf *out, struct orch_err *err)
{
	struct sync_gitrefs mirror = {0}, brought = {0};
	size_t changed = 0;
	int r = sync_gitfind_refs(a->mirror_fd, &mirror, err);

	orch_buf_init(out, SYNC_GITREFS_BYTES);
	if (r == 0)
		r = sync_adopt_brought(a, &brought, err);
	if (r == 0)
		r = sync_gitrefs_merge(&mirror, &brought, &a->spec->scope, out, &changed, err);
	sync_gitrefs_fini(&mirror);
	sync_gitrefs_fini(&brought);
	a->made.refs_changed = changed;
	if (r == 0 && changed)
		r = sync_adopt_check_refs(a, out, err);
	return r;
}

int sync_adopt_save(int mirror_fd, const char *folder, const char *name,
    const struct orch_buf *text, struct orch_err *err)
{
	orch_auto(fd) int fd = openat(mirror_fd, folder, SYNC_ADOPT_FOLDER);

	if (fd < 0)
		return orch_err_sys(err, errno, "%s", folder);
	return orch_file_save(fd, name, text->data, text->len, 0644, err);
}

/* ---- the order of things ---- */

static int clean(struct sync_adopt *a, struct orch_err *err)
{
	static const char *const folders[] = {REPO, REPO "/objects", REPO "/objects/info",
	    REPO "/objects/pack", CAS_MIRROR_STEPS, CAS_MIRROR_STEPS "/objects",
	    CAS_MIRROR_STEPS "/objects/pack"};
	int r = orch_remove_tree(a->mirror_fd, INCOMING, err);

	/* the mirror has something, so steps are over */
	if (r == 0 && faccessat(a->mirror_fd, REPO "/packed-refs", F_OK, 0) == 0)
		r = orch_remove_tree(a->mirror_fd, CAS_MIRROR_STEPS, err);
	for (size_t i = 0; r == 0 && i < ORCH_ARRAY_LEN(folders); i++)
		r = sync_adopt_sweep(a, folders[i], err);
	return r;
}

/* All at once, the usual case. */
static int take_whole(struct sync_adopt *a, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf refs = ORCH_BUF_INIT;
	int r = sync_gitfind_env(a->mirror_fd, INCOMING, &a->env, err);

	if (r == 0)
		r = sync_adopt_packs(a, true, err);
	if (r == 0)
		r = sync_adopt_refs(a, &refs, err);
	if (r == 0)
		r = sync_adopt_move(a, INCOMING "/pack", &a->order, err);
	if (r == 0 && a->made.refs_changed)
		r = sync_adopt_save(a->mirror_fd, REPO, "packed-refs", &refs, err);
	return r;
}

int sync_adopt_begin(struct sync_adopt *a, struct orch_err *err)
{
	/* before cleaning: a pack whose index is still on its way would be taken for a leftover */
	int r = sync_adopt_finish_steps(a, err);

	if (r == 0)
		r = clean(a, err);
	return r == 0 ? orch_mkdirs(a->mirror_fd, INCOMING "/pack", 0755, err) : r;
}

static int run(struct sync_adopt *a, struct orch_err *err)
{
	int r = sync_adopt_begin(a, err), step;

	if (r < 0 || a->spec->quarantine_fd < 0)
		return r;
	step = sync_adopt_is_step(a, err);
	if (step < 0)
		return step;
	return step ? sync_adopt_step(a, step == 2, err) : take_whole(a, err);
}

void sync_adopt_init(
    struct sync_adopt *a, struct sync_task *t, const struct sync_gitadopt_spec *spec)
{
	*a = (struct sync_adopt){.task = t,
	    .spec = spec,
	    .env = ORCH_STRV_INIT,
	    .order = ORCH_STRV_INIT,
	    .mirror_fd = spec->mirror_fd};
	a->run = (struct sync_gitrun){
	    .task = t, .env = &a->env, .fds = &a->mirror_fd, .fd_count = 1, .stdin_fd = -1};
}

void sync_adopt_fini(struct sync_adopt *a)
{
	struct orch_err left = ORCH_ERR_INIT;

	if (orch_remove_tree(a->mirror_fd, INCOMING, &left) < 0)
		sync_task_warn(a->task, "%s", left.msg); /* the next one does it */
	orch_strv_fini(&a->env);
	orch_strv_fini(&a->order);
}

int sync_gitadopt(struct sync_task *t, const struct sync_gitadopt_spec *spec,
    struct sync_gitadopted *out, struct orch_err *err)
{
	struct sync_adopt a;
	int r;

	sync_adopt_init(&a, t, spec);
	r = run(&a, err);
	sync_adopt_fini(&a);
	if (r == 0)
		*out = a.made;
	return r;
}
