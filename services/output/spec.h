/*
 * What a build is asked to leave behind: a list of NAME=GLOB[,required]. Pure.
 * A glob means what a gitignore line means, on paths relative to the workspace: no '/' inside matches
 * at any depth, a match that is a folder takes all below it. Lines of one NAME belong together, the last
 * one that matches decides, so `bin=dist/` and `bin=!*.pdb` is everything of dist but those.
 */
#ifndef ORCH_OUTPUT_SPEC_H
#define ORCH_OUTPUT_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include "core/err.h"

#define OUT_NAME_MAX  64
#define OUT_SPECS_MAX 256 /* names */

struct out_specs;
struct out_specs *out_specs_new(void) ORCH_WUR;
void out_specs_free(struct out_specs *s);
/* -EINVAL (ORCH_EUSAGE) says what is wrong: no '=', a name that is not 1..64 of [A-Za-z0-9._-] or
 * begins with '.' or '-', an empty glob, one with a component "..", a last word behind a comma that is
 * neither "required" nor "optional" (a comma that belongs to the glob may be written [,]). A leading
 * "./" is dropped; a leading '/' means the top of the workspace. */
int out_specs_add(struct out_specs *s, const char *text, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;

size_t out_specs_count(const struct out_specs *s)
    ORCH_NONNULL(1); /* names, in order of first use */
const char *out_specs_name(const struct out_specs *s, size_t i) ORCH_NONNULL(1);
bool out_specs_required(const struct out_specs *s, size_t i) ORCH_NONNULL(1);
/* The line of name i that decides about a path: the last that matches it or a folder above it; -1:
 * none. above: what this returned for the folder it is in (-1 at the top). */
int out_specs_line(const struct out_specs *s, size_t i, const char *path, bool is_dir, int above)
    ORCH_NONNULL(1, 3);
/* Whether that line takes what it matches (it may also begin with '!'). -1: no. */
bool out_specs_takes(const struct out_specs *s, size_t i, int line) ORCH_NONNULL(1);
/* Whether anything below this folder could match a line of name i by itself: where a walk may stop. */
bool out_specs_below(const struct out_specs *s, size_t i, const char *dir) ORCH_NONNULL(1, 3);

#endif
