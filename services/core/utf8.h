/* Whether bytes are text. Pure. */
#ifndef ORCH_CORE_UTF8_H
#define ORCH_CORE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Length (1..4) of the well-formed UTF-8 sequence at p (Unicode 15, table 3-7: no overlong forms,
 * no surrogates, nothing above U+10FFFF); 0 when there is none. n >= 1. */
size_t orch_utf8_sequence(const void *p, size_t n);

/* All n bytes are well-formed UTF-8. NUL is a character like any other. */
bool orch_utf8_valid(const void *p, size_t n);

#endif
