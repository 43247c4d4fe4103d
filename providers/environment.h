/*
 * Which of a host's variables a task may see. What is not on the list stays outside: a token that
 * happens to be in the environment of a CI job is not an input of a build.
 */
#ifndef ORCH_PROVIDERS_ENVIRONMENT_H
#define ORCH_PROVIDERS_ENVIRONMENT_H

#include <stdbool.h>
#include "core/compiler.h"
#include "core/strv.h"

#define PRV_PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Whether a variable of that name (without '=') is passed on from the host. */
bool prv_environment_allows(const char *name) ORCH_NONNULL(1);

/* Adds to *out what of host (NAME=VALUE, NULL-terminated) is on the list, and PATH and LANG when the
 * host has none. -ENOMEM. HOME is not passed on: a task has its own. */
int prv_environment_from_host(const char *const *host, struct orch_strv *out)
    ORCH_NONNULL(1, 2) ORCH_WUR;

/* Takes out of PATH what a sandbox does not show: all but the folders of programs that it shares with
 * the host, and what lies below the workspace as it is seen inside. -ENOMEM. */
int prv_environment_trim_path(struct orch_strv *env, const char *workspace_inside)
    ORCH_NONNULL(1, 2) ORCH_WUR;

#endif
