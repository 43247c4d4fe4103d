/*
 * Collecting: copies what a build left, as its specs ask, from the final tree into the output folder:
 * <output folder>/<NAME>/<path relative to the tree>. Modes (without set-id bits) and mtimes are kept,
 * symlinks stay symlinks, empty folders that match are made, other files are skipped by name. Each
 * file is written under a temporary name and renamed; extents are shared where the file system can. No
 * symlink of the tree is ever followed. Blocks on I/O; several files are copied at a time, callbacks
 * come from the caller's thread.
 */
#ifndef ORCH_OUTPUT_COLLECT_H
#define ORCH_OUTPUT_COLLECT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/err.h"
#include "core/hash.h"
#include "output/spec.h"

#define OUT_FILES_MAX 2000000 /* of one collection; more: -EOVERFLOW */

/* The paths that the change journal named: relative, as the control API gives them. */
struct out_changes;
struct out_changes *out_changes_new(void) ORCH_WUR;
void out_changes_free(struct out_changes *c);
/* whole: everything below it is new, too: a folder that was created or moved there. */
int out_changes_add(struct out_changes *c, const char *path, size_t len, bool whole)
    ORCH_NONNULL(1, 2) ORCH_WUR;
/* Whether it was named, or is below a folder that is wholly new. */
bool out_changes_has(const struct out_changes *c, const char *path, size_t len) ORCH_NONNULL(1, 2);
size_t out_changes_count(const struct out_changes *c) ORCH_NONNULL(1);

enum out_type { OUT_FILE, OUT_SYMLINK, OUT_FOLDER };

struct out_file {
	char *path; /* relative to the tree; any bytes but NUL */
	enum out_type type;
	bool produced; /* by this build; false: as it was when the build began */
	uint32_t mode; /* as stored */
	uint64_t size; /* files: bytes; symlinks: length of the target */
	int64_t mtime_ns;
	struct orch_digest digest; /* SHA-256: of a file's bytes, of a symlink's target */
	char *target;		   /* symlinks; else NULL */
};

struct out_output {
	char *name;
	bool required;
	struct out_file *files; /* sorted by path (bytes) */
	size_t count;
	uint64_t bytes;	 /* of files */
	size_t produced; /* how many of `count` */
};

struct out_collection {
	struct out_output *v; /* one for each name of the specs, in their order */
	size_t count;
	size_t files; /* of all */
	uint64_t bytes;
	uint64_t shared_bytes; /* of these: not copied, extents are shared */
	char *
	    *skipped; /* paths that matched but can't be kept: sockets, fifos, devices, too long */
	size_t skipped_count;
};

struct out_collect_options {
	const struct out_changes *changes; /* NULL: unknown, everything counts as produced */
	const atomic_bool *cancel; /* may be NULL; set by any thread: ends with ORCH_ECANCELLED */
	void (*progress)(void *priv, size_t files, uint64_t bytes); /* may be NULL */
	void *priv;
};

/* tree: open folder, the final workspace; to: open output folder of this run. On failure *out is
 * empty; what was copied stays. A required output without a match is no failure: see out_missing. */
int out_collect(int tree, const struct out_specs *specs, int to,
    const struct out_collect_options *options, struct out_collection *out, struct orch_err *err)
    ORCH_NONNULL(2, 4, 5) ORCH_WUR;
void out_collection_fini(struct out_collection *c) ORCH_NONNULL(1);

/* The i-th name that is required and has no file (a folder alone does not count), from 0; NULL. */
const char *out_missing(const struct out_collection *c, size_t i) ORCH_NONNULL(1);

#endif
