/* The table of ids of a view. See idmap.h. */
#include "idmap.h"
#include <stdio.h>

#define NOBODY FSD_IDMAP_NOBODY
#define LAST   (UINT32_MAX - 1) /* UINT32_MAX is no id */
#define NONE   UINT32_MAX

static uint32_t seen_as(uint32_t fs, uint32_t owner, uint32_t user)
{
	if (fs == owner)
		return user;
	if (fs == 0)
		return NONE;
	if (owner == user)
		return fs;
	if (fs == NOBODY)
		return owner;
	if (fs == LAST && user != NOBODY)
		return NOBODY; /* whose place was given to the owner's number, or is the owner's number */
	return fs == user ? NONE : fs;
}

/* One that follows the range before it makes that longer. */
static size_t add(struct fsd_idmap_range *v, size_t n, uint32_t fs, uint32_t seen, uint32_t count)
{
	if (n > 0 && v[n - 1].fs + v[n - 1].count == fs && v[n - 1].seen + v[n - 1].count == seen) {
		v[n - 1].count += count;
		return n;
	}
	v[n] = (struct fsd_idmap_range){.fs = fs, .seen = seen, .count = count};
	return n + 1;
}

static void sort(uint32_t *v, size_t n)
{
	for (size_t i = 1; i < n; i++)
		for (size_t k = i; k > 0 && v[k - 1] > v[k]; k--) {
			uint32_t t = v[k];

			v[k] = v[k - 1];
			v[k - 1] = t;
		}
}

size_t fsd_idmap_plan(uint32_t owner, uint32_t user, struct fsd_idmap_range out[FSD_IDMAP_MAX])
{
	uint32_t special[] = {0, owner, user, NOBODY, LAST};
	uint32_t next = 0;
	size_t n = 0;

	sort(special, ORCH_ARRAY_LEN(special));
	for (size_t i = 0; i < ORCH_ARRAY_LEN(special); i++) {
		uint32_t fs = special[i], seen = seen_as(fs, owner, user);

		if (fs < next) /* twice in the list */
			continue;
		if (fs > next)
			n = add(out, n, next, next, fs - next);
		if (seen != NONE)
			n = add(out, n, fs, seen, 1);
		next = fs + 1;
	}
	return n;
}

void fsd_idmap_format(const struct fsd_idmap_range *v, size_t n, char out[FSD_IDMAP_TEXT])
{
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 0; i < n && used < FSD_IDMAP_TEXT; i++)
		used += (size_t)snprintf(out + used, FSD_IDMAP_TEXT - used, "%u %u %u\n", v[i].fs,
		    v[i].seen, v[i].count);
}
