/* See folder.h. */
#include "cache/folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "core/fd.h"

int cas_dir_each(int dirfd, const char *sub, int (*fn)(void *priv, int dirfd, const char *name),
    void *priv, struct orch_err *err)
{
	int fd = openat(dirfd, sub, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct dirent *e;
	DIR *d;
	int r = 0;

	if (fd < 0)
		return orch_err_sys(err, errno, "open folder %s", sub);
	d = fdopendir(fd);
	if (!d) {
		orch_fd_close(fd);
		return orch_err_sys(err, ENOMEM, "open folder %s", sub);
	}
	while (r == 0 && (errno = 0, e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = fn(priv, fd, e->d_name);
	if (r == 0 && errno != 0)
		r = orch_err_sys(err, errno, "read folder %s", sub);
	closedir(d);
	return r;
}

int cas_number_parse(const char *name, uint64_t *out)
{
	char again[24];
	uint64_t v = 0;

	for (const char *p = name; *p; p++) {
		if (*p < '0' || *p > '9' || v > UINT64_MAX / 10 - 1)
			return -EINVAL;
		v = v * 10 + (uint64_t)(*p - '0');
	}
	snprintf(again, sizeof(again), "%" PRIu64, v);
	if (v == 0 || strcmp(again, name) != 0)
		return -EINVAL;
	*out = v;
	return 0;
}
