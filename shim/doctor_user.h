/*
 * What is made of the facts: whether there is what an ordinary user's daemon needs, and the line that mends
 * it. Pure. *out comes with health SHIM_LACKS and no texts.
 */
#ifndef ORCH_SHIM_DOCTOR_USER_H
#define ORCH_SHIM_DOCTOR_USER_H

#include "shim/doctor.h"
#include "shim/doctor_facts.h"

void shim_find_fuse(const struct shim_facts *t, struct shim_finding *out) ORCH_NONNULL(1, 2);
void shim_find_name(const struct shim_facts *t, struct shim_finding *out) ORCH_NONNULL(1, 2);
void shim_find_allow_other(const struct shim_facts *t, struct shim_finding *out) ORCH_NONNULL(1, 2);
void shim_find_mount_max(const struct shim_facts *t, struct shim_finding *out) ORCH_NONNULL(1, 2);
void shim_find_runtime(const struct shim_facts *t, struct shim_finding *out) ORCH_NONNULL(1, 2);
void shim_find_files(const struct shim_facts *t, struct shim_finding *out) ORCH_NONNULL(1, 2);
/* works: a sandbox or a user namespace could be made. */
void shim_find_userns(const struct shim_facts *t, bool works, struct shim_finding *out)
    ORCH_NONNULL(1, 3);

#endif
