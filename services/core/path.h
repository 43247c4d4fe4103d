/*
 * Paths. A path from outside is hostile: it is opened beneath a root with openat2
 * (RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS), never by string tests alone.
 */
#ifndef ORCH_CORE_PATH_H
#define ORCH_CORE_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "core/err.h"

#define ORCH_NAME_MAX 255  /* bytes of one component */
#define ORCH_PATH_MAX 4095 /* bytes of a whole path, without NUL */

/* One component: 1..255 bytes, no '/', no NUL, not "." or "..". Any other byte is allowed. */
bool orch_name_valid(const char *name, size_t len) ORCH_NONNULL(1);

/* Relative, non-empty, every component valid, no trailing '/', at most ORCH_PATH_MAX. */
bool orch_path_valid(const char *rel) ORCH_NONNULL(1);

/* Opens rel beneath root; flags as open(2) (O_CLOEXEC is added); symlinks inside that stay
 * beneath are followed unless O_NOFOLLOW. -EXDEV or -ELOOP when it would leave. fd or -errno. */
int orch_open_beneath(int root, const char *rel, int flags, mode_t mode) ORCH_NONNULL(2) ORCH_WUR;
/* The same, and no symlink is followed anywhere. */
int orch_open_nolinks(int root, const char *rel, int flags, mode_t mode) ORCH_NONNULL(2) ORCH_WUR;

/* "a" + "b" -> "a/b" (malloc'd; NULL: no memory). */
char *orch_path_join(const char *a, const char *b) ORCH_NONNULL(1, 2) ORCH_WUR;
/* Absolute form of p without resolving links: cwd + p, "." and ".." and "//" folded. malloc'd. */
char *orch_path_absolute(const char *p) ORCH_NONNULL(1) ORCH_WUR;

/* Finds a helper program: $ORCH_LIBEXECDIR/<name>, else beside this executable in the build tree's
 * layout, else pkglibexecdir. `build_rel` is the place relative to this executable's folder, e.g.
 * "../mount/orch-mount". malloc'd absolute path; NULL and err when there is none. */
char *orch_path_program(const char *name, const char *build_rel, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;

/* Names of workspaces: 1..100 bytes of [A-Za-z0-9._-], not starting with '.' or '-'. */
bool orch_workspace_name_valid(const char *name) ORCH_NONNULL(1);
/* Git's rules for names of refs (git-check-ref-format --allow-onelevel), at most 1,000 bytes. */
bool orch_ref_name_valid(const char *name) ORCH_NONNULL(1);

#endif
