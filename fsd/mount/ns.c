/* Life of the name space, and of its nodes. See ns.h. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "core/grow.h"
#include "core/guard.h"
#include "fsd/mount/ns_priv.h"

#define COUNTERS_BLOCK 4096 /* numbers reserved with one record */

/* The root has no entry in a tree: the snapshot describes it. */
static int root_load(struct mnt_ns *ns, struct orch_err *err)
{
	struct fmt_snapshot snap;
	struct fmt_stamp stamp;
	int r;

	ns->root = mnt_nodes_add(&ns->nodes, FMT_ROOT_INO);
	if (!ns->root)
		return orch_err_set(err, ENOMEM, "no memory");
	ns->root->lookups = 1;
	if (orch_digest_is_null(&ns->chain.head.snapshot)) {
		ns->root->own = (struct fmt_node){.ino = FMT_ROOT_INO,
		    .type = FMT_DIR,
		    .mode = 0755,
		    .uid = FMT_ID_OWNER,
		    .gid = FMT_ID_OWNER,
		    .nlink = 1,
		    .atime_ns = ns->chain.head.wall_ns,
		    .mtime_ns = ns->chain.head.wall_ns,
		    .ctime_ns = ns->chain.head.wall_ns};
		return 0;
	}
	r = view_packset_snapshot(ns->config.packs, &ns->chain.head.snapshot, &snap, err);
	if (r < 0) {
		orch_err_wrap(err, "base snapshot");
		return r;
	}
	stamp = (struct fmt_stamp){
	    .ino = FMT_ROOT_INO, .mtime_ns = snap.root_mtime_ns, .nlink = 1, .stamps = snap.stamps};
	mnt_state_from_base(&snap.root, &stamp, &ns->root->own);
	if (snap.next_ino > ns->chain.head.next_ino)
		ns->chain.head.next_ino = snap.next_ino;
	return 0;
}

static int start(struct mnt_ns *ns, struct orch_err *err)
{
	int r = mnt_nodes_init(&ns->nodes);

	if (r < 0)
		return orch_err_set(err, -r, "no memory");
	r = mnt_chain_load(
	    ns->config.layers_fd, ns->config.layer, ns->config.read_only, &ns->chain, err);
	if (r == 0)
		r = root_load(ns, err);
	if (r < 0)
		return r;
	if (ns->chain.head.next_ino <= FMT_ROOT_INO)
		ns->chain.head.next_ino = FMT_ROOT_INO + 1;
	if (ns->chain.head.next_spool == 0)
		ns->chain.head.next_spool = 1;
	ns->next_ino = ns->chain.head.next_ino;
	ns->next_spool = ns->first_spool = ns->chain.head.next_spool;
	ns->reported_seq = ns->chain.head.seq;
	return ns->config.after_reboot && !ns->config.read_only ? mnt_ns_recover(ns, err) : 0;
}

/* ---- files that go */

static int make_durable(void *priv)
{
	return mnt_ns_sync_log(priv);
}

static void remove_doomed(void *priv, const struct mnt_doomed *v, size_t count)
{
	struct mnt_ns *ns = priv;

	for (size_t i = 0; i < count; i++) {
		struct mnt_content_key key = {.layer = v[i].layer, .id = v[i].id};
		char name[24];
		int fd;

		mnt_contents_drop(ns->config.contents, &key);
		mnt_ns_lock(ns);
		fd = mnt_chain_spool_take(&ns->chain, v[i].layer);
		mnt_ns_unlock(ns);
		mnt_spool_name(v[i].id, name);
		if (fd >= 0 && unlinkat(fd, name, 0) < 0 && errno != ENOENT)
			orch_log(ORCH_LOG_WARN, "mount", "spool-not-removed", "file=%s errno=%s",
			    name, orch_err_name(errno));
		mnt_ns_spool_give(ns);
	}
}

static int start_remover(struct mnt_ns *ns, struct orch_err *err)
{
	const struct mnt_remover_ops ops = {make_durable, remove_doomed, ns};

	if (ns->config.read_only)
		return 0;
	ns->remover = mnt_remover_new(&ops);
	return ns->remover ? 0 : orch_err_set(err, ENOMEM, "no memory");
}

int mnt_ns_new(const struct mnt_ns_config *config, struct mnt_ns **out, struct orch_err *err)
{
	struct mnt_ns *ns = calloc(1, sizeof(*ns));
	int r;

	if (!ns)
		return orch_err_set(err, ENOMEM, "no memory");
	ns->config = *config;
	pthread_mutex_init(&ns->lock, NULL);
	pthread_mutex_init(&ns->spool_sync, NULL);
	pthread_mutex_init(&ns->outlived_search, NULL);
	orch_buf_init(&ns->frame, FMT_TXN_MAX);
	r = start(ns, err);
	if (r == 0)
		r = start_remover(ns, err);
	if (r < 0) {
		mnt_ns_free(ns);
		return r;
	}
	*out = ns;
	return 0;
}

void mnt_ns_free(struct mnt_ns *ns)
{
	if (!ns)
		return;
	mnt_remover_free(ns->remover);
	while (ns->open)
		mnt_handle_free(ns->open);
	(void)!mnt_txn_look(ns); /* logged */
	mnt_nodes_fini(&ns->nodes);
	mnt_chain_fini(&ns->chain);
	orch_buf_fini(&ns->frame);
	free(ns->doomed);
	pthread_mutex_destroy(&ns->outlived_search);
	pthread_mutex_destroy(&ns->spool_sync);
	pthread_mutex_destroy(&ns->lock);
	free(ns);
}

const char *mnt_ns_workspace(const struct mnt_ns *ns)
{
	return ns->chain.head.workspace;
}

void mnt_ns_lock(struct mnt_ns *ns)
{
	pthread_mutex_lock(&ns->lock);
}

void mnt_ns_spool_give(struct mnt_ns *ns)
{
	pthread_mutex_lock(&ns->lock);
	mnt_chain_spool_give(&ns->chain);
	pthread_mutex_unlock(&ns->lock);
}

#define SHORT_BYTES   ((uint64_t)256 << 20)
#define SHORT_PERCENT 2

/* Removed files are space that somebody may be waiting for. */
static bool is_short_of_space(int fd)
{
	struct statvfs st;

	return fd >= 0 && fstatvfs(fd, &st) == 0 &&
	       ((uint64_t)st.f_bavail * st.f_frsize < SHORT_BYTES ||
		   st.f_bavail < st.f_blocks / 100 * SHORT_PERCENT);
}

void mnt_ns_unlock(struct mnt_ns *ns)
{
	struct mnt_doomed *list = ns->doomed;
	size_t count = ns->doomed_count;
	bool hurry = false;

	if (list)
		hurry =
		    is_short_of_space(mnt_chain_spool(&ns->chain, mnt_chain_top_layer(&ns->chain)));
	ns->doomed = NULL;
	ns->doomed_count = ns->doomed_cap = 0;
	pthread_mutex_unlock(&ns->lock);
	if (list)
		mnt_remover_add(ns->remover, list, count, hurry);
}

bool mnt_ns_reclaim(struct mnt_ns *ns)
{
	return ns->remover && mnt_remover_flush(ns->remover);
}

void mnt_ns_doom(struct mnt_ns *ns, const struct fmt_node *state)
{
	if (orch_grow(&ns->doomed, &ns->doomed_cap, ns->doomed_count + 1, sizeof(*ns->doomed)) < 0)
		return; /* the next mount removes it */
	ns->doomed[ns->doomed_count++] = (struct mnt_doomed){state->spool_layer, state->spool_id};
}

struct mnt_node *mnt_ns_node(struct mnt_ns *ns, uint64_t id)
{
	return mnt_nodes_by_id(&ns->nodes, id);
}

struct mnt_node *mnt_ns_current(struct mnt_ns *ns, struct mnt_node *n)
{
	struct mnt_node *now;

	if (!n->superseded)
		return n;
	now = mnt_nodes_by_ino(&ns->nodes, n->own.ino);
	if (!now && mnt_chain_node(&ns->chain, n->own.ino))
		now = mnt_nodes_add(&ns->nodes, n->own.ino);
	return now;
}

const struct fmt_node *mnt_ns_state(const struct mnt_ns *ns, const struct mnt_node *n)
{
	const struct fmt_node *state =
	    n->superseded ? NULL : mnt_chain_node(&ns->chain, n->own.ino);

	return state ? state : &n->own;
}

/* An unlinked node that nobody can reach any more leaves the layer. */
static void bury(struct mnt_ns *ns, struct mnt_node *n)
{
	struct fmt_node state = *mnt_ns_state(ns, n);

	if (n->superseded || state.nlink != 0 || ns->config.read_only || ns->broken ||
	    !fmt_overlay_node(mnt_chain_top(&ns->chain), state.ino))
		return;
	mnt_txn_begin(ns);
	mnt_txn_gone(ns, state.ino);
	if (mnt_txn_commit(ns) == 0 && state.type == FMT_REG && mnt_state_is_private(ns, &state))
		mnt_ns_doom(ns, &state);
}

/* A name keeps its folder, and so all folders above that one, as long as it is counted. So each name's
 * folder is settled before the next name is let go: that one's may be above it. */
void mnt_ns_settle(struct mnt_ns *ns, struct mnt_node *n)
{
	while (n && mnt_node_idle(n)) {
		struct mnt_node *parent, *successor = n->successor;

		bury(ns, n);
		while ((parent = mnt_node_name_pop(n)) && n->names)
			mnt_ns_settle(ns, parent);
		mnt_nodes_remove(&ns->nodes, n);
		if (successor) { /* n had no name, and parent is NULL */
			successor->pins--;
			mnt_ns_settle(ns, successor);
		}
		n = parent;
	}
}

static int reserve(struct mnt_ns *ns, uint64_t next_ino, uint64_t next_spool)
{
	struct fmt_layer_record rec = {.kind = FMT_LAYER_COUNTERS,
	    .counters = {.next_ino = next_ino, .next_spool = next_spool}};
	int r;

	mnt_txn_begin(ns);
	r = fmt_txn_add(&ns->frame, &rec);
	if (r == 0)
		r = mnt_txn_commit(ns);
	if (r < 0)
		return r;
	ns->chain.head.next_ino = next_ino;
	ns->chain.head.next_spool = next_spool;
	return 0;
}

int mnt_ns_new_ino(struct mnt_ns *ns, uint64_t *out)
{
	int r = 0;

	if (ns->next_ino >= ns->chain.head.next_ino)
		r = reserve(ns, ns->next_ino + COUNTERS_BLOCK, ns->chain.head.next_spool);
	if (r == 0)
		*out = ns->next_ino++;
	return r;
}

int mnt_ns_new_spool(struct mnt_ns *ns, uint64_t *out)
{
	int r = 0;

	if (ns->next_spool >= ns->chain.head.next_spool)
		r = reserve(ns, ns->chain.head.next_ino, ns->next_spool + COUNTERS_BLOCK);
	if (r == 0)
		*out = ns->next_spool++;
	return r;
}

bool mnt_ns_sound(struct mnt_ns *ns, const struct fmt_node *n)
{
	if (orch_guard_hits() == 0)
		return true;
	if (view_packset_sound(ns->config.packs, n->xattrs.p) &&
	    (n->content != FMT_CONTENT_TARGET || view_packset_sound(ns->config.packs, n->target)))
		return true;
	orch_log(ORCH_LOG_ERROR, "mount", "pack-damaged", "ino=%llu", (unsigned long long)n->ino);
	return false;
}

int mnt_ns_may_change(struct mnt_ns *ns)
{
	if (ns->config.read_only)
		return -EROFS;
	return ns->broken ? -EIO : 0;
}

int mnt_ns_lookup(struct mnt_ns *ns, uint64_t parent, const char *name, struct mnt_attr *out)
{
	struct mnt_node *dir, *n = NULL;
	int r;

	mnt_ns_lock(ns);
	dir = mnt_ns_node(ns, parent);
	r = dir ? mnt_dir_lookup(ns, dir, name, strlen(name), &n) : -ESTALE;
	if (r == 0) {
		r = mnt_attr_fill(ns, n, &out->st);
		if (r == 0) {
			n->lookups++;
			out->id = n->id;
		}
		mnt_ns_settle(ns, n);
	}
	mnt_ns_unlock(ns);
	return r;
}

void mnt_ns_forget(struct mnt_ns *ns, uint64_t id, uint64_t count)
{
	struct mnt_node *n;

	mnt_ns_lock(ns);
	n = mnt_ns_node(ns, id);
	if (n && n != ns->root) {
		n->lookups -= count < n->lookups ? count : n->lookups;
		mnt_ns_settle(ns, n);
	}
	mnt_ns_unlock(ns);
}

void mnt_ns_status(struct mnt_ns *ns, struct mnt_ns_status *out)
{
	mnt_ns_lock(ns);
	*out = (struct mnt_ns_status){
	    .layer = ns->chain.head.layer,
	    .parent = ns->chain.head.parent,
	    .seq = ns->chain.head.seq,
	    .next_ino = ns->next_ino,
	    .snapshot = ns->chain.head.snapshot,
	    .nodes = ns->nodes.count,
	    .layers = ns->chain.layer_count,
	    .strata = ns->chain.strata_count,
	    .open_handles = ns->handles,
	    .open_files = mnt_contents_count(ns->config.contents),
	    .log_bytes = ns->chain.log ? mnt_log_bytes(ns->chain.log) : 0,
	    .read_only = ns->config.read_only,
	};
	mnt_ns_unlock(ns);
}

int mnt_ns_statfs(struct mnt_ns *ns, struct statvfs *out)
{
	int fd, r = 0;

	mnt_ns_lock(ns);
	fd = mnt_chain_spool(&ns->chain, mnt_chain_top_layer(&ns->chain));
	if (fstatvfs(fd, out) < 0)
		r = -errno;
	mnt_ns_unlock(ns);
	if (r == 0)
		out->f_namemax = FMT_NAME_MAX;
	return r;
}
