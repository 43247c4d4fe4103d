/*
 * Import: a directory becomes a snapshot. The folder is walked and hashed in parallel; what did not
 * change since the last import (the scan index) is not opened; what did not change since the parent
 * snapshot keeps its inode number. Everything new goes into the quarantine. docs/sync.md says what
 * is taken and what is not.
 */
#ifndef ORCH_SYNC_IMPORT_H
#define ORCH_SYNC_IMPORT_H

#include <sys/types.h>
#include "cache/quarantine.h"
#include "core/glob.h"
#include "sync/task.h"

struct sync_import_spec {
	int root_fd;	  /* the folder, open for reading; borrowed */
	const char *path; /* its absolute path: a part of the scan index's key, and for messages */
	struct cas_quarantine *quarantine;
	struct view_packset *packs;
	int objects_fd;
	uint64_t seed;			  /* of the fingerprints */
	int scan_fd;			  /* folder of scan indexes; -1: none is read */
	const struct orch_globs *exclude; /* NULL: nothing */
	const char *ignore_file;	  /* name at the root; NULL: none */
	const struct orch_digest *parent; /* snapshot whose lineage is continued; NULL: a new one */
	const char *source;		  /* source identity; NULL: none */
	size_t source_len;
	uint32_t uid, gid; /* the workspace's owner */
	dev_t store_dev;   /* a folder that is never entered; store_ino 0: none */
	ino_t store_ino;
};

#define SYNC_SCAN_KEY_BYTES 80 /* "<uid>-<64 hex>" and a NUL */

struct sync_imported {
	struct orch_digest snapshot;
	char scan_key[SYNC_SCAN_KEY_BYTES]; /* name for the index in the quarantine */
	uint64_t files;			    /* entries */
	uint64_t bytes;
};

/* -EINVAL: the folder lies in the store. -EACCES and others: err names what can't be read. Nothing
 * of this is published unless it returns 0; cas_quarantine_finish is the caller's. Blocks. */
int sync_import(struct sync_task *t, const struct sync_import_spec *spec, struct sync_imported *out,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;

#endif
