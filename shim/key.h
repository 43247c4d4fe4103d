/*
 * Cache keys: which builds may start from one another's results. A key is part of a ref's name, so
 * whatever it is made of is percent-encoded; two different inputs never give one key. Pure.
 */
#ifndef ORCH_SHIM_KEY_H
#define ORCH_SHIM_KEY_H

#include "core/err.h"

struct shim_key_parts {
	const char *repository; /* remote URL, else the folder's path */
	const char *branch;	/* NULL or "": none */
	const char *platform;
	const char *engine;
	const char *engine_version; /* NULL, "" or "auto": not part of it */
	const char *project_path;   /* NULL, "" or ".": not part of it */
};

/* The default key. malloc'd. */
int shim_key_make(const struct shim_key_parts *parts, char **out, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;
/* A key as a user wrote it: kept when it can be part of a ref's name, else encoded. malloc'd. */
int shim_key_from_user(const char *text, char **out, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;

/* A remote's URL without credentials, ".git" and trailing slashes. malloc'd; NULL: no memory. */
char *shim_key_repository(const char *url) ORCH_NONNULL(1) ORCH_WUR;

#endif
