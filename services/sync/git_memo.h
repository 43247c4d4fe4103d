/*
 * What earlier imports of a Git repository made, and what this one adds. Tables of this user alone
 * are read (names "<uid>.<n>"): an entry stands for having unpacked the object, like a line of a scan
 * index, so nobody believes another one's. Thread-safe after _open.
 */
#ifndef ORCH_SYNC_GIT_MEMO_H
#define ORCH_SYNC_GIT_MEMO_H

#include "cache/quarantine.h"
#include "format/memo.h"
#include "sync/task.h"

struct sync_git_memo;

/* dirfd: the folder of tables, -1: there is none. A table that can't be used is told and left out. */
int sync_git_memo_open(int dirfd, uint64_t seed, struct sync_task *t, struct sync_git_memo **out,
    struct orch_err *err) ORCH_NONNULL(3, 4) ORCH_WUR;
void sync_git_memo_free(struct sync_git_memo *m);
/* The newest table that has it. Whether the store still has what it names is the caller's question. */
bool sync_git_memo_find(const struct sync_git_memo *m, const struct fmt_memo_key *key,
    struct fmt_memo_entry *out) ORCH_NONNULL(1, 2, 3);
int sync_git_memo_add(struct sync_git_memo *m, const struct fmt_memo_entry *e)
    ORCH_NONNULL(1, 2) ORCH_WUR;
/* What was added, into the quarantine; nothing when nothing was. One thread. */
int sync_git_memo_save(struct sync_git_memo *m, struct cas_quarantine *q, bool *out_saved,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;

#endif
