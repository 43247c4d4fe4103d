/* Making, finding and taking away views. See views.h; the ids are in idmap.c, the folders in ws_view.c. */
#include "views.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>
#include "core/fd.h"
#include "core/log.h"
#include "core/number.h"
#include "idmap.h"
#include "mount_process.h"
#include "userns.h"

#define TYPE	   "fuse.orch"
#define MOUNTS_MAX 64 /* of one workspace: its own, its views, copies that somebody made */
#define TRIES	   8  /* somebody may move its own mount's folder while it is reached */

/* ---- which there are */

/* The number behind the last point of name[0..*len), which becomes shorter. */
static bool take_id(const char *name, size_t *len, uint32_t *out)
{
	const char *point = memrchr(name, '.', *len);
	uint64_t id;

	if (!point || point == name ||
	    orch_number_parse(point + 1, (size_t)(name + *len - point - 1), UINT32_MAX - 1, &id) <
		0)
		return false;
	*len = (size_t)(point - name);
	*out = (uint32_t)id;
	return true;
}

bool fsd_view_name_parse(const char *name, size_t *out_len, struct fsd_view *out)
{
	size_t len = strlen(name);

	if (!take_id(name, &len, &out->gid) || !take_id(name, &len, &out->uid))
		return false;
	*out_len = len;
	return true;
}

bool fsd_view_parse(const char *path, struct fsd_view *out)
{
	static const char folder[] = "/" FMT_VIEWS_FOLDER;
	const char *slash = strrchr(path, '/');
	size_t n = sizeof(folder) - 1, len;

	if (!slash || (size_t)(slash - path) < n || memcmp(slash - n, folder, n) != 0)
		return false;
	out->path = path;
	return fsd_view_name_parse(slash + 1, &len, out);
}

void fsd_views_fini(struct fsd_views *s)
{
	free(s->v);
	*s = (struct fsd_views){0};
}

/* All mounts of the workspace. */
static int load(const struct fsd_ws_record *rec, struct fsd_views *out, struct orch_err *err)
{
	struct orch_mount *v = calloc(MOUNTS_MAX, sizeof(*v));
	char source[FSD_MOUNT_SOURCE_BYTES];
	int n;

	if (!v)
		return orch_err_set(err, ENOMEM, "no memory");
	fsd_mount_source(rec, source);
	n = orch_mounts_load_source(TYPE, source, v, MOUNTS_MAX, err);
	if (n < 0) {
		free(v);
		return n;
	}
	*out = (struct fsd_views){.v = v, .count = (size_t)n};
	return 0;
}

int fsd_views_load(const struct fsd_ws_record *rec, struct fsd_views *out, struct orch_err *err)
{
	struct fsd_view is;
	size_t kept = 0;
	int rc = load(rec, out, err);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < out->count; i++)
		if (fsd_view_parse(out->v[i].path, &is))
			out->v[kept++] = out->v[i];
	out->count = kept;
	return 0;
}

/* ---- making one */

/* Where it was mounted, or wherever its folder was moved to. NULL: nowhere. */
static const struct orch_mount *find_own(
    const struct fsd_views *all, const struct fsd_ws_record *rec)
{
	const struct orch_mount *own = NULL;
	struct fsd_view is;

	for (size_t i = 0; i < all->count; i++) {
		if (strcmp(all->v[i].path, rec->path) == 0)
			return &all->v[i];
		if (!own && !fsd_view_parse(all->v[i].path, &is))
			own = &all->v[i];
	}
	return own;
}

/* *out: it once more, to be seen nowhere yet. -ESTALE: look again. */
static int clone_own(const struct fsd_ws_record *rec, int *out, struct orch_err *err)
{
	struct fsd_views all = {0};
	const struct orch_mount *own;
	int rc = load(rec, &all, err), root;

	if (rc < 0)
		return rc;
	own = find_own(&all, rec);
	root = own ? orch_mount_open(own) : -ENOENT;
	fsd_views_fini(&all);
	if (root == -ENOENT)
		return orch_err_set(err, ENOENT, "the workspace's own mount is gone");
	if (root < 0)
		return orch_err_sys(err, -root, "the workspace's own mount");
	*out = open_tree(root, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	rc = *out < 0 ? orch_err_sys(err, errno, "clone the workspace's own mount") : 0;
	orch_fd_close(root);
	return rc;
}

static int map_ids(int tree, int userns, struct orch_err *err)
{
	struct mount_attr attr = {
	    .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (__typeof__(attr.userns_fd))userns};

	if (mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return orch_err_sys(err, errno, "make an idmapped mount");
	return orch_err_set(err, EOPNOTSUPP,
	    "the kernel makes no idmapped mount of it. Linux 6.12 has them, for a workspace that "
	    "this version of orch has mounted: unmount it and mount it again. An older kernel has "
	    "not: create the workspace with --owner USER, the container's user: then its files are "
	    "that user's everywhere, and what is committed is the same");
}

static int open_userns(
    const struct fsd_ws_record *rec, const struct fsd_view *want, struct orch_err *err)
{
	struct fsd_idmap_range v[FSD_IDMAP_MAX];
	char uids[FSD_IDMAP_TEXT], gids[FSD_IDMAP_TEXT];

	fsd_idmap_format(v, fsd_idmap_plan(rec->uid, want->uid, v), uids);
	fsd_idmap_format(v, fsd_idmap_plan(rec->gid, want->gid, v), gids);
	return fsd_userns_open(uids, gids, err);
}

static int place(const struct fsd_ws_record *rec, int userns, int folder, struct orch_err *err)
{
	orch_auto(fd) int tree = -1;
	int rc = -ESTALE;

	for (int i = 0; rc == -ESTALE && i < TRIES; i++)
		rc = clone_own(rec, &tree, err);
	if (rc == 0)
		rc = map_ids(tree, userns, err);
	if (rc == 0 &&
	    move_mount(tree, "", folder, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		rc = orch_err_sys(err, errno, "place an idmapped mount");
	return rc;
}

static int make(
    const struct fsd_ws_record *rec, const struct fsd_view *want, int folder, struct orch_err *err)
{
	orch_auto(fd) int userns = open_userns(rec, want, err);

	return userns < 0 ? userns : place(rec, userns, folder, err);
}

int fsd_view_make(
    const struct fsd_ws_record *rec, const struct fsd_view *want, int folder, struct orch_err *err)
{
	struct fsd_views have = {0};
	int rc = fsd_views_load(rec, &have, err);

	if (rc == 0 && have.count >= FSD_VIEWS_MAX)
		rc = orch_err_set(err, EBUSY, "the workspace has %d views already", FSD_VIEWS_MAX);
	fsd_views_fini(&have);
	return rc < 0 ? rc : make(rec, want, folder, err);
}

/* ---- taking them away */

/* The folder lies in one that is root's alone; there nobody puts links. */
static int make_again(const struct fsd_ws_record *rec, const char *path, struct orch_err *err)
{
	orch_auto(fd) int folder = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct fsd_view want;

	if (folder < 0)
		return orch_err_sys(err, errno, "%s", path);
	return fsd_view_parse(path, &want) ? make(rec, &want, folder, err) : 0;
}

void fsd_views_put_back(const struct fsd_ws_record *rec, const struct fsd_views *taken)
{
	for (size_t i = 0; i < taken->count; i++) {
		struct orch_err err = ORCH_ERR_INIT;

		if (make_again(rec, taken->v[i].path, &err) < 0)
			orch_log_err("keeper", "view", &err);
	}
}

int fsd_views_remove(
    const struct fsd_ws_record *rec, bool lazy, struct fsd_views *out_taken, struct orch_err *err)
{
	char source[FSD_MOUNT_SOURCE_BYTES];
	int rc = fsd_views_load(rec, out_taken, err);

	if (rc < 0)
		return rc;
	fsd_mount_source(rec, source);
	for (size_t i = 0; i < out_taken->count; i++) {
		rc = orch_mount_remove(out_taken->v[i].id, TYPE, source, lazy, err);
		if (rc < 0) {
			fsd_views_put_back(rec, &(struct fsd_views){.v = out_taken->v, .count = i});
			fsd_views_fini(out_taken);
			return rc;
		}
	}
	return 0;
}
