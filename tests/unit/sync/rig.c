#include "rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "cache/walk.h"
#include "core/clock.h"
#include "core/fd.h"
#include "view/object.h"

void rig_ok(int r, const struct orch_err *err, const char *what)
{
	if (r < 0)
		fail_msg("%s: %d: %s", what, r, err ? err->msg : "");
}

static void on_warning(void *priv, const char *message)
{
	struct rig *g = priv;

	assert_int_equal(orch_buf_printf(&g->told, "%s\n", message), 0);
}

static void on_progress(void *priv, const char *phase, uint64_t files, uint64_t bytes)
{
	assert_true(phase != NULL);
}

static int setup_below(void **state, const char *tmp)
{
	struct rig *g = calloc(1, sizeof(*g));
	struct orch_err err = ORCH_ERR_INIT;
	char path[300];

	snprintf(g->root, sizeof(g->root), "%s/orch-sync-XXXXXX", tmp);
	if (!mkdtemp(g->root))
		return -1;
	orch_buf_init(&g->told, ORCH_BUF_MAX_DEFAULT);
	g->listener =
	    (struct sync_listener){.on_progress = on_progress, .on_warning = on_warning, .priv = g};
	snprintf(path, sizeof(path), "%s/store", g->root);
	RIG_OK(cas_store_open(path, CAS_STORE_CREATE, &g->s, &err), &err);
	*state = g;
	return 0;
}

int rig_setup(void **state)
{
	const char *tmp = getenv("TMPDIR");

	return setup_below(state, tmp ? tmp : "/tmp");
}

int rig_setup_quick(void **state)
{
	return access("/dev/shm", W_OK | X_OK) == 0 ? setup_below(state, "/dev/shm")
						    : rig_setup(state);
}

int rig_teardown(void **state)
{
	struct rig *g = *state;
	int r;

	cas_store_close(g->s);
	r = orch_remove_tree(AT_FDCWD, g->root, NULL);
	orch_buf_fini(&g->told);
	free(g);
	return r;
}

const char *rig_folder(struct rig *g, bool make)
{
	static char paths[10][300];
	char *path = paths[g->folders % 10];

	snprintf(path, sizeof(paths[0]), "%s/f%u", g->root, g->folders++);
	if (make)
		assert_int_equal(mkdir(path, 0755), 0);
	return path;
}

/* ---- text into a folder ---- */

static void make_parents(char *path)
{
	for (char *s = path; (s = strchr(s, '/')); s++) {
		*s = '\0';
		(void)mkdir(path, 0755);
		*s = '/';
	}
}

static void fill_file(char *path, const char *content, int64_t wall_ns)
{
	struct timespec times[2] = {orch_ns_timespec(wall_ns), orch_ns_timespec(wall_ns)};
	char *bang = strchr(path, '!');
	mode_t mode = 0644;
	int fd;

	if (bang) {
		*bang = '\0';
		mode = (mode_t)strtoul(bang + 1, NULL, 8);
	}
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(orch_fd_write_all(fd, content, strlen(content)), 0);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(futimens(fd, times), 0);
	close(fd);
}

static void fill_line(const char *dir, const char *line, size_t len, int64_t wall_ns)
{
	char path[1024], other[1024], *at, kind;

	snprintf(path, sizeof(path), "%s/%.*s", dir, (int)len, line);
	at = strstr(path, "->");
	if (!at)
		at = strchr(path, '=');
	if (!at) {
		make_parents(path);
		return;
	}
	kind = at[0] == '-' ? 'l' : at[1] == '=' ? 'h' : 'f';
	*at = '\0';
	at += kind == 'f' ? 1 : 2;
	make_parents(path);
	snprintf(other, sizeof(other), "%s/%s", dir, at);
	if (kind == 'f')
		fill_file(path, at, wall_ns);
	else if (kind == 'l')
		assert_int_equal(symlink(at, path), 0);
	else
		assert_int_equal(link(other, path), 0);
}

void rig_fill(const char *dir, const char *text)
{
	int64_t wall = 1000000000 * (int64_t)ORCH_NS_PER_S;

	for (const char *end; *text; text = *end ? end + 1 : end) {
		end = strchrnul(text, '\n');
		if (end > text)
			fill_line(dir, text, (size_t)(end - text), wall += ORCH_NS_PER_S);
	}
}

/* ---- running ---- */

struct run {
	struct sync_task task;
	char id[CAS_QUARANTINE_ID_BYTES];
	int fd;
	struct cas_quarantine *q;
};

static void run_begin(struct rig *g, struct run *u)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct cas_quarantine_spec spec = {.objects_fd = cas_store_objects_fd(g->s),
	    .packset = cas_store_packset(g->s),
	    .seed = cas_store_seed(g->s),
	    .cancel = &g->cancel};

	sync_task_init(&u->task, &g->cancel, &g->listener);
	RIG_OK(cas_publish_prepare(g->s, geteuid(), getegid(), u->id, &u->fd, &err), &err);
	spec.dirfd = u->fd;
	RIG_OK(cas_quarantine_open(&spec, &u->q, &err), &err);
}

static void run_end(
    struct rig *g, struct run *u, int r, const struct orch_digest *id, const char *scan_key)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct cas_publish p = {.quarantine = u->id, .scan_key = scan_key};
	struct cas_published done;

	g->read_files = u->task.read_files;
	g->hashed_files = u->task.hashed_files;
	g->skipped = u->task.skipped;
	if (r == 0) {
		RIG_OK(cas_quarantine_finish(u->q, &err), &err);
		p.snapshot = *id;
	}
	cas_quarantine_free(u->q);
	orch_fd_close(u->fd);
	if (r == 0)
		RIG_OK(cas_publish(g->s, &p, &done, &err), &err);
	else
		RIG_OK(cas_publish_drop(g->s, u->id, &err), &err);
	sync_task_fini(&u->task);
}

int rig_try_import(struct rig *g, const struct sync_import_spec *more, const char *dir,
    struct sync_imported *out, struct orch_err *err)
{
	struct sync_import_spec spec = more ? *more : (struct sync_import_spec){0};
	struct run u;
	int r;

	run_begin(g, &u);
	spec.root_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(spec.root_fd >= 0);
	spec.path = dir;
	spec.quarantine = u.q;
	spec.packs = cas_store_packset(g->s);
	spec.objects_fd = cas_store_objects_fd(g->s);
	spec.seed = cas_store_seed(g->s);
	spec.scan_fd = cas_store_scan_fd(g->s);
	spec.ignore_file = ".orchignore";
	spec.uid = geteuid();
	spec.gid = getegid();
	r = sync_import(&u.task, &spec, out, err);
	close(spec.root_fd);
	run_end(g, &u, r, &out->snapshot, out->scan_key);
	return r;
}

struct orch_digest rig_import(struct rig *g, const char *dir, const struct orch_digest *parent)
{
	struct sync_import_spec more = {.parent = parent};
	struct orch_err err = ORCH_ERR_INIT;
	struct sync_imported made;

	RIG_OK(rig_try_import(g, &more, dir, &made, &err), &err);
	return made.snapshot;
}

struct orch_digest rig_make(struct rig *g, const char *text, const struct orch_digest *parent)
{
	const char *dir = rig_folder(g, true);

	rig_fill(dir, text);
	return rig_import(g, dir, parent);
}

int rig_try_export(
    struct rig *g, const struct orch_digest *id, const char *dir, struct orch_err *err)
{
	struct sync_export_spec spec = {.packs = cas_store_packset(g->s),
	    .objects_fd = cas_store_objects_fd(g->s),
	    .snapshot = id,
	    .chown = geteuid() == 0,
	    .uid = geteuid(),
	    .gid = getegid()};
	struct sync_exported done;
	struct sync_task t;
	int r;

	sync_task_init(&t, &g->cancel, &g->listener);
	spec.root_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(spec.root_fd >= 0);
	r = sync_export(&t, &spec, &done, err);
	close(spec.root_fd);
	sync_task_fini(&t);
	return r;
}

int rig_apply(struct rig *g, const struct sync_apply_spec *given, struct sync_applied *out,
    struct orch_err *err)
{
	struct sync_apply_spec spec = *given;
	struct run u;
	int r;

	run_begin(g, &u);
	spec.packs = cas_store_packset(g->s);
	spec.quarantine = u.q;
	r = sync_apply(&u.task, &spec, out, err);
	run_end(g, &u, r, &out->snapshot, NULL);
	return r;
}

int rig_commit(struct rig *g, const struct sync_commit_spec *given, struct sync_committed *out,
    struct orch_err *err)
{
	struct sync_commit_spec spec = *given;
	struct run u;
	int r;

	run_begin(g, &u);
	spec.packs = cas_store_packset(g->s);
	spec.layers_fd = cas_store_layers_fd(g->s);
	spec.quarantine = u.q;
	r = sync_commit(&u.task, &spec, out, err);
	run_end(g, &u, r, &out->snapshot, NULL);
	return r;
}

/* ---- reading back ---- */

struct reader {
	struct rig *rig;
	struct orch_buf text;
	struct { /* first names of files that have several */
		uint64_t ino;
		char path[256];
	} first[64];
	size_t first_count;
	const char *wanted;
	struct fmt_stamp stamp;
	bool found;
};

static void put_content(struct reader *r, const struct fmt_entry *e)
{
	struct orch_err err = ORCH_ERR_INIT;
	int fd;

	RIG_OK(view_object_open(cas_store_objects_fd(r->rig->s), &e->digest, e->size, &fd, &err),
	    &err);
	assert_int_equal(orch_fd_slurp(fd, &r->text), 0);
	close(fd);
}

static const char *first_name(struct reader *r, const struct cas_walk_entry *e)
{
	for (size_t i = 0; i < r->first_count; i++)
		if (r->first[i].ino == e->stamp.ino)
			return r->first[i].path;
	assert_true(r->first_count < ORCH_ARRAY_LEN(r->first));
	r->first[r->first_count].ino = e->stamp.ino;
	snprintf(r->first[r->first_count].path, sizeof(r->first[0].path), "%s", e->path);
	r->first_count++;
	return NULL;
}

static int read_entry(void *priv, const struct cas_walk_entry *e)
{
	struct reader *r = priv;
	const char *first = e->stamp.nlink > 1 ? first_name(r, e) : NULL;
	unsigned usual = e->entry.type == FMT_DIR ? 0755 : e->entry.type == FMT_REG ? 0644 : 0777;

	assert_true(e->stamp.ino > FMT_ROOT_INO);
	if (r->wanted && strcmp(e->path, r->wanted) == 0) {
		r->stamp = e->stamp;
		r->found = true;
	}
	orch_buf_add_str(&r->text, e->path);
	if (first) {
		orch_buf_printf(&r->text, "==%s\n", first);
		return 0;
	}
	if (e->entry.mode != usual)
		orch_buf_printf(&r->text, "!%04o", e->entry.mode);
	if (e->entry.type == FMT_DIR) {
		orch_buf_add_str(&r->text, "/");
	} else if (e->entry.type == FMT_SYMLINK) {
		orch_buf_printf(&r->text, "->%.*s", (int)e->entry.target_len, e->entry.target);
	} else {
		orch_buf_add_str(&r->text, "=");
		put_content(r, &e->entry);
	}
	orch_buf_add_str(&r->text, "\n");
	return 0;
}

static void read_all(struct rig *g, const struct orch_digest *id, struct reader *r)
{
	struct orch_err err = ORCH_ERR_INIT;

	r->rig = g;
	orch_buf_init(&r->text, ORCH_BUF_MAX_DEFAULT);
	RIG_OK(cas_walk(cas_store_packset(g->s), id, read_entry, r, &err), &err);
}

char *rig_text(struct rig *g, const struct orch_digest *id)
{
	struct reader r = {.wanted = NULL};

	read_all(g, id, &r);
	return orch_buf_take_str(&r.text);
}

void rig_expect(struct rig *g, const struct orch_digest *id, const char *text)
{
	char *got = rig_text(g, id);

	assert_string_equal(got, text);
	free(got);
}

struct fmt_stamp rig_stamp(struct rig *g, const struct orch_digest *id, const char *path)
{
	struct reader r = {.wanted = path};

	read_all(g, id, &r);
	orch_buf_fini(&r.text);
	if (!r.found)
		fail_msg("no %s", path);
	return r.stamp;
}

struct fmt_snapshot rig_snapshot(struct rig *g, const struct orch_digest *id)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct fmt_snapshot s;

	RIG_OK(view_packset_snapshot(cas_store_packset(g->s), id, &s, &err), &err);
	return s;
}

/* ---- a folder on disk as text ---- */

struct description {
	struct orch_buf text;
	struct {
		ino_t ino;
		char path[600];
	} first[4096];
	size_t first_count;
};

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void describe_xattrs(struct description *d, const char *path)
{
	char names[4096], value[4096], *list[64];
	ssize_t n = llistxattr(path, names, sizeof(names));
	size_t count = 0;

	for (ssize_t i = 0; i < n; i += (ssize_t)strlen(names + i) + 1)
		if (strncmp(names + i, "user.", 5) == 0 && count < ORCH_ARRAY_LEN(list))
			list[count++] = names + i;
	if (count)
		qsort(list, count, sizeof(*list), by_text);
	for (size_t i = 0; i < count; i++) {
		ssize_t len = lgetxattr(path, list[i], value, sizeof(value));

		assert_true(len >= 0);
		orch_buf_printf(&d->text, " %s=", list[i]);
		for (ssize_t k = 0; k < len; k++)
			orch_buf_printf(&d->text, "%02x", (unsigned char)value[k]);
	}
}

static void describe_links(struct description *d, const struct stat *st, const char *rel)
{
	for (size_t i = 0; i < d->first_count; i++)
		if (d->first[i].ino == st->st_ino) {
			orch_buf_printf(
			    &d->text, " links=%u==%s", (unsigned)st->st_nlink, d->first[i].path);
			return;
		}
	assert_true(d->first_count < ORCH_ARRAY_LEN(d->first));
	d->first[d->first_count].ino = st->st_ino;
	snprintf(d->first[d->first_count++].path, sizeof(d->first[0].path), "%s", rel);
	orch_buf_printf(&d->text, " links=%u", (unsigned)st->st_nlink);
}

static void describe_content(struct description *d, const char *path, const struct stat *st)
{
	char target[4096], hex[ORCH_DIGEST_HEX + 1];
	struct orch_digest digest;
	uint64_t bytes;
	int fd;

	if (S_ISLNK(st->st_mode)) {
		ssize_t n = readlink(path, target, sizeof(target));

		assert_true(n > 0);
		orch_buf_printf(&d->text, " ->%.*s", (int)n, target);
	} else if (S_ISREG(st->st_mode)) {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		assert_true(fd >= 0);
		assert_int_equal(orch_hash_fd(fd, 0, &digest, NULL, &bytes, NULL), 0);
		close(fd);
		orch_digest_format(&digest, hex);
		orch_buf_printf(&d->text, " %" PRIu64 " %s", bytes, hex);
	}
}

static void describe(struct description *d, const char *path, const char *rel)
{
	struct dirent **list;
	struct stat st;
	int n;

	assert_int_equal(lstat(path, &st), 0);
	orch_buf_printf(&d->text, "%s %o %u:%u %lld", rel, st.st_mode, st.st_uid, st.st_gid,
	    (long long)orch_timespec_ns(&st.st_mtim));
	if (!S_ISDIR(st.st_mode) && st.st_nlink > 1)
		describe_links(d, &st, rel);
	describe_xattrs(d, path);
	describe_content(d, path, &st);
	orch_buf_add_str(&d->text, "\n");
	if (!S_ISDIR(st.st_mode))
		return;
	n = scandir(path, &list, NULL, alphasort);
	assert_true(n >= 0);
	for (int i = 0; i < n; i++) {
		char sub[2000], sub_rel[2000];

		snprintf(sub, sizeof(sub), "%s/%s", path, list[i]->d_name);
		snprintf(sub_rel, sizeof(sub_rel), "%s/%s", rel, list[i]->d_name);
		if (strcmp(list[i]->d_name, ".") != 0 && strcmp(list[i]->d_name, "..") != 0)
			describe(d, sub, sub_rel);
		free(list[i]);
	}
	free(list);
}

char *rig_describe(const char *dir)
{
	struct description *d = calloc(1, sizeof(*d));
	char *text;

	orch_buf_init(&d->text, (size_t)256 << 20);
	describe(d, dir, ".");
	text = orch_buf_take_str(&d->text);
	free(d);
	return text;
}

uint64_t rig_random(uint64_t *seed)
{
	uint64_t z = (*seed += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}
