/*
 * Layers: every log is read to its end, what stands below is there and sealed, and what the records
 * name (private files, objects, folders of the base) is there, and nobody else may write private files. A layer that is being written is read
 * again before something is called missing.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cache/layer.h"
#include "cache/record.h"
#include "cache/snapshot.h"
#include "cache/verify_priv.h"
#include "core/fd.h"
#include "view/layer_log.h"
#include "view/object.h"

#define LOOKS_MAX 10

struct layers {
	struct verify *v;
	struct cas_layer *v_layer;
	size_t count;
	uint64_t bad_ino; /* of the last look; 0: it was not a node */
};

static const struct cas_layer *find_layer(const struct layers *l, uint64_t id)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->v_layer[i].id == id)
			return &l->v_layer[i];
	return NULL;
}

/* ---- what the records of a log name ---- */

static int spool_there(struct layers *l, const struct fmt_node *n, struct orch_err *why)
{
	struct stat st;
	char path[64];

	snprintf(path, sizeof(path), "%" PRIu64 "/spool/%" PRIu64, n->spool_layer, n->spool_id);
	if (fstatat(l->v->s->layers_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return orch_err_sys(why, errno, "private file layers/%s", path);
	if (!S_ISREG(st.st_mode))
		return orch_err_set(
		    why, ORCH_ECORRUPT, "private file layers/%s is not a regular file", path);
	return 0;
}

static int content_there(struct layers *l, const struct fmt_node *n, struct orch_err *why)
{
	struct cas_store *s = l->v->s;
	char hex[ORCH_DIGEST_HEX + 1];

	switch (n->content) {
	case FMT_CONTENT_SPOOL:
		return spool_there(l, n, why);
	case FMT_CONTENT_OBJECT:
		orch_digest_format(&n->digest, hex);
		if (view_object_exists(s->objects_fd, &n->digest, n->size) == 1)
			return 0;
		return orch_err_set(why, ORCH_ECORRUPT, "object %s is missing", hex);
	case FMT_CONTENT_TREE:
		orch_digest_format(&n->digest, hex);
		if (view_packset_has(s->packset, FMT_PACK_TREE, &n->digest) &&
		    view_packset_has(s->packset, FMT_PACK_STAMPS, &n->stamps))
			return 0;
		return orch_err_set(why, ORCH_ECORRUPT, "tree %s or its stamps are missing", hex);
	case FMT_CONTENT_NONE:
	case FMT_CONTENT_TARGET:
		break;
	}
	return 0;
}

static int nodes_there(struct layers *l, const struct fmt_overlay *o, struct orch_err *why)
{
	const struct fmt_node *n;
	uint64_t cookie = 0;
	int r = 0;

	while (r == 0 && (n = fmt_overlay_nodes(o, &cookie)) != NULL) {
		if (n->nlink == 0 && n->type == FMT_REG) /* unlinked: it may be gone already */
			continue;
		r = content_there(l, n, why);
		if (r < 0) {
			orch_err_wrap(why, "node %" PRIu64, n->ino);
			l->bad_ino = n->ino;
		} else {
			r = verify_done(l->v, 0);
		}
	}
	return r;
}

static int look(
    struct layers *l, const struct cas_layer *x, struct view_log *log, struct orch_err *why)
{
	struct fmt_overlay *o = fmt_overlay_new();
	orch_auto(fd) int fd = -1;
	char name[24];
	int r;

	l->bad_ino = 0;
	if (!o)
		return orch_err_set(why, ENOMEM, "out of memory");
	snprintf(name, sizeof(name), "%" PRIu64, x->id);
	fd = openat(l->v->s->layers_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	r = fd < 0 ? orch_err_sys(why, errno, "its folder") : view_log_replay(fd, o, log, why);
	if (r == -ENODATA)
		r = orch_err_set(why, ORCH_ECORRUPT, "it has no log");
	if (r == 0 && log->head.layer != x->id)
		r = orch_err_set(
		    why, ORCH_ECORRUPT, "its log is of layer %" PRIu64, log->head.layer);
	if (r == 0)
		r = nodes_there(l, o, why);
	fmt_overlay_free(o);
	return r;
}

/* ---- one layer ---- */

static int check_parent(struct layers *l, const struct view_log *log, struct orch_err *why)
{
	const struct cas_layer *parent = find_layer(l, log->head.parent);
	uint64_t id = log->head.parent;

	if (id == 0)
		return 0;
	if (!parent)
		return orch_err_set(
		    why, ORCH_ECORRUPT, "layer %" PRIu64 ", on which it stands, is not there", id);
	/* one that can't be read is told itself; a seal writes into the log last of all */
	if (parent->status == 0 && !parent->sealed) {
		struct cas_layer again;

		if (cas_layer_get(l->v->s, id, &again, NULL) == 0 && !again.sealed)
			return orch_err_set(why, ORCH_ECORRUPT,
			    "layer %" PRIu64 ", on which it stands, is not sealed: the end of its "
			    "log is missing",
			    id);
	}
	return 0;
}

static int check_snapshot(
    struct layers *l, const struct orch_digest *id, bool *out_repaired, struct orch_err *why)
{
	char hex[ORCH_DIGEST_HEX + 1];

	if (orch_digest_is_null(id) || cas_snapshot_known(l->v->s, id, NULL) != 0)
		return 0;
	*out_repaired = l->v->spec->repair && verify_rebuild_snapshot(l->v, id);
	orch_digest_format(id, hex);
	return orch_err_set(why, ORCH_ECORRUPT, "snapshot %s is not there", hex);
}

/* A newer one that can't be read may stand on it. */
static bool may_be_needed(const struct layers *l, const struct cas_layer *x)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->v_layer[i].id > x->id && l->v_layer[i].status < 0 && !l->v_layer[i].unmade)
			return true;
	return x->records > 0 || x->children > 0;
}

/* ---- who may write what is private */

static int open_private(int dirfd, const char *name)
{
	return openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Nobody else's, and nobody else may write it. */
static bool is_ours(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 ||
	       ((st.st_uid == geteuid() || st.st_uid == 0) && !(st.st_mode & (S_IWGRP | S_IWOTH)));
}

static bool close_to_others(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || (st.st_uid != geteuid() && fchown(fd, geteuid(), getegid()) < 0))
		return false;
	return fchmod(fd, 0700) == 0 && is_ours(fd);
}

/* path: below the store, of the open folder. Private files carry no digest: what was changed in them can't
 * be seen. */
static int check_private(struct layers *l, const char *name, const char *path, int fd)
{
	struct orch_err why = ORCH_ERR_INIT;
	bool repaired;

	if (is_ours(fd))
		return 0;
	repaired = l->v->spec->repair && close_to_others(fd);
	orch_err_set(&why, ORCH_ECORRUPT,
	    "others may write the folder %s, or it is theirs: its files may not be what was "
	    "written%s",
	    path, repaired ? "; it is closed now" : "; `store verify --repair` closes it");
	return verify_bad(l->v, CAS_BAD_LAYER, name, why.msg, repaired);
}

static int check_spool(struct layers *l, const char *name, int dirfd)
{
	orch_auto(fd) int fd = open_private(dirfd, "spool");
	struct orch_err why = ORCH_ERR_INIT;
	char path[64];

	snprintf(path, sizeof(path), "layers/%s/spool", name);
	if (fd >= 0)
		return check_private(l, name, path, fd);
	if (errno != ELOOP && errno != ENOTDIR)
		return 0; /* not there: the mount process makes it; files that are missing are told */
	orch_err_set(&why, ORCH_ECORRUPT,
	    "%s is not a folder but a link or a file, nothing in it is used: put the folder back, "
	    "or "
	    "drop the workspaces that stand on this layer",
	    path);
	return verify_bad(l->v, CAS_BAD_LAYER, name, why.msg, false);
}

/* What can't be opened is told by who reads the log. */
static int check_folders(struct layers *l, const struct cas_layer *x)
{
	orch_auto(fd) int fd = -1;
	char name[24], path[64];
	int r;

	snprintf(name, sizeof(name), "%" PRIu64, x->id);
	snprintf(path, sizeof(path), "layers/%s", name);
	fd = open_private(l->v->s->layers_fd, name);
	if (fd < 0)
		return 0;
	r = check_private(l, name, path, fd);
	return r < 0 ? r : check_spool(l, name, fd);
}

/* What nothing names: one that was never made holds nothing, another is put out of the way. */
static bool repair_layer(struct layers *l, const struct cas_layer *x)
{
	char name[24], as[40];

	if (!l->v->spec->repair || may_be_needed(l, x))
		return false;
	if (x->unmade)
		return cas_layer_remove(l->v->s, x->id, NULL) == 0;
	snprintf(name, sizeof(name), "%" PRIu64, x->id);
	snprintf(as, sizeof(as), "layer-%s", name);
	return verify_move_away(l->v, l->v->s->layers_fd, name, as, NULL) == 0;
}

static int check_layer(struct layers *l, struct cas_layer *x)
{
	struct orch_err why = ORCH_ERR_INIT;
	struct view_log log = {0};
	uint64_t before = UINT64_MAX;
	bool repaired = false;
	char name[24];
	int r = -1;

	/* the same is wrong twice: not just a file that went away under us */
	for (int i = 0; i < LOOKS_MAX && r < 0; i++) {
		r = look(l, x, &log, &why);
		if (r < 0 && l->bad_ino == before)
			break;
		before = l->bad_ino;
	}
	if (atomic_load(&l->v->stop) < 0)
		return atomic_load(&l->v->stop);
	if (r == 0)
		r = check_parent(l, &log, &why);
	if (r == 0)
		r = check_snapshot(l, &log.head.snapshot, &repaired, &why);
	if (r == 0)
		return verify_done(l->v, log.total);
	snprintf(name, sizeof(name), "%" PRIu64, x->id);
	if (!repaired && repair_layer(l, x))
		repaired = x->unmade = true; /* it is in nobody's way any more */
	return verify_bad(l->v, CAS_BAD_LAYER, name, why.msg, repaired);
}

static int see_unfinished(void *priv, const char *name, bool removed)
{
	return verify_bad(priv, CAS_BAD_LAYER, name, "it was never finished", removed);
}

/* ---- what names layers ---- */

/* A keeper's record may name a layer and a snapshot. */
static int see_user(
    void *priv, const char *ns, const char *key, const struct orch_json *value, int status)
{
	struct layers *l = priv;
	struct orch_err why = ORCH_ERR_INIT;
	bool repaired = false;
	struct orch_digest id;
	const char *hex;
	uint64_t layer;
	char name[1100];

	if (status < 0)
		return 0;
	snprintf(name, sizeof(name), "%s %s", ns, key);
	if (orch_json_get_u64(value, "layer", &layer, NULL) == 0 && !find_layer(l, layer))
		return verify_bad(
		    l->v, CAS_BAD_LAYER, name, "it names a layer that is not there", false);
	if (orch_json_get_str(value, "snapshot", &hex, NULL) == 0 && hex &&
	    orch_digest_parse(hex, &id) == 0 && check_snapshot(l, &id, &repaired, &why) < 0)
		return verify_bad(l->v, CAS_BAD_SNAPSHOT, name, why.msg, repaired);
	return 0;
}

int verify_layers(struct verify *v, struct orch_err *err)
{
	struct layers l = {.v = v};
	int r = cas_layer_list(v->s, CAS_LAYER_SEALED, &l.v_layer, &l.count, err);

	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < l.count; i++)
		r = check_folders(&l, &l.v_layer[i]);
	for (size_t i = l.count; r == 0 && i-- > 0;) /* what stands on others comes first */
		r = check_layer(&l, &l.v_layer[i]);
	if (r == 0)
		r = cas_layer_each_unfinished(v->s, v->spec->repair, see_unfinished, v, err);
	if (r == 0)
		r = cas_record_list(v->s, NULL, see_user, &l, err);
	free(l.v_layer);
	return r;
}
