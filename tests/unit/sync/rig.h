/*
 * A store, folders beside it, and what a keeper would do around an algorithm of services/sync:
 * quarantine, run, publish. Snapshots are written and read back as text, one entry a line, sorted:
 *
 *   a=text          a file          a!0755=text    with a mode
 *   d/              a folder        l->target      a symlink
 *   b==a            another name of a (after a)
 */
#ifndef ORCH_TESTS_UNIT_SYNC_RIG_H
#define ORCH_TESTS_UNIT_SYNC_RIG_H

#include <stdatomic.h>

#include "tests/lib/tap.h"

#include "cache/publish.h"
#include "cache/store.h"
#include "format/snapshot.h"
#include "sync/apply.h"
#include "sync/commit.h"
#include "sync/export.h"
#include "sync/import.h"

struct rig {
	char root[200]; /* removed by teardown */
	struct cas_store *s;
	atomic_bool cancel;
	struct sync_listener listener;
	struct orch_buf told; /* warnings, a line each */
	unsigned folders;
	uint64_t read_files, hashed_files, skipped; /* of the last run */
};

int rig_setup(void **state);
int rig_setup_quick(void **state); /* in memory: for tests that publish a lot */
int rig_teardown(void **state);
#define rig_test(f)	  cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
#define rig_quick_test(f) cmocka_unit_test_setup_teardown(f, rig_setup_quick, rig_teardown)

void rig_ok(int r, const struct orch_err *err, const char *what);
#define RIG_OK(call, err) rig_ok((call), (err), #call)

/* A new folder's path, static until the next ten calls. */
const char *rig_folder(struct rig *g, bool make);
/* Writes the text form into a folder. Times of files are one second apart from 1,000,000,000 on. */
void rig_fill(const char *dir, const char *text);

int rig_try_import(struct rig *g, const struct sync_import_spec *more, const char *dir,
    struct sync_imported *out, struct orch_err *err);
/* Imports and publishes; parent may be NULL. */
struct orch_digest rig_import(struct rig *g, const char *dir, const struct orch_digest *parent);
/* rig_fill into a new folder, then rig_import. */
struct orch_digest rig_make(struct rig *g, const char *text, const struct orch_digest *parent);

int rig_try_export(
    struct rig *g, const struct orch_digest *id, const char *dir, struct orch_err *err);
int rig_apply(struct rig *g, const struct sync_apply_spec *spec, struct sync_applied *out,
    struct orch_err *err);
int rig_commit(struct rig *g, const struct sync_commit_spec *spec, struct sync_committed *out,
    struct orch_err *err);

/* Text form of a snapshot; files of 0644 and folders of 0755 show no mode. malloc'd. */
char *rig_text(struct rig *g, const struct orch_digest *id);
void rig_expect(struct rig *g, const struct orch_digest *id, const char *text);
/* The stamp of a path, which must be there. */
struct fmt_stamp rig_stamp(struct rig *g, const struct orch_digest *id, const char *path);
struct fmt_snapshot rig_snapshot(struct rig *g, const struct orch_digest *id);
/* Everything about a folder on disk as text: modes, sizes, times, links, xattrs, content. malloc'd */
char *rig_describe(const char *dir);
uint64_t rig_random(uint64_t *seed);

#endif
