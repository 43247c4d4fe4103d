/*
 * The journal of a run: every resource is written down, durably, before it is made, and struck out
 * when it is gone. It is a file <folder>/<run>.run of JSON lines, each with a checksum, that its owner holds locked; when the
 * owner is dead, whoever comes next undoes what is left, last made first. Not thread-safe.
 */
#ifndef ORCH_SHIM_JOURNAL_H
#define ORCH_SHIM_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include "core/err.h"

struct shim_journal;

/* Creates the folder and the file. */
int shim_journal_begin(const char *folder, const char *run, const char *socket_path,
    struct shim_journal **out, struct orch_err *err) ORCH_NONNULL(1, 2, 3, 4) ORCH_WUR;
/* Durable on return. kind: "workspace", "task", ...; name: what undoes it, in one line. */
int shim_journal_make(struct shim_journal *j, const char *kind, const char *name,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;
/* It is gone, or is meant to stay. */
int shim_journal_gone(struct shim_journal *j, const char *kind, const char *name,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;
/* Removes the file when nothing is left in it, and frees. */
void shim_journal_end(struct shim_journal *j);

struct shim_leftover {
	const char *run, *socket, *kind, *name;
	int pid;
};

/*
 * Calls undo for each resource of each run whose owner is dead; 0 strikes it out. With dry_run nothing
 * is changed. Returns how many resources were left over, damaged journals included. Journals that
 * others are undoing are skipped. One that can't be read, or was damaged, is told (file: its path) and
 * left as it is: nothing that it seems to name is touched.
 */
int shim_journal_recover(const char *folder, bool dry_run,
    int (*undo)(void *priv, const struct shim_leftover *what),
    void (*damaged)(void *priv, const char *file, const char *why), void *priv,
    struct orch_err *err) ORCH_NONNULL(1, 3, 4) ORCH_WUR;

#endif
