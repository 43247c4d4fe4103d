/* Checks UTF-8, sequence by sequence. */
#include "core/utf8.h"

#include <stdint.h>

static bool continues(uint8_t c)
{
	return (c & 0xc0) == 0x80;
}

size_t orch_utf8_sequence(const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	uint8_t low = 0x80, high = 0xbf;
	size_t len;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (n < len)
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if (!continues(p[i]))
			return 0;
	return len;
}

bool orch_utf8_valid(const void *bytes, size_t n)
{
	const uint8_t *p = bytes;

	for (size_t at = 0, len; at < n; at += len) {
		len = orch_utf8_sequence(p + at, n - at);
		if (len == 0)
			return false;
	}
	return true;
}
