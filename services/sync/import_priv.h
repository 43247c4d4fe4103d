/*
 * What the files of an import share: the tree in memory. During the walk a folder's nodes belong to
 * the tasks of that folder; groups have a lock. Afterwards one thread has it all.
 */
#ifndef ORCH_SYNC_IMPORT_PRIV_H
#define ORCH_SYNC_IMPORT_PRIV_H

#include <sys/stat.h>
#include "format/scan.h"
#include "core/fd.h"
#include "sync/import.h"
#include "sync/inomap.h"
#include "sync/maker.h"

enum import_flag {
	IMPORT_READ = 1,  /* content must be read */
	IMPORT_GONE = 2,  /* vanished since it was listed, or is not taken */
	IMPORT_TRUST = 4, /* what we know is of one moment: may go into the scan index */
};

struct import_group {		   /* one inode with several names */
	struct import_group *next; /* of all, for freeing */
	struct import_node *owner; /* the name that is read */
	uint64_t ino;		   /* number in the lineage; 0: not yet known */
	uint32_t names;
};

struct import_node {
	uint32_t name_at; /* in the folder's names */
	uint8_t name_len;
	uint8_t type; /* enum fmt_type */
	uint8_t flags;
	uint32_t mode; /* st_mode */
	uint32_t uid, gid;
	uint32_t xattrs_len;
	uint32_t links; /* st_nlink, cut at UINT32_MAX */
	uint64_t dev, src_ino;
	uint64_t size;
	int64_t mtime_ns, ctime_ns;
	uint64_t ino;		   /* in the lineage; 0: not yet known */
	struct orch_digest digest; /* of a file's object */
	struct orch_fingerprint fingerprint;
	uint8_t *xattrs;	    /* malloc'd */
	struct import_group *group; /* NULL: the only name */
	union {
		struct import_dir *dir;
		char *target; /* of a symlink, malloc'd; size is its length */
	};
};

struct import_dir {
	struct import *import;
	struct import_dir *parent; /* NULL: the root */
	uint32_t index;		   /* of its node in parent->nodes */
	uint32_t depth;
	uint32_t count;
	struct import_node *nodes; /* sorted by name once the folder is listed */
	char *names;		   /* each NUL-terminated */
};

struct import {
	const struct sync_import_spec *spec;
	struct sync_task *task;
	struct orch_pool *pool;
	struct orch_globs *ignore; /* NULL: no ignore file */
	struct import_node root;   /* type DIR */
	int64_t started_wall_ns;
	struct orch_map scan_map;
	struct fmt_scan scan;
	bool has_scan;
	pthread_mutex_t group_lock;
	struct sync_inomap groups; /* source inode -> struct import_group * */
	struct import_group *all_groups;
	uint64_t next_ino;
	_Atomic uint64_t index_bytes; /* of the paths of all files, an estimate for the index */
};

static inline const char *import_name(const struct import_dir *d, const struct import_node *n)
{
	return d->names + n->name_at;
}
/* Replaces *out by the path of `name` (NULL: of the folder itself), NUL-terminated. -errno. */
int import_path(const struct import_dir *d, const char *name, struct orch_buf *out)
    ORCH_NONNULL(1, 3) ORCH_WUR;
int import_open_dir(const struct import_dir *d, struct orch_buf *path) ORCH_NONNULL(1, 2) ORCH_WUR;

/* import_list.c: names and stats of one folder. 0; -ENOENT: it has vanished; others are told. */
int import_list(struct import_dir *d, int fd, struct orch_buf *path) ORCH_NONNULL(1, 3) ORCH_WUR;
void import_node_stat(struct import_node *n, const struct stat *st) ORCH_NONNULL(1, 2);
void import_dir_free(struct import_dir *d);

/* import_walk.c: fills im->root; 0 or the task's failure. */
int import_walk(struct import *im, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
/* Of one entry; what can't be read is told and left out. */
void import_read_xattrs(struct import_dir *d, int fd, const char *name, struct import_node *n,
    const char *path) ORCH_NONNULL(1, 3, 4, 5);

/* import_read.c: the content of one file; failures go to the task, a vanished one is marked. */
void import_read(struct import_dir *d, int fd, struct import_node *n, struct orch_buf *path)
    ORCH_NONNULL(1, 3, 4);

/* import_index.c */
int import_index_load(struct import *im, char key[SYNC_SCAN_KEY_BYTES]) ORCH_NONNULL(1, 2) ORCH_WUR;
/* Takes what the index knows of the file if it can be believed. */
bool import_index_match(struct import *im, struct import_node *n, const char *path,
    bool *out_no_xattrs) ORCH_NONNULL(1, 2, 3, 4);
/* Whether the file was indexed with this size; then *out is what it was. */
bool import_index_find(struct import *im, const struct import_node *n, const char *path,
    struct fmt_scan_entry *out) ORCH_NONNULL(1, 2, 3, 4);
int import_index_save(struct import *im, const struct orch_digest *snapshot, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;

/* import_lineage.c: gives every node its number. */
int import_lineage(struct import *im, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;

/* import_build.c: settles groups; trees, stamps, snapshot. */
int import_settle(struct import *im, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
int import_build(struct import *im, struct sync_imported *out, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;

#endif
