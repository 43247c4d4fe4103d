/* Opening folders by long paths; see place.h. */
#include "sync/place.h"

#include <fcntl.h>
#include <string.h>
#include "core/fd.h"
#include "core/path.h"

#define STEP_MAX 3800 /* bytes that one openat2 is given */

/* The length of the longest run of whole components of at most STEP_MAX bytes. */
static size_t step_length(const char *path, size_t len)
{
	size_t n = STEP_MAX;

	if (len <= STEP_MAX)
		return len;
	while (path[n] != '/')
		n--;
	return n;
}

static int open_step(int dir, const char *path, size_t len)
{
	char step[STEP_MAX + 1];

	if (!len) {
		int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		return fd < 0 ? -errno : fd;
	}
	memcpy(step, path, len);
	step[len] = '\0';
	return orch_open_nolinks(dir, step, O_RDONLY | O_DIRECTORY, 0);
}

int sync_place_open(int root, const char *path, size_t len)
{
	orch_auto(fd) int dir = -1;

	while (len > STEP_MAX) {
		size_t n = step_length(path, len);
		int next = open_step(dir >= 0 ? dir : root, path, n);

		if (next < 0)
			return next;
		orch_fd_close(dir);
		dir = next;
		path += n + 1;
		len -= n + 1;
	}
	return open_step(dir >= 0 ? dir : root, path, len);
}
