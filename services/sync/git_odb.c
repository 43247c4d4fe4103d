/* libgit2's object database; see git_odb.h. */
#include "sync/git_odb.h"

#include <git2.h>
#include <git2/sys/odb_backend.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct sync_git_odb {
	git_odb *odb;
};

static const char *const kind_names[] = {"commit", "tree", "blob"};
static const git_object_t kinds[] = {GIT_OBJECT_COMMIT, GIT_OBJECT_TREE, GIT_OBJECT_BLOB};

static const char *last_message(void)
{
	const git_error *e = git_error_last();

	return e && e->message ? e->message : "libgit2 gives no reason";
}

static int code_of(int r)
{
	const git_error *e = git_error_last();

	if (e && e->klass == GIT_ERROR_NOMEMORY)
		return ENOMEM;
	return r == GIT_ENOTFOUND ? ENOENT : ORCH_ECORRUPT;
}

static int open_packs(struct sync_git_odb *o, const char *objects)
{
	git_odb_backend *packs = NULL;
	int r = git_odb_new(&o->odb);

	if (r == 0)
		r = git_odb_backend_pack(&packs, objects);
	if (r == 0)
		r = git_odb_add_backend(o->odb, packs, 1);
	if (r < 0 && packs)
		packs->free(packs);
	return r;
}

int sync_git_odb_open(int dirfd, struct sync_git_odb **out, struct orch_err *err)
{
	struct sync_git_odb *o = calloc(1, sizeof(*o));
	char path[64];
	struct stat st;

	if (!o)
		return orch_err_sys(err, ENOMEM, "Git repository");
	if (fstatat(dirfd, "objects", &st, 0) < 0 || !S_ISDIR(st.st_mode)) {
		free(o);
		return orch_err_set(
		    err, ENOENT, "it is no Git repository: it has no folder objects");
	}
	git_libgit2_init();
	/* each object is read once, and what is read is handed on */
	(void)git_libgit2_opts(GIT_OPT_ENABLE_CACHING, 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d/objects", dirfd);
	if (open_packs(o, path) < 0) {
		int code = code_of(GIT_ERROR);

		orch_err_set(err, code, "Git repository: %s", last_message());
		sync_git_odb_free(o);
		return -code;
	}
	*out = o;
	return 0;
}

void sync_git_odb_free(struct sync_git_odb *o)
{
	if (!o)
		return;
	git_odb_free(o->odb);
	git_libgit2_shutdown();
	free(o);
}

static int read_failed(int r, enum sync_git_kind kind, const char *hex, struct orch_err *err)
{
	int code = code_of(r);

	if (code == ENOENT)
		return orch_err_set(
		    err, ENOENT, "%s %s is not in the repository", kind_names[kind], hex);
	return orch_err_set(
	    err, code, "%s %s can't be read: %s", kind_names[kind], hex, last_message());
}

/* Size and kind before a byte is unpacked. */
static int look(struct sync_git_odb *o, const git_oid *oid, enum sync_git_kind kind, size_t max,
    const char *hex, struct orch_err *err)
{
	git_object_t type;
	size_t len;
	int r = git_odb_read_header(&len, &type, o->odb, oid);

	if (r < 0)
		return read_failed(r, kind, hex, err);
	if (type != kinds[kind])
		return orch_err_set(err, ORCH_ECORRUPT, "%s is a %s, not a %s", hex,
		    git_object_type2string(type), kind_names[kind]);
	if (len > max)
		return orch_err_set(err, EFBIG, "%s %s has %zu bytes, %zu are allowed",
		    kind_names[kind], hex, len, max);
	return 0;
}

int sync_git_odb_read(struct sync_git_odb *o, const struct sync_git_id *id, enum sync_git_kind kind,
    size_t max, struct sync_git_object *out, struct orch_err *err)
{
	char hex[SYNC_GIT_ID_HEX + 1];
	git_odb_object *x = NULL;
	git_oid oid;
	int r;

	sync_git_id_format(id, hex);
	memcpy(oid.id, id->b, SYNC_GIT_ID_BYTES);
	git_error_clear();
	r = look(o, &oid, kind, max, hex, err);
	if (r < 0)
		return r;
	r = git_odb_read(&x, o->odb, &oid);
	if (r < 0)
		return read_failed(r, kind, hex, err);
	*out = (struct sync_git_object){git_odb_object_data(x), git_odb_object_size(x), x};
	if (out->len <= max && git_odb_object_type(x) == kinds[kind])
		return 0;
	sync_git_object_done(out);
	return orch_err_set(
	    err, ORCH_ECORRUPT, "%s %s is not what its header says", kind_names[kind], hex);
}

void sync_git_object_done(struct sync_git_object *x)
{
	git_odb_object_free(x->handle);
	*x = (struct sync_git_object){NULL, 0, NULL};
}
