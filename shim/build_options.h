/* The tables of the options of a build. */
#ifndef ORCH_SHIM_BUILD_OPTIONS_H
#define ORCH_SHIM_BUILD_OPTIONS_H

#include "shim/option.h"

extern const struct shim_options *const shim_build_options[]; /* NULL-terminated */

#endif
