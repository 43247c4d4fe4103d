/* The growing of arrays. */
#include "core/grow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/size.h"

#define FIRST_COUNT 16

int orch_grow(void *list_ptr, size_t *cap, size_t need, size_t size)
{
	size_t wanted, bytes;
	void *v;

	if (need <= *cap)
		return 0;
	if (orch_size_mul(*cap, 2, &wanted) < 0)
		return -ENOMEM;
	if (wanted < FIRST_COUNT)
		wanted = FIRST_COUNT;
	if (wanted < need)
		wanted = need;
	if (orch_size_mul(wanted, size, &bytes) < 0)
		return -ENOMEM;
	memcpy(&v, list_ptr, sizeof(v)); /* it is a pointer to something, but not a void * */
	v = realloc(v, bytes);
	if (!v)
		return -ENOMEM;
	memcpy(list_ptr, &v, sizeof(v));
	*cap = wanted;
	return 0;
}
