/* The optimal string alignment distance (Damerau, Levenshtein), three rows at a time. */
#include "core/nearest.h"

#include <ctype.h>
#include <string.h>

#define NAME_MAX_LEN 120
#define LETTER	     2u /* the price of one letter */

static unsigned replace_cost(char a, char b)
{
	if (a == b)
		return 0;
	return tolower((unsigned char)a) == tolower((unsigned char)b) ? LETTER / 2 : LETTER;
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

unsigned orch_edit_distance(const char *a, const char *b)
{
	unsigned rows[3][NAME_MAX_LEN + 1];
	size_t la = strlen(a), lb = strlen(b);

	if (la > NAME_MAX_LEN || lb > NAME_MAX_LEN)
		return LETTER * (unsigned)(la > lb ? la : lb);
	for (size_t j = 0; j <= lb; j++)
		rows[0][j] = LETTER * (unsigned)j;
	for (size_t i = 1; i <= la; i++) {
		unsigned *now = rows[i % 3], *up = rows[(i + 2) % 3], *up2 = rows[(i + 1) % 3];

		now[0] = LETTER * (unsigned)i;
		for (size_t j = 1; j <= lb; j++) {
			now[j] = min3(up[j] + LETTER, now[j - 1] + LETTER,
			    up[j - 1] + replace_cost(a[i - 1], b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    up2[j - 2] + LETTER < now[j])
				now[j] = up2[j - 2] + LETTER;
		}
	}
	return rows[la % 3][lb];
}

const char *orch_nearest(const char *name, const char *const *candidates, size_t count)
{
	unsigned limit = LETTER * (unsigned)((strlen(name) + 2) / 3), best = limit + 1;
	const char *found = NULL;

	for (size_t i = 0; i < count; i++) {
		unsigned d = candidates[i] ? orch_edit_distance(name, candidates[i]) : best;

		if (d < best) {
			best = d;
			found = candidates[i];
		}
	}
	return found;
}
