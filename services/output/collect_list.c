/*
 * The walk that lists what the globs of one output take. Iterative; folders where nothing can match are
 * not opened, folders of another file system are not entered, no link is followed.
 */
#include "output/collect_list.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core/fd.h"
#include "core/grow.h"
#include "core/path.h"

struct folder {	    /* waits to be walked */
	char *path; /* "" is the top */
	int line;
};

struct walk {
	int tree;
	dev_t dev;
	const struct out_specs *specs;
	size_t spec;
	const struct out_collect_options *options;
	struct out_collection *all;
	struct out_output *out;
	struct folder *stack;
	size_t depth, stack_cap, files_cap;
};

/* Takes path over, also on failure. */
static int push(struct walk *w, char *path, int line)
{
	int r = orch_grow(&w->stack, &w->stack_cap, w->depth + 1, sizeof(*w->stack));

	if (r < 0) {
		free(path);
		return r;
	}
	w->stack[w->depth++] = (struct folder){path, line};
	return 0;
}

static int add_file(struct walk *w, char *path, enum out_type type)
{
	struct out_output *out = w->out;
	int r = -EOVERFLOW;

	if (w->all->files + out->count < OUT_FILES_MAX)
		r = orch_grow(&out->files, &w->files_cap, out->count + 1, sizeof(*out->files));
	if (r < 0) {
		free(path);
		return r;
	}
	out->files[out->count++] = (struct out_file){.path = path, .type = type};
	return 0;
}

static int add_skipped(struct out_collection *c, char *path)
{
	char **v = reallocarray(c->skipped, c->skipped_count + 1, sizeof(*v));

	if (v == NULL) {
		free(path);
		return -ENOMEM;
	}
	c->skipped = v;
	v[c->skipped_count++] = path;
	return 0;
}

static char *child_path(const char *dir, const char *name)
{
	return dir[0] == '\0' ? strdup(name) : orch_path_join(dir, name);
}

/* What readdir says of a name, else what stat does; DT_UNKNOWN: it has gone. */
static int type_of(int dirfd, const struct dirent *e, unsigned char *out)
{
	struct stat st;

	*out = e->d_type;
	if (e->d_type != DT_UNKNOWN)
		return 0;
	if (fstatat(dirfd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	*out = (unsigned char)IFTODT(st.st_mode);
	return 0;
}

/* One name of a folder; takes path over. *out_taken: something of it belongs to the output. */
static int walk_child(struct walk *w, char *path, unsigned char type, int above, bool *out_taken)
{
	int line = out_specs_line(w->specs, w->spec, path, type == DT_DIR, above);
	bool takes = out_specs_takes(w->specs, w->spec, line);

	if (!takes && (type != DT_DIR || !out_specs_below(w->specs, w->spec, path))) {
		free(path);
		return 0;
	}
	*out_taken = true;
	if (type == DT_DIR && strlen(path) <= ORCH_PATH_MAX - ORCH_NAME_MAX - 1)
		return push(w, path, line);
	if (type == DT_REG || type == DT_LNK)
		return add_file(w, path, type == DT_REG ? OUT_FILE : OUT_SYMLINK);
	return add_skipped(w->all, path);
}

static int walk_name(
    struct walk *w, int dirfd, const struct folder *f, const struct dirent *e, bool *out_taken)
{
	unsigned char type;
	char *path;
	int r;

	if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
		return 0;
	r = type_of(dirfd, e, &type);
	if (r < 0 || type == DT_UNKNOWN)
		return r;
	path = child_path(f->path, e->d_name);
	return path == NULL ? -ENOMEM : walk_child(w, path, type, f->line, out_taken);
}

static DIR *folder_open(struct walk *w, const char *path)
{
	int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
	int fd = path[0] == '\0' ? openat(w->tree, ".", flags)
				 : orch_open_nolinks(w->tree, path, flags, 0);
	DIR *d;

	if (path[0] == '\0' && fd < 0)
		fd = -errno;
	if (fd < 0) {
		errno = -fd;
		return NULL;
	}
	d = fdopendir(fd);
	if (d == NULL)
		orch_fd_close(fd);
	return d;
}

/* A folder that the globs take and that can't be kept for some reason, or holds nothing. */
static int walk_bare(struct walk *w, const struct folder *f, bool mounted)
{
	char *copy;

	if (f->path[0] == '\0' || !out_specs_takes(w->specs, w->spec, f->line))
		return 0;
	copy = strdup(f->path);
	if (copy == NULL)
		return -ENOMEM;
	return mounted ? add_skipped(w->all, copy) : add_file(w, copy, OUT_FOLDER);
}

static int walk_folder(struct walk *w, const struct folder *f, struct orch_err *err)
{
	DIR *d = folder_open(w, f->path);
	bool taken = false, mounted;
	struct dirent *e;
	struct stat st;
	int r;

	if (d == NULL)
		return errno == ENOENT ? 0 : orch_err_sys(err, errno, "folder %s", f->path);
	r = fstat(dirfd(d), &st) < 0 ? -errno : 0;
	mounted = r == 0 && st.st_dev != w->dev;
	while (r == 0 && !mounted && (errno = 0, e = readdir(d)) != NULL) {
		r = walk_name(w, dirfd(d), f, e, &taken);
	}
	if (r == 0 && !mounted)
		r = -errno;
	closedir(d);
	if (r == 0 && !taken)
		r = walk_bare(w, f, mounted);
	if (r == -EOVERFLOW)
		return orch_err_set(
		    err, EOVERFLOW, "outputs have more than %d files", OUT_FILES_MAX);
	return r < 0 ? orch_err_sys(err, -r, "folder %s", f->path[0] == '\0' ? "." : f->path) : 0;
}

static int file_cmp(const void *a, const void *b)
{
	return strcmp(((const struct out_file *)a)->path, ((const struct out_file *)b)->path);
}

static int walk_all(struct walk *w, struct orch_err *err)
{
	char *top = strdup("");
	int r;

	if (top == NULL || push(w, top, -1) < 0)
		return orch_err_set(err, ENOMEM, "no memory for the list of outputs");
	for (r = 0; r == 0 && w->depth > 0;) {
		struct folder f = w->stack[--w->depth];

		if (w->options->cancel != NULL && *w->options->cancel)
			r = orch_err_set(err, ORCH_ECANCELLED, "cancelled");
		else
			r = walk_folder(w, &f, err);
		free(f.path);
	}
	while (w->depth > 0)
		free(w->stack[--w->depth].path);
	free(w->stack);
	if (w->out->count > 1)
		qsort(w->out->files, w->out->count, sizeof(*w->out->files), file_cmp);
	return r;
}

int out_list(int tree, const struct out_specs *specs, size_t spec,
    const struct out_collect_options *options, struct out_collection *all, struct out_output *out,
    struct orch_err *err)
{
	struct walk w = {
	    .tree = tree, .specs = specs, .spec = spec, .options = options, .all = all, .out = out};
	struct stat st;

	if (fstat(tree, &st) < 0)
		return orch_err_sys(err, errno, "workspace");
	w.dev = st.st_dev;
	return walk_all(&w, err);
}
