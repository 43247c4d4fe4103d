/* Reading a layer's log. See segments.h. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "core/fd.h"
#include "fsd/mount/segments.h"

#define SEGMENTS_MAX	  65536
#define SEGMENT_BYTES_MAX ((size_t)1 << 31)

struct numbers {
	uint64_t *v;
	size_t count;
};

static int number_cmp(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* "log.<n>", n without leading zero; 0: another file. */
static uint64_t number_of(const char *name)
{
	char *end;
	uint64_t n;

	if (strncmp(name, "log.", 4) != 0 || name[4] < '1' || name[4] > '9')
		return 0;
	errno = 0;
	n = strtoull(name + 4, &end, 10);
	return errno == 0 && *end == 0 ? n : 0;
}

static int numbers_add(struct numbers *list, uint64_t n)
{
	uint64_t *v;

	if (list->count >= SEGMENTS_MAX)
		return -EOVERFLOW;
	v = realloc(list->v, (list->count + 1) * sizeof(*v));
	if (!v)
		return -ENOMEM;
	list->v = v;
	v[list->count++] = n;
	return 0;
}

static int numbers_load(int dirfd, struct numbers *list, struct orch_err *err)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		orch_fd_close(fd);
		return orch_err_sys(err, errno, "layer folder");
	}
	while (r == 0 && (e = readdir(d))) {
		uint64_t n = number_of(e->d_name);

		if (n > 0)
			r = numbers_add(list, n);
	}
	closedir(d);
	if (r < 0)
		return orch_err_sys(err, -r, "list of log segments");
	if (list->count == 0)
		return orch_err_set(err, ENOENT, "the layer has no log");
	qsort(list->v, list->count, sizeof(*list->v), number_cmp);
	return 0;
}

static int segment_load(int dirfd, uint64_t n, struct orch_buf *out, struct orch_err *err)
{
	char name[40];

	snprintf(name, sizeof(name), "log.%llu", (unsigned long long)n);
	orch_buf_init(out, SEGMENT_BYTES_MAX);
	return orch_file_load(dirfd, name, out, err);
}

static int head_parse(
    const struct orch_buf *bytes, uint64_t n, struct fmt_layer_head *out, struct orch_err *err)
{
	struct fmt_layer_record rec;
	struct fmt_txn txn;
	size_t pos = 0;
	bool torn = false;
	int r = fmt_txn_next(bytes->data, bytes->len, &pos, 0, &txn, &torn, err);

	if (r == 1)
		r = fmt_txn_record(&txn, &rec, err);
	if (r < 0) {
		orch_err_wrap(err, "log.%llu", (unsigned long long)n);
		return r;
	}
	if (r == 0)
		return orch_err_set(err, ENODATA, "log.%llu is empty", (unsigned long long)n);
	if (rec.kind != FMT_LAYER_HEAD || rec.head.segment != n)
		return orch_err_set(err, ORCH_ECORRUPT, "log.%llu does not begin with its head",
		    (unsigned long long)n);
	*out = rec.head;
	return 0;
}

static int head_load(int dirfd, uint64_t n, struct fmt_layer_head *out, struct orch_err *err)
{
	struct orch_buf bytes;
	int r = segment_load(dirfd, n, &bytes, err);

	if (r == 0)
		r = head_parse(&bytes, n, out, err);
	orch_buf_fini(&bytes);
	return r;
}

/* Index of the segment to begin with: the last checkpoint, or the first segment. */
static int first_of(int dirfd, const struct numbers *list, size_t *out_first,
    struct fmt_layer_head *out_last, struct orch_err *err)
{
	size_t i = list->count;

	while (i-- > 0) {
		struct fmt_layer_head h;
		int r = head_load(dirfd, list->v[i], &h, err);

		if (r == -ENODATA && i + 1 == list->count && i > 0) {
			/* being made when the process was killed: nothing in it was answered */
			*out_first = SIZE_MAX;
			return r;
		}
		if (r < 0)
			return r;
		if (i + 1 == list->count)
			*out_last = h;
		if (h.checkpoint || i == 0) {
			*out_first = i;
			break;
		}
		if (list->v[i - 1] != list->v[i] - 1)
			return orch_err_set(err, ORCH_ECORRUPT, "log.%llu is missing",
			    (unsigned long long)list->v[i] - 1);
	}
	if (*out_first == 0 && list->v[0] != 1 && !out_last->checkpoint && list->count == 1)
		return orch_err_set(err, ORCH_ECORRUPT, "log.1 is missing");
	return 0;
}

static int replay_one(
    int dirfd, uint64_t n, struct fmt_overlay *o, struct mnt_replay *out, struct orch_err *err)
{
	struct orch_buf bytes;
	int r = segment_load(dirfd, n, &bytes, err);

	if (r == 0)
		r = fmt_overlay_replay(
		    o, bytes.data, bytes.len, &out->used, &out->head, &out->torn, err);
	orch_buf_fini(&bytes);
	if (r < 0) {
		orch_err_wrap(err, "log.%llu", (unsigned long long)n);
		return r;
	}
	out->segment = n;
	out->sealed = fmt_overlay_sealed(o, &out->successor);
	out->total += out->used;
	return 0;
}

/* The last segment may be the one that was being made when everything was killed. */
static int usable(int dirfd, struct numbers *list, size_t *out_first, struct fmt_layer_head *out,
    struct orch_err *err)
{
	int r;

	*out_first = 0;
	r = first_of(dirfd, list, out_first, out, err);
	if (r < 0 && *out_first == SIZE_MAX) {
		char name[40];

		snprintf(
		    name, sizeof(name), "log.%llu", (unsigned long long)list->v[list->count - 1]);
		if (unlinkat(dirfd, name, 0) < 0)
			return r;
		list->count--;
		*out_first = 0;
		r = first_of(dirfd, list, out_first, out, err);
	}
	return r;
}

int mnt_segments_replay(
    int dirfd, struct fmt_overlay *o, struct mnt_replay *out, struct orch_err *err)
{
	struct numbers list = {0};
	size_t first = 0;
	int r = numbers_load(dirfd, &list, err);

	*out = (struct mnt_replay){0};
	if (r == 0)
		r = usable(dirfd, &list, &first, &out->head, err);
	for (size_t i = first; r == 0 && i < list.count; i++)
		r = replay_one(dirfd, list.v[i], o, out, err);
	free(list.v);
	return r;
}

int mnt_segments_head(int dirfd, struct fmt_layer_head *out, struct orch_err *err)
{
	struct numbers list = {0};
	size_t first = 0;
	int r = numbers_load(dirfd, &list, err);

	if (r == 0)
		r = usable(dirfd, &list, &first, out, err);
	free(list.v);
	return r;
}
