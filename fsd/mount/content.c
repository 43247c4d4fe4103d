/* Open files behind nodes. See content.h. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core/clock.h"
#include "core/fd.h"
#include "fsd/mount/content.h"
#include "view/object.h"

#define BUCKETS	 8192
#define IDLE_MAX 2048

struct mnt_contents {
	int objects_fd;
	size_t files_max;
	struct mnt_backing_ops backing;
	pthread_mutex_t lock; /* all below, and refs, chain, older, newer of each content */
	struct mnt_content *table[BUCKETS];
	struct mnt_content *stale;	     /* not in the table any more, but in use */
	struct mnt_content *oldest, *newest; /* idle ones */
	size_t idle, count;
	atomic_bool damage_seen;
};

void mnt_spool_name(uint64_t id, char out[24])
{
	snprintf(out, 24, "%llu", (unsigned long long)id);
}

int mnt_contents_new(int objects_fd, size_t files_max, struct mnt_contents **out)
{
	struct mnt_contents *cc = calloc(1, sizeof(*cc));

	if (!cc)
		return -ENOMEM;
	cc->objects_fd = objects_fd;
	cc->files_max = files_max;
	pthread_mutex_init(&cc->lock, NULL);
	*out = cc;
	return 0;
}

void mnt_contents_set_backing(struct mnt_contents *cc, const struct mnt_backing_ops *ops)
{
	cc->backing = *ops;
}

bool mnt_contents_passthrough(const struct mnt_contents *cc)
{
	return cc->backing.open != NULL;
}

static size_t bucket_of(const struct mnt_content_key *k)
{
	uint64_t h;

	memcpy(&h, k->digest.b, sizeof(h));
	h ^= (k->layer * 31 + k->id) * UINT64_C(0x9E3779B97F4A7C15);
	return (size_t)(h >> 24) % BUCKETS;
}

static bool key_eq(const struct mnt_content_key *a, const struct mnt_content_key *b)
{
	return a->layer == b->layer && a->id == b->id && orch_digest_eq(&a->digest, &b->digest);
}

static struct mnt_content **find(struct mnt_contents *cc, const struct mnt_content_key *k)
{
	struct mnt_content **p = &cc->table[bucket_of(k)];

	while (*p && !key_eq(&(*p)->key, k))
		p = &(*p)->chain;
	return p;
}

static void idle_remove(struct mnt_contents *cc, struct mnt_content *c)
{
	*(c->older ? &c->older->newer : &cc->oldest) = c->newer;
	*(c->newer ? &c->newer->older : &cc->newest) = c->older;
	c->older = c->newer = NULL;
	cc->idle--;
}

static void idle_add(struct mnt_contents *cc, struct mnt_content *c)
{
	c->older = cc->newest;
	c->newer = NULL;
	*(cc->newest ? &cc->newest->newer : &cc->oldest) = c;
	cc->newest = c;
	cc->idle++;
}

static void unchain(struct mnt_contents *cc, struct mnt_content *c)
{
	struct mnt_content **p = c->stale ? &cc->stale : &cc->table[bucket_of(&c->key)];

	while (*p != c)
		p = &(*p)->chain;
	*p = c->chain;
}

/* Out of the table and the idle list; the caller destroys it without the lock. */
static void unhook(struct mnt_contents *cc, struct mnt_content *c)
{
	unchain(cc, c);
	idle_remove(cc, c);
	cc->count--;
}

static void destroy(struct mnt_contents *cc, struct mnt_content *c)
{
	if (c->backing > 0)
		cc->backing.close(cc->backing.priv, c->backing);
	orch_fd_close(c->fd);
	free(c);
}

/* The connection is gone, and with it what was registered. */
static void free_chain(struct mnt_content *c)
{
	for (struct mnt_content *next; c; c = next) {
		next = c->chain;
		orch_fd_close(c->fd);
		free(c);
	}
}

void mnt_contents_free(struct mnt_contents *cc)
{
	if (!cc)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		free_chain(cc->table[i]);
	free_chain(cc->stale);
	pthread_mutex_destroy(&cc->lock);
	free(cc);
}

static struct mnt_content *lookup_ref(struct mnt_contents *cc, const struct mnt_content_key *k)
{
	struct mnt_content *c = *find(cc, k);

	if (c && c->refs++ == 0)
		idle_remove(cc, c);
	return c;
}

/* Room for one more: the oldest idle one goes when there are too many. */
static int make_room(struct mnt_contents *cc)
{
	struct mnt_content *victim = NULL;
	int r = 0;

	pthread_mutex_lock(&cc->lock);
	if (cc->count >= cc->files_max) {
		victim = cc->oldest;
		if (victim)
			unhook(cc, victim);
		else
			r = -ENFILE;
	}
	pthread_mutex_unlock(&cc->lock);
	if (victim)
		destroy(cc, victim);
	return r;
}

/* Notes what an object's file is when its content has just been found right. The empty file that
 * stands for a missing one has no name, and nobody else can reach it. */
static void look_at(struct mnt_content *c)
{
	struct stat st;

	if (c->key.layer != 0 || fstat(c->fd, &st) < 0 || st.st_nlink == 0)
		return;
	c->look = (struct mnt_content_look){.dev = st.st_dev,
	    .ino = st.st_ino,
	    .size = st.st_size,
	    .mtime_ns = orch_timespec_ns(&st.st_mtim),
	    .ctime_ns = orch_timespec_ns(&st.st_ctim),
	    .known = true};
}

/* Nobody wrote to the file, or gave it another name, since its content was found right. */
static bool is_as_checked(const struct mnt_content *c)
{
	struct stat st;

	if (!c->look.known)
		return true;
	return fstat(c->fd, &st) == 0 && st.st_nlink > 0 && st.st_size == c->look.size &&
	       orch_timespec_ns(&st.st_mtim) == c->look.mtime_ns &&
	       orch_timespec_ns(&st.st_ctim) == c->look.ctime_ns;
}

/* Whoever has it goes on with it; the next get opens the file by its name. */
static void retire(struct mnt_contents *cc, struct mnt_content *c)
{
	pthread_mutex_lock(&cc->lock);
	if (!c->stale) {
		unchain(cc, c);
		c->stale = c->gone = true;
		c->chain = cc->stale;
		cc->stale = c;
	}
	pthread_mutex_unlock(&cc->lock);
}

/* Puts an open file into the table, unless another thread was faster: then that one is returned. */
static int insert(
    struct mnt_contents *cc, const struct mnt_content_key *k, int fd, struct mnt_content **out)
{
	struct mnt_content *c = calloc(1, sizeof(*c)), *other;

	if (!c) {
		orch_fd_close(fd);
		return -ENOMEM;
	}
	*c = (struct mnt_content){.key = *k, .is_private = k->layer != 0, .fd = fd, .refs = 1};
	look_at(c);
	if (cc->backing.open) {
		int n = cc->backing.open(cc->backing.priv, fd);

		c->backing = n > 0 ? n : 0;
	}
	pthread_mutex_lock(&cc->lock);
	other = lookup_ref(cc, k);
	if (!other) {
		c->chain = cc->table[bucket_of(k)];
		cc->table[bucket_of(k)] = c;
		cc->count++;
	}
	pthread_mutex_unlock(&cc->lock);
	if (other)
		destroy(cc, c);
	*out = other ? other : c;
	return 0;
}

static int open_empty(struct orch_err *err)
{
	int fd = memfd_create("orch-empty", MFD_CLOEXEC);

	return fd < 0 ? orch_err_sys(err, errno, "empty file") : fd;
}

static int open_object(
    struct mnt_contents *cc, const struct orch_digest *d, uint64_t size, struct orch_err *err)
{
	int fd = -1, r;

	if (orch_digest_is_null(d))
		return open_empty(err);
	r = view_object_open(cc->objects_fd, d, size, &fd, err);
	if (r == -ENOENT && size == 0)
		return open_empty(err);
	return r < 0 ? r : fd;
}

static int open_private(int spool_fd, uint64_t id, struct orch_err *err)
{
	char name[24];
	int fd;

	mnt_spool_name(id, name);
	fd = openat(spool_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? orch_err_sys(err, errno, "private file %s", name) : fd;
}

bool mnt_contents_is_quick(
    struct mnt_contents *cc, const struct mnt_content_key *key, uint64_t size)
{
	char path[VIEW_OBJECT_PATH_BYTES];
	const struct mnt_content *c;
	int64_t checked_ns, mtime_ns;
	struct stat st;

	if (key->layer != 0 || size < (1u << 20))
		return true;
	pthread_mutex_lock(&cc->lock);
	c = *find(cc, key);
	checked_ns = c ? c->look.mtime_ns : view_object_mtime_ns(&key->digest);
	pthread_mutex_unlock(&cc->lock);
	view_object_path(&key->digest, path);
	if (fstatat(cc->objects_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return true;
	mtime_ns = orch_timespec_ns(&st.st_mtim);
	return mtime_ns == checked_ns || mtime_ns == view_object_mtime_ns(&key->digest);
}

/* Opens the object by its name, fully checked, in place of one that is not as it was checked. */
static int open_again(struct mnt_contents *cc, const struct mnt_content *was, uint64_t size,
    bool *out_same_file, struct orch_err *err)
{
	struct stat st;
	int fd = open_object(cc, &was->key.digest, size, err);

	*out_same_file = fd >= 0 && fstat(fd, &st) == 0 && st.st_dev == was->look.dev &&
			 st.st_ino == was->look.ino;
	if (!*out_same_file || orch_timespec_ns(&st.st_mtim) != was->look.mtime_ns)
		atomic_store(&cc->damage_seen, true);
	return fd;
}

int mnt_content_check(struct mnt_contents *cc, const struct mnt_content *c, struct orch_err *err)
{
	char hex[ORCH_DIGEST_HEX + 1];
	bool same_file;
	int fd;

	if (is_as_checked(c))
		return 0;
	fd = open_again(cc, c, (uint64_t)c->look.size, &same_file, err);
	if (fd < 0)
		return fd;
	orch_fd_close(fd);
	if (same_file)
		return 0;
	orch_digest_format(&c->key.digest, hex);
	return orch_err_set(err, ORCH_ECORRUPT,
	    "object %s: its file was replaced while it is open here; close it first", hex);
}

bool mnt_contents_damage_seen(struct mnt_contents *cc)
{
	return atomic_load(&cc->damage_seen);
}

int mnt_contents_get(struct mnt_contents *cc, const struct mnt_content_key *key, int spool_fd,
    uint64_t size, struct mnt_content **out, struct orch_err *err)
{
	struct mnt_content *c;
	bool ignored;
	int fd, r;

	pthread_mutex_lock(&cc->lock);
	c = lookup_ref(cc, key);
	pthread_mutex_unlock(&cc->lock);
	if (c && is_as_checked(c)) {
		*out = c;
		return 0;
	}
	if (c) {
		fd = open_again(cc, c, size, &ignored, err);
		retire(cc, c);
		mnt_content_put(cc, c);
		return fd < 0 ? fd : insert(cc, key, fd, out);
	}
	r = make_room(cc);
	if (r < 0)
		return orch_err_sys(err, -r, "too many open files in the workspace");
	fd = key->layer != 0 ? open_private(spool_fd, key->id, err)
			     : open_object(cc, &key->digest, size, err);
	return fd < 0 ? fd : insert(cc, key, fd, out);
}

int mnt_contents_create(struct mnt_contents *cc, uint64_t layer, uint64_t id, int spool_fd,
    struct mnt_content **out, struct orch_err *err)
{
	struct mnt_content_key key = {.layer = layer, .id = id};
	char name[24];
	int fd, r = make_room(cc);

	if (r < 0)
		return orch_err_sys(err, -r, "too many open files in the workspace");
	mnt_spool_name(id, name);
	fd = openat(spool_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return orch_err_sys(err, errno, "private file %s", name);
	r = insert(cc, &key, fd, out);
	if (r < 0)
		unlinkat(spool_fd, name, 0);
	return r;
}

void mnt_content_ref(struct mnt_contents *cc, struct mnt_content *c)
{
	pthread_mutex_lock(&cc->lock);
	ORCH_BUG_ON(c->refs == 0);
	c->refs++;
	pthread_mutex_unlock(&cc->lock);
}

void mnt_content_put(struct mnt_contents *cc, struct mnt_content *c)
{
	struct mnt_content *victim = NULL;

	if (!c)
		return;
	pthread_mutex_lock(&cc->lock);
	if (--c->refs == 0) {
		idle_add(cc, c);
		if (c->gone || cc->idle > IDLE_MAX) {
			victim = c->gone ? c : cc->oldest;
			unhook(cc, victim);
		}
	}
	pthread_mutex_unlock(&cc->lock);
	if (victim)
		destroy(cc, victim);
}

void mnt_content_rekey(struct mnt_contents *cc, struct mnt_content *c, uint64_t layer, uint64_t id)
{
	pthread_mutex_lock(&cc->lock);
	unchain(cc, c);
	c->key = (struct mnt_content_key){.layer = layer, .id = id};
	c->chain = cc->table[bucket_of(&c->key)];
	cc->table[bucket_of(&c->key)] = c;
	pthread_mutex_unlock(&cc->lock);
}

void mnt_contents_drop(struct mnt_contents *cc, const struct mnt_content_key *key)
{
	struct mnt_content *c;

	pthread_mutex_lock(&cc->lock);
	c = *find(cc, key);
	if (c && c->refs > 0) {
		c->gone = true;
		c = NULL;
	}
	if (c)
		unhook(cc, c);
	pthread_mutex_unlock(&cc->lock);
	if (c)
		destroy(cc, c);
}

/* The first idle one of the layer, unhooked. */
static struct mnt_content *take_idle(struct mnt_contents *cc, uint64_t layer)
{
	struct mnt_content *c;

	for (c = cc->oldest; c && c->key.layer != layer; c = c->newer)
		;
	if (c)
		unhook(cc, c);
	return c;
}

void mnt_contents_drop_layer(struct mnt_contents *cc, uint64_t layer)
{
	struct mnt_content *c;

	pthread_mutex_lock(&cc->lock);
	for (size_t i = 0; i < BUCKETS; i++)
		for (c = cc->table[i]; c; c = c->chain)
			if (c->key.layer == layer && c->refs > 0)
				c->gone = true;
	pthread_mutex_unlock(&cc->lock);
	do {
		pthread_mutex_lock(&cc->lock);
		c = take_idle(cc, layer);
		pthread_mutex_unlock(&cc->lock);
		if (c)
			destroy(cc, c);
	} while (c);
}

size_t mnt_contents_count(struct mnt_contents *cc)
{
	size_t n;

	pthread_mutex_lock(&cc->lock);
	n = cc->count;
	pthread_mutex_unlock(&cc->lock);
	return n;
}
