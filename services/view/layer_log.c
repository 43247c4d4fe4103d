/* Reading a layer's log. See layer_log.h. */
#include "view/layer_log.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "core/fd.h"
#include "core/number.h"

#define SEGMENTS_MAX	  65536
#define SEGMENT_BYTES_MAX ((size_t)1 << 31)
#define HEAD_BYTES	  ((size_t)4096) /* the first frame is far smaller */
#define NAME_BYTES	  40

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
	uint64_t n;

	if (strncmp(name, "log.", 4) != 0 || name[4] == '0' ||
	    orch_number_parse(name + 4, strlen(name + 4), UINT64_MAX, &n) < 0)
		return 0;
	return n;
}

static void name_of(uint64_t n, char out[NAME_BYTES])
{
	snprintf(out, NAME_BYTES, "log.%llu", (unsigned long long)n);
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
		r = orch_err_sys(err, errno, "layer folder");
		orch_fd_close(fd);
		return r;
	}
	while (r == 0 && (errno = 0, e = readdir(d))) {
		uint64_t n = number_of(e->d_name);

		if (n > 0)
			r = numbers_add(list, n);
	}
	if (r == 0 && errno != 0)
		r = -errno;
	closedir(d);
	if (r < 0)
		return orch_err_sys(err, -r, "list of log segments");
	if (list->count == 0)
		return orch_err_set(err, ENODATA, "it has no log");
	qsort(list->v, list->count, sizeof(*list->v), number_cmp);
	return 0;
}

/* Read, not mapped: who writes it cuts it to its length when it ends. */
static int segment_load(int dirfd, uint64_t n, struct orch_buf *out, struct orch_err *err)
{
	orch_auto(fd) int fd = -1;
	char name[NAME_BYTES];
	int r;

	name_of(n, name);
	orch_buf_init(out, SEGMENT_BYTES_MAX);
	fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && errno == ELOOP)
		return orch_err_set(err, ORCH_ECORRUPT, "%s is not a regular file", name);
	if (fd < 0 && errno == ENOENT) /* listed a moment ago */
		return orch_err_set(err, ORCH_ECORRUPT, "%s is missing", name);
	if (fd < 0)
		return orch_err_sys(err, errno, "%s", name);
	r = orch_fd_slurp(fd, out);
	if (r == -EISDIR)
		return orch_err_set(err, ORCH_ECORRUPT, "%s is not a regular file", name);
	return r < 0 ? orch_err_sys(err, -r, "%s", name) : 0;
}

static int no_head(uint64_t n, struct orch_err *err)
{
	return orch_err_set(
	    err, ORCH_ECORRUPT, "log.%llu does not begin with its head", (unsigned long long)n);
}

/* 1: it is empty: zeros, or a head that was not written to its end. */
static int head_parse(
    const void *p, size_t len, uint64_t n, struct fmt_layer_head *out, struct orch_err *err)
{
	struct fmt_layer_record rec;
	struct fmt_txn txn;
	size_t pos = 0;
	bool torn = false;
	int r = fmt_txn_next(p, len, &pos, 0, &txn, &torn, err);

	if (r == 1)
		r = fmt_txn_record(&txn, &rec, err);
	else if (r == 0)
		return 1;
	if (r == 0)
		return no_head(n, err);
	if (r < 0) {
		orch_err_wrap(err, "log.%llu", (unsigned long long)n);
		return r;
	}
	if (rec.kind != FMT_LAYER_HEAD || rec.head.segment != n)
		return no_head(n, err);
	*out = rec.head;
	return 0;
}

/* Mostly a few bytes tell; only a head that is not whole needs a look at what lies behind it. */
static int head_load(int dirfd, uint64_t n, struct fmt_layer_head *out, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf bytes = ORCH_BUF_INIT;
	uint8_t first[HEAD_BYTES];
	char name[NAME_BYTES];
	ssize_t got = -1;
	int fd, r;

	name_of(n, name);
	fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0)
		got = pread(fd, first, sizeof(first), 0);
	orch_fd_close(fd);
	if (got > 0 && head_parse(first, (size_t)got, n, out, NULL) == 0)
		return 0;
	r = segment_load(dirfd, n, &bytes, err);
	return r < 0 ? r : head_parse(bytes.data, bytes.len, n, out, err);
}

/* Index of the segment to begin with: the last checkpoint, or the first segment. 1: the last one is
 * empty. */
static int first_of(int dirfd, const struct numbers *list, size_t *out_first,
    struct fmt_layer_head *out_last, struct orch_err *err)
{
	struct fmt_layer_head h;
	size_t i = list->count;

	while (i-- > 0) {
		int r = head_load(dirfd, list->v[i], &h, err);

		if (r == 1 && i + 1 < list->count)
			r = no_head(list->v[i], err);
		if (r != 0)
			return r;
		if (i + 1 == list->count)
			*out_last = h;
		if (h.checkpoint)
			break;
		if (list->v[i] != 1 && (i == 0 || list->v[i - 1] != list->v[i] - 1))
			return orch_err_set(err, ORCH_ECORRUPT, "log.%llu is missing",
			    (unsigned long long)list->v[i] - 1);
		if (i == 0)
			break;
	}
	*out_first = i;
	return 0;
}

/* What counts. The last segment may be the one that was being made when everything was killed. */
static int find(
    int dirfd, struct numbers *list, size_t *out_first, struct view_log *out, struct orch_err *err)
{
	int r = numbers_load(dirfd, list, err);

	if (r == 0)
		r = first_of(dirfd, list, out_first, &out->head, err);
	if (r == 1 && list->count > 1) {
		out->drop_from = list->v[--list->count];
		r = first_of(dirfd, list, out_first, &out->head, err);
	}
	return r == 1 ? no_head(list->v[list->count - 1], err) : r;
}

/* A segment that begins behind what the one before it ends with: did a power cut take an unsynced
 * tail, as it may take any of its pages? Then nothing from here on had been synced. */
static int check_gap(const struct fmt_log_end *next, struct view_log *log, struct orch_err *err)
{
	bool unsynced = next->durable <= log->seq;

	if (next->head.seq <= log->seq)
		return 0;
	if (!unsynced)
		return orch_err_set(err, ORCH_ECORRUPT,
		    "log.%llu ends with transaction %llu, log.%llu begins behind %llu",
		    (unsigned long long)log->segment, (unsigned long long)log->seq,
		    (unsigned long long)next->head.segment, (unsigned long long)next->head.seq);
	log->torn = true;
	return 1;
}

/* 1: nothing from this segment on counts. */
static int take(struct view_log *log, const struct orch_buf *bytes, bool first,
    struct fmt_overlay *o, struct orch_err *err)
{
	struct fmt_layer_head head;
	struct fmt_log_end end;
	size_t used;
	bool torn;
	int r = fmt_log_scan(bytes->data, bytes->len, &end, err);

	if (r == -ENODATA)
		r = orch_err_set(err, ORCH_ECORRUPT, "its checkpoint is not whole");
	if (r == 0 && log->sealed)
		r = orch_err_set(err, ORCH_ECORRUPT, "it follows a seal");
	if (r == 0 && !first)
		r = check_gap(&end, log, err);
	if (r == 0 && o)
		r = fmt_overlay_replay(o, bytes->data, bytes->len, &used, &head, &torn, err);
	if (r != 0)
		return r;
	log->head = end.head;
	log->segment = end.head.segment;
	log->used = end.used;
	log->total += end.used;
	log->seq = end.seq;
	log->torn = end.torn;
	log->sealed = end.sealed;
	log->successor = end.successor;
	return 0;
}

static int replay_one(int dirfd, uint64_t n, bool first, struct fmt_overlay *o,
    struct view_log *log, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf bytes = ORCH_BUF_INIT;
	int r = segment_load(dirfd, n, &bytes, err);

	if (r < 0)
		return r;
	r = take(log, &bytes, first, o, err);
	if (r < 0)
		orch_err_wrap(err, "log.%llu", (unsigned long long)n);
	if (r == 1)
		log->drop_from = n;
	return r;
}

int view_log_replay(int dirfd, struct fmt_overlay *o, struct view_log *out, struct orch_err *err)
{
	struct numbers list = {0};
	size_t first = 0;
	int r;

	*out = (struct view_log){0};
	r = find(dirfd, &list, &first, out, err);
	if (r == 0)
		out->first = list.v[first];
	for (size_t i = first; r == 0 && i < list.count; i++)
		r = replay_one(dirfd, list.v[i], i == first, o, out, err);
	free(list.v);
	return r < 0 ? r : 0;
}

int view_log_head(int dirfd, struct fmt_layer_head *out, struct orch_err *err)
{
	struct numbers list = {0};
	struct view_log log = {0};
	size_t first = 0;
	int r = find(dirfd, &list, &first, &log, err);

	if (r == 0)
		*out = log.head;
	free(list.v);
	return r;
}

int view_log_drop(int dirfd, uint64_t from, struct orch_err *err)
{
	struct numbers list = {0};
	char name[NAME_BYTES];
	int r = numbers_load(dirfd, &list, err);

	/* the last one first: what is left by a kill is a log without a gap */
	for (size_t i = list.count; r == 0 && i-- > 0 && list.v[i] >= from;) {
		name_of(list.v[i], name);
		if (unlinkat(dirfd, name, 0) < 0)
			r = orch_err_sys(err, errno, "remove %s", name);
	}
	if (r == 0 && (r = orch_fd_sync(dirfd)) < 0)
		r = orch_err_sys(err, -r, "sync of the layer's folder");
	free(list.v);
	return r;
}

void view_log_trim(int dirfd, uint64_t first)
{
	struct numbers list = {0};
	char name[NAME_BYTES];

	if (numbers_load(dirfd, &list, NULL) == 0) {
		for (size_t i = 0; i < list.count && list.v[i] < first; i++) {
			name_of(list.v[i], name);
			(void)unlinkat(dirfd, name, 0);
		}
	}
	free(list.v);
}
