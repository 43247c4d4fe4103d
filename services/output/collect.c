/*
 * Collecting outputs. Two steps for each name: a walk that only lists what its globs take (folders
 * where nothing can match are not opened), then a copy of each. Paths of the tree are resolved
 * beneath it without following any link; so are the places in the output folder, since a link that was
 * collected before may lie there.
 */
#include "output/collect.h"
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core/clock.h"
#include "core/fd.h"
#include "core/path.h"

#define STORED_MODE 0777u /* no set-id bits: who collects is not who built */

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

static bool cancelled(const struct out_collect_options *o)
{
	return o->cancel != NULL && *o->cancel;
}

static int no_memory(struct orch_err *err)
{
	return orch_err_set(err, ENOMEM, "no memory for the list of outputs");
}

/* ---- the list ---- */

/* Takes path over, also on failure. */
static int push(struct walk *w, char *path, int line)
{
	size_t cap = w->stack_cap == 0 ? 64 : w->stack_cap * 2;
	struct folder *v;

	if (w->depth == w->stack_cap) {
		v = reallocarray(w->stack, cap, sizeof(*v));
		if (v == NULL) {
			free(path);
			return -ENOMEM;
		}
		w->stack = v;
		w->stack_cap = cap;
	}
	w->stack[w->depth++] = (struct folder){path, line};
	return 0;
}

static int add_file(struct walk *w, char *path, enum out_type type)
{
	size_t cap = w->files_cap == 0 ? 64 : w->files_cap * 2;
	struct out_file *v;

	if (w->all->files + w->out->count >= OUT_FILES_MAX) {
		free(path);
		return -EOVERFLOW;
	}
	if (w->out->count == w->files_cap) {
		v = reallocarray(w->out->files, cap, sizeof(*v));
		if (v == NULL) {
			free(path);
			return -ENOMEM;
		}
		w->out->files = v;
		w->files_cap = cap;
	}
	w->out->files[w->out->count++] = (struct out_file){.path = path, .type = type};
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

/* One name of a folder; *out_taken: something of it belongs to the output. */
static int walk_child(
    struct walk *w, int dirfd, const struct folder *dir, const char *name, bool *out_taken)
{
	struct stat st;
	char *path;
	int line;
	bool takes;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	path = child_path(dir->path, name);
	if (path == NULL)
		return -ENOMEM;
	line = out_specs_line(w->specs, w->spec, path, S_ISDIR(st.st_mode), dir->line);
	takes = out_specs_takes(w->specs, w->spec, line);
	if (S_ISDIR(st.st_mode) && (takes || out_specs_below(w->specs, w->spec, path))) {
		*out_taken = true;
		if (st.st_dev != w->dev || strlen(path) > ORCH_PATH_MAX - ORCH_NAME_MAX - 1)
			return takes ? add_skipped(w->all, path) : (free(path), 0);
		return push(w, path, line);
	}
	if (S_ISDIR(st.st_mode) || !takes) {
		free(path);
		return 0;
	}
	*out_taken = true;
	if (S_ISREG(st.st_mode) || S_ISLNK(st.st_mode))
		return add_file(w, path, S_ISREG(st.st_mode) ? OUT_FILE : OUT_SYMLINK);
	return add_skipped(w->all, path);
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

static int walk_folder(struct walk *w, const struct folder *f, struct orch_err *err)
{
	DIR *d = folder_open(w, f->path);
	bool taken = false;
	struct dirent *e;
	char *copy;
	int r = 0;

	if (d == NULL)
		return errno == ENOENT ? 0 : orch_err_sys(err, errno, "folder %s", f->path);
	while (r == 0 && (errno = 0, e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = walk_child(w, dirfd(d), f, e->d_name, &taken);
	}
	if (r == 0)
		r = -errno;
	closedir(d);
	if (r == 0 && !taken && f->path[0] != '\0' && out_specs_takes(w->specs, w->spec, f->line)) {
		copy = strdup(f->path);
		r = copy == NULL ? -ENOMEM : add_file(w, copy, OUT_FOLDER);
	}
	if (r == -EOVERFLOW)
		return orch_err_set(
		    err, EOVERFLOW, "outputs have more than %d files", OUT_FILES_MAX);
	return r < 0 ? orch_err_sys(err, -r, "folder %s", f->path[0] == '\0' ? "." : f->path) : 0;
}

static int file_cmp(const void *a, const void *b)
{
	return strcmp(((const struct out_file *)a)->path, ((const struct out_file *)b)->path);
}

static int list_output(struct walk *w, struct orch_err *err)
{
	char *top = strdup("");
	int r;

	if (top == NULL || push(w, top, -1) < 0)
		return no_memory(err);
	for (r = 0; r == 0 && w->depth > 0;) {
		struct folder f = w->stack[--w->depth];

		r = cancelled(w->options) ? orch_err_set(err, ORCH_ECANCELLED, "cancelled")
					  : walk_folder(w, &f, err);
		free(f.path);
	}
	while (w->depth > 0)
		free(w->stack[--w->depth].path);
	free(w->stack);
	if (w->out->count > 1)
		qsort(w->out->files, w->out->count, sizeof(*w->out->files), file_cmp);
	return r;
}

/* ---- the copies ---- */

struct copier {
	int tree, to;
	const struct out_collect_options *options;
	struct out_collection *all;
	struct out_output *out;
	int parent;	   /* open folder in the output folder; -1 */
	char *parent_path; /* which one, relative to it */
	unsigned long temp;
};

/* Makes and opens each folder of a path, none of them through a link. fd or -errno. */
static int folders_make(int to, const char *path)
{
	int fd = fcntl(to, F_DUPFD_CLOEXEC, 0), next;
	char part[NAME_MAX + 1];

	while (fd >= 0 && *path != '\0') {
		size_t n = strcspn(path, "/");

		if (n > NAME_MAX) {
			orch_fd_close(fd);
			return -ENAMETOOLONG;
		}
		memcpy(part, path, n);
		part[n] = '\0';
		path += n + (path[n] == '/');
		if (mkdirat(fd, part, 0755) < 0 && errno != EEXIST)
			next = -1;
		else
			next = openat(fd, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		orch_fd_close(fd);
		fd = next;
	}
	return fd < 0 ? -errno : fd;
}

/* Opens <NAME>/<folder of path> as c->parent; the last one is kept, since files come sorted. */
static int parent_open(struct copier *c, const char *path, struct orch_err *err)
{
	const char *slash = strrchr(path, '/');
	char *want = NULL;

	if (asprintf(&want, "%s%s%.*s", c->out->name, slash == NULL ? "" : "/",
		slash == NULL ? 0 : (int)(slash - path), path) < 0)
		return no_memory(err);
	if (c->parent >= 0 && strcmp(c->parent_path, want) == 0) {
		free(want);
		return 0;
	}
	orch_fd_close(c->parent);
	free(c->parent_path);
	c->parent_path = want;
	c->parent = folders_make(c->to, want);
	if (c->parent < 0)
		return orch_err_sys(err, -c->parent, "output folder %s", want);
	return 0;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? path : slash + 1;
}

static void temp_name(struct copier *c, char out[64])
{
	snprintf(out, 64, ".orch-tmp-%ld-%lu", (long)getpid(), c->temp++);
}

/* The copy has its name: everything or nothing. */
static int publish(
    struct copier *c, const char *temp, const struct out_file *f, struct orch_err *err)
{
	int r = orch_rename(c->parent, temp, c->parent, base_name(f->path), 0);

	if (r < 0)
		return orch_err_sys(err, -r, "output %s/%s", c->out->name, f->path);
	return 0;
}

static int fill_file(struct copier *c, int from, int to, struct out_file *f, struct orch_err *err)
{
	struct timespec times[2];
	enum orch_copy_how how;
	struct stat st;
	int r;

	if (fstat(from, &st) < 0)
		return orch_err_sys(err, errno, "stat");
	r = orch_fd_clone_or_copy(from, to, c->options->cancel, &how, err);
	if (r == 0)
		r = orch_hash_fd(to, 0, &f->digest, NULL, &f->size, err);
	if (r < 0)
		return r;
	f->mode = st.st_mode & STORED_MODE;
	f->mtime_ns = orch_timespec_ns(&st.st_mtim);
	times[0] = times[1] = st.st_mtim;
	if (fchmod(to, f->mode) < 0 || futimens(to, times) < 0)
		return orch_err_sys(err, errno, "mode and time");
	if (how == ORCH_COPY_REFLINKED)
		c->all->shared_bytes += f->size;
	return 0;
}

static int copy_file(struct copier *c, struct out_file *f, struct orch_err *err)
{
	orch_auto(fd) int from =
	    orch_open_nolinks(c->tree, f->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
	orch_auto(fd) int to = -1;
	char temp[64];
	int r;

	if (from < 0)
		return orch_err_sys(err, -from, "open");
	temp_name(c, temp);
	to = openat(c->parent, temp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (to < 0)
		return orch_err_sys(err, errno, "create in the output folder");
	r = fill_file(c, from, to, f, err);
	if (r == 0)
		r = publish(c, temp, f, err);
	if (r < 0)
		unlinkat(c->parent, temp, 0);
	return r;
}

static int copy_symlink(struct copier *c, struct out_file *f, struct orch_err *err)
{
	orch_auto(fd) int from =
	    orch_open_nolinks(c->tree, f->path, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
	struct timespec times[2];
	char target[PATH_MAX], temp[64];
	struct stat st;
	ssize_t n;
	int r;

	if (from < 0)
		return orch_err_sys(err, -from, "open");
	n = readlinkat(from, "", target, sizeof(target) - 1);
	if (n < 0 || fstat(from, &st) < 0)
		return orch_err_sys(err, errno, "read the symlink");
	target[n] = '\0';
	f->target = strdup(target);
	if (f->target == NULL)
		return no_memory(err);
	f->size = (uint64_t)n;
	f->mode = 0777;
	f->mtime_ns = orch_timespec_ns(&st.st_mtim);
	orch_sha256(target, (size_t)n, &f->digest);
	temp_name(c, temp);
	if (symlinkat(target, c->parent, temp) < 0)
		return orch_err_sys(err, errno, "make the symlink");
	times[0] = times[1] = st.st_mtim;
	if (utimensat(c->parent, temp, times, AT_SYMLINK_NOFOLLOW) < 0)
		r = orch_err_sys(err, errno, "time of the symlink");
	else
		r = publish(c, temp, f, err);
	if (r < 0)
		unlinkat(c->parent, temp, 0);
	return r;
}

static int copy_folder(struct copier *c, struct out_file *f, struct orch_err *err)
{
	orch_auto(fd) int from =
	    orch_open_nolinks(c->tree, f->path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	struct timespec times[2];
	struct stat st;

	if (from < 0)
		return orch_err_sys(err, -from, "open");
	if (fstat(from, &st) < 0)
		return orch_err_sys(err, errno, "stat");
	f->mode = st.st_mode & STORED_MODE;
	f->mtime_ns = orch_timespec_ns(&st.st_mtim);
	times[0] = times[1] = st.st_mtim;
	if (mkdirat(c->parent, base_name(f->path), 0755) < 0 && errno != EEXIST)
		return orch_err_sys(err, errno, "make the folder");
	if (fchmodat(c->parent, base_name(f->path), f->mode | 0700, 0) < 0 ||
	    utimensat(c->parent, base_name(f->path), times, AT_SYMLINK_NOFOLLOW) < 0)
		return orch_err_sys(err, errno, "mode and time");
	return 0;
}

static int copy_one(struct copier *c, struct out_file *f, struct orch_err *err)
{
	int r = parent_open(c, f->path, err);

	if (r < 0)
		return r;
	if (f->type == OUT_FILE)
		r = copy_file(c, f, err);
	else
		r = f->type == OUT_SYMLINK ? copy_symlink(c, f, err) : copy_folder(c, f, err);
	if (r < 0) {
		orch_err_wrap(err, "output %s: %s", c->out->name, f->path);
		return r;
	}
	f->produced = c->options->changes == NULL ||
		      out_changes_has(c->options->changes, f->path, strlen(f->path));
	c->out->produced += f->produced;
	c->out->bytes += f->type == OUT_FILE ? f->size : 0;
	c->all->files++;
	c->all->bytes += f->type == OUT_FILE ? f->size : 0;
	return 0;
}

static int copy_output(struct copier *c, struct orch_err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->out->count; i++) {
		if (cancelled(c->options))
			r = orch_err_set(err, ORCH_ECANCELLED, "cancelled");
		else
			r = copy_one(c, &c->out->files[i], err);
		if (r == 0 && c->options->progress != NULL)
			c->options->progress(c->options->priv, c->all->files, c->all->bytes);
	}
	orch_fd_close(c->parent);
	free(c->parent_path);
	return r;
}

int out_collect(int tree, const struct out_specs *specs, int to,
    const struct out_collect_options *options, struct out_collection *out, struct orch_err *err)
{
	struct out_collection c = {0};
	struct stat st;
	int r = 0;

	if (fstat(tree, &st) < 0)
		return orch_err_sys(err, errno, "workspace");
	c.count = out_specs_count(specs);
	c.v = calloc(c.count + 1, sizeof(*c.v));
	if (c.v == NULL)
		return no_memory(err);
	for (size_t i = 0; r == 0 && i < c.count; i++) {
		struct walk w = {.tree = tree,
		    .dev = st.st_dev,
		    .specs = specs,
		    .spec = i,
		    .options = options,
		    .all = &c,
		    .out = &c.v[i]};
		struct copier k = {.tree = tree,
		    .to = to,
		    .options = options,
		    .all = &c,
		    .out = &c.v[i],
		    .parent = -1};

		c.v[i].required = out_specs_required(specs, i);
		c.v[i].name = strdup(out_specs_name(specs, i));
		r = c.v[i].name == NULL ? no_memory(err) : list_output(&w, err);
		if (r == 0)
			r = copy_output(&k, err);
	}
	if (r < 0) {
		out_collection_fini(&c);
		return r;
	}
	*out = c;
	return 0;
}

void out_collection_fini(struct out_collection *c)
{
	for (size_t i = 0; i < c->count; i++) {
		for (size_t k = 0; k < c->v[i].count; k++) {
			free(c->v[i].files[k].path);
			free(c->v[i].files[k].target);
		}
		free(c->v[i].files);
		free(c->v[i].name);
	}
	for (size_t i = 0; i < c->skipped_count; i++)
		free(c->skipped[i]);
	free(c->skipped);
	free(c->v);
	*c = (struct out_collection){0};
}

static bool has_content(const struct out_output *o)
{
	for (size_t i = 0; i < o->count; i++) {
		if (o->files[i].type != OUT_FOLDER)
			return true;
	}
	return false;
}

const char *out_missing(const struct out_collection *c, size_t i)
{
	for (size_t k = 0; k < c->count; k++) {
		if (c->v[k].required && !has_content(&c->v[k]) && i-- == 0)
			return c->v[k].name;
	}
	return NULL;
}
