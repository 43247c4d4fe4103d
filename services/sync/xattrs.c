/* Extended attributes; see xattrs.h. There is no call with a folder and a name before Linux 6.13,
 * so the folder is reached through /proc/self/fd. */
#include "sync/xattrs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#define PREFIX	   "user."
#define PREFIX_LEN 5
#define LIST_FIRST 1024
#define LIST_MAX   65536
#define PATH_BYTES (sizeof("/proc/self/fd/-2147483648/") + FMT_NAME_MAX)

/* The list of all names, malloc'd; 0: none. */
static ssize_t list_names(const char *path, char **out)
{
	size_t cap = LIST_FIRST;

	for (;;) {
		char *list = malloc(cap);
		ssize_t n;

		if (!list)
			return -ENOMEM;
		n = llistxattr(path, list, cap);
		if (n > 0) {
			*out = list;
			return n;
		}
		free(list);
		if (n == 0 || errno == ENOTSUP)
			return 0;
		if (errno != ERANGE || cap >= LIST_MAX)
			return -errno;
		cap = LIST_MAX;
	}
}

/* Adds one attribute to *list (an encoding), by way of *spare. */
static int add_value(const char *path, const char *name, struct orch_buf *list,
    struct orch_buf *spare, uint8_t *value)
{
	struct fmt_xattrs x = {.p = list->data, .len = list->len};
	ssize_t n = lgetxattr(path, name, value, FMT_XATTR_VALUE_MAX);
	struct orch_buf swap;
	int r;

	if (n < 0)
		return errno == ENODATA ? 0 : -errno;
	orch_buf_reset(spare);
	r = fmt_xattrs_with(&x, name, value, (size_t)n, spare);
	swap = *list;
	*list = *spare;
	*spare = swap;
	return r == -EOVERFLOW ? -E2BIG : r;
}

static int add_values(
    const char *path, const char *names, size_t len, struct orch_buf *list, struct orch_buf *spare)
{
	uint8_t *value = NULL;
	int r = 0;

	for (const char *n = names; n < names + len && r == 0; n += strlen(n) + 1) {
		if (strncmp(n, PREFIX, PREFIX_LEN) != 0)
			continue;
		if (!value)
			value = malloc(FMT_XATTR_VALUE_MAX);
		r = value ? add_value(path, n, list, spare, value) : -ENOMEM;
	}
	free(value);
	return r;
}

int sync_xattrs_read(int dirfd, const char *name, struct orch_buf *out)
{
	orch_auto(buf) struct orch_buf list = ORCH_BUF_INIT;
	orch_auto(buf) struct orch_buf spare = ORCH_BUF_INIT;
	char path[PATH_BYTES];
	char *names = NULL;
	ssize_t n;
	int r;

	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dirfd, name);
	n = list_names(path, &names);
	if (n <= 0)
		return (int)n;
	r = add_values(path, names, (size_t)n, &list, &spare);
	free(names);
	if (r == 0 && list.len)
		r = list.len > FMT_XATTRS_MAX ? -E2BIG : orch_buf_add(out, list.data, list.len);
	return r;
}

int sync_xattrs_write(int fd, const struct fmt_xattrs *x)
{
	struct fmt_xattr a;
	size_t pos = 0;

	while (x->len && fmt_xattrs_next(x, &pos, &a)) {
		char name[FMT_XATTR_NAME_MAX + 1];

		if (a.name_len > FMT_XATTR_NAME_MAX)
			return -EINVAL;
		memcpy(name, a.name, a.name_len);
		name[a.name_len] = '\0';
		if (strncmp(name, PREFIX, PREFIX_LEN) != 0)
			continue;
		if (fsetxattr(fd, name, a.value, a.value_len, 0) < 0)
			return -errno;
	}
	return 0;
}
