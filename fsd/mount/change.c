/* Changes of names: make, unlink, rmdir, link, rename. Each is one transaction. See ns.h. */
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include "fsd/mount/ns_priv.h"

/* The folder that gets or loses a name: it must be one, and still be there. */
static int folder(struct mnt_ns *ns, uint64_t id, struct mnt_node **out)
{
	const struct fmt_node *s;

	*out = mnt_ns_node(ns, id);
	if (!*out)
		return -ESTALE;
	s = mnt_ns_state(ns, *out);
	if (s->type != FMT_DIR)
		return -ENOTDIR;
	return s->nlink == 0 ? -ENOENT : 0;
}

static int begin(struct mnt_ns *ns, uint64_t parent, struct mnt_node **out_dir)
{
	int r = mnt_ns_may_change(ns);

	return r < 0 ? r : folder(ns, parent, out_dir);
}

/* 0 when the name is free. */
static int name_is_free(struct mnt_ns *ns, struct mnt_node *dir, const char *name, size_t len)
{
	struct mnt_found found;
	int r;

	if (len == 0 || len > FMT_NAME_MAX)
		return len ? -ENAMETOOLONG : -ENOENT;
	r = mnt_dir_find(ns, dir, name, len, &found);
	if (r == 0)
		return -EEXIST;
	return r == -ENOENT ? 0 : r;
}

/* The first state of a new node; a folder with the set-group-id bit hands its group down. */
static void new_state(const struct mnt_ns *ns, const struct mnt_node *dir, const struct mnt_make *m,
    uint64_t ino, struct fmt_node *out)
{
	const struct fmt_layer_head *head = &ns->chain.head;
	const struct fmt_node *d = mnt_ns_state(ns, dir);
	int64_t now = orch_wall_ns();

	*out = (struct fmt_node){
	    .ino = ino,
	    .type = m->type,
	    .mode = m->mode & 07777,
	    .uid = m->uid == head->uid ? FMT_ID_OWNER : m->uid,
	    .gid = m->gid == head->gid ? FMT_ID_OWNER : m->gid,
	    .nlink = 1,
	    .rdev = m->rdev,
	    .atime_ns = now,
	    .mtime_ns = now,
	    .ctime_ns = now,
	    .written_seq = mnt_txn_seq(ns),
	};
	if (d->mode & S_ISGID) {
		out->gid = d->gid;
		if (m->type == FMT_DIR)
			out->mode |= S_ISGID;
	}
	if (m->type == FMT_SYMLINK) {
		out->content = FMT_CONTENT_TARGET;
		out->target = m->target;
		out->size = out->target_len = strlen(m->target);
	}
}

/* Commits a new node under dir (name NULL: without one) and makes the kernel's node for it. */
static int insert(struct mnt_ns *ns, struct mnt_node *dir, const char *name, size_t len,
    struct fmt_node *state, struct mnt_node **out)
{
	struct mnt_node *n = mnt_nodes_add(&ns->nodes, state->ino);
	int r = n ? 0 : -ENOMEM;

	if (r == 0 && name)
		r = mnt_node_name_add(n, dir, name, len);
	if (r == 0) {
		n->own.type = state->type;
		n->own.nlink = 1; /* nothing to bury if the commit fails */
		mnt_txn_begin(ns);
		mnt_txn_pin(ns, dir);
		mnt_txn_node(ns, state);
		if (name) {
			mnt_txn_touch(ns, dir, state->mtime_ns);
			mnt_txn_link(ns, dir->own.ino, name, len, state->ino, state->type);
		}
		r = mnt_txn_commit(ns);
	}
	if (r < 0) {
		if (n)
			mnt_ns_settle(ns, n);
		return r;
	}
	if (state->type == FMT_DIR && name)
		mnt_dir_subdirs_add(dir, 1);
	if (name)
		mnt_dir_changed(ns, dir);
	*out = n;
	return 0;
}

static int make_locked(struct mnt_ns *ns, uint64_t parent, const char *name,
    const struct mnt_make *m, struct mnt_content *c, struct mnt_node **out)
{
	struct mnt_node *dir;
	struct fmt_node state;
	uint64_t ino;
	int r = begin(ns, parent, &dir);

	if (r == 0 && name)
		r = name_is_free(ns, dir, name, strlen(name));
	if (r == 0)
		r = mnt_ns_new_ino(ns, &ino);
	if (r < 0)
		return r;
	if (c && c->key.layer != mnt_chain_top_layer(&ns->chain))
		return MNT_AGAIN; /* sealed meanwhile */
	new_state(ns, dir, m, ino, &state);
	if (c)
		mnt_state_set_spool(ns, &state, c->key.id, 0);
	if (!name)
		state.nlink = 0;
	return insert(ns, dir, name, name ? strlen(name) : 0, &state, out);
}

/* The caller is told that it failed, so nothing of it may stay open. */
static void unmake(struct mnt_ns *ns, struct mnt_node *n, bool opened)
{
	n->lookups--;
	if (opened) {
		n->opens = n->writers = 0;
		n->content = NULL;
	}
	mnt_ns_settle(ns, n);
}

/* A new node with the private file c (NULL: it needs none), looked up once, opened as h (or NULL). */
static int make(struct mnt_ns *ns, uint64_t parent, const char *name, const struct mnt_make *m,
    struct mnt_content *c, struct mnt_attr *out, struct mnt_handle *h)
{
	struct mnt_node *n;
	int r;

	mnt_ns_lock(ns);
	r = make_locked(ns, parent, name, m, c, &n);
	if (r == 0) {
		n->lookups++;
		if (h) {
			n->opens = n->writers = n->write_opens = 1;
			n->was_written = true;
			n->content = c;
			n->bypass = c->backing > 0;
			h->node = n;
		}
		out->id = n->id;
		r = mnt_attr_fill(ns, n, &out->st);
		if (r < 0)
			unmake(ns, n, h != NULL);
		else if (h)
			mnt_handle_add(ns, h);
	}
	mnt_ns_unlock(ns);
	return r;
}

/* Regular files get their private file at once, so that all their opens are alike. */
static int make_file(struct mnt_ns *ns, uint64_t parent, const char *name, const struct mnt_make *m,
    struct mnt_attr *out, struct mnt_handle *h, struct mnt_content **out_content)
{
	struct mnt_content *c;
	int r;

	do {
		r = mnt_file_new_spool(ns, &c);
		if (r < 0)
			return r;
		r = make(ns, parent, name, m, c, out, h);
		if (r != 0)
			mnt_file_discard(ns, c);
	} while (r == MNT_AGAIN);
	*out_content = c;
	return r;
}

int mnt_ns_make(struct mnt_ns *ns, uint64_t parent, const char *name, const struct mnt_make *m,
    struct mnt_attr *out)
{
	struct mnt_content *c;
	int r;

	if (m->type == FMT_SYMLINK && strlen(m->target) > FMT_SYMLINK_MAX)
		return -ENAMETOOLONG;
	if (m->type != FMT_REG)
		return make(ns, parent, name, m, NULL, out, NULL);
	r = make_file(ns, parent, name, m, out, NULL, &c);
	if (r == 0)
		mnt_content_put(ns->config.contents, c);
	return r;
}

int mnt_ns_create(struct mnt_ns *ns, uint64_t parent, const char *name, const struct mnt_make *m,
    int flags, struct mnt_attr *out, struct mnt_handle **out_handle)
{
	struct mnt_handle *h = mnt_handle_new(flags, true);
	struct mnt_content *c;
	int r;

	if (!h)
		return -ENOMEM;
	r = make_file(ns, parent, name, m, out, h, &c);
	if (r < 0) {
		mnt_handle_free(h);
		return r;
	}
	h->backing = c->backing; /* its reference is the node's now */
	*out_handle = h;
	return 0;
}

/* ---- removal */

/* A node loses one name, in the transaction in progress; dead is set when that was the last one. */
static void drop_link(struct mnt_ns *ns, struct mnt_node *n, int64_t now, bool *out_dead)
{
	struct fmt_node s = *mnt_ns_state(ns, n);

	s.nlink = s.type == FMT_DIR || s.nlink <= 1 ? 0 : s.nlink - 1;
	s.ctime_ns = now;
	*out_dead = s.nlink == 0;
	mnt_txn_node(ns, &s);
}

static int remove_locked(
    struct mnt_ns *ns, struct mnt_node *dir, const char *name, size_t len, struct mnt_node *n)
{
	int64_t now = orch_wall_ns();
	bool folder = mnt_ns_state(ns, n)->type == FMT_DIR, dead;
	int r;

	mnt_txn_begin(ns);
	mnt_txn_removes(ns);
	mnt_txn_pin(ns, dir);
	mnt_txn_pin(ns, n);
	mnt_txn_touch(ns, dir, now);
	drop_link(ns, n, now, &dead);
	mnt_txn_unlink(ns, dir, name, len);
	r = mnt_txn_commit(ns);
	if (r < 0)
		return r;
	mnt_node_name_remove(n, dir, name, len);
	if (folder)
		mnt_dir_subdirs_add(dir, -1);
	mnt_dir_changed(ns, dir);
	return 0;
}

static int remove_name(struct mnt_ns *ns, uint64_t parent, const char *name, bool folder)
{
	struct mnt_node *dir, *n = NULL;
	bool is_folder;
	int r;

	mnt_ns_lock(ns);
	r = begin(ns, parent, &dir);
	if (r == 0)
		r = mnt_dir_lookup(ns, dir, name, strlen(name), &n);
	if (r == 0) {
		is_folder = mnt_ns_state(ns, n)->type == FMT_DIR;
		if (is_folder != folder)
			r = folder ? -ENOTDIR : -EISDIR;
		else if (folder && !mnt_dir_empty(ns, n, &r) && r == 0)
			r = -ENOTEMPTY;
		if (r == 0)
			r = remove_locked(ns, dir, name, strlen(name), n);
		mnt_ns_settle(ns, n);
	}
	mnt_ns_unlock(ns);
	return r;
}

/* Removals may come faster than the files that they free go: on a full disk the next one waits for those. */
static int remove_or_reclaim(struct mnt_ns *ns, uint64_t parent, const char *name, bool folder)
{
	int r = remove_name(ns, parent, name, folder);

	if (r != -ENOSPC)
		return r;
	(void)mnt_ns_reclaim(ns);
	return remove_name(ns, parent, name, folder);
}

int mnt_ns_unlink(struct mnt_ns *ns, uint64_t parent, const char *name)
{
	return remove_or_reclaim(ns, parent, name, false);
}

int mnt_ns_rmdir(struct mnt_ns *ns, uint64_t parent, const char *name)
{
	return remove_or_reclaim(ns, parent, name, true);
}

/* ---- link */

static int link_locked(
    struct mnt_ns *ns, struct mnt_node *n, struct mnt_node *dir, const char *name, size_t len)
{
	struct fmt_node s = *mnt_ns_state(ns, n);
	int r;

	if (s.type == FMT_DIR)
		return -EPERM;
	if (s.nlink >= UINT32_MAX - 1)
		return -EMLINK;
	r = mnt_node_name_add(n, dir, name, len);
	if (r < 0)
		return r;
	mnt_txn_begin(ns);
	mnt_txn_pin(ns, dir);
	mnt_txn_pin(ns, n);
	s.nlink++;
	s.ctime_ns = orch_wall_ns();
	mnt_txn_touch(ns, dir, s.ctime_ns);
	mnt_txn_node(ns, &s);
	mnt_txn_link(ns, dir->own.ino, name, len, s.ino, s.type);
	r = mnt_txn_commit(ns);
	if (r < 0)
		mnt_node_name_remove(n, dir, name, len);
	else
		mnt_dir_changed(ns, dir);
	return r;
}

int mnt_ns_link(
    struct mnt_ns *ns, uint64_t id, uint64_t parent, const char *name, struct mnt_attr *out)
{
	struct mnt_node *dir, *n;
	int r;

	mnt_ns_lock(ns);
	r = begin(ns, parent, &dir);
	n = mnt_ns_node(ns, id);
	if (n)
		n = mnt_ns_current(ns, n);
	if (r == 0 && !n)
		r = -ESTALE;
	if (r == 0)
		r = name_is_free(ns, dir, name, strlen(name));
	if (r == 0)
		r = link_locked(ns, n, dir, name, strlen(name));
	if (r == 0)
		r = mnt_attr_fill(ns, n, &out->st);
	if (r == 0) {
		n->lookups++;
		out->id = n->id;
	}
	mnt_ns_unlock(ns);
	return r;
}

/* ---- rename */

struct move {
	struct mnt_node *from, *to; /* folders */
	const char *from_name, *to_name;
	size_t from_len, to_len;
	struct mnt_node *what, *target; /* target may be NULL */
	bool exchange;
};

static int move_check(struct mnt_ns *ns, const struct move *m, unsigned flags)
{
	bool folder = mnt_ns_state(ns, m->what)->type == FMT_DIR, target_folder;
	int r = 0;

	if (!m->target)
		return flags & RENAME_EXCHANGE ? -ENOENT : 0;
	if (flags & RENAME_NOREPLACE)
		return -EEXIST;
	target_folder = mnt_ns_state(ns, m->target)->type == FMT_DIR;
	if (m->exchange || m->target == m->what)
		return 0;
	if (folder != target_folder)
		return folder ? -ENOTDIR : -EISDIR;
	if (target_folder && !mnt_dir_empty(ns, m->target, &r) && r == 0)
		r = -ENOTEMPTY;
	return r;
}

static void touch_ctime(struct mnt_ns *ns, struct mnt_node *n, int64_t now)
{
	struct fmt_node s = *mnt_ns_state(ns, n);

	s.ctime_ns = now;
	mnt_txn_node(ns, &s);
}

static int move_commit(struct mnt_ns *ns, const struct move *m)
{
	int64_t now = orch_wall_ns();
	bool dead;

	mnt_txn_begin(ns);
	mnt_txn_pin(ns, m->from);
	mnt_txn_pin(ns, m->to);
	mnt_txn_pin(ns, m->what);
	if (m->target)
		mnt_txn_pin(ns, m->target);
	mnt_txn_touch(ns, m->from, now);
	if (m->to != m->from)
		mnt_txn_touch(ns, m->to, now);
	touch_ctime(ns, m->what, now);
	mnt_txn_link(ns, m->to->own.ino, m->to_name, m->to_len, m->what->own.ino,
	    mnt_ns_state(ns, m->what)->type);
	if (m->exchange) {
		touch_ctime(ns, m->target, now);
		mnt_txn_link(ns, m->from->own.ino, m->from_name, m->from_len, m->target->own.ino,
		    mnt_ns_state(ns, m->target)->type);
	} else {
		if (m->target)
			drop_link(ns, m->target, now, &dead);
		mnt_txn_unlink(ns, m->from, m->from_name, m->from_len);
	}
	return mnt_txn_commit(ns);
}

/* The kernel's names follow. New ones were added before the commit, so nothing can fail here. */
static void move_names(struct mnt_ns *ns, const struct move *m)
{
	bool folder = mnt_ns_state(ns, m->what)->type == FMT_DIR;
	bool target_folder = m->target && mnt_ns_state(ns, m->target)->type == FMT_DIR;

	mnt_node_name_remove(m->what, m->from, m->from_name, m->from_len);
	if (m->target)
		mnt_node_name_remove(m->target, m->to, m->to_name, m->to_len);
	mnt_dir_subdirs_add(m->from, (m->exchange && target_folder) - folder);
	mnt_dir_subdirs_add(m->to, folder - target_folder);
	mnt_dir_changed(ns, m->from);
	mnt_dir_changed(ns, m->to);
}

static int move(struct mnt_ns *ns, const struct move *m)
{
	int r = mnt_node_name_add(m->what, m->to, m->to_name, m->to_len);

	if (r == 0 && m->exchange)
		r = mnt_node_name_add(m->target, m->from, m->from_name, m->from_len);
	if (r == 0)
		r = move_commit(ns, m);
	if (r == 0) {
		move_names(ns, m);
		return 0;
	}
	mnt_node_name_remove(m->what, m->to, m->to_name, m->to_len);
	if (m->exchange)
		mnt_node_name_remove(m->target, m->from, m->from_name, m->from_len);
	return r;
}

static int rename_locked(struct mnt_ns *ns, struct move *m, unsigned flags)
{
	int r = mnt_dir_lookup(ns, m->from, m->from_name, m->from_len, &m->what);

	if (r < 0)
		return r;
	m->what->pins++;
	r = mnt_dir_lookup(ns, m->to, m->to_name, m->to_len, &m->target);
	if (r == -ENOENT) {
		m->target = NULL;
		r = 0;
	}
	if (r == 0)
		r = move_check(ns, m, flags);
	if (r == 0 && m->what != m->target)
		r = move(ns, m);
	m->what->pins--;
	mnt_ns_settle(ns, m->what);
	if (m->target && m->target != m->what)
		mnt_ns_settle(ns, m->target);
	return r;
}

int mnt_ns_rename(struct mnt_ns *ns, uint64_t from, const char *from_name, uint64_t to,
    const char *to_name, unsigned flags)
{
	struct move m = {.from_name = from_name,
	    .to_name = to_name,
	    .from_len = strlen(from_name),
	    .to_len = strlen(to_name),
	    .exchange = flags & RENAME_EXCHANGE};
	int r;

	if ((flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)) ||
	    flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	mnt_ns_lock(ns);
	r = begin(ns, from, &m.from);
	if (r == 0)
		r = folder(ns, to, &m.to);
	if (r == 0)
		r = rename_locked(ns, &m, flags);
	mnt_ns_unlock(ns);
	return r;
}
