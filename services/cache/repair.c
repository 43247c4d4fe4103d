/* See repair.h. One thread; the store's lock is held from the first look to the last rename. */
#include "cache/repair.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cache/layer.h"
#include "cache/pack.h"
#include "cache/ref_copy.h"
#include "cache/snapshot.h"
#include "cache/verify_priv.h"
#include "core/path.h"

#define AWAY CAS_AWAY

struct repair {
	const struct cas_repair_spec *spec;
	struct cas_store *s;
	char db[40]; /* "quarantine/db-3" */
	int to_fd;   /* of that folder */
	struct orch_err *err;
};

static ORCH_PRINTF(2, 3) void tell(const struct cas_repair_spec *spec, const char *fmt, ...)
{
	char line[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	spec->tell(spec->priv, line);
}

/* ---- what RocksDB can read ---- */

/* Tables and logs hold the records, a repair makes everything else from them. */
static bool holds_records(const char *name)
{
	const char *end = name + strspn(name, "0123456789");

	return end > name && (strcmp(end, ".sst") == 0 || strcmp(end, ".log") == 0);
}

static int copy_one(struct repair *p, int dirfd, const char *name)
{
	orch_auto(fd) int from =
	    openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	orch_auto(fd) int to = -1;
	enum orch_copy_how how;
	struct stat st;
	int r;

	if (from < 0 || fstat(from, &st) < 0 || !S_ISREG(st.st_mode)) {
		tell(p->spec, "db/%s: it can't be read", name);
		return 0;
	}
	to = openat(p->to_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (to < 0)
		return orch_err_sys(p->err, errno, "%s/%s", p->db, name);
	r = orch_fd_clone_or_copy(from, to, NULL, &how, p->err);
	if (r == -EIO) { /* what could be read of it is there */
		tell(p->spec, "db/%s: %s", name, p->err ? p->err->msg : "it can't be read");
		return 0;
	}
	return r;
}

static int see_old(void *priv, int dirfd, const char *name)
{
	return holds_records(name) ? copy_one(priv, dirfd, name) : 0;
}

/* The first folder that is free. */
static int make_folder(struct repair *p)
{
	int root = p->s->root_fd;

	if (mkdirat(root, AWAY, 0700) < 0 && errno != EEXIST)
		return orch_err_sys(p->err, errno, "mkdir " AWAY);
	for (unsigned i = 1; i < 100000; i++) {
		snprintf(p->db, sizeof(p->db), AWAY "/db-%u", i);
		if (mkdirat(root, p->db, 0700) == 0)
			break;
		if (errno != EEXIST)
			return orch_err_sys(p->err, errno, "mkdir %s", p->db);
	}
	p->to_fd = openat(root, p->db, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return p->to_fd < 0 ? orch_err_sys(p->err, errno, "%s", p->db) : 0;
}

static bool is_folder(int dirfd, const char *name)
{
	struct stat st;

	return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static int take_over(struct repair *p)
{
	orch_auto(free) char *path = orch_path_join(p->s->path, p->db);
	struct orch_err why = ORCH_ERR_INIT;
	int r = path ? 0 : orch_err_set(p->err, ENOMEM, "out of memory");

	if (r == 0 && is_folder(p->s->root_fd, CAS_DB_NAME))
		r = cas_dir_each(p->s->root_fd, CAS_DB_NAME, see_old, p, p->err);
	if (r < 0)
		return r;
	r = cas_db_repair(path, &why);
	if (r == 0)
		return 0;
	/* nothing of it: the folder is emptied, an empty database is made there */
	tell(p->spec, "nothing of the old database could be read: %s", why.msg);
	r = orch_remove_tree(p->s->root_fd, p->db, p->err);
	if (r == 0 && mkdirat(p->s->root_fd, p->db, 0700) < 0)
		r = orch_err_sys(p->err, errno, "mkdir %s", p->db);
	return r;
}

/* ---- snapshots: all that lie in packs ---- */

static int see_snapshot(struct repair *p, struct verify *v, const struct orch_digest *id)
{
	struct cas_snapshot x;
	char hex[ORCH_DIGEST_HEX + 1];

	if (cas_snapshot_get(p->s, id, &x, NULL) == 0) {
		cas_snapshot_fini(&x);
		return 0;
	}
	orch_digest_format(id, hex);
	tell(p->spec, "snapshot %s: %s", hex,
	    verify_rebuild_snapshot(v, id) ? "it was made again; how it came about is lost"
					   : "its record can't be made again");
	return 0;
}

static int see_pack(struct repair *p, struct verify *v, uint64_t number)
{
	struct orch_map map;
	struct fmt_pack pack;
	char name[24];
	int r;

	snprintf(name, sizeof(name), "%" PRIu64, number);
	if (orch_map_open(p->s->packs_fd, name, &map, NULL) < 0)
		return 0; /* verify tells it */
	r = fmt_pack_open(map.addr, map.len, &pack, NULL);
	for (uint32_t i = 0; r == 0 && i < pack.count; i++) {
		struct fmt_pack_record rec;

		if (fmt_pack_at(&pack, i, &rec, NULL) == 0 && rec.kind == FMT_PACK_SNAPSHOT)
			r = see_snapshot(p, v, &rec.digest);
	}
	orch_map_close(&map);
	return 0;
}

static int find_snapshots(struct repair *p)
{
	struct cas_verify_spec spec = {.repair = true};
	struct verify v = {.s = p->s, .spec = &spec};
	uint64_t *numbers = NULL;
	size_t count = 0;
	int r = cas_pack_list(p->s, &numbers, &count, p->err);

	for (size_t i = 0; r == 0 && i < count; i++)
		r = see_pack(p, &v, numbers[i]);
	free(numbers);
	return r;
}

/* ---- refs ---- */

static int put_ref(struct repair *p, const struct cas_ref *ref)
{
	struct cas_key key = {CAS_KIND_REF, ref->name, strlen(ref->name)};
	struct cas_batch *b = cas_batch_new();
	int r;

	if (!b)
		return orch_err_set(p->err, ENOMEM, "out of memory");
	if (orch_digest_is_null(&ref->id))
		cas_batch_remove(b, &key);
	else
		cas_ref_put(b, ref);
	r = cas_db_commit(p->s->db, b, p->err);
	cas_batch_free(b);
	return r;
}

/* The newer counts: a keeper that was killed had not appended its last change yet. */
static int see_ref(void *priv, const struct cas_ref *copy)
{
	bool removed = orch_digest_is_null(&copy->id);
	char hex[ORCH_DIGEST_HEX + 1];
	struct repair *p = priv;
	struct cas_ref now;
	int r = cas_ref_get(p->s, copy->name, &now, NULL);

	if (r == 0 && (now.wall_ns >= copy->wall_ns || orch_digest_eq(&now.id, &copy->id)))
		return 0;
	if (r == -ENOENT && removed)
		return 0;
	orch_digest_format(&copy->id, hex);
	if (removed)
		tell(p->spec, "ref %s: it had been removed", copy->name);
	else
		tell(p->spec, "ref %s: it points to %s again, as its copy says", copy->name, hex);
	return put_ref(p, copy);
}

static int find_refs(struct repair *p)
{
	struct orch_err why = ORCH_ERR_INIT;
	unsigned bad = 0;
	int r = cas_ref_copy_read(p->s, see_ref, p, &bad, &why);

	if (r == -ENOENT || r == -ORCH_ECORRUPT) {
		tell(p->spec,
		    "refs: there is no copy of them (%s): those that the old database "
		    "does not have any more are lost",
		    why.msg);
		return 0;
	}
	if (bad > 0)
		tell(p->spec, "refs: %u lines of their copy are damaged: what they said is lost",
		    bad);
	return r < 0 && why.code ? orch_err_set(p->err, -r, "%s", why.msg) : r;
}

/* ---- the run ---- */

static int run(struct repair *p)
{
	int r = make_folder(p);

	if (r == 0)
		r = take_over(p);
	if (r == 0)
		r = cas_store_fill(p->s, 0, p->db, p->err);
	if (r == 0)
		r = find_snapshots(p);
	if (r == 0)
		r = find_refs(p);
	if (r == 0)
		r = cas_layer_renumber(p->s, p->err);
	return r;
}

int cas_repair_begin(const char *path, const struct cas_repair_spec *spec, struct cas_store **out,
    struct orch_err *err)
{
	struct repair p = {.spec = spec, .to_fd = -1, .err = err};
	int r = cas_store_lock(path, 0, &p.s, err);

	if (r == 0)
		r = run(&p);
	orch_fd_close(p.to_fd);
	if (r < 0) {
		cas_store_close(p.s);
		orch_err_wrap(err, "store %s", path);
		return r;
	}
	*out = p.s;
	return 0;
}

static int change_places(struct cas_store *s, const char *db, struct orch_err *err)
{
	struct stat st;
	bool is_there = fstatat(s->root_fd, CAS_DB_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0;
	int r =
	    orch_rename(s->root_fd, db, s->root_fd, CAS_DB_NAME, is_there ? RENAME_EXCHANGE : 0);

	if (r == 0)
		r = orch_fd_sync(s->root_fd);
	if (r == 0)
		r = orch_fd_sync_parent(s->root_fd, db);
	return r < 0 ? orch_err_sys(err, -r, "%s", db) : is_there;
}

int cas_repair_end(struct cas_store *s, const struct cas_repair_spec *spec, struct orch_err *err)
{
	char db[sizeof(s->db_name)];
	int r;

	memcpy(db, s->db_name, sizeof(db));
	cas_ref_copy_begin(s); /* as it is now */
	cas_db_close(s->db);
	s->db = NULL;
	r = change_places(s, db, err);
	if (r > 0)
		tell(spec, "the old database is in %s/%s", s->path, db);
	cas_store_close(s);
	return r < 0 ? r : 0;
}
