/* --owner of a workspace. Nothing that is accepted means "no change" to the kernel, and it is accepted again as UID:GID. */
#include <errno.h>
#include <stdio.h>
#include "shim/owner.h"
#include "tests/lib/fuzz.h"

static void check_ids(const char *text, uint32_t uid, uint32_t gid)
{
	uint32_t again_uid = UINT32_MAX, again_gid = UINT32_MAX;
	const char *colon = strchr(text, ':');
	char plain[32];

	fuzz_must(uid < UINT32_MAX && gid < UINT32_MAX);
	fuzz_must(strspn(text, "0123456789:") == strlen(text));
	fuzz_must(colon ? !strchr(colon + 1, ':') : uid == gid);
	snprintf(plain, sizeof(plain), "%u:%u", uid, gid);
	fuzz_must(shim_owner_parse(plain, &again_uid, &again_gid) == 0);
	fuzz_must(again_uid == uid && again_gid == gid);
	plain[strcspn(plain, ":")] = '\0';
	fuzz_must(strcmp(plain, text + strspn(text, "0")) == 0 || colon || uid == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t uid = UINT32_MAX, gid = UINT32_MAX;
	char *text = fuzz_text(data, size);
	int r = shim_owner_parse(text, &uid, &gid);

	if (r == 0)
		check_ids(text, uid, gid);
	else
		fuzz_must((r == -ENOENT || (r == -EINVAL && strchr(text, ':'))) &&
			  uid == UINT32_MAX && gid == UINT32_MAX);
	free(text);
	return 0;
}
