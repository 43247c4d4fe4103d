/*
 * A first fetch in steps: each brings a part of the history, which is kept in the mirror's folder
 * `steps` (cache/mirror.h) and is not complete. With the last one all of it is checked and moved; the
 * file `checked` says that this has begun, so that it is ended after a kill before anybody looks.
 */
#include "sync/gitadopt_priv.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cache/mirror.h"
#include "core/fd.h"

#define STEPS	 CAS_MIRROR_STEPS
#define OBJECTS	 STEPS "/objects"
#define PACKS	 OBJECTS "/pack"
#define SHALLOW	 "shallow"
#define ROOM_MAX ((size_t)64 << 20)

static bool is_there(const struct sync_adopt *a, const char *path)
{
	return faccessat(a->mirror_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int sync_adopt_finish_steps(struct sync_adopt *a, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf refs = ORCH_BUF_INIT;
	int r;

	if (!is_there(a, CAS_MIRROR_CHECKED))
		return 0;
	orch_buf_init(&refs, SYNC_GITREFS_BYTES);
	r = orch_file_load(a->mirror_fd, CAS_MIRROR_CHECKED, &refs, err);
	if (r == 0 && is_there(a, PACKS))
		r = sync_adopt_move(a, PACKS, NULL, err);
	if (r == 0)
		r = sync_adopt_save(a->mirror_fd, CAS_MIRROR_REPO, "packed-refs", &refs, err);
	/* the file goes first: what is left then is no step of anything */
	if (r == 0 && unlinkat(a->mirror_fd, CAS_MIRROR_CHECKED, 0) < 0)
		r = orch_err_sys(err, errno, CAS_MIRROR_CHECKED);
	return r == 0 ? orch_remove_tree(a->mirror_fd, STEPS, err) : r;
}

/* The text of the quarantine's `shallow`; empty: the history is whole. */
static int load_shallow(
    const struct sync_adopt *a, struct orch_buf *out, size_t *count, struct orch_err *err)
{
	const char *path = CAS_MIRROR_REPO "/" SHALLOW;
	struct orch_err why = ORCH_ERR_INIT;
	orch_auto(fd) int fd = sync_adopt_open(a, path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW, &why);
	struct stat st;
	int r;

	*count = 0;
	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return orch_err_set(err, -fd, "%s", why.msg);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return orch_err_set(err, ORCH_ECORRUPT, "%s is no file", path);
	orch_buf_init(out, ROOM_MAX);
	r = orch_fd_slurp(fd, out);
	if (r < 0)
		return orch_err_sys(err, -r, "%s", path);
	return sync_gitshallow_parse(
	    out->data ? (const char *)out->data : "", out->len, count, err);
}

int sync_adopt_is_step(struct sync_adopt *a, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf shallow = ORCH_BUF_INIT;
	size_t count;
	int r;

	if (!a->spec->part)
		return 0;
	r = load_shallow(a, &shallow, &count, err);
	if (r < 0)
		return r;
	if (count > 0)
		return 1;
	return is_there(a, PACKS) ? 2 : 0;
}

/* What the next step begins with. Its packs are there before their boundary is. */
static int save_part(struct sync_adopt *a, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf shallow = ORCH_BUF_INIT;
	orch_auto(buf) struct orch_buf text = ORCH_BUF_INIT;
	struct sync_gitrefs brought, none = {0};
	size_t count, changed;
	int r = sync_adopt_brought(a, &brought, err);

	if (r < 0)
		return r;
	orch_buf_init(&text, SYNC_GITREFS_BYTES);
	r = sync_gitrefs_merge(&none, &brought, &a->spec->scope, &text, &changed, err);
	sync_gitrefs_fini(&brought);
	if (r == 0)
		r = load_shallow(a, &shallow, &count, err);
	if (r == 0)
		r = sync_adopt_save(a->mirror_fd, STEPS, SHALLOW, &shallow, err);
	if (r == 0)
		r = sync_adopt_save(a->mirror_fd, STEPS, "packed-refs", &text, err);
	return r;
}

static int take_last(struct sync_adopt *a, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf refs = ORCH_BUF_INIT;
	struct orch_err left = ORCH_ERR_INIT;
	int r = sync_adopt_check(a, PACKS, err);

	if (r == 0)
		r = sync_adopt_refs(a, &refs, err);
	/* no further step could mend it */
	if (r == -ORCH_ECORRUPT && orch_remove_tree(a->mirror_fd, STEPS, &left) < 0)
		sync_task_warn(a->task, "%s", left.msg);
	if (r == 0)
		r = sync_adopt_save(a->mirror_fd, STEPS, "checked", &refs, err);
	return r == 0 ? sync_adopt_finish_steps(a, err) : r;
}

int sync_adopt_step(struct sync_adopt *a, bool last, struct orch_err *err)
{
	int r = orch_mkdirs(a->mirror_fd, PACKS, 0755, err);

	if (r == 0)
		r = sync_gitfind_env(a->mirror_fd, OBJECTS, &a->env, err);
	if (r == 0)
		r = sync_adopt_packs(a, false, err);
	if (r < 0)
		return r;
	a->made.part = !last;
	return last ? take_last(a, err) : save_part(a, err);
}
