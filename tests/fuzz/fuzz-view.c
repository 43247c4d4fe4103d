/* Paths of views, read from mountinfo, and names in their folder: what one says is the same when it is written anew. */
#include <stdio.h>
#include "fsd/keeper/views.h"
#include "tests/lib/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	char *path = fuzz_word(&in, '\n'), again[4096 + 32];
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	struct fsd_view v = {0}, w = {0};
	size_t len = 0, more = 0;
	bool is_name = fsd_view_name_parse(name, &len, &v), is = fsd_view_parse(path, &w);

	fuzz_must(!is || (is_name && v.uid == w.uid && v.gid == w.gid && w.path == path));
	if (is_name && len < 4096) {
		fuzz_must(len > 0 && len < strlen(name));
		snprintf(again, sizeof(again), "%.*s.%u.%u", (int)len, name, v.uid, v.gid);
		fuzz_must(fsd_view_name_parse(again, &more, &w) && more == len);
		fuzz_must(v.uid == w.uid && v.gid == w.gid);
	}
	free(path);
	return 0;
}
