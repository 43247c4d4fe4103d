/* What the files of an export share. */
#ifndef ORCH_SYNC_EXPORT_PRIV_H
#define ORCH_SYNC_EXPORT_PRIV_H

#include "core/buf.h"
#include "core/fd.h"
#include "sync/export.h"

struct export_dir { /* everything is borrowed from the packs */
	struct export *export;
	struct export_dir *parent;	 /* NULL: the root */
	struct export_dir *child, *next; /* first child; next of the parent's children */
	uint32_t depth;
	struct fmt_entry entry;
	struct fmt_stamp stamp;
	struct fmt_tree tree;
	struct fmt_stamps stamps;
};

struct export_link { /* one name of a file that has several */
	const struct export_dir *dir;
	struct fmt_entry entry;
	struct fmt_stamp stamp;
};

struct export
{
	const struct sync_export_spec *spec;
	struct sync_task *task;
	struct orch_pool *pool;
	struct export_dir root;
	pthread_mutex_t lock; /* links, children of folders */
	struct export_link *links;
	size_t link_count, link_cap;
	_Atomic bool no_xattrs; /* told that the file system has none */
};

int export_open_dir(const struct export_dir *d, struct orch_buf *path) ORCH_NONNULL(1, 2) ORCH_WUR;
void export_fail(struct export *x, const struct export_dir *d, const struct fmt_entry *e,
    const char *what, int r, struct orch_err *err);

/* export_write.c: one file or symlink into the open folder. */
int export_write(struct export *x, int dirfd, const struct fmt_entry *e, const struct fmt_stamp *s,
    struct orch_err *err) ORCH_NONNULL(1, 3, 4) ORCH_WUR;
/* Mode, owner, attributes and time of an open file or folder. */
int export_dress(struct export *x, int fd, const struct fmt_entry *e, int64_t mtime_ns)
    ORCH_NONNULL(1, 3) ORCH_WUR;

#endif
