/*
 * What the files of the import of a commit share: what was met in the repository, each thing once,
 * however many paths lead to it. A folder's entries belong to the one task that lists it; afterwards
 * one thread has it all.
 */
#ifndef ORCH_SYNC_GIT_IMPORT_PRIV_H
#define ORCH_SYNC_GIT_IMPORT_PRIV_H

#include "core/strv.h"
#include "format/tree.h"
#include "sync/git_attr.h"
#include "sync/git_convert.h"
#include "sync/git_import.h"
#include "sync/git_memo.h"
#include "sync/git_odb.h"

struct git_thing { /* a folder or a blob: what it is known by */
	struct fmt_memo_key key;
	struct git_thing *next; /* in the table */
};

struct git_blob { /* one file's content, with what is done to it */
	struct git_thing thing;
	struct sync_git_how how;
	const struct git_folder *seen_in; /* where it was met first, for messages */
	const char *name;
	size_t name_len;
	struct orch_digest digest; /* once it is read */
	uint64_t size;
};

struct git_entry {
	const char *name; /* in the folder's raw bytes */
	size_t name_len;
	enum sync_git_type type;
	bool left_out;
	union {
		struct git_folder *folder;
		struct git_blob *blob;
		struct sync_git_object target; /* of a symlink */
	};
};

struct git_folder { /* a tree with the attributes that hold in it */
	struct git_thing thing;
	struct git_import *import;
	const struct git_folder *seen_in; /* NULL: the root */
	const char *name;		  /* in seen_in's raw bytes */
	size_t name_len;
	unsigned depth;				 /* there */
	const struct sync_git_attr_state *attrs; /* without its own file */
	bool inside;				 /* of what sparse includes */
	struct sync_git_object raw;		 /* its bytes, as long as the import runs */
	struct git_entry *entries;
	size_t count;
	bool noted; /* something was told of it or below: it is told again by the next import */
	bool done;  /* what follows is known */
	struct orch_digest tree;
	uint64_t size, below, marked;
	uint16_t height;
};

struct git_made { /* a tree that this import made, for its stamps */
	struct orch_digest digest;
	uint8_t *p;
	size_t len;
};

struct git_import {
	const struct sync_git_import_spec *spec;
	struct sync_task *task;
	struct orch_pool *pool;
	struct sync_git_memo *memo;
	struct sync_git_attrs *attrs;
	struct orch_digest sparse; /* of its text */
	bool by_path;		   /* sparse tells folders apart by more than their names */
	uint64_t entries_max, blob_max;
	struct sync_git_commit commit;
	struct git_folder *root;
	_Atomic uint64_t entries;    /* listed */
	_Atomic uint64_t read_trees; /* opened */

	pthread_mutex_t lock; /* all below */
	struct git_thing **buckets;
	size_t bucket_count, thing_count;
	struct sync_git_odb **free_odbs; /* handles that no thread uses */
	size_t free_count, free_cap;
	struct orch_strv told; /* filters and encodings that were named */

	pthread_mutex_t large_lock; /* one large blob in memory at a time */

	struct git_made *made; /* by digest; of the build */
	size_t made_count, made_cap;
};

/* git_import_table.c */
/* The thing with that key; new ones are zeroed but for it. NULL: no memory. */
struct git_thing *git_import_meet(struct git_import *g, const struct fmt_memo_key *key,
    size_t bytes, bool *out_new) ORCH_NONNULL(1, 2, 4) ORCH_WUR;
void git_import_forget(struct git_import *g) ORCH_NONNULL(1); /* frees them all */
/* An odb for one thread, to be given back. */
int git_import_take_odb(struct git_import *g, struct sync_git_odb **out, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;
void git_import_give_odb(struct git_import *g, struct sync_git_odb *o) ORCH_NONNULL(1, 2);
/* Whether that was told for the first time. */
bool git_import_tell_once(struct git_import *g, const char *what) ORCH_NONNULL(1, 2);

/* Replaces *out by where it was met first, as it is shown; name NULL: the folder itself. */
int git_import_where(const struct git_folder *f, const char *name, size_t name_len,
    struct orch_buf *out) ORCH_NONNULL(1, 4) ORCH_WUR;
/* The same as bytes. */
int git_import_path(const struct git_folder *f, const char *name, size_t name_len,
    struct orch_buf *out) ORCH_NONNULL(1, 4) ORCH_WUR;
/* Puts where it is in front of err and fails the task. */
void git_import_fail_at(const struct git_folder *f, const char *name, size_t name_len, int r,
    struct orch_err *err) ORCH_NONNULL(1, 5);

/* git_import_list.c: everything that the commit holds and nobody remembers is read. */
int git_import_list(struct git_import *g, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;

/* git_import_blob.c */
struct git_batch;
/* Adds a new blob; a full batch goes to the pool, and with blob NULL what there is. */
int git_import_read(struct git_import *g, struct git_batch **batch, struct git_blob *blob)
    ORCH_NONNULL(1, 2) ORCH_WUR;

/* git_import_build.c: trees out of what was read. Fills the root folder and g->made. */
int git_import_build(struct git_import *g, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
/* A tree of this import; -ENOENT: it is not of this import. */
int git_import_made(struct git_import *g, const struct orch_digest *digest, struct fmt_tree *out,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;

#endif
