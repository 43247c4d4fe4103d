/*
 * The run of verify: its parts in order, reporting, progress. Objects are hashed by a pool of
 * threads, everything else is done by the calling one.
 */
#include "cache/verify.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cache/verify_priv.h"
#include "core/clock.h"
#include "cache/memo.h"
#include "cache/mirror.h"
#include "core/fd.h"
#include "format/memo.h"
#include "format/scan.h"

#define PROGRESS_NS (UINT64_C(200) * ORCH_NS_PER_MS)
#define AWAY	    CAS_AWAY

const char *cas_bad_kind_name(enum cas_bad_kind k)
{
	static const char *const names[] = {
	    [CAS_BAD_FORMAT] = "format",
	    [CAS_BAD_PACK] = "pack",
	    [CAS_BAD_RECORD] = "record",
	    [CAS_BAD_OBJECT] = "object",
	    [CAS_BAD_SNAPSHOT] = "snapshot",
	    [CAS_BAD_REF] = "ref",
	    [CAS_BAD_DATABASE] = "database",
	    [CAS_BAD_LAYER] = "layer",
	    [CAS_BAD_SCAN] = "scan",
	    [CAS_BAD_MEMO] = "memo",
	    [CAS_BAD_STRAY] = "stray",
	};

	return (size_t)k < ORCH_ARRAY_LEN(names) ? names[k] : "unknown";
}

int verify_fail(struct verify *v, int r)
{
	int zero = 0;

	if (r < 0)
		atomic_compare_exchange_strong(&v->stop, &zero, r);
	return atomic_load(&v->stop);
}

int verify_bad(
    struct verify *v, enum cas_bad_kind kind, const char *name, const char *error, bool repaired)
{
	struct cas_bad bad = {kind, name, error, repaired};
	int r = 0;

	pthread_mutex_lock(&v->lock);
	v->done.bad++;
	v->done.repaired += repaired;
	v->lost |= kind == CAS_BAD_PACK || kind == CAS_BAD_RECORD || kind == CAS_BAD_OBJECT ||
		   kind == CAS_BAD_SNAPSHOT;
	if (v->spec->on_bad && atomic_load(&v->stop) == 0)
		r = v->spec->on_bad(v->spec->priv, &bad);
	pthread_mutex_unlock(&v->lock);
	return verify_fail(v, r);
}

void verify_note_away(struct verify *v, const struct orch_digest *d)
{
	struct orch_digest *list;

	pthread_mutex_lock(&v->lock);
	list = realloc(v->away, (v->away_count + 1) * sizeof(*list));
	if (list) {
		v->away = list;
		v->away[v->away_count++] = *d;
	}
	pthread_mutex_unlock(&v->lock);
}

bool verify_is_away(struct verify *v, const struct orch_digest *d)
{
	bool found = false;

	pthread_mutex_lock(&v->lock);
	for (size_t i = 0; i < v->away_count && !found; i++)
		found = orch_digest_eq(&v->away[i], d);
	pthread_mutex_unlock(&v->lock);
	return found;
}

int verify_done(struct verify *v, uint64_t bytes)
{
	uint64_t now = orch_clock_ns();
	int r = 0;

	if (v->spec->cancel && *v->spec->cancel)
		return verify_fail(v, -ECANCELED);
	pthread_mutex_lock(&v->lock);
	v->done.checked++;
	v->done.bytes += bytes;
	if (v->spec->on_progress && now - v->progress_at >= PROGRESS_NS) {
		v->progress_at = now;
		r = v->spec->on_progress(v->spec->priv, v->done.checked, v->done.bytes, v->total);
	}
	pthread_mutex_unlock(&v->lock);
	return verify_fail(v, r);
}

int verify_move_away(
    struct verify *v, int dirfd, const char *name, const char *as, struct orch_err *err)
{
	return cas_move_away(v->s, dirfd, name, as, err);
}

/* What was read at the start is what every fingerprint was made with: the file can be mended. */
static int verify_format(struct verify *v, struct orch_err *err)
{
	struct orch_err why = ORCH_ERR_INIT;
	struct cas_format f, ours = {.seed = v->s->seed};
	bool repaired;
	int r = cas_format_load(v->s->root_fd, &f, &why);

	(void)err;
	memcpy(ours.id, v->s->id, sizeof(ours.id));
	if (r == 0 && (f.seed != ours.seed || strcmp(f.id, ours.id) != 0))
		r = orch_err_set(&why, ORCH_ECORRUPT, "FORMAT is of another store");
	if (r == 0)
		return verify_done(v, 0);
	repaired = v->spec->repair && cas_format_save(v->s->root_fd, &ours, NULL) == 0;
	return verify_bad(v, CAS_BAD_FORMAT, "FORMAT", why.msg, repaired);
}

/* A scan index is only a memory of an import: a bad one is removed. */
static int see_scan(void *priv, int dirfd, const char *name)
{
	struct orch_err why = ORCH_ERR_INIT;
	struct verify *v = priv;
	struct orch_map map;
	struct fmt_scan scan;
	bool repaired;
	int r = orch_map_open(dirfd, name, &map, &why);

	if (r == -ENOENT)
		return 0;
	if (r == 0) {
		r = fmt_scan_open(map.addr, map.len, &scan, &why);
		orch_map_close(&map);
	}
	if (r == 0)
		return verify_done(v, 0);
	repaired = v->spec->repair && orch_remove_tree(dirfd, name, NULL) == 0;
	return verify_bad(v, CAS_BAD_SCAN, name, why.msg, repaired);
}

static int verify_scans(struct verify *v, struct orch_err *err)
{
	return cas_dir_each(v->s->root_fd, "scan", see_scan, v, err);
}

/* As a scan index. */
static int see_memo(void *priv, int dirfd, const char *name)
{
	struct orch_err why = ORCH_ERR_INIT;
	struct verify *v = priv;
	struct orch_map map;
	struct fmt_memo memo;
	bool repaired;
	int r = orch_map_open(dirfd, name, &map, &why);

	if (r == -ENOENT)
		return 0;
	if (r == 0) {
		r = fmt_memo_open(map.addr, map.len, &memo, &why);
		orch_map_close(&map);
	}
	if (r == 0)
		return verify_done(v, 0);
	repaired = v->spec->repair && orch_remove_tree(dirfd, name, NULL) == 0;
	return verify_bad(v, CAS_BAD_MEMO, name, why.msg, repaired);
}

static int see_repository(void *priv, int dirfd, const char *name)
{
	orch_auto(fd) int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct orch_err why = ORCH_ERR_INIT;
	int r = fd < 0 ? 0 : cas_dir_each(fd, CAS_MIRROR_MEMO, see_memo, priv, &why);

	return r == -ENOENT ? 0 : r;
}

static int verify_memos(struct verify *v, struct orch_err *err)
{
	int r = cas_dir_each(v->s->root_fd, CAS_MIRROR_FOLDER, see_repository, v, err);

	return r == -ENOENT ? 0 : r;
}

/* What is gone may be known as a part of a folder, whose table would not say so: the next import reads
 * the repository again, and brings it back. */
static int verify_forget(struct verify *v, struct orch_err *err)
{
	return v->lost && v->spec->repair ? cas_memo_forget(v->s, err) : 0;
}

static int see_root(void *priv, int dirfd, const char *name)
{
	static const char *const known[] = {"FORMAT", "LOCK", "log", "objects", "packs", "layers",
	    "scan", "tmp", "db", "refs", "reserve", "git", AWAY, "lost+found"};

	(void)dirfd;
	for (size_t i = 0; i < ORCH_ARRAY_LEN(known); i++)
		if (strcmp(name, known[i]) == 0)
			return 0;
	return verify_bad(priv, CAS_BAD_STRAY, name, "it is not the store's", false);
}

static int verify_root(struct verify *v, struct orch_err *err)
{
	return cas_dir_each(v->s->root_fd, ".", see_root, v, err);
}

/* What others build on comes first, so that a thing is told once, where it is wrong. */
static int (*const parts[])(struct verify *v, struct orch_err *err) = {
    verify_format,
    verify_root,
    verify_packs,
    verify_objects,
    verify_database,
    verify_counters,
    verify_snapshots,
    verify_refs,
    verify_layers,
    verify_scans,
    verify_memos,
    verify_forget,
};

/* Damage inside the database's files ends a part, not the run. */
static int run_part(struct verify *v, size_t i)
{
	struct orch_err why = ORCH_ERR_INIT;
	int r = parts[i](v, &why);

	if (r == -ORCH_ECORRUPT && atomic_load(&v->stop) == 0)
		return verify_bad(v, CAS_BAD_DATABASE, "db", why.msg, false);
	if (r < 0 && why.code != 0 && v->why.code == 0)
		v->why = why;
	return r;
}

int cas_verify(struct cas_store *s, const struct cas_verify_spec *spec, struct cas_verified *out,
    struct orch_err *err)
{
	struct verify v = {.s = s, .spec = spec};
	int r = 0;

	cas_publish_retry(s);
	pthread_mutex_init(&v.lock, NULL);
	atomic_init(&v.stop, 0);
	pthread_mutex_lock(&s->change_lock);
	v.total = s->counters.object_bytes;
	pthread_mutex_unlock(&s->change_lock);
	for (size_t i = 0; r == 0 && i < ORCH_ARRAY_LEN(parts); i++)
		r = run_part(&v, i);
	if (r == 0 && spec->on_progress)
		r = spec->on_progress(spec->priv, v.done.checked, v.done.bytes, v.total);
	free(v.away);
	pthread_mutex_destroy(&v.lock);
	if (r == -ECANCELED)
		orch_err_set(err, ECANCELED, "verify was cancelled");
	else if (r < 0)
		orch_err_set(err, -r, "verify: %s", v.why.code ? v.why.msg : strerrordesc_np(-r));
	if (r < 0)
		return r;
	*out = v.done;
	return 0;
}
