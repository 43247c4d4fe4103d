/* What this machine can do for builds: one check each, with what a lack costs and what mends it. */
#ifndef ORCH_SHIM_DOCTOR_H
#define ORCH_SHIM_DOCTOR_H

#include <stdbool.h>
#include "shim/cli.h"

enum shim_health { SHIM_HAS, SHIM_LACKS, SHIM_NEEDS }; /* NEEDS: nothing works without it */

struct shim_finding {
	enum shim_health health;
	char found[160]; /* what is there, or why not */
	bool roots;	 /* lacking because the daemon is not root's; everything works without */
	char mend[360];	 /* the line that mends what was found; "": the check's */
};

struct shim_check {
	const char *name; /* stable, for --json */
	const char *cost; /* of the lack */
	const char *mend; /* the line that mends it; NULL: nothing does */
	void (*look)(struct shim_cli *cli, struct shim_finding *out);
};

/* NULL: nothing is to be mended, or nothing can be. */
const char *shim_mend_of(const struct shim_check *c, const struct shim_finding *f)
    ORCH_NONNULL(1, 2);

extern const struct shim_check shim_checks[]; /* ends with a row without a name */

#endif
