/* Import, from end to end; see import.h. */
#include "sync/import_priv.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "core/clock.h"

#define IGNORE_MAX ((size_t)4 << 20)

static int load_ignore(struct import *im, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf text = {.max = IGNORE_MAX};
	orch_auto(fd) int fd = -1;
	const char *name = im->spec->ignore_file;
	struct stat st;
	int r;

	if (!name)
		return 0;
	fd = openat(im->spec->root_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : orch_err_sys(err, errno, "ignore file %s", name);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return orch_err_set(err, EINVAL, "ignore file %s: not a regular file", name);
	r = orch_fd_slurp(fd, &text);
	im->ignore = orch_globs_new();
	if (r == 0)
		r = im->ignore ? 0 : -ENOMEM;
	if (r == 0 && text.len)
		r = orch_globs_add_text(im->ignore, (const char *)text.data, text.len);
	return r < 0 ? orch_err_sys(err, -r, "ignore file %s", name) : 0;
}

/* Whether the folder is the store or lies in it: asked from the folder upwards. */
static int refuse_store(const struct sync_import_spec *spec, struct orch_err *err)
{
	orch_auto(fd) int dir = -1;
	struct stat st, last = {0};

	if (!spec->store_ino)
		return 0;
	for (int at = spec->root_fd; fstat(at, &st) == 0; at = dir) {
		int up;

		if (st.st_dev == spec->store_dev && st.st_ino == spec->store_ino)
			return orch_err_set(err, EINVAL, "the folder lies in the store itself");
		if (st.st_dev == last.st_dev && st.st_ino == last.st_ino)
			break;
		last = st;
		up = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		orch_fd_close(dir);
		dir = up;
		if (dir < 0)
			break; /* not searchable: then the store is not above it for this user */
	}
	return 0;
}

static void import_fini(struct import *im)
{
	struct import_group *g;

	import_dir_free(im->root.dir);
	free(im->root.xattrs);
	while ((g = im->all_groups)) {
		im->all_groups = g->next;
		free(g);
	}
	sync_inomap_fini(&im->groups);
	orch_globs_free(im->ignore);
	orch_map_close(&im->scan_map);
	pthread_mutex_destroy(&im->group_lock);
}

static int import_run(struct import *im, struct sync_imported *out, struct orch_err *err)
{
	int r = refuse_store(im->spec, err);

	if (r == 0)
		r = load_ignore(im, err);
	if (r < 0)
		return r;
	r = import_index_load(im, out->scan_key);
	if (r < 0)
		return orch_err_sys(err, -r, "scan index");
	r = import_walk(im, err);
	if (r == 0)
		r = import_settle(im, err);
	if (r == 0)
		r = import_lineage(im, err);
	if (r == 0)
		r = import_build(im, out, err);
	if (r == 0)
		r = import_index_save(im, &out->snapshot, err);
	return r;
}

int sync_import(struct sync_task *t, const struct sync_import_spec *spec, struct sync_imported *out,
    struct orch_err *err)
{
	struct import im = {
	    .spec = spec, .task = t, .started_wall_ns = orch_wall_ns(), .groups = SYNC_INOMAP_INIT};
	struct sync_imported made = {0};
	int r;

	pthread_mutex_init(&im.group_lock, NULL);
	r = import_run(&im, &made, err);
	import_fini(&im);
	if (r < 0) {
		orch_err_wrap(err, "import %s", spec->path);
		return r;
	}
	*out = made;
	return 0;
}
