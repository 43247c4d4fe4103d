/*
 * Publishing: claim the quarantine, check it, make it durable, move it into place, commit. The
 * claimed folder with its manifest stays until the commit, so that after a crash the objects that
 * had been moved are found and recorded (they are then garbage that gc can see).
 */
#include "cache/publish.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include "cache/pack.h"
#include "cache/ref_copy.h"
#include "cache/snapshot.h"
#include "cache/store_priv.h"
#include "core/clock.h"
#include "core/fd.h"
#include "core/log.h"
#include "core/path.h"
#include "format/scan.h"
#include "view/object.h"

#define CLAIMED	      ".adopt"
#define UNRECORDED    ".moved" /* objects were moved, and the database could not be written */
#define CLAIMED_BYTES (CAS_QUARANTINE_ID_BYTES + 6)
#define SYNC_EACH_MAX 64 /* above it one syncfs is cheaper than an fsync each */

static bool id_valid(const char *id)
{
	return strspn(id, "0123456789abcdef") == CAS_QUARANTINE_ID_BYTES - 1 &&
	       id[CAS_QUARANTINE_ID_BYTES - 1] == '\0';
}

static int make_folder(
    struct cas_store *s, const char *id, uid_t uid, gid_t gid, struct orch_err *err)
{
	int fd, r = 0;

	if (mkdirat(s->tmp_fd, id, 0700) < 0)
		return orch_err_sys(err, errno, "mkdir tmp/%s", id);
	fd = openat(s->tmp_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fchmod(fd, 0700) < 0)
		r = -errno;
	else if ((uid != geteuid() || gid != getegid()) && fchown(fd, uid, gid) < 0)
		r = -errno;
	if (r < 0) {
		orch_fd_close(fd);
		(void)unlinkat(s->tmp_fd, id, AT_REMOVEDIR);
		return orch_err_sys(err, -r, "tmp/%s", id);
	}
	return fd;
}

int cas_publish_prepare(struct cas_store *s, uid_t uid, gid_t gid,
    char out_id[CAS_QUARANTINE_ID_BYTES], int *out_fd, struct orch_err *err)
{
	uint8_t random[(CAS_QUARANTINE_ID_BYTES - 1) / 2];
	char id[CAS_QUARANTINE_ID_BYTES];
	int fd;

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return orch_err_sys(err, EIO, "no random numbers");
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(id + 2 * i, 3, "%02x", random[i]);
	fd = make_folder(s, id, uid, gid, err);
	if (fd < 0)
		return fd;
	memcpy(out_id, id, sizeof(id));
	*out_fd = fd;
	return 0;
}

int cas_publish_drop(struct cas_store *s, const char *id, struct orch_err *err)
{
	if (!id_valid(id))
		return orch_err_set(err, ORCH_EUSAGE, "\"%.60s\" is no quarantine", id);
	return orch_remove_tree(s->tmp_fd, id, err);
}

/* ---- claim ---- */

/* Of several callers one gets it: the rename. */
static int claim(
    struct cas_store *s, const char *id, char claimed[CLAIMED_BYTES], struct orch_err *err)
{
	int fd, r;

	if (!id_valid(id))
		return orch_err_set(err, ORCH_EUSAGE, "\"%.60s\" is no quarantine", id);
	snprintf(claimed, CLAIMED_BYTES, "%s%s", id, CLAIMED);
	r = orch_rename(s->tmp_fd, id, s->tmp_fd, claimed, RENAME_NOREPLACE);
	if (r < 0)
		return orch_err_sys(err, -r, "quarantine %s", id);
	fd = openat(s->tmp_fd, claimed, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0) {
		r = -errno;
		if (orch_rename(s->tmp_fd, claimed, s->tmp_fd, id, RENAME_NOREPLACE) < 0)
			orch_log(ORCH_LOG_WARN, "cache", "leftover", "folder=tmp/%s", claimed);
		return orch_err_sys(err, -r, "quarantine %s", id);
	}
	return fd;
}

/* ---- durable, in place ---- */

static int sync_all(struct cas_adopt *a, struct orch_err *err)
{
	if (syncfs(a->dirfd) < 0)
		return orch_err_sys(err, errno, "sync of the store");
	return 0;
}

static int sync_object(struct cas_adopt *a, const struct cas_object *o, struct orch_err *err)
{
	char name[CAS_ADOPT_NAME_BYTES];
	orch_auto(fd) int fd = -1;
	int r;

	cas_adopt_name(&o->digest, name);
	fd = openat(a->dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	r = fd < 0 ? -errno : orch_fd_sync(fd);
	return r < 0 ? orch_err_sys(err, -r, "sync of %s", name) : 0;
}

typedef int object_fn(struct cas_adopt *a, const struct cas_object *o, struct orch_err *err);

static int each_move(struct cas_adopt *a, object_fn *fn, struct orch_err *err)
{
	struct cas_object o;
	int r = 0;

	for (uint64_t i = 0; r == 0 && i < a->manifest.count; i++) {
		if (!a->moves[i])
			continue;
		cas_manifest_at(&a->manifest, i, &o);
		r = fn(a, &o, err);
	}
	return r;
}

/* Before anything moves: a start after a power cut learns from it which objects lie in place. */
static int sync_manifest(struct cas_adopt *a, struct orch_err *err)
{
	orch_auto(fd) int fd = openat(a->dirfd, "manifest", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	int r = fd < 0 ? -errno : orch_fd_sync(fd);

	if (r == 0)
		r = orch_fd_sync(a->dirfd);
	if (r == 0)
		r = orch_fd_sync(a->s->tmp_fd);
	return r < 0 ? orch_err_sys(err, -r, "sync of the manifest") : 0;
}

static int sync_content(struct cas_adopt *a, struct orch_err *err)
{
	int r;

	if (a->move_count > SYNC_EACH_MAX)
		return sync_all(a, err);
	r = each_move(a, sync_object, err);
	if (r == 0 && a->move_count > 0)
		r = sync_manifest(a, err);
	if (r == 0 && a->pack_fd >= 0 && (r = orch_fd_sync(a->pack_fd)) < 0)
		orch_err_sys(err, -r, "sync of the pack");
	return r;
}

static int move_object(struct cas_adopt *a, const struct cas_object *o, struct orch_err *err)
{
	char name[CAS_ADOPT_NAME_BYTES];
	bool made;

	cas_adopt_name(&o->digest, name);
	return cas_object_place(a->s, a->dirfd, name, &o->digest, &made, err);
}

/* The folder of an object and those above: any of them may be new. */
static int sync_folders(struct cas_adopt *a, const struct cas_object *o, struct orch_err *err)
{
	char path[VIEW_OBJECT_PATH_BYTES];
	int r;

	view_object_path(&o->digest, path);
	r = orch_fd_sync_parent(a->s->objects_fd, path);
	path[5] = '\0';
	if (r == 0)
		r = orch_fd_sync_parent(a->s->objects_fd, path);
	return r < 0 ? orch_err_sys(err, -r, "sync of objects/%s", path) : 0;
}

static int sync_names(struct cas_adopt *a, struct orch_err *err)
{
	int r;

	if (a->move_count > SYNC_EACH_MAX)
		return sync_all(a, err);
	r = each_move(a, sync_folders, err);
	if (r == 0 && a->move_count > 0 && (r = orch_fd_sync(a->s->objects_fd)) < 0)
		orch_err_sys(err, -r, "sync of objects");
	return r;
}

static int place_content(struct cas_adopt *a, struct cas_published *out, struct orch_err *err)
{
	int r = sync_content(a, err);

	if (r < 0)
		return r;
	cas_step(a->s, "synced");
	r = each_move(a, move_object, err);
	if (r < 0)
		return r;
	cas_step(a->s, "moved");
	r = sync_names(a, err);
	if (r < 0)
		return r;
	cas_step(a->s, "objects");
	if (a->pack_fd >= 0)
		r = cas_pack_place(a->s, a->dirfd, "pack", &out->pack, err);
	if (r == 0)
		cas_step(a->s, "pack");
	return r;
}

/* ---- commit ---- */

static int fill_snapshot(
    struct cas_store *s, const struct cas_publish *p, struct cas_snapshot *x, struct orch_err *err)
{
	struct fmt_snapshot id;
	int r = view_packset_snapshot(s->packset, &p->snapshot, &id, err);

	if (r < 0)
		return r;
	x->id = p->snapshot;
	x->tree = id.root.digest;
	x->stamps = id.stamps;
	x->files = id.root.count;
	x->bytes = id.root.size;
	x->created_wall_ns = orch_wall_ns();
	if (!orch_digest_eq(&p->parent, &p->snapshot))
		x->parent = p->parent;
	if (id.source_len > 0 && !(x->source = strndup(id.source, id.source_len)))
		return orch_err_set(err, ENOMEM, "out of memory");
	return 0;
}

/* An id that was there keeps its parent and its record where this time there is none to tell.
 * change_lock is held. */
static int put_snapshot(struct cas_store *s, const struct cas_publish *p, struct cas_batch *b,
    bool *out_new, struct orch_err *err)
{
	orch_auto(json) struct orch_json *none = orch_json_object();
	struct cas_snapshot x = {.source = NULL}, old = {.source = NULL};
	int r = fill_snapshot(s, p, &x, err);

	if (r == 0 && !none)
		r = orch_err_set(err, ENOMEM, "out of memory");
	if (r == 0) {
		*out_new = cas_snapshot_get(s, &p->snapshot, &old, NULL) < 0;
		if (!*out_new && orch_digest_is_null(&x.parent))
			x.parent = old.parent;
		r = cas_snapshot_put_with(b, &x,
		    p->record	 ? p->record
		    : old.record ? old.record
				 : none,
		    err);
	}
	cas_snapshot_fini(&x);
	cas_snapshot_fini(&old);
	return r;
}

static int fill_batch(struct cas_adopt *a, const struct cas_publish *p, struct cas_batch *b,
    struct cas_published *out, struct cas_counters *counters, struct cas_ref *ref,
    struct orch_err *err)
{
	struct cas_store *s = a->s;
	int r = cas_object_put_new(s, &a->manifest, b, counters, err);

	if (r < 0)
		return r;
	out->objects = counters->objects - s->counters.objects;
	out->object_bytes = counters->object_bytes - s->counters.object_bytes;
	if (orch_digest_is_null(&p->snapshot))
		return 0;
	if (p->ref)
		r = cas_ref_change(s, b, p->ref, &p->snapshot, &p->expect, ref, err);
	return r < 0 ? r : put_snapshot(s, p, b, &out->snapshot_is_new, err);
}

/* change_lock is held. Only the objects: of a publish that came to nothing, or lost the ref. */
static int commit_objects(struct cas_store *s, const struct cas_manifest *m, struct orch_err *err)
{
	struct cas_counters counters;
	struct cas_batch *b = cas_batch_new();
	int r;

	if (!b)
		return orch_err_set(err, ENOMEM, "out of memory");
	r = cas_object_put_new(s, m, b, &counters, err);
	if (r == 0)
		r = cas_db_commit(s->db, b, err);
	if (r == 0)
		s->counters = counters;
	cas_batch_free(b);
	return r;
}

static int commit_locked(struct cas_adopt *a, const struct cas_publish *p,
    struct cas_published *out, struct orch_err *err)
{
	struct cas_counters counters;
	struct cas_ref ref = {.wall_ns = 0};
	struct cas_batch *b = cas_batch_new();
	int r;

	if (!b)
		return orch_err_set(err, ENOMEM, "out of memory");
	r = fill_batch(a, p, b, out, &counters, &ref, err);
	if (r == 0)
		r = cas_db_commit(a->s->db, b, err);
	if (r == 0)
		a->s->counters = counters;
	if (r == 0 && *ref.name)
		cas_ref_copy_note(a->s, &ref);
	cas_batch_free(b);
	return r;
}

static int commit(struct cas_adopt *a, const struct cas_publish *p, struct cas_published *out,
    struct orch_err *err)
{
	int r;

	pthread_mutex_lock(&a->s->change_lock);
	r = commit_locked(a, p, out, err);
	pthread_mutex_unlock(&a->s->change_lock);
	if (r == 0)
		cas_step(a->s, "committed");
	return r;
}

/* ---- what was moved, but not recorded ---- */

static int record_moved(struct cas_store *s, const struct cas_manifest *m, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf bytes = ORCH_BUF_INIT;
	struct cas_object *v = calloc(m->count ? m->count : 1, sizeof(*v));
	struct cas_manifest there;
	size_t count = 0;
	int r;

	if (!v)
		return orch_err_set(err, ENOMEM, "out of memory");
	for (uint64_t i = 0; i < m->count; i++) {
		cas_manifest_at(m, i, &v[count]);
		if (view_object_exists(s->objects_fd, &v[count].digest, v[count].size) == 1)
			count++;
	}
	bytes.max = SIZE_MAX / 2;
	r = cas_manifest_format(v, count, &bytes);
	free(v);
	if (r < 0)
		return orch_err_sys(err, -r, "the list of moved objects");
	r = cas_manifest_open(bytes.data, bytes.len, &there, err);
	if (r < 0 || count == 0)
		return r;
	pthread_mutex_lock(&s->change_lock);
	r = commit_objects(s, &there, err);
	pthread_mutex_unlock(&s->change_lock);
	return r;
}

static bool has_suffix(const char *name, const char *suffix)
{
	size_t len = strlen(name), end = strlen(suffix);

	return len > end && strcmp(name + len - end, suffix) == 0;
}

static int recover_folder(struct cas_store *s, int fd)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct cas_adopt a;
	int r = cas_adopt_open(&a, s, fd, &err);

	if (r == 0)
		r = record_moved(s, &a.manifest, &err);
	cas_adopt_fini(&a);
	if (r == -ORCH_ECORRUPT) { /* nothing moves before it is durable, so nothing was moved */
		orch_log(ORCH_LOG_WARN, "cache", "unfinished-publish", "error=%s", err.msg);
		return 0;
	}
	if (r < 0)
		orch_log_err("cache", "recover", &err);
	return r;
}

struct recover {
	struct cas_store *s;
	bool at_start; /* no publish is running: claimed folders are left over, too */
};

/* A manifest that was never finished moved nothing: at the start what is left is removed anyway. */
static int recover_one(void *priv, int tmp_fd, const char *name)
{
	struct recover *x = priv;
	int fd, r;

	if (!has_suffix(name, UNRECORDED) && !(x->at_start && has_suffix(name, CLAIMED)))
		return 0;
	fd = openat(tmp_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return 0;
	if (faccessat(fd, "manifest", F_OK, AT_SYMLINK_NOFOLLOW) < 0) {
		orch_fd_close(fd); /* it was being removed, or never finished */
		return 0;
	}
	r = recover_folder(x->s, fd);
	if (r == 0 && !x->at_start)
		r = orch_remove_tree(tmp_fd, name, NULL);
	if (r < 0)
		atomic_store(&x->s->unrecorded, true);
	return 0;
}

int cas_publish_recover(struct cas_store *s, struct orch_err *err)
{
	struct recover x = {s, true};

	return cas_dir_each(s->root_fd, "tmp", recover_one, &x, err);
}

void cas_publish_retry(struct cas_store *s)
{
	struct recover x = {s, false};
	struct orch_err err = ORCH_ERR_INIT;

	if (atomic_exchange(&s->unrecorded, false) &&
	    cas_dir_each(s->root_fd, "tmp", recover_one, &x, &err) < 0)
		orch_log_err("cache", "recover", &err);
}

/* Of a publish that failed after it had moved objects. When the database can't be written either,
 * the manifest is kept for a later try. */
static void record_failed(struct cas_adopt *a, const char *claimed)
{
	char kept[CLAIMED_BYTES + 8];
	struct orch_err err = ORCH_ERR_INIT;

	if (record_moved(a->s, &a->manifest, &err) == 0)
		return;
	orch_log_err("cache", "record of moved objects", &err);
	snprintf(kept, sizeof(kept), "%s%s", claimed, UNRECORDED);
	(void)renameat(a->s->tmp_fd, claimed, a->s->tmp_fd, kept);
	atomic_store(&a->s->unrecorded, true);
}

/* ---- the scan index, and the whole ---- */

static int check_scan(int fd, struct orch_err *err)
{
	struct orch_map map;
	struct fmt_scan scan;
	int r = orch_map_fd(fd, &map);

	if (r < 0)
		return orch_err_sys(err, -r, "scan index");
	r = fmt_scan_open(map.addr, map.len, &scan, err);
	orch_map_close(&map);
	return r < 0 ? r : orch_fd_sync(fd);
}

static int place_scan(struct cas_adopt *a, const char *key, struct orch_err *err)
{
	struct stat st;
	orch_auto(fd) int fd = -1;
	int r;

	if (!orch_name_valid(key, strlen(key)))
		return orch_err_set(err, ORCH_EUSAGE, "\"%.80s\" is no name", key);
	fd = cas_adopt_file(a, "scan", 0444, &st, err);
	if (fd < 0)
		return fd;
	r = check_scan(fd, err);
	if (r < 0)
		return r;
	r = orch_rename(a->dirfd, "scan", a->s->scan_fd, key, 0);
	if (r == 0)
		r = orch_fd_sync(a->s->scan_fd);
	return r < 0 ? orch_err_sys(err, -r, "scan/%s", key) : 0;
}

/* What may fail without harm once everything is committed. */
static void after_commit(struct cas_adopt *a, const struct cas_publish *p)
{
	struct orch_err err = ORCH_ERR_INIT;
	uint64_t *numbers = NULL;
	size_t count = 0;
	int r;

	if (p->scan_key) {
		r = place_scan(a, p->scan_key, &err);
		if (r < 0 && r != -ENOENT)
			orch_log_err("cache", "scan index", &err);
	}
	if (p->memo) {
		r = cas_memo_take(a, p->memo, &err);
		if (r < 0 && r != -ENOENT)
			orch_log_err("cache", "git memo", &err);
	}
	r = cas_pack_list(a->s, &numbers, &count, &err);
	free(numbers);
	if (r == 0 && count > CAS_PACKS_MAX)
		r = cas_pack_merge(a->s, CAS_PACKS_MAX / 2, NULL, &err);
	if (r < 0)
		orch_log_err("cache", "merge of packs", &err);
}

static int publish_claimed(struct cas_adopt *a, const struct cas_publish *p, const char *claimed,
    struct cas_published *out, struct orch_err *err)
{
	int r;

	a->flags = p->flags;
	a->cancel = p->cancel;
	r = cas_adopt_check(a, &p->snapshot, err);
	if (r < 0)
		return r;
	cas_step(a->s, "checked");
	atomic_fetch_add(&a->s->publishing, 1u);
	r = place_content(a, out, err);
	if (r == 0)
		r = commit(a, p, out, err);
	if (r == 0)
		after_commit(a, p);
	else
		record_failed(a, claimed);
	atomic_fetch_sub(&a->s->publishing, 1u);
	return r;
}

int cas_publish(struct cas_store *s, const struct cas_publish *p, struct cas_published *out,
    struct orch_err *err)
{
	struct cas_published result = {.pack = 0};
	char claimed[CLAIMED_BYTES];
	struct cas_adopt a;
	int fd, r;

	if (p->ref && !orch_ref_name_valid(p->ref))
		return orch_err_set(err, ORCH_EUSAGE, "\"%.200s\" is not a name for a ref", p->ref);
	cas_publish_retry(s);
	fd = claim(s, p->quarantine, claimed, err);
	if (fd < 0)
		return fd;
	cas_step(s, "claimed");
	r = cas_adopt_open(&a, s, fd, err);
	if (r == 0)
		r = publish_claimed(&a, p, claimed, &result, err);
	cas_adopt_fini(&a);
	if (orch_remove_tree(s->tmp_fd, claimed, NULL) < 0)
		orch_log(ORCH_LOG_WARN, "cache", "leftover", "folder=tmp/%s", claimed);
	if (r == 0)
		*out = result;
	return r;
}
