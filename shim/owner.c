/* See owner.h. */
#include "shim/owner.h"

#include <string.h>
#include "core/number.h"

int shim_owner_parse(const char *text, uint32_t *out_uid, uint32_t *out_gid)
{
	size_t len = strlen(text), n = strcspn(text, ":");
	uint64_t uid, gid;

	if (orch_number_parse(text, n, UINT32_MAX - 1, &uid) < 0)
		return -ENOENT;
	gid = uid;
	if (n < len && orch_number_parse(text + n + 1, len - n - 1, UINT32_MAX - 1, &gid) < 0)
		return -EINVAL;
	*out_uid = (uint32_t)uid;
	*out_gid = (uint32_t)gid;
	return 0;
}
