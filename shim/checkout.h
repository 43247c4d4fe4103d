/* What a Git checkout says of itself, read without Git: its remote, branch and commit. */
#ifndef ORCH_SHIM_CHECKOUT_H
#define ORCH_SHIM_CHECKOUT_H

#include <stdbool.h>
#include "core/err.h"

struct shim_checkout {
	char *remote; /* the URL of origin, else of the first remote; NULL: none */
	char *branch; /* NULL: detached or no checkout */
	char *commit; /* 40 or 64 hex digits; NULL: unknown */
};

/* Never fails for what is not there: the members stay NULL. -ENOMEM only. */
int shim_checkout_read(const char *dir, struct shim_checkout *out) ORCH_NONNULL(1, 2) ORCH_WUR;
void shim_checkout_fini(struct shim_checkout *c) ORCH_NONNULL(1);

/* Pure: what .git/HEAD says. True: it names a ref (*out: its whole name); false: *out is the commit.
 * NULL: neither by Git's rules. malloc'd. */
bool shim_checkout_head(const char *text, char **out) ORCH_NONNULL(1, 2);
/* Pure: the commit of a ref in packed-refs; malloc'd, NULL: none. */
char *shim_checkout_packed(const char *packed, const char *ref) ORCH_NONNULL(1, 2) ORCH_WUR;
/* Pure: the URL in a .git/config; malloc'd, NULL: none. */
char *shim_checkout_remote(const char *config) ORCH_NONNULL(1) ORCH_WUR;

#endif
