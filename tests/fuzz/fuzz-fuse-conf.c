/* /etc/fuse.conf: whatever is in it, a line behind it counts, and what was allowed stays so. */
#include "core/buf.h"
#include "core/fuse_conf.h"
#include "tests/lib/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	orch_auto(buf) struct orch_buf text = ORCH_BUF_INIT;
	struct orch_fuse_conf alone, more;

	orch_fuse_conf_parse((const char *)data, size, &alone);
	orch_buf_add(&text, data, size);
	orch_buf_add_str(&text, "\nmount_max = 5\n");
	fuzz_must(!text.failed);
	orch_fuse_conf_parse((const char *)text.data, text.len, &more);
	fuzz_must(more.mount_max == 5 && more.user_allow_other == alone.user_allow_other);
	orch_buf_add_str(&text, "user_allow_other");
	fuzz_must(!text.failed);
	orch_fuse_conf_parse((const char *)text.data, text.len, &more);
	fuzz_must(more.user_allow_other);
	return 0;
}
