/* The privilege and the group of who asks. See caller.h. */
#include "fsd/mount/caller.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "core/buf.h"
#include "core/fd.h"
#include "core/number.h"

#define FS_ID 3 /* of the four ids of a line: real, effective, saved, of file systems */

static int open_process(pid_t tid)
{
	char path[32];
	int fd;

	if (tid <= 0)
		return -ESRCH;
	snprintf(path, sizeof(path), "/proc/%d", (int)tid);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Word n (from 0) of the line that begins with key; b holds it. NULL: there is none. */
static const char *status_word(
    int process, const char *key, unsigned n, struct orch_buf *b, size_t *out_len)
{
	const char *at;

	if (orch_file_load(process, "status", b, NULL) < 0 || orch_buf_add(b, "", 1) < 0)
		return NULL;
	at = strstr((const char *)b->data, key);
	if (!at)
		return NULL;
	at += strlen(key);
	for (;; n--) {
		at += strspn(at, "\t ");
		*out_len = strcspn(at, "\t \n");
		if (n == 0)
			return *out_len ? at : NULL;
		at += *out_len;
	}
}

/* Of a line that is one number in hexadecimal digits. */
static bool has_bit(int process, const char *key, unsigned number)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	size_t len;
	const char *hex = status_word(process, key, 0, &b, &len);
	char digit;

	if (!hex || number / 4 >= len)
		return false;
	digit = hex[len - 1 - number / 4];
	return (digit <= '9' ? digit - '0' : digit - 'a' + 10) >> number % 4 & 1;
}

/* A capability of another user namespace is none over what is ours. */
static bool is_in_our_userns(int process)
{
	struct stat theirs, ours;

	return fstatat(process, "ns/user", &theirs, 0) == 0 &&
	       stat("/proc/self/ns/user", &ours) == 0 && theirs.st_ino == ours.st_ino &&
	       theirs.st_dev == ours.st_dev;
}

bool mnt_caller_keeps_set_ids(pid_t tid)
{
	orch_auto(fd) int process = open_process(tid);

	return process >= 0 && has_bit(process, "\nCapEff:", CAP_FSETID) &&
	       is_in_our_userns(process);
}

bool mnt_caller_is_killed(pid_t tid)
{
	orch_auto(fd) int process = open_process(tid);

	/* whatever it is that ends it, the kernel makes it a SIGKILL for each of its threads */
	return process >= 0 && has_bit(process, "\nSigPnd:", SIGKILL - 1);
}

int mnt_caller_group(pid_t tid, gid_t *out)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	orch_auto(fd) int process = open_process(tid);
	const char *word;
	uint64_t gid;
	size_t len;

	if (process < 0)
		return process;
	word = status_word(process, "\nGid:", FS_ID, &b, &len);
	if (!word || orch_number_parse(word, len, UINT32_MAX - 1, &gid) < 0)
		return -ESRCH;
	*out = (gid_t)gid;
	return 0;
}
