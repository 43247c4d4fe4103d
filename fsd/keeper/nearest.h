/* The known word that a mistyped one was probably meant to be. Pure. */
#ifndef FSD_KEEPER_NEAREST_H
#define FSD_KEEPER_NEAREST_H

#include <stddef.h>

/* words: count strings. NULL when none is near. */
const char *fsd_nearest(const char *word, const char *const *words, size_t count);

#endif
