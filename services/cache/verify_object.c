/*
 * Objects: every file is hashed, by a pool of threads, and compared with its name, its record and
 * the rules for mode and mtime; then every record is looked for as a file.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cache/verify_priv.h"
#include "core/clock.h"
#include "core/fd.h"
#include "core/pool.h"
#include "view/object.h"

struct task {
	struct verify *v;
	struct orch_digest digest;
};

struct walk {
	struct verify *v;
	struct orch_pool *pool;
	char folder[8]; /* "ab" or "ab/cd" */
};

/* ---- one object, on any thread ---- */

struct found {
	struct verify *v;
	char path[VIEW_OBJECT_PATH_BYTES];
	struct cas_object object;
	struct stat st;
	int fd;
};

static int is_wrong(struct found *f, const char *error)
{
	const char *hex = f->path + 6;
	bool repaired = f->v->spec->repair &&
			verify_move_away(f->v, f->v->s->objects_fd, f->path, hex, NULL) == 0;

	if (repaired)
		verify_note_away(f->v, &f->object.digest);
	return verify_bad(f->v, CAS_BAD_OBJECT, hex, error, repaired);
}

/* The bytes are right, what is around them is not. */
static int is_mended(struct found *f, const char *error)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};
	bool repaired;

	times[1] = orch_ns_timespec(view_object_mtime_ns(&f->object.digest));
	repaired = f->v->spec->repair &&
		   (f->st.st_uid == geteuid() || fchown(f->fd, geteuid(), getegid()) == 0) &&
		   fchmod(f->fd, 0444) == 0 && futimens(f->fd, times) == 0 &&
		   orch_fd_sync(f->fd) == 0;
	return verify_bad(f->v, CAS_BAD_OBJECT, f->path + 6, error, repaired);
}

static bool mtime_is_right(const struct found *f)
{
	int64_t want = view_object_mtime_ns(&f->object.digest);
	int64_t got = orch_timespec_ns(&f->st.st_mtim);

	return got == want ||
	       (f->st.st_mtim.tv_nsec == 0 && got == want - want % (int64_t)ORCH_NS_PER_S);
}

/* is_new: it had none, so it is counted now. */
static int put_record(struct verify *v, const struct cas_object *o, bool is_new)
{
	struct cas_counters c;
	struct cas_batch *b = cas_batch_new();
	int r;

	if (!b)
		return -ENOMEM;
	pthread_mutex_lock(&v->s->change_lock);
	c = v->s->counters;
	c.objects += is_new;
	c.object_bytes += is_new ? o->size : 0;
	cas_object_put(b, o);
	cas_counters_put(b, &c);
	r = cas_db_commit(v->s->db, b, NULL);
	if (r == 0)
		v->s->counters = c;
	pthread_mutex_unlock(&v->s->change_lock);
	cas_batch_free(b);
	return r;
}

/* Without a record, while no publish is between moving and recording it. */
static int has_no_record(struct found *f)
{
	bool idle = atomic_load(&f->v->s->publishing) == 0;
	struct cas_object o;

	if (cas_object_load(f->v->s, &f->object.digest, &o, NULL) != -ENOENT || !idle)
		return 0;
	return verify_bad(f->v, CAS_BAD_OBJECT, f->path + 6, "the database does not know it",
	    f->v->spec->repair && put_record(f->v, &f->object, true) == 0);
}

/* A record that can't be read is mended here, or else told by the database's part. */
static int compare_record(struct found *f)
{
	struct cas_object o;
	int r = cas_object_load(f->v->s, &f->object.digest, &o, NULL);

	if (r == -ENOENT)
		return has_no_record(f);
	if (r < 0 && !f->v->spec->repair)
		return 0;
	if (r == 0 && o.size == f->object.size && o.fingerprint.lo == f->object.fingerprint.lo &&
	    o.fingerprint.hi == f->object.fingerprint.hi)
		return 0;
	return verify_bad(f->v, CAS_BAD_DATABASE, f->path + 6, "the object's record is wrong",
	    f->v->spec->repair && put_record(f->v, &f->object, false) == 0);
}

/* What can't be read is read once more before it is called bad. */
static int hash(struct found *f, struct orch_digest *out, uint64_t *out_bytes, struct orch_err *err)
{
	int r = -EIO;

	for (int i = 0; i < 2 && r == -EIO; i++)
		r = orch_hash_fd(f->fd, f->v->s->seed, out, &f->object.fingerprint, out_bytes, err);
	return r;
}

static int check_content(struct found *f)
{
	struct orch_err why = ORCH_ERR_INIT;
	struct orch_digest digest;
	uint64_t bytes = 0;
	int r = hash(f, &digest, &bytes, &why);

	if (r == -EIO) /* out of the way, so that another copy can take its place */
		return is_wrong(f, why.msg);
	if (r < 0)
		return verify_bad(f->v, CAS_BAD_OBJECT, f->path + 6, why.msg, false);
	f->object.size = bytes;
	if (!orch_digest_eq(&digest, &f->object.digest))
		r = is_wrong(f, "its SHA-256 is not its name");
	else if (f->st.st_uid != geteuid()) /* who may make it writable, and write */
		r = is_mended(f, "it belongs to another user");
	else if ((f->st.st_mode & 07777) != 0444)
		r = is_mended(f, "its mode is not 0444");
	else if (!mtime_is_right(f))
		r = is_mended(f, "its mtime is not the one it was published with");
	if (r == 0 && orch_digest_eq(&digest, &f->object.digest))
		r = compare_record(f);
	return r < 0 ? r : verify_done(f->v, bytes);
}

static int check_object(struct found *f)
{
	f->fd =
	    openat(f->v->s->objects_fd, f->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (f->fd < 0 && errno == ENOENT)
		return 0; /* gc was faster */
	if (f->fd < 0 && errno == ELOOP)
		return is_wrong(f, "it is a symbolic link");
	if (f->fd < 0 || fstat(f->fd, &f->st) < 0)
		return verify_bad(f->v, CAS_BAD_OBJECT, f->path + 6, strerrordesc_np(errno), false);
	if (!S_ISREG(f->st.st_mode))
		return is_wrong(f, "it is not a file");
	return check_content(f);
}

static void run_task(void *arg)
{
	struct task *t = arg;
	struct found f = {.v = t->v, .fd = -1};

	f.object.digest = t->digest;
	view_object_path(&t->digest, f.path);
	if (atomic_load(&t->v->stop) == 0)
		verify_fail(t->v, check_object(&f));
	orch_fd_close(f.fd);
	free(t);
}

/* ---- the folders ---- */

static int is_stray(struct walk *w, int dirfd, const char *name)
{
	char text[300], as[320];
	bool repaired;

	snprintf(text, sizeof(text), "objects/%s%s%.255s", w->folder, *w->folder ? "/" : "", name);
	snprintf(as, sizeof(as), "objects-%.2s%.2s-%.255s", w->folder,
	    w->folder[0] && w->folder[2] ? w->folder + 3 : "", name);
	repaired = w->v->spec->repair && verify_move_away(w->v, dirfd, name, as, NULL) == 0;
	return verify_bad(w->v, CAS_BAD_STRAY, text, "it is not an object", repaired);
}

static int see_object(void *priv, int dirfd, const char *name)
{
	char path[VIEW_OBJECT_PATH_BYTES], here[VIEW_OBJECT_PATH_BYTES + 256];
	struct walk *w = priv;
	struct orch_digest digest;
	struct task *t;

	snprintf(here, sizeof(here), "%s/%.255s", w->folder, name);
	if (strlen(name) != ORCH_DIGEST_HEX || orch_digest_parse(name, &digest) < 0)
		return is_stray(w, dirfd, name);
	view_object_path(&digest, path);
	if (strcmp(path, here) != 0)
		return is_stray(w, dirfd, name);
	t = malloc(sizeof(*t));
	if (!t)
		return verify_fail(w->v, -ENOMEM);
	*t = (struct task){w->v, digest};
	orch_pool_add(w->pool, run_task, t);
	return atomic_load(&w->v->stop);
}

static bool is_folder(int dirfd, const char *name)
{
	struct stat st;

	return strlen(name) == 2 && strspn(name, "0123456789abcdef") == 2 &&
	       fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static int see_second(void *priv, int dirfd, const char *name)
{
	struct walk *w = priv;
	int r;

	if (!is_folder(dirfd, name))
		return is_stray(w, dirfd, name);
	snprintf(w->folder + 2, sizeof(w->folder) - 2, "/%.2s", name);
	r = cas_dir_each(dirfd, name, see_object, w, NULL);
	w->folder[2] = '\0';
	return verify_fail(w->v, r);
}

static int see_first(void *priv, int dirfd, const char *name)
{
	struct walk *w = priv;
	int r;

	if (!is_folder(dirfd, name))
		return is_stray(w, dirfd, name);
	snprintf(w->folder, sizeof(w->folder), "%.2s", name);
	r = cas_dir_each(dirfd, name, see_second, w, NULL);
	w->folder[0] = '\0';
	return verify_fail(w->v, r);
}

/* ---- records without a file ---- */

struct missing {
	struct verify *v;
	struct cas_batch *gone;
	uint64_t count, bytes;
};

static int see_record(void *priv, const struct cas_db_item *item)
{
	char hex[ORCH_DIGEST_HEX + 1];
	struct missing *m = priv;
	struct cas_object o;
	struct cas_key key;

	if (item->status < 0 ||
	    cas_object_parse(item->key, item->key_len, item->value, item->value_len, &o) < 0)
		return 0;
	if (view_object_exists(m->v->s->objects_fd, &o.digest, o.size) != 0)
		return 0;
	orch_digest_format(&o.digest, hex);
	key = (struct cas_key){CAS_KIND_OBJECT, o.digest.b, ORCH_DIGEST_BYTES};
	cas_batch_remove(m->gone, &key);
	m->count++;
	m->bytes += o.size;
	if (verify_is_away(m->v, &o.digest))
		return 0;
	return verify_bad(m->v, CAS_BAD_OBJECT, hex,
	    m->v->spec->repair ? "it was missing; its record was removed" : "it is missing",
	    m->v->spec->repair);
}

/* change_lock is held. */
static int forget_missing(struct missing *m, struct orch_err *err)
{
	struct cas_store *s = m->v->s;
	struct cas_counters c = s->counters;
	int r;

	c.objects -= m->count < c.objects ? m->count : c.objects;
	c.object_bytes -= m->bytes < c.object_bytes ? m->bytes : c.object_bytes;
	cas_counters_put(m->gone, &c);
	r = cas_db_commit(s->db, m->gone, err);
	if (r == 0)
		s->counters = c;
	return r;
}

static int find_missing(struct verify *v, struct orch_err *err)
{
	struct cas_key all = {CAS_KIND_OBJECT, NULL, 0};
	struct missing m = {.v = v, .gone = cas_batch_new()};
	int r;

	if (!m.gone)
		return orch_err_set(err, ENOMEM, "out of memory");
	r = cas_db_each(v->s->db, &all, see_record, &m, err);
	if (r == 0 && v->spec->repair && m.count > 0) {
		pthread_mutex_lock(&v->s->change_lock);
		r = forget_missing(&m, err);
		pthread_mutex_unlock(&v->s->change_lock);
	}
	cas_batch_free(m.gone);
	return r;
}

int verify_objects(struct verify *v, struct orch_err *err)
{
	struct walk w = {.v = v};
	int r;

	w.pool = orch_pool_new(v->spec->threads, 1024);
	if (!w.pool)
		return orch_err_set(err, ENOMEM, "out of memory");
	r = cas_dir_each(v->s->root_fd, "objects", see_first, &w, err);
	orch_pool_free(w.pool);
	r = verify_fail(v, r);
	return r < 0 ? r : find_missing(v, err);
}

/* ---- the counters ---- */

static int count_record(void *priv, const struct cas_db_item *item)
{
	struct cas_counters *c = priv;
	struct cas_object o;

	if (item->status < 0 ||
	    cas_object_parse(item->key, item->key_len, item->value, item->value_len, &o) < 0)
		return 0;
	c->objects++;
	c->object_bytes += o.size;
	return 0;
}

static int save_counters(struct verify *v, const struct cas_counters *c)
{
	struct cas_batch *b = cas_batch_new();
	int r;

	if (!b)
		return -ENOMEM;
	cas_counters_put(b, c);
	r = cas_db_commit(v->s->db, b, NULL);
	if (r == 0)
		v->s->counters = *c;
	cas_batch_free(b);
	return r;
}

int verify_counters(struct verify *v, struct orch_err *err)
{
	struct cas_key all = {CAS_KIND_OBJECT, NULL, 0};
	struct cas_counters c = {0};
	bool wrong, repaired = false;
	int r;

	pthread_mutex_lock(&v->s->change_lock);
	r = cas_db_each(v->s->db, &all, count_record, &c, err);
	wrong = r == 0 && (c.objects != v->s->counters.objects ||
			      c.object_bytes != v->s->counters.object_bytes);
	if (wrong && v->spec->repair)
		repaired = save_counters(v, &c) == 0;
	pthread_mutex_unlock(&v->s->change_lock);
	if (wrong)
		r = verify_bad(v, CAS_BAD_DATABASE, "meta counters",
		    "the counts of objects are wrong", repaired);
	return r;
}
