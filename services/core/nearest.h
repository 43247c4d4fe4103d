/* "Did you mean ...?": the most alike of some names. Pure. */
#ifndef ORCH_CORE_NEAREST_H
#define ORCH_CORE_NEAREST_H

#include <stddef.h>
#include "core/compiler.h"

/* The number of letters to insert, remove, replace or swap with a neighbour; case counts half as
 * much as a letter. Doubled, so that it is whole: one wrong letter is 2. */
unsigned orch_edit_distance(const char *a, const char *b) ORCH_NONNULL(1, 2);

/* The candidate (count of them; NULL entries are skipped) that is nearest to name, or NULL when none
 * is near enough to be meant: more than a third of the letters would change. */
const char *orch_nearest(const char *name, const char *const *candidates, size_t count)
    ORCH_NONNULL(1);

#endif
