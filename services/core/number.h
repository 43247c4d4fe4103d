/*
 * Decimal numbers in words from outside. What strtoull also takes (blanks, a sign, what is too large) is
 * no number here. Pure; without anything to link, for orch-init.
 */
#ifndef ORCH_CORE_NUMBER_H
#define ORCH_CORE_NUMBER_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include "core/compiler.h"

/* text[0..len): digits and nothing else, at most max. -EINVAL. */
static inline ORCH_WUR int orch_number_parse(
    const char *text, size_t len, uint64_t max, uint64_t *out)
{
	uint64_t n = 0;

	if (len == 0)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		unsigned digit = (unsigned)(unsigned char)text[i] - '0';

		if (digit > 9 || n > max / 10 || digit > max - n * 10)
			return -EINVAL;
		n = n * 10 + digit;
	}
	*out = n;
	return 0;
}

#endif
