/* What the globs of one output take. Room-internal. */
#ifndef ORCH_OUTPUT_COLLECT_LIST_H
#define ORCH_OUTPUT_COLLECT_LIST_H

#include "output/collect.h"

/* Fills out->files with path and type, sorted, and all->skipped. On failure both hold what was found so
 * far, for out_collection_fini. */
int out_list(int tree, const struct out_specs *specs, size_t spec,
    const struct out_collect_options *options, struct out_collection *all, struct out_output *out,
    struct orch_err *err) ORCH_NONNULL(2, 4, 5, 6) ORCH_WUR;

#endif
