/* Looking through a mirror; see gitadopt.h. */
#include "sync/gitadopt_priv.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cache/mirror.h"
#include "core/fd.h"

#define REPO  CAS_MIRROR_REPO
#define PACKS REPO "/objects/pack"

struct verify {
	struct sync_adopt adopt;
	void (*on_bad)(void *priv, const char *name, const char *why);
	void *priv;
	struct sync_gitverified seen;
};

/* What git says of a thing is about that thing, unless it could not be looked at. */
static int judge(
    struct verify *v, const char *name, int r, struct orch_err *why, struct orch_err *err)
{
	if (r == 0)
		return 0;
	if (r == -ORCH_ECANCELLED || r == -ENOSPC || r == -ENOMEM || r == -EMFILE) {
		*err = *why;
		return r;
	}
	v->seen.bad++;
	v->on_bad(v->priv, name, why->msg);
	return 0;
}

/* Its index is what git finds objects by, and is not looked at when the pack is indexed again. */
static int verify_index(struct verify *v, const char *name, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf path = ORCH_BUF_INIT;
	const char *argv[] = {"git", "verify-pack", NULL, NULL};

	(void)orch_buf_printf(&path, "/proc/self/fd/%d/" PACKS "/%s", v->adopt.mirror_fd, name);
	if (path.failed)
		return orch_err_set(err, ENOMEM, "no memory");
	argv[2] = (const char *)path.data;
	return sync_gitrun(&v->adopt.run, argv, err);
}

static int verify_pack(struct verify *v, int dirfd, const char *name, struct orch_err *err)
{
	struct orch_err why = ORCH_ERR_INIT;
	struct stat st;
	int r;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		v->seen.pack_bytes += (uint64_t)st.st_size;
	v->seen.packs++;
	r = verify_index(v, name, &why);
	if (r == 0)
		r = sync_adopt_check_pack(&v->adopt, PACKS, name, &why);
	return judge(v, name, r, &why, err);
}

static int verify_packs(struct verify *v, struct orch_err *err)
{
	orch_auto(fd) int fd = openat(v->adopt.mirror_fd, PACKS, SYNC_ADOPT_FOLDER);
	orch_auto(strv) struct orch_strv names = ORCH_STRV_INIT;
	int r = fd < 0 ? orch_err_sys(err, errno, PACKS) : sync_adopt_list(fd, &names, err);

	for (size_t i = 0; r == 0 && i < names.count; i++) {
		size_t n = strlen(names.v[i]);

		if (n > 5 && strcmp(names.v[i] + n - 5, ".pack") == 0)
			r = verify_pack(v, fd, names.v[i], err);
	}
	return r;
}

static int verify_refs(struct verify *v, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf text = ORCH_BUF_INIT;
	struct orch_err why = ORCH_ERR_INIT;
	struct sync_gitrefs refs;
	int r;

	orch_buf_init(&text, SYNC_GITREFS_BYTES);
	r = orch_file_load(v->adopt.mirror_fd, REPO "/packed-refs", &text, &why);
	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = sync_gitrefs_parse((const char *)text.data, text.len, &refs, &why);
	if (r == 0) {
		v->seen.refs = refs.count;
		sync_gitrefs_fini(&refs);
		r = sync_adopt_check_refs(&v->adopt, &text, &why);
	}
	return judge(v, "packed-refs", r, &why, err);
}

int sync_gitverify(struct sync_task *t, int mirror_fd,
    void (*on_bad)(void *priv, const char *name, const char *why), void *priv,
    struct sync_gitverified *out, struct orch_err *err)
{
	struct sync_gitadopt_spec spec = {.mirror_fd = mirror_fd, .quarantine_fd = -1};
	struct verify v = {.on_bad = on_bad, .priv = priv};
	int r;

	sync_adopt_init(&v.adopt, t, &spec);
	r = sync_adopt_begin(&v.adopt, err);
	if (r == 0)
		r = sync_gitfind_env(mirror_fd, NULL, &v.adopt.env, err);
	if (r == 0)
		r = verify_packs(&v, err);
	if (r == 0)
		r = verify_refs(&v, err);
	sync_adopt_fini(&v.adopt);
	if (r == 0)
		*out = v.seen;
	return r;
}
