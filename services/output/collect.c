/*
 * Collecting outputs: a walk that only lists (collect_list.h), then a copy of each file, several at a
 * time. Paths of the tree are resolved beneath it without following any link; so are the places in the
 * output folder, since a link that was collected before may lie there.
 * Lock: `lock` of a copier guards the sums and the first error; nothing else is locked below it.
 */
#include "output/collect.h"
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core/clock.h"
#include "core/fd.h"
#include "core/path.h"
#include "core/pool.h"
#include "output/collect_list.h"

#define STORED_MODE 0777u /* no set-id bits: who collects is not who built */
#define COPIES_MAX  8	  /* at once */
#define QUEUE_MAX   64	  /* each waiting copy holds a descriptor */

static bool cancelled(const struct out_collect_options *o)
{
	return o->cancel != NULL && *o->cancel;
}

static int no_memory(struct orch_err *err)
{
	return orch_err_set(err, ENOMEM, "no memory for the list of outputs");
}

struct copier {
	int tree, to;
	const struct out_collect_options *options;
	struct orch_pool *pool;
	struct out_collection *all; /* sums: lock */
	struct out_output *out;	    /* sums: lock */
	int parent;		    /* open folder in the output folder; -1 */
	char *parent_path;	    /* which one, relative to it */
	pthread_mutex_t lock;
	unsigned long temp;    /* lock */
	int failed;	       /* lock; -errno of the first copy that failed */
	struct orch_err first; /* lock; what it said */
};

struct copy { /* of one file; in another thread */
	struct copier *c;
	struct out_file *f;
	int parent; /* owned: the folder that it goes to */
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
	unsigned long n;

	pthread_mutex_lock(&c->lock);
	n = c->temp++;
	pthread_mutex_unlock(&c->lock);
	snprintf(out, 64, ".orch-tmp-%ld-%lu", (long)getpid(), n);
}

/* The copy has its name: everything or nothing. */
static int publish(int parent, const char *temp, const struct out_file *f, struct orch_err *err)
{
	int r = orch_rename(parent, temp, parent, base_name(f->path), 0);

	return r < 0 ? orch_err_sys(err, -r, "rename") : 0;
}

static int fill_file(struct copier *c, int from, int to, struct out_file *f, struct orch_err *err)
{
	struct timespec times[2];
	enum orch_copy_how how;
	struct stat st;
	int r;

	if (fstat(from, &st) < 0)
		return orch_err_sys(err, errno, "stat");
	if (!S_ISREG(st.st_mode))
		return orch_err_set(err, ENXIO, "it is no file any more");
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
	if (how == ORCH_COPY_REFLINKED) {
		pthread_mutex_lock(&c->lock);
		c->all->shared_bytes += f->size;
		pthread_mutex_unlock(&c->lock);
	}
	return 0;
}

static int copy_file(struct copier *c, int parent, struct out_file *f, struct orch_err *err)
{
	orch_auto(fd) int from =
	    orch_open_nolinks(c->tree, f->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
	orch_auto(fd) int to = -1;
	char temp[64];
	int r;

	if (from < 0)
		return orch_err_sys(err, -from, "open");
	temp_name(c, temp);
	to = openat(parent, temp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (to < 0)
		return orch_err_sys(err, errno, "create in the output folder");
	r = fill_file(c, from, to, f, err);
	if (r == 0)
		r = publish(parent, temp, f, err);
	if (r < 0)
		unlinkat(parent, temp, 0);
	return r;
}

/* Reads the link itself into f. */
static int read_symlink(struct copier *c, struct out_file *f, struct stat *st, struct orch_err *err)
{
	orch_auto(fd) int from =
	    orch_open_nolinks(c->tree, f->path, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
	char target[PATH_MAX];
	ssize_t n;

	if (from < 0)
		return orch_err_sys(err, -from, "open");
	n = readlinkat(from, "", target, sizeof(target) - 1);
	if (n < 0 || fstat(from, st) < 0)
		return orch_err_sys(err, errno, "read the symlink");
	target[n] = '\0';
	f->target = strdup(target);
	if (f->target == NULL)
		return no_memory(err);
	f->size = (uint64_t)n;
	f->mode = 0777;
	f->mtime_ns = orch_timespec_ns(&st->st_mtim);
	orch_sha256(target, (size_t)n, &f->digest);
	return 0;
}

static int copy_symlink(struct copier *c, int parent, struct out_file *f, struct orch_err *err)
{
	struct timespec times[2];
	struct stat st;
	char temp[64];
	int r = read_symlink(c, f, &st, err);

	if (r < 0)
		return r;
	temp_name(c, temp);
	if (symlinkat(f->target, parent, temp) < 0)
		return orch_err_sys(err, errno, "make the symlink");
	times[0] = times[1] = st.st_mtim;
	if (utimensat(parent, temp, times, AT_SYMLINK_NOFOLLOW) < 0)
		r = orch_err_sys(err, errno, "time of the symlink");
	else
		r = publish(parent, temp, f, err);
	if (r < 0)
		unlinkat(parent, temp, 0);
	return r;
}

static int copy_folder(struct copier *c, int parent, struct out_file *f, struct orch_err *err)
{
	orch_auto(fd) int from =
	    orch_open_nolinks(c->tree, f->path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	orch_auto(fd) int to = -1;
	struct timespec times[2];
	struct stat st;

	if (from < 0)
		return orch_err_sys(err, -from, "open");
	if (fstat(from, &st) < 0)
		return orch_err_sys(err, errno, "stat");
	f->mode = st.st_mode & STORED_MODE;
	f->mtime_ns = orch_timespec_ns(&st.st_mtim);
	times[0] = times[1] = st.st_mtim;
	to = folders_make(parent, base_name(f->path));
	if (to < 0)
		return orch_err_sys(err, -to, "make the folder");
	if (fchmod(to, f->mode | 0700) < 0 || futimens(to, times) < 0)
		return orch_err_sys(err, errno, "mode and time");
	return 0;
}

static void copy_count(struct copier *c, struct out_file *f)
{
	f->produced = c->options->changes == NULL ||
		      out_changes_has(c->options->changes, f->path, strlen(f->path));
	pthread_mutex_lock(&c->lock);
	c->out->produced += f->produced;
	c->all->files++;
	if (f->type == OUT_FILE) {
		c->out->bytes += f->size;
		c->all->bytes += f->size;
	}
	pthread_mutex_unlock(&c->lock);
}

static void copy_failed(struct copier *c, const struct out_file *f, int r, struct orch_err *err)
{
	orch_err_wrap(err, "output %s: %s", c->out->name, f->path);
	pthread_mutex_lock(&c->lock);
	if (c->failed == 0) {
		c->failed = r;
		c->first = *err;
	}
	pthread_mutex_unlock(&c->lock);
}

static void copy_run(void *arg)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct copy *job = arg;
	struct copier *c = job->c;
	struct out_file *f = job->f;
	int r;

	switch (f->type) {
	case OUT_FILE:
		r = copy_file(c, job->parent, f, &err);
		break;
	case OUT_SYMLINK:
		r = copy_symlink(c, job->parent, f, &err);
		break;
	default:
		r = copy_folder(c, job->parent, f, &err);
		break;
	}
	if (r == 0)
		copy_count(c, f);
	else
		copy_failed(c, f, r, &err);
	orch_fd_close(job->parent);
	free(job);
}

static int copy_add(struct copier *c, struct out_file *f, struct orch_err *err)
{
	struct copy *job;
	int r = parent_open(c, f->path, err);

	if (r < 0)
		return r;
	job = malloc(sizeof(*job));
	if (job == NULL)
		return no_memory(err);
	*job = (struct copy){c, f, fcntl(c->parent, F_DUPFD_CLOEXEC, 0)};
	if (job->parent < 0) {
		free(job);
		return orch_err_sys(err, errno, "output folder %s", c->parent_path);
	}
	orch_pool_add(c->pool, copy_run, job);
	return 0;
}

/* Whether to go on; tells how far it is. */
static bool copy_going(struct copier *c)
{
	uint64_t bytes;
	size_t files;
	bool going;

	pthread_mutex_lock(&c->lock);
	going = c->failed == 0;
	files = c->all->files;
	bytes = c->all->bytes;
	pthread_mutex_unlock(&c->lock);
	if (going && c->options->progress != NULL)
		c->options->progress(c->options->priv, files, bytes);
	return going && !cancelled(c->options);
}

static int copy_output(struct copier *c, struct orch_err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->out->count && copy_going(c); i++)
		r = copy_add(c, &c->out->files[i], err);
	orch_pool_drain(c->pool);
	orch_fd_close(c->parent);
	free(c->parent_path);
	c->parent = -1;
	c->parent_path = NULL;
	if (r == 0 && cancelled(c->options))
		r = orch_err_set(err, ORCH_ECANCELLED, "cancelled");
	if (r == 0 && c->failed < 0) {
		if (err != NULL)
			*err = c->first;
		r = c->failed;
	}
	(void)copy_going(c);
	return r;
}

static int collect_all(struct copier *k, const struct out_specs *specs, struct orch_err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < k->all->count; i++) {
		k->out = &k->all->v[i];
		k->out->required = out_specs_required(specs, i);
		k->out->name = strdup(out_specs_name(specs, i));
		if (k->out->name == NULL)
			return no_memory(err);
		r = out_list(k->tree, specs, i, k->options, k->all, k->out, err);
		if (r == 0)
			r = copy_output(k, err);
	}
	return r;
}

int out_collect(int tree, const struct out_specs *specs, int to,
    const struct out_collect_options *options, struct out_collection *out, struct orch_err *err)
{
	struct out_collection c = {.count = out_specs_count(specs)};
	unsigned threads = orch_cpu_count() < COPIES_MAX ? orch_cpu_count() : COPIES_MAX;
	struct copier k = {.tree = tree, .to = to, .options = options, .all = &c, .parent = -1};
	int r;

	*out = (struct out_collection){0};
	c.v = calloc(c.count + 1, sizeof(*c.v));
	k.pool = orch_pool_new(threads, QUEUE_MAX);
	if (c.v == NULL || k.pool == NULL) {
		orch_pool_free(k.pool);
		free(c.v);
		return no_memory(err);
	}
	pthread_mutex_init(&k.lock, NULL);
	r = collect_all(&k, specs, err);
	orch_pool_free(k.pool);
	pthread_mutex_destroy(&k.lock);
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
