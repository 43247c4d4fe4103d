/* Where the control socket and what belongs to it lie. */
#ifndef ORCH_SHIM_SOCKET_H
#define ORCH_SHIM_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include "core/err.h"

/* given (a flag or ORCH_SOCKET, may be NULL), else the default of root, else the XDG place. malloc'd,
 * absolute. -ENAMETOOLONG names the limit. */
int shim_socket_resolve(const char *given, const char *const *envp, char **out,
    struct orch_err *err) ORCH_NONNULL(2, 3) ORCH_WUR;

/* The folder of the runs' journals: beside a socket that was given, else a state folder. malloc'd. */
int shim_runs_folder(const char *socket_path, bool socket_given, const char *const *envp,
    char **out, struct orch_err *err) ORCH_NONNULL(1, 3, 4) ORCH_WUR;

/* NULL when not set or empty. */
const char *shim_getenv(const char *const *envp, const char *name) ORCH_NONNULL(1, 2);

/* Whether it is there, or may be, and permissions keep us out. */
bool shim_socket_is_closed(const char *path) ORCH_NONNULL(1) ORCH_WUR;
/* What opens it: the group to join. */
void shim_socket_hint(const char *path, char *out, size_t size) ORCH_NONNULL(1, 2);

#endif
