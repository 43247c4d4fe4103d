/*
 * The set of mapped packs. Packs are only ever added to it, so a borrowed byte lives as long as the
 * set. Lock: `lock`, taken for reading by lookups and for writing by a listing; nothing else is
 * locked below it.
 */
#include "view/packset.h"
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core/clock.h"
#include "core/fd.h"
#include "core/guard.h"

#define PACKS_MAX    65536
#define LISTINGS_MAX 100 /* in a row, while packs go away under them */

/* A listing that began less than this after the folder's mtime may have missed a pack that came in
 * the same tick of the file system's clock, so it is not relied on. */
#define MTIME_SLACK_NS INT64_C(100000000)

struct mapped {
	uint64_t n; /* the pack's name; two may have had it, one after the other */
	struct timespec mtime;
	ino_t ino;
	off_t size;
	bool listed; /* it was there when the folder was listed last */
	struct orch_map map;
	struct fmt_pack pack;
	int broken; /* -errno: it can't be used; kept, so that it is not opened again and again */
};

struct view_packset {
	int dirfd;
	pthread_rwlock_t lock;
	struct mapped *v;			 /* newest first; lock */
	size_t count, cap;			 /* lock */
	int64_t folder_mtime_ns, listed_wall_ns; /* of the last listing; lock */
	atomic_uint_least64_t
	    hint; /* name of the pack of the last hit: trees of a snapshot lie together */
};

int view_packset_new(int packs_dirfd, struct view_packset **out, struct orch_err *err)
{
	struct view_packset *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return orch_err_set(err, ENOMEM, "no memory for a set of packs");
	if (pthread_rwlock_init(&s->lock, NULL) != 0) {
		free(s);
		return orch_err_set(err, ENOMEM, "no memory for a set of packs");
	}
	s->dirfd = packs_dirfd;
	*out = s;
	return 0;
}

void view_packset_free(struct view_packset *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->count; i++)
		orch_map_close(&s->v[i].map);
	pthread_rwlock_destroy(&s->lock);
	free(s->v);
	free(s);
}

/* ---- listing ---- */

static bool pack_name(const char *name, uint64_t *out)
{
	uint64_t n = 0;

	if (name[0] == '\0' || (name[0] == '0' && name[1] != '\0'))
		return false;
	for (; *name != '\0'; name++) {
		if (*name < '0' || *name > '9' || __builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*name - '0'), &n))
			return false;
	}
	*out = n;
	return true;
}

/* The place of pack n in the rising-age order; *out_found tells whether it is there. */
static size_t pack_place(const struct view_packset *s, uint64_t n, bool *out_found)
{
	size_t lo = 0, hi = s->count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (s->v[mid].n > n)
			lo = mid + 1;
		else
			hi = mid;
	}
	*out_found = lo < s->count && s->v[lo].n == n;
	return lo;
}

static int pack_slot(struct view_packset *s, size_t place, struct orch_err *err)
{
	size_t cap = s->cap == 0 ? 16 : s->cap * 2;
	struct mapped *v;

	if (s->count == s->cap) {
		if (cap > PACKS_MAX)
			return orch_err_set(err, EMFILE, "more than %d packs", PACKS_MAX);
		v = reallocarray(s->v, cap, sizeof(*v));
		if (v == NULL)
			return orch_err_set(err, ENOMEM, "no memory for a set of packs");
		s->v = v;
		s->cap = cap;
	}
	memmove(&s->v[place + 1], &s->v[place], (s->count - place) * sizeof(*s->v));
	s->count++;
	return 0;
}

static bool is_same(const struct mapped *m, const struct stat *st)
{
	return m->ino == st->st_ino && m->size == st->st_size &&
	       orch_timespec_ns(&m->mtime) == orch_timespec_ns(&st->st_mtim);
}

/* Whether the failure is the file's own, and will be there the next time. */
static bool is_its_own(int r)
{
	return r != -ENOMEM && r != -EMFILE && r != -ENFILE;
}

/* Maps one more pack. A broken one is remembered as such: what it holds may lie in another.
 * 1: it is gone already; what it held lies in a newer one, which this listing may have missed. */
static int pack_add(struct view_packset *s, const char *name, uint64_t n, struct orch_err *err)
{
	struct mapped m = {.n = n, .listed = true};
	struct stat st;
	size_t place;
	bool found;
	int r;

	if (fstatat(s->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 1 : orch_err_sys(err, errno, "pack %s", name);
	place = pack_place(s, n, &found);
	for (size_t i = place; i < s->count && s->v[i].n == n; i++)
		if (is_same(&s->v[i], &st)) {
			s->v[i].listed = true;
			return 0;
		}
	m.ino = st.st_ino;
	m.size = st.st_size;
	m.mtime = st.st_mtim;
	r = orch_map_open(s->dirfd, name, &m.map, err);
	if (r == -ENOENT)
		return 1;
	if (r < 0 && !is_its_own(r)) {
		orch_err_wrap(err, "pack %s", name);
		return r;
	}
	m.broken = r < 0 ? r : fmt_pack_open(m.map.addr, m.map.len, &m.pack, NULL);
	r = pack_slot(s, place, err);
	if (r < 0) {
		orch_map_close(&m.map);
		return r;
	}
	s->v[place] = m;
	return 0;
}

/* 1: the folder changed meanwhile: a name that came while another went may have been missed. */
static int packs_list_once(struct view_packset *s, struct orch_err *err)
{
	int64_t now = orch_wall_ns();
	struct dirent *e;
	struct stat st, after;
	uint64_t n;
	int fd, r = 0, moved = 0;
	DIR *d;

	fd = openat(s->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || (d = fdopendir(fd)) == NULL) {
		r = orch_err_sys(err, errno, "list packs");
		orch_fd_close(fd);
		return r;
	}
	for (size_t i = 0; i < s->count; i++)
		s->v[i].listed = false;
	while (r == 0 && (errno = 0, e = readdir(d)) != NULL) {
		if (pack_name(e->d_name, &n))
			r = pack_add(s, e->d_name, n, err);
		moved = r == 1 ? 1 : moved;
		r = r == 1 ? 0 : r;
	}
	if (r == 0 && errno != 0)
		r = orch_err_sys(err, errno, "list packs");
	if (fstat(fd, &after) < 0 ||
	    orch_timespec_ns(&after.st_mtim) != orch_timespec_ns(&st.st_mtim))
		moved = 1;
	closedir(d);
	if (r == 0) {
		s->folder_mtime_ns = orch_timespec_ns(&st.st_mtim);
		s->listed_wall_ns = now;
	}
	return r < 0 ? r : moved;
}

/* Packs are merged by making the new one first: listed again, it is there. */
static int packs_list(struct view_packset *s, struct orch_err *err)
{
	int r = 1;

	for (int i = 0; r == 1 && i < LISTINGS_MAX; i++)
		r = packs_list_once(s, err);
	return r < 0 ? r : 0;
}

/* Whether another listing could find more. Under lock. */
static bool packs_stale(struct view_packset *s)
{
	struct stat st;

	if (s->listed_wall_ns == 0 || fstat(s->dirfd, &st) < 0)
		return true;
	return orch_timespec_ns(&st.st_mtim) != s->folder_mtime_ns ||
	       s->listed_wall_ns - s->folder_mtime_ns < MTIME_SLACK_NS;
}

/* ---- lookups ---- */

struct query {
	enum fmt_pack_kind kind;
	const struct orch_digest *digest;
	bool only_index; /* presence suffices */
	struct fmt_pack_record rec;
};

static int pack_broken(const struct mapped *m, struct orch_err *err)
{
	unsigned long long n = m->n;

	switch (-m->broken) {
	case ORCH_EFORMAT:
		return orch_err_set(
		    err, ORCH_EFORMAT, "pack %llu can't be read: unknown version", n);
	case ELOOP:
	case EISDIR:
	case ENODEV:
	case ENXIO:
		return orch_err_set(
		    err, ORCH_ECORRUPT, "pack %llu can't be read: not a regular file", n);
	default:
		return orch_err_sys(err, -m->broken, "pack %llu can't be read", n);
	}
}

/* 0, -ENOENT, or ORCH_ECORRUPT with the pack's name in err. */
static int ask_pack(const struct mapped *m, struct query *q, struct orch_err *err)
{
	int r;

	if (m->broken < 0) /* one that was put out of the way says nothing any more */
		return m->listed ? pack_broken(m, err) : -ENOENT;
	if (q->only_index)
		r = fmt_pack_has(&m->pack, q->kind, q->digest) ? 0 : -ENOENT;
	else
		r = fmt_pack_find(&m->pack, q->kind, q->digest, &q->rec, err);
	/* what is whole in it is served; what is not found in it may have been in it */
	if (r == -ENOENT && m->listed && orch_map_broken(&m->map))
		return orch_err_set(err, ORCH_ECORRUPT,
		    "pack %llu was cut or can't be read any more", (unsigned long long)m->n);
	if (r < 0 && r != -ENOENT)
		orch_err_wrap(err, "pack %llu", (unsigned long long)m->n);
	return r;
}

/* All packs, the one of the last hit first, then newest first. Damage counts only when no pack has
 * the record whole. Under lock. */
static int ask_all(struct view_packset *s, struct query *q, struct orch_err *err)
{
	uint64_t hint = atomic_load_explicit(&s->hint, memory_order_relaxed);
	int result = -ENOENT, r;
	size_t at;
	bool found;

	at = pack_place(s, hint, &found);
	if (found && ask_pack(&s->v[at], q, err) == 0)
		return 0;
	for (size_t i = 0; i < s->count; i++) {
		r = ask_pack(&s->v[i], q, err);
		if (r == 0) {
			atomic_store_explicit(&s->hint, s->v[i].n, memory_order_relaxed);
			return 0;
		}
		if (r != -ENOENT)
			result = r;
	}
	return result;
}

static int packset_ask(struct view_packset *s, struct query *q, struct orch_err *err)
{
	bool stale;
	int r;

	pthread_rwlock_rdlock(&s->lock);
	r = ask_all(s, q, err);
	stale = r < 0 && packs_stale(s);
	pthread_rwlock_unlock(&s->lock);
	if (!stale)
		return r;
	pthread_rwlock_wrlock(&s->lock);
	r = packs_list(s, err);
	if (r == 0)
		r = ask_all(s, q, err);
	pthread_rwlock_unlock(&s->lock);
	return r;
}

int view_packset_find(struct view_packset *s, enum fmt_pack_kind kind,
    const struct orch_digest *digest, const uint8_t **out_p, size_t *out_len, struct orch_err *err)
{
	static const char *const nouns[] = {"record", "tree", "stamps", "snapshot", "object"};
	struct query q = {.kind = kind, .digest = digest};
	char hex[ORCH_DIGEST_HEX + 1];
	const char *noun;
	int r = packset_ask(s, &q, err);

	if (r == 0) {
		*out_p = q.rec.p;
		*out_len = q.rec.len;
		return 0;
	}
	orch_digest_format(digest, hex);
	noun = nouns[(size_t)kind < ORCH_ARRAY_LEN(nouns) ? (size_t)kind : 0];
	if (r == -ENOENT)
		return orch_err_set(err, ENOENT, "%s %s is in no pack of this host", noun, hex);
	orch_err_wrap(err, "%s %s", noun, hex);
	return r;
}

int view_packset_tree(struct view_packset *s, const struct orch_digest *digest,
    struct fmt_tree *out, struct orch_err *err)
{
	const uint8_t *p;
	size_t len;
	int r = view_packset_find(s, FMT_PACK_TREE, digest, &p, &len, err);

	return r < 0 ? r : fmt_tree_open(p, len, out, err);
}

int view_packset_stamps(struct view_packset *s, const struct orch_digest *digest,
    struct fmt_stamps *out, struct orch_err *err)
{
	const uint8_t *p;
	size_t len;
	int r = view_packset_find(s, FMT_PACK_STAMPS, digest, &p, &len, err);

	return r < 0 ? r : fmt_stamps_open(p, len, out, err);
}

int view_packset_snapshot(struct view_packset *s, const struct orch_digest *id,
    struct fmt_snapshot *out, struct orch_err *err)
{
	const uint8_t *p;
	size_t len;
	int r = view_packset_find(s, FMT_PACK_SNAPSHOT, id, &p, &len, err);

	return r < 0 ? r : fmt_snapshot_parse(p, len, out, err);
}

bool view_packset_sound(struct view_packset *s, const void *p)
{
	const uint8_t *b = p;
	bool sound = true;

	if (p == NULL || orch_guard_hits() == 0)
		return true;
	pthread_rwlock_rdlock(&s->lock);
	for (size_t i = 0; i < s->count && sound; i++)
		if (b >= s->v[i].map.addr && b < s->v[i].map.addr + s->v[i].map.len)
			sound = !orch_map_broken(&s->v[i].map);
	pthread_rwlock_unlock(&s->lock);
	return sound;
}

bool view_packset_has(
    struct view_packset *s, enum fmt_pack_kind kind, const struct orch_digest *digest)
{
	struct query q = {.kind = kind, .digest = digest, .only_index = true};

	return packset_ask(s, &q, NULL) == 0;
}
