/* Whether a store can be kept in a folder: what it needs of a file system is tried there. */
#ifndef ORCH_SHIM_DOCTOR_STORE_H
#define ORCH_SHIM_DOCTOR_STORE_H

#include "shim/doctor.h"

/* Makes a folder below it, and takes that away again. */
void shim_find_store(const char *folder, struct shim_finding *out) ORCH_NONNULL(1, 2);

#endif
