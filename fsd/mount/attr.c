/*
 * Attributes: reading, and changing them. What the spool's file system keeps anyway (size, mtime of
 * a private file) is asked there, since data is written to it without this process.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "fsd/mount/ns_priv.h"

#define BLOCK 4096

static mode_t type_bits(enum fmt_type type)
{
	static const mode_t bits[] = {[FMT_REG] = S_IFREG,
	    [FMT_DIR] = S_IFDIR,
	    [FMT_SYMLINK] = S_IFLNK,
	    [FMT_FIFO] = S_IFIFO,
	    [FMT_SOCKET] = S_IFSOCK,
	    [FMT_CHR] = S_IFCHR,
	    [FMT_BLK] = S_IFBLK};

	return (size_t)type < ORCH_ARRAY_LEN(bits) ? bits[type] : 0;
}

int mnt_attr_spool_stat(
    struct mnt_ns *ns, const struct mnt_node *n, const struct fmt_node *state, struct stat *out)
{
	struct mnt_content_key key = mnt_state_key(state);
	char name[24];
	int fd;

	if (n->content && n->content->key.layer == key.layer && n->content->key.id == key.id)
		return fstat(n->content->fd, out) < 0 ? -errno : 0;
	fd = mnt_chain_spool(&ns->chain, state->spool_layer);
	mnt_spool_name(state->spool_id, name);
	if (fd >= 0 && fstatat(fd, name, out, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	orch_log(ORCH_LOG_ERROR, "mount", "private-file-missing",
	    "ino=%llu name=%s layer=%llu file=%s", (unsigned long long)state->ino,
	    n->names ? n->names->name : "?", (unsigned long long)state->spool_layer, name);
	return -EIO;
}

static int fill_private(
    struct mnt_ns *ns, struct mnt_node *n, const struct fmt_node *state, struct stat *out)
{
	struct timespec recorded = orch_ns_timespec(state->ctime_ns);
	struct stat st;
	int r = mnt_attr_spool_stat(ns, n, state, &st);

	if (r < 0)
		return r;
	out->st_size = st.st_size;
	out->st_blocks = st.st_blocks;
	out->st_mtim = st.st_mtim;
	out->st_ctim = st.st_ctim;
	if (recorded.tv_sec > st.st_ctim.tv_sec ||
	    (recorded.tv_sec == st.st_ctim.tv_sec && recorded.tv_nsec > st.st_ctim.tv_nsec))
		out->st_ctim = recorded;
	n->told_mtime_ns = orch_timespec_ns(&st.st_mtim);
	n->told_size = (uint64_t)st.st_size;
	/* stores through a mapping, and what an earlier process' writers do: the kernel does not see it */
	if (n->outlived || (n->bypass && n->writers > 0))
		ns->config.notify.recheck(ns->config.notify.priv, n->id);
	return 0;
}

static void fill_dir(
    struct mnt_ns *ns, struct mnt_node *n, const struct fmt_node *state, struct stat *out)
{
	int64_t subdirs = state->nlink ? mnt_dir_subdirs(ns, n) : 0;

	n->told_ns = orch_clock_ns();
	out->st_size = BLOCK;
	out->st_blocks = BLOCK / 512;
	out->st_nlink = state->nlink == 0 ? 0 : subdirs < 0 ? 1 : (nlink_t)subdirs + 2;
}

int mnt_attr_fill(struct mnt_ns *ns, struct mnt_node *n, struct stat *out)
{
	const struct fmt_node *s = mnt_ns_state(ns, n);

	*out = (struct stat){
	    .st_ino = s->ino,
	    .st_mode = type_bits(s->type) | (s->mode & 07777),
	    .st_nlink = s->nlink,
	    .st_uid = mnt_ns_id_in(s->uid, ns->chain.head.uid),
	    .st_gid = mnt_ns_id_in(s->gid, ns->chain.head.gid),
	    .st_rdev = (dev_t)s->rdev,
	    .st_size = (off_t)s->size,
	    .st_blksize = BLOCK,
	    .st_atim = orch_ns_timespec(s->atime_ns),
	    .st_mtim = orch_ns_timespec(s->mtime_ns),
	    .st_ctim = orch_ns_timespec(s->ctime_ns),
	};
	if (s->type == FMT_DIR)
		fill_dir(ns, n, s, out);
	else if (s->content == FMT_CONTENT_SPOOL)
		return fill_private(ns, n, s, out);
	else if (s->type == FMT_REG)
		out->st_blocks = (blkcnt_t)((s->size + BLOCK - 1) / BLOCK * (BLOCK / 512));
	return 0;
}

uint32_t mnt_ns_id_in(uint32_t id, uint32_t owner)
{
	return id == FMT_ID_OWNER ? owner : id;
}

/* MNT_PASSING for one whose names another one has: the file's attributes, but as long as somebody reads the
 * old content its size and time. */
static int fill_any(struct mnt_ns *ns, struct mnt_node *n, struct stat *out)
{
	struct mnt_node *now = mnt_ns_current(ns, n);
	struct stat old;
	int r = mnt_attr_fill(ns, now ? now : n, out);

	if (!n->superseded || r < 0)
		return r;
	if (!now)
		out->st_nlink = 0;
	if (now && n->opens > 0)
		r = mnt_attr_fill(ns, n, &old);
	if (now && n->opens > 0 && r == 0) {
		out->st_size = old.st_size;
		out->st_blocks = old.st_blocks;
		out->st_mtim = old.st_mtim;
	}
	if (now)
		mnt_ns_settle(ns, now); /* it may have been made for this question */
	return r < 0 ? r : MNT_PASSING;
}

int mnt_ns_getattr(struct mnt_ns *ns, uint64_t id, struct stat *out)
{
	struct mnt_node *n;
	int r;

	mnt_ns_lock(ns);
	n = mnt_ns_node(ns, id);
	r = n ? fill_any(ns, n, out) : -ESTALE;
	mnt_ns_unlock(ns);
	return r;
}

int mnt_ns_readlink(struct mnt_ns *ns, uint64_t id, char out[FMT_SYMLINK_MAX + 1])
{
	const struct fmt_node *s;
	struct mnt_node *n;
	int r = 0;

	mnt_ns_lock(ns);
	n = mnt_ns_node(ns, id);
	s = n ? mnt_ns_state(ns, n) : NULL;
	if (!s || s->type != FMT_SYMLINK)
		r = s ? -EINVAL : -ESTALE;
	else if (s->target_len > FMT_SYMLINK_MAX || !s->target)
		r = -EIO;
	else {
		memcpy(out, s->target, s->target_len);
		out[s->target_len] = 0;
		r = mnt_ns_sound(ns, s) ? 0 : -EIO;
	}
	mnt_ns_unlock(ns);
	return r;
}

/* ---- changing */

/* The mode without the bits that a foreign write or a change of owner takes away. */
static uint32_t without_set_ids(const struct fmt_node *s, unsigned set)
{
	uint32_t mode = s->mode & ~(uint32_t)S_ISUID;

	if (s->type == FMT_DIR)
		return s->mode;
	return mode & S_IXGRP || set & MNT_SET_DROP_SGID ? mode & ~(uint32_t)S_ISGID : mode;
}

/* Commits the fields that a record keeps. */
static int set_recorded(
    struct mnt_ns *ns, struct mnt_node *n, const struct mnt_setattr *a, bool written)
{
	struct fmt_node s = *mnt_ns_state(ns, n);

	mnt_txn_begin(ns);
	mnt_txn_pin(ns, n);
	if (a->set & (MNT_SET_DROP_IDS | MNT_SET_UID | MNT_SET_GID))
		s.mode = (typeof(s.mode))without_set_ids(&s, a->set);
	if (a->set & MNT_SET_MODE)
		s.mode = a->mode & 07777;
	if (a->set & MNT_SET_UID)
		s.uid = a->uid == ns->chain.head.uid ? FMT_ID_OWNER : a->uid;
	if (a->set & MNT_SET_GID)
		s.gid = a->gid == ns->chain.head.gid ? FMT_ID_OWNER : a->gid;
	if (a->set & MNT_SET_ATIME)
		s.atime_ns = a->atime_ns;
	if (a->set & MNT_SET_MTIME)
		s.mtime_ns = a->mtime_ns;
	if (written)
		s.written_seq = mnt_txn_seq(ns);
	s.ctime_ns = orch_wall_ns();
	mnt_txn_node(ns, &s);
	return mnt_txn_commit(ns);
}

/* What the private file itself keeps; without the lock. */
static int set_file(int fd, const struct mnt_setattr *a)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, orch_ns_timespec(a->mtime_ns)};

	if ((a->set & MNT_SET_SIZE) && ftruncate(fd, (off_t)a->size) < 0)
		return -errno;
	if ((a->set & MNT_SET_MTIME) && futimens(fd, times) < 0)
		return -errno;
	return 0;
}

/* 0: the node's content is private (or has none); MNT_AGAIN: not yet; with the lock held. */
static int needs_private(struct mnt_ns *ns, struct mnt_node *n, const struct mnt_setattr *a)
{
	const struct fmt_node *s = mnt_ns_state(ns, n);

	if (a->set & MNT_SET_SIZE) {
		if (s->type != FMT_REG)
			return s->type == FMT_DIR ? -EISDIR : -EINVAL;
		return mnt_state_is_private(ns, s) && !n->shared ? 0 : MNT_AGAIN;
	}
	/* times of a sealed private file are in a file that others share */
	if ((a->set & MNT_SET_MTIME) && s->content == FMT_CONTENT_SPOOL)
		return mnt_state_is_private(ns, s) && !n->shared ? 0 : MNT_AGAIN;
	return 0;
}

/* With the lock held, which it gives up while the file is changed. MNT_AGAIN: others share it. */
static int set_private_file(struct mnt_ns *ns, struct mnt_node *n, const struct mnt_setattr *a)
{
	struct mnt_content *c;
	bool shared = false;
	int r;

	n->pins++;
	n->writers++; /* a seal must not take it for unwritten */
	n->write_opens += (a->set & MNT_SET_SIZE) != 0;
	mnt_ns_unlock(ns);
	r = mnt_file_content(ns, n, &c);
	if (r == 0) {
		shared = mnt_file_is_shared(ns, n, c);
		r = shared ? MNT_AGAIN : set_file(c->fd, a);
		mnt_content_put(ns->config.contents, c);
	}
	mnt_ns_lock(ns);
	n->shared |= shared;
	n->pins--;
	n->writers--;
	return r;
}

static int set_locked(
    struct mnt_ns *ns, struct mnt_node *n, const struct mnt_setattr *a, struct stat *out)
{
	const struct fmt_node *s = mnt_ns_state(ns, n);
	bool drop = (a->set & MNT_SET_DROP_IDS) && without_set_ids(s, a->set) != s->mode;
	unsigned silent = MNT_SET_SIZE | MNT_SET_DROP_IDS | MNT_SET_DROP_SGID;
	bool file = s->content == FMT_CONTENT_SPOOL && (a->set & (MNT_SET_SIZE | MNT_SET_MTIME));
	bool written = (a->set & MNT_SET_SIZE) && s->written_seq <= ns->reported_seq;
	int r = 0;

	if (file)
		r = set_private_file(ns, n, a);
	if (r == 0 && ((a->set & ~silent) || drop || written))
		r = set_recorded(ns, n, a, written);
	return r != 0 ? r : mnt_attr_fill(ns, n, out);
}

int mnt_ns_setattr(struct mnt_ns *ns, uint64_t id, const struct mnt_setattr *a, struct stat *out)
{
	struct mnt_node *n;
	int r;

	mnt_ns_lock(ns);
	r = mnt_ns_may_change(ns);
	n = mnt_ns_node(ns, id);
	if (r == 0 && (!n || (n->superseded && n->opens > 0 && (a->set & MNT_SET_SIZE))))
		r = -ESTALE;
	if (r == 0) {
		n = mnt_ns_current(ns, n);
		r = n ? needs_private(ns, n, a) : -ESTALE;
	}
	if (r == 0)
		r = set_locked(ns, n, a, out);
	n = mnt_ns_node(ns, id);
	if (r == 0 && n && n->superseded)
		r = fill_any(ns, n, out);
	mnt_ns_unlock(ns);
	if (r == MNT_AGAIN && (a->set & MNT_SET_SIZE) && a->size == 0) {
		r = mnt_file_make_empty(ns, id);
		if (r == 0)
			r = mnt_ns_setattr(ns, id, a, out);
	}
	return r;
}

static bool loses(struct mnt_ns *ns, uint64_t id, unsigned set)
{
	const struct fmt_node *s;
	struct mnt_node *n;
	bool is;

	mnt_ns_lock(ns);
	n = mnt_ns_node(ns, id);
	s = n ? mnt_ns_state(ns, n) : NULL;
	is = s && without_set_ids(s, set) != s->mode;
	mnt_ns_unlock(ns);
	return is;
}

bool mnt_ns_has_set_ids(struct mnt_ns *ns, uint64_t id)
{
	return loses(ns, id, MNT_SET_DROP_SGID);
}

bool mnt_ns_group_bit(struct mnt_ns *ns, uint64_t id, uint32_t *out_gid)
{
	const struct fmt_node *s;
	struct mnt_node *n;
	bool is = false;

	mnt_ns_lock(ns);
	n = mnt_ns_node(ns, id);
	if (n) {
		s = mnt_ns_state(ns, n);
		is = s->type != FMT_DIR && (s->mode & (S_ISGID | S_IXGRP)) == S_ISGID;
		*out_gid = mnt_ns_id_in(s->gid, ns->chain.head.gid);
	}
	mnt_ns_unlock(ns);
	return is;
}

int mnt_ns_drop_set_ids(struct mnt_ns *ns, uint64_t id, unsigned set)
{
	const struct mnt_setattr drop = {.set = MNT_SET_DROP_IDS | set};
	struct stat st;
	int r;

	if (!loses(ns, id, drop.set))
		return 0;
	r = mnt_ns_setattr(ns, id, &drop, &st);
	if (r < 0)
		return r;
	mnt_ns_lock(ns);
	ns->config.notify.attr(ns->config.notify.priv, id);
	mnt_ns_unlock(ns);
	return 0;
}
