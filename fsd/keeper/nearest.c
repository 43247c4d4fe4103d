/* Edit distance (Levenshtein), one row at a time; long words are never near. */
#include "nearest.h"
#include <stdint.h>
#include <string.h>
#include "core/compiler.h"

#define WORD_MAX 63

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;

	return m < c ? m : c;
}

static size_t distance(const char *a, size_t alen, const char *b, size_t blen)
{
	size_t row[WORD_MAX + 1];

	for (size_t j = 0; j <= blen; j++)
		row[j] = j;
	for (size_t i = 1; i <= alen; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= blen; j++) {
			size_t up = row[j];

			row[j] = min3(up + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = up;
		}
	}
	return row[blen];
}

const char *fsd_nearest(const char *word, const char *const *words, size_t count)
{
	const char *best = NULL;
	size_t wlen = strlen(word), best_distance = SIZE_MAX;

	if (wlen > WORD_MAX)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		size_t len = strlen(words[i]);
		size_t d;

		if (len > WORD_MAX)
			continue;
		d = distance(word, wlen, words[i], len);
		if (d < best_distance && d <= 1 + wlen / 3) {
			best_distance = d;
			best = words[i];
		}
	}
	return best;
}
