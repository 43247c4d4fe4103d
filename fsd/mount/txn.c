/*
 * Transactions: records are collected in ns->frame, appended to the log in one piece, then applied
 * to the top stratum from the very bytes that were logged, so that memory and disk can't differ.
 */
#include <string.h>
#include "fsd/mount/ns_priv.h"

#define CHECKPOINT_LEAST    ((uint64_t)8 << 20) /* bytes of log that are never too many */
#define CHECKPOINT_RATIO    4			/* log against an estimate of the live state */
#define CHECKPOINT_FULL	    ((uint64_t)1 << 20) /* the same on a full disk */
#define CHECKPOINT_AGAIN_NS (ORCH_NS_PER_S / 5) /* after one that failed */
#define NODE_BYTES	    200
#define LINK_BYTES	    80

void mnt_txn_begin(struct mnt_ns *ns)
{
	orch_buf_reset(&ns->frame);
	ns->removal = ns->unsound = false;
	/* a failure stays marked in the buffer until the commit */
	if (fmt_txn_begin(&ns->frame, mnt_txn_seq(ns), &ns->frame_at) < 0)
		ns->frame.failed = true;
	else
		fmt_txn_durable(&ns->frame, ns->frame_at, mnt_log_durable(ns->chain.log));
}

uint64_t mnt_txn_seq(const struct mnt_ns *ns)
{
	return ns->chain.head.seq + 1;
}

static void add(struct mnt_ns *ns, const struct fmt_layer_record *rec)
{
	if (fmt_txn_add(&ns->frame, rec) < 0)
		ns->frame.failed = true;
}

void mnt_txn_node(struct mnt_ns *ns, const struct fmt_node *n)
{
	struct fmt_layer_record rec = {.kind = FMT_LAYER_NODE, .node = *n};

	add(ns, &rec);
	if (!mnt_ns_sound(ns, n))
		ns->unsound = true;
}

void mnt_txn_link(struct mnt_ns *ns, uint64_t parent, const char *name, size_t len, uint64_t ino,
    enum fmt_type type)
{
	struct fmt_layer_record rec = {.kind = FMT_LAYER_LINK,
	    .link = {.parent = parent, .name = name, .name_len = len, .ino = ino, .type = type}};

	add(ns, &rec);
}

void mnt_txn_unlink(struct mnt_ns *ns, struct mnt_node *dir, const char *name, size_t len)
{
	/* a whiteout keeps a type, so that "nothing recorded" (no type) can be told from it */
	enum fmt_type type = mnt_dir_below_has(ns, dir, name, len) ? FMT_REG : (enum fmt_type)0;

	mnt_txn_link(ns, dir->own.ino, name, len, 0, type);
}

void mnt_txn_removes(struct mnt_ns *ns)
{
	ns->removal = true;
}

void mnt_txn_sealed(struct mnt_ns *ns, uint64_t successor)
{
	struct fmt_layer_record rec = {.kind = FMT_LAYER_SEALED, .successor = successor};

	add(ns, &rec);
}

void mnt_txn_gone(struct mnt_ns *ns, uint64_t ino)
{
	struct fmt_layer_record rec = {.kind = FMT_LAYER_GONE, .ino = ino};

	mnt_txn_removes(ns);
	add(ns, &rec);
}

void mnt_txn_pin(struct mnt_ns *ns, struct mnt_node *n)
{
	while (n && !fmt_overlay_node(mnt_chain_top(&ns->chain), n->own.ino)) {
		struct mnt_name *name = n->names;

		mnt_txn_node(ns, mnt_ns_state(ns, n));
		if (!name)
			return; /* the root, or a file without a name */
		mnt_txn_link(ns, name->parent->own.ino, name->name, name->len, n->own.ino,
		    mnt_ns_state(ns, n)->type);
		n = name->parent;
	}
}

void mnt_txn_touch(struct mnt_ns *ns, struct mnt_node *dir, int64_t now_ns)
{
	struct fmt_node s = *mnt_ns_state(ns, dir);

	s.mtime_ns = s.ctime_ns = now_ns;
	mnt_txn_node(ns, &s);
}

/* The log has it, memory does not: nothing more may be changed; a remount puts it right. */
static int apply_failed(struct mnt_ns *ns, int r)
{
	ns->broken = true;
	orch_log(ORCH_LOG_ERROR, "mount", "state-incomplete", "errno=%s", orch_err_name(-r));
	return -EIO;
}

static int apply(struct mnt_ns *ns)
{
	struct fmt_layer_record rec;
	struct orch_err err = ORCH_ERR_INIT;
	struct fmt_txn txn;
	size_t pos = 0;
	bool torn = false;
	int r = fmt_txn_next(
	    ns->frame.data, ns->frame.len, &pos, ns->chain.head.seq, &txn, &torn, &err);

	ORCH_BUG_ON(r != 1);
	while ((r = fmt_txn_record(&txn, &rec, &err)) == 1) {
		r = fmt_overlay_apply(mnt_chain_top(&ns->chain), &rec, txn.seq);
		if (r < 0)
			return apply_failed(ns, r);
	}
	return r < 0 ? apply_failed(ns, r) : 0;
}

static int put(void *priv, const void *p, size_t n)
{
	return mnt_log_checkpoint_put(priv, p, n);
}

int mnt_txn_checkpoint(
    struct mnt_ns *ns, const struct fmt_overlay *o, const struct fmt_layer_head *with)
{
	struct fmt_layer_head head = *with;
	struct mnt_log *log = ns->chain.log;
	int r = mnt_log_checkpoint_begin(log, &head.segment);

	head.checkpoint = true;
	head.wall_ns = orch_wall_ns();
	if (r == 0)
		r = fmt_overlay_dump(o, &head, put, log);
	if (r == 0)
		r = mnt_log_checkpoint_end(log);
	if (r < 0)
		mnt_log_checkpoint_abort(log);
	return r;
}

/* Whether a checkpoint would be far smaller than the log. */
static bool is_long(const struct mnt_ns *ns, uint64_t least)
{
	const struct fmt_overlay *o = mnt_chain_top(&ns->chain);
	uint64_t live = fmt_overlay_node_count(o) * (NODE_BYTES + LINK_BYTES);
	uint64_t bytes = mnt_log_bytes(ns->chain.log), successor;

	return bytes >= least && bytes >= live * CHECKPOINT_RATIO &&
	       !fmt_overlay_sealed(o, &successor);
}

/* 0, or why there is none: not again before a while has passed. */
static int checkpoint(struct mnt_ns *ns)
{
	if (orch_clock_ns() < ns->no_checkpoint_before_ns)
		return ns->checkpoint_error;
	ns->checkpoint_error = mnt_txn_checkpoint(ns, mnt_chain_top(&ns->chain), &ns->chain.head);
	if (ns->checkpoint_error < 0) {
		ns->no_checkpoint_before_ns = orch_clock_ns() + CHECKPOINT_AGAIN_NS;
		orch_log(ORCH_LOG_WARN, "mount", "checkpoint-failed", "errno=%s",
		    orch_err_name(-ns->checkpoint_error));
	}
	return ns->checkpoint_error;
}

static void checkpoint_when_due(struct mnt_ns *ns)
{
	if (ns->chain.head.seq % 256 == 0 && is_long(ns, CHECKPOINT_LEAST))
		(void)checkpoint(ns);
}

/* The state of the top layer is in memory, whatever became of its log. */
static int rescue(struct mnt_ns *ns)
{
	int r = mnt_txn_checkpoint(ns, mnt_chain_top(&ns->chain), &ns->chain.head);

	orch_log(ORCH_LOG_ERROR, "mount", r < 0 ? "log-lost" : "log-rescued",
	    "layer=%llu errno=%s reason=%s", (unsigned long long)mnt_chain_top_layer(&ns->chain),
	    r < 0 ? orch_err_name(-r) : "0", "its log was cut or removed under the mount");
	if (r == 0)
		return 0;
	ns->broken = true;
	return -EIO;
}

int mnt_txn_look(struct mnt_ns *ns)
{
	if (ns->broken || !ns->chain.log)
		return 0;
	return mnt_log_look(ns->chain.log) < 0 ? rescue(ns) : 0;
}

static int append(struct mnt_ns *ns)
{
	int r = -ORCH_ECORRUPT;

	for (int i = 0; i < 2 && r == -ORCH_ECORRUPT; i++) {
		if (i > 0 && rescue(ns) < 0)
			return -EIO;
		r = mnt_log_append(ns->chain.log, &ns->chain.head, mnt_txn_seq(ns), ns->frame.data,
		    ns->frame.len, ns->removal);
	}
	return r == -ORCH_ECORRUPT ? -EIO : r;
}

/* A long log gets no further segment on a full disk: what is left there is for its checkpoint, with
 * which it gives back what it has. */
static int append_or_shorten(struct mnt_ns *ns)
{
	bool full = mnt_log_is_full(ns->chain.log, ns->frame.len);
	int r = 0;

	if (full && is_long(ns, CHECKPOINT_LEAST))
		r = checkpoint(ns) == -ENOSPC && !ns->removal ? -ENOSPC : 0;
	if (r == 0)
		r = append(ns);
	if (r == -ENOSPC && is_long(ns, CHECKPOINT_FULL) && checkpoint(ns) == 0)
		r = append(ns);
	return r;
}

int mnt_txn_commit(struct mnt_ns *ns)
{
	int r = ns->broken || ns->unsound ? -EIO : 0;

	if (r == 0 && ns->frame.failed)
		r = ns->frame.len > FMT_TXN_MAX / 2 ? -EFBIG : -ENOMEM;
	if (r == 0)
		r = fmt_txn_end(&ns->frame, ns->frame_at);
	if (r == 0)
		r = append_or_shorten(ns);
	if (r < 0)
		return r;
	r = apply(ns);
	ns->chain.head.seq++;
	if (r == 0)
		checkpoint_when_due(ns);
	return r;
}
