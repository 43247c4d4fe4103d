/* Counters of the kernel's requests. See requests.h. */
#include <string.h>
#include "core/json.h"
#include "fsd/mount/requests.h"

/* Of struct fuse_in_header of the kernel's protocol: length, then the kind, 32 bits each. */
#define KIND_AT 4

static const char *const names[MNT_REQUEST_KINDS] = {
    [0] = "other",
    [1] = "lookup",
    [2] = "forget",
    [3] = "getattr",
    [4] = "setattr",
    [5] = "readlink",
    [6] = "symlink",
    [8] = "mknod",
    [9] = "mkdir",
    [10] = "unlink",
    [11] = "rmdir",
    [12] = "rename",
    [13] = "link",
    [14] = "open",
    [15] = "read",
    [16] = "write",
    [17] = "statfs",
    [18] = "release",
    [20] = "fsync",
    [21] = "setxattr",
    [22] = "getxattr",
    [23] = "listxattr",
    [24] = "removexattr",
    [25] = "flush",
    [26] = "init",
    [27] = "opendir",
    [28] = "readdir",
    [29] = "releasedir",
    [30] = "fsyncdir",
    [31] = "getlk",
    [32] = "setlk",
    [33] = "setlkw",
    [34] = "access",
    [35] = "create",
    [36] = "interrupt",
    [37] = "bmap",
    [38] = "destroy",
    [39] = "ioctl",
    [40] = "poll",
    [41] = "notify_reply",
    [42] = "batch_forget",
    [43] = "fallocate",
    [44] = "readdirplus",
    [45] = "rename2",
    [46] = "lseek",
    [47] = "copy_file_range",
    [48] = "setupmapping",
    [49] = "removemapping",
    [50] = "syncfs",
    [51] = "tmpfile",
    [52] = "statx",
    [53] = "copy_file_range_64",
};

void mnt_requests_note(struct mnt_requests *r, const void *request, size_t bytes)
{
	uint32_t kind = 0;

	if (bytes >= KIND_AT + sizeof(kind))
		memcpy(&kind, (const char *)request + KIND_AT, sizeof(kind));
	if (kind >= MNT_REQUEST_KINDS || !names[kind])
		kind = 0;
	atomic_fetch_add_explicit(&r->count[kind], 1, memory_order_relaxed);
}

struct orch_json *mnt_requests_show(const struct mnt_requests *r)
{
	struct orch_json *j = orch_json_object();
	uint64_t total = 0;
	int rc = j ? 0 : -1;

	for (size_t i = 0; rc == 0 && i < MNT_REQUEST_KINDS; i++) {
		uint64_t n = atomic_load_explicit(&r->count[i], memory_order_relaxed);

		total += n;
		if (n > 0)
			rc = orch_json_set_u64(j, names[i], n);
	}
	if (rc == 0)
		rc = orch_json_set_u64(j, "total", total);
	if (rc == 0)
		return j;
	orch_json_free(j);
	return NULL;
}
