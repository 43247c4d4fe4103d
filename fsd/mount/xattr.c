/*
 * Extended attributes: user.* is kept in the node's record, all others are refused. "Not supported"
 * tells a program to stop asking: ls -l asks for security.selinux of every file, unless it is told so
 * once. Of security.capability every file simply has none, as on a file system that knows them.
 */
#include <string.h>
#include <sys/xattr.h>
#include "fsd/mount/ns_priv.h"

static bool is_user(const char *name)
{
	return strncmp(name, "user.", 5) == 0 && name[5] != 0;
}

/* What a name that is not kept gets: "user." alone is no name, as on every file system. */
static int refusal(const char *name)
{
	return strcmp(name, "user.") == 0 ? -EINVAL : -EOPNOTSUPP;
}

static int locate(struct mnt_ns *ns, uint64_t id, struct mnt_node **out)
{
	*out = mnt_ns_node(ns, id);
	return *out ? 0 : -ESTALE;
}

int mnt_ns_getxattr(struct mnt_ns *ns, uint64_t id, const char *name, struct orch_buf *out)
{
	struct fmt_xattr x;
	struct mnt_node *n;
	int r;

	if (!is_user(name))
		return strcmp(name, "security.capability") == 0 ? -ENODATA : refusal(name);
	mnt_ns_lock(ns);
	r = locate(ns, id, &n);
	if (r == 0 && !fmt_xattrs_find(&mnt_ns_state(ns, n)->xattrs, name, &x))
		r = -ENODATA;
	if (r == 0)
		r = orch_buf_add(out, x.value, x.value_len);
	if ((r == 0 || r == -ENODATA) && !mnt_ns_sound(ns, mnt_ns_state(ns, n)))
		r = -EIO;
	mnt_ns_unlock(ns);
	return r;
}

int mnt_ns_listxattr(struct mnt_ns *ns, uint64_t id, struct orch_buf *out)
{
	struct mnt_node *n;
	struct fmt_xattr x;
	size_t pos = 0;
	int r;

	mnt_ns_lock(ns);
	r = locate(ns, id, &n);
	while (r == 0 && fmt_xattrs_next(&mnt_ns_state(ns, n)->xattrs, &pos, &x)) {
		r = orch_buf_add(out, x.name, x.name_len);
		if (r == 0)
			r = orch_buf_add_u8(out, 0);
	}
	if (r == 0 && !mnt_ns_sound(ns, mnt_ns_state(ns, n)))
		r = -EIO;
	mnt_ns_unlock(ns);
	return r;
}

static int set_locked(struct mnt_ns *ns, struct mnt_node *n, const char *name, const void *value,
    size_t len, int flags, struct orch_buf *list)
{
	struct fmt_node s = *mnt_ns_state(ns, n);
	struct fmt_xattr old;
	bool there = fmt_xattrs_find(&s.xattrs, name, &old);
	int r;

	if (flags & XATTR_CREATE && there)
		return -EEXIST;
	if ((flags & XATTR_REPLACE || !value) && !there)
		return -ENODATA;
	r = fmt_xattrs_with(&s.xattrs, name, value, len, list);
	if (r < 0)
		return r == -EOVERFLOW ? -ENOSPC : r;
	mnt_txn_begin(ns);
	mnt_txn_pin(ns, n);
	s.xattrs = (struct fmt_xattrs){.p = list->data, .len = list->len};
	s.ctime_ns = orch_wall_ns();
	mnt_txn_node(ns, &s);
	return mnt_txn_commit(ns);
}

int mnt_ns_setxattr(
    struct mnt_ns *ns, uint64_t id, const char *name, const void *value, size_t len, int flags)
{
	orch_auto(buf) struct orch_buf list = ORCH_BUF_INIT;
	struct mnt_node *n;
	int r;

	if (!is_user(name))
		return refusal(name);
	if (strlen(name) > FMT_XATTR_NAME_MAX)
		return -ERANGE;
	if (len > FMT_XATTR_VALUE_MAX)
		return -E2BIG;
	list.max = FMT_XATTRS_MAX;
	mnt_ns_lock(ns);
	r = mnt_ns_may_change(ns);
	if (r == 0)
		r = locate(ns, id, &n);
	if (r == 0) {
		n = mnt_ns_current(ns, n);
		r = n ? set_locked(ns, n, name, value, len, flags, &list) : -ESTALE;
	}
	mnt_ns_unlock(ns);
	return r;
}
