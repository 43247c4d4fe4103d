/* A private folder for the tests of this room. */
#ifndef ORCH_TESTS_UNIT_OUTPUT_PLACE_H
#define ORCH_TESTS_UNIT_OUTPUT_PLACE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core/clock.h"
#include "core/fd.h"
#include "tests/lib/tap.h"

struct place {
	char path[64];
	int fd;
};

static inline struct place place_new(void)
{
	struct place p = {.path = "output-test-XXXXXX"};

	assert_non_null(mkdtemp(p.path));
	p.fd = open(p.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(p.fd >= 0);
	return p;
}

static inline void place_free(struct place *p)
{
	close(p->fd);
	assert_int_equal(orch_remove_tree(AT_FDCWD, p->path, NULL), 0);
}

static inline void put_bytes(int dirfd, const char *name, const void *p, size_t n, mode_t mode)
{
	int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(orch_fd_write_all(fd, p, n), 0);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static inline void put_file(int dirfd, const char *name, const char *text)
{
	char copy[4096], *slash;

	snprintf(copy, sizeof(copy), "%s", name);
	slash = strrchr(copy, '/');
	if (slash != NULL) {
		*slash = '\0';
		assert_int_equal(orch_mkdirs(dirfd, copy, 0755, NULL), 0);
	}
	put_bytes(dirfd, name, text, strlen(text), 0644);
}

/* The whole file as a string; the caller frees. */
static inline char *get_file(int dirfd, const char *name)
{
	struct orch_buf b = ORCH_BUF_INIT;
	struct orch_err err = ORCH_ERR_INIT;

	if (orch_file_load(dirfd, name, &b, &err) < 0)
		fail_msg("%s", err.msg);
	return orch_buf_take_str(&b);
}

static inline bool exists(int dirfd, const char *name)
{
	struct stat st;

	return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

#endif
