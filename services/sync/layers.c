/* Sealed layers read back; see layers.h. */
#include "sync/layers.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/fd.h"
#include "core/path.h"

#define LOG_PREFIX   "log."
#define NAME_BYTES   64
#define SEGMENTS_MAX 65536

struct segments {
	uint64_t *v;
	size_t count, cap;
};

static int parse_segment(const char *name, uint64_t *out)
{
	const char *digits = name + sizeof(LOG_PREFIX) - 1;

	if (strncmp(name, LOG_PREFIX, sizeof(LOG_PREFIX) - 1) != 0 || !*digits ||
	    strlen(digits) > 19 || strspn(digits, "0123456789") != strlen(digits))
		return -EINVAL;
	*out = strtoull(digits, NULL, 10);
	return 0;
}

static int add_segment(struct segments *s, uint64_t number)
{
	if (s->count == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 16;
		uint64_t *v = s->count < SEGMENTS_MAX ? reallocarray(s->v, cap, sizeof(*v)) : NULL;

		if (!v)
			return -ENOMEM;
		s->v = v;
		s->cap = cap;
	}
	s->v[s->count++] = number;
	return 0;
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static int list_segments(int layer_fd, struct segments *s)
{
	int dup = openat(layer_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = dup < 0 ? NULL : fdopendir(dup);
	const struct dirent *e;
	uint64_t number;
	int r = 0;

	if (!dir) {
		r = -errno;
		orch_fd_close(dup);
		return r;
	}
	while (r == 0 && (e = readdir(dir)))
		if (parse_segment(e->d_name, &number) == 0)
			r = add_segment(s, number);
	closedir(dir);
	if (s->count)
		qsort(s->v, s->count, sizeof(*s->v), by_number);
	return r;
}

/* 1: applied; 0: the segment was begun and never finished, what it was to replace is still there. */
static int replay_segment(int layer_fd, uint64_t number, uint64_t layer, bool last,
    struct fmt_overlay *o, struct orch_err *err)
{
	struct fmt_layer_head head;
	char name[NAME_BYTES];
	struct orch_map map;
	bool torn = false;
	size_t end;
	int r;

	snprintf(name, sizeof(name), LOG_PREFIX "%" PRIu64, number);
	r = orch_map_open(layer_fd, name, &map, err);
	if (r < 0)
		return r;
	r = fmt_overlay_replay(o, map.addr, map.len, &end, &head, &torn, err);
	orch_map_close(&map);
	if (r == -ENODATA) {
		if (err)
			*err = (struct orch_err)ORCH_ERR_INIT;
		return 0;
	}
	if (r < 0)
		return r;
	if (head.layer != layer)
		return orch_err_set(
		    err, ORCH_ECORRUPT, "%s is of layer %" PRIu64, name, head.layer);
	if (torn && last)
		return orch_err_set(
		    err, ORCH_ECORRUPT, "%s is torn, the layer is not sealed", name);
	return 1;
}

static int replay_all(int layer_fd, uint64_t layer, struct fmt_overlay *o, struct orch_err *err)
{
	struct segments s = {0};
	size_t applied = 0;
	int r = list_segments(layer_fd, &s);

	if (r < 0)
		orch_err_sys(err, -r, "list its log");
	for (size_t i = 0; i < s.count && r >= 0; i++) {
		r = replay_segment(layer_fd, s.v[i], layer, i + 1 == s.count, o, err);
		applied += r > 0;
	}
	free(s.v);
	if (r >= 0 && !applied)
		r = orch_err_set(err, ORCH_ECORRUPT, "it has no log");
	return r < 0 ? r : 0;
}

int sync_layer_replay(int layers_fd, uint64_t layer, struct fmt_overlay *o, struct orch_err *err)
{
	orch_auto(fd) int fd = -1;
	char name[NAME_BYTES];
	int r;

	snprintf(name, sizeof(name), "%" PRIu64, layer);
	fd = openat(layers_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return orch_err_sys(err, errno, "layer %" PRIu64, layer);
	r = replay_all(fd, layer, o, err);
	if (r < 0)
		orch_err_wrap(err, "layer %" PRIu64, layer);
	return r;
}

int sync_layer_open_spool(int layers_fd, uint64_t layer, uint64_t spool)
{
	char name[NAME_BYTES];

	snprintf(name, sizeof(name), "%" PRIu64 "/spool/%" PRIu64, layer, spool);
	return orch_open_nolinks(layers_fd, name, O_RDONLY, 0);
}
