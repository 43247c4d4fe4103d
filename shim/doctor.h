/* What this machine can do for builds: one check each, with what a lack costs and what mends it. */
#ifndef ORCH_SHIM_DOCTOR_H
#define ORCH_SHIM_DOCTOR_H

#include <stdbool.h>
#include "shim/cli.h"

enum shim_health { SHIM_HAS, SHIM_LACKS, SHIM_NEEDS }; /* NEEDS: nothing works without it */

struct shim_finding {
	enum shim_health health;
	char found[160]; /* what is there, or why not */
};

struct shim_check {
	const char *name; /* stable, for --json */
	const char *cost; /* of the lack */
	const char *mend; /* the line that mends it; NULL: nothing does */
	void (*look)(struct shim_cli *cli, struct shim_finding *out);
};

extern const struct shim_check shim_checks[]; /* ends with a row without a name */

#endif
