/* /proc/self/mountinfo, whose paths users choose: a path's line, and what was found of a text is found
 * when other lines stand before and behind it. */
#include "core/buf.h"
#include "core/mounts.h"
#include "tests/lib/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	char *path = fuzz_word(&in, '\n');
	struct orch_mount a = {0}, b = {0};
	bool found = orch_mounts_pick((const char *)in.p, in.left, path, &a);
	orch_auto(buf) struct orch_buf text = ORCH_BUF_INIT;

	fuzz_must(!found || memchr(a.type, '\0', sizeof(a.type)) != NULL);
	orch_buf_add_str(&text, "36 35 0:31 / /elsewhere rw - tmpfs x rw\n");
	orch_buf_add(&text, in.p, in.left);
	orch_buf_add_str(&text, "\n37 35 0:32 / /elsewhere rw - tmpfs y rw\n");
	fuzz_must(!text.failed);
	if (strcmp(path, "/elsewhere") != 0)
		fuzz_must(orch_mounts_pick((const char *)text.data, text.len, path, &b) == found);
	fuzz_must(!found || (a.major == b.major && a.minor == b.minor) ||
		  strcmp(path, "/elsewhere") == 0);
	free(path);
	return 0;
}
