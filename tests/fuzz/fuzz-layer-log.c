/*
 * The segments of a layer's log in a folder: the input chooses heads, records, checkpoints and seals, cuts
 * segments short, leaves some out, flips bytes. Reading with and without a state must say the same, and say it
 * again when what does not count was cut away.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include "tests/lib/fuzz.h"
#include "view/layer_log.h"

enum { SEGMENTS_MAX = 6 };

struct segments {
	int dirfd;
	size_t count;
	uint64_t number[SEGMENTS_MAX];
	struct orch_buf bytes; /* of the one that is being made */
	uint64_t seq;
};

/* In memory where there is such a place; one for each input, since a fuzzer ends without a word. */
static int make_folder(char out[64])
{
	int fd;

	snprintf(out, 64, "%s/fuzz-layer-log.XXXXXX",
	    access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	fuzz_must(mkdtemp(out) != NULL);
	fd = open(out, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fuzz_must(fd >= 0);
	return fd;
}

static void name_of(uint64_t number, char out[32])
{
	snprintf(out, 32, "log.%llu", (unsigned long long)number);
}

static void segment_end(struct segments *s)
{
	char name[32];
	int fd;

	if (s->count == 0)
		return;
	name_of(s->number[s->count - 1], name);
	fd = openat(s->dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	fuzz_must(fd >= 0);
	fuzz_must(write(fd, s->bytes.data, s->bytes.len) == (ssize_t)s->bytes.len);
	close(fd);
	orch_buf_reset(&s->bytes);
}

static void frame(struct segments *s, const struct fmt_layer_record *r, uint8_t how)
{
	size_t at, was = s->bytes.len;

	s->seq += how & 1;
	fuzz_must(fmt_txn_begin(&s->bytes, s->seq, &at) == 0);
	if (how & 2)
		fmt_txn_durable(&s->bytes, at, how & 4 ? s->seq : s->seq / 2);
	if (fmt_txn_add(&s->bytes, r) < 0 || fmt_txn_end(&s->bytes, at) < 0)
		s->bytes.len = was;
}

static void segment_begin(struct fuzz_input *in, struct segments *s)
{
	uint8_t how = fuzz_u8(in);
	uint64_t last = s->count ? s->number[s->count - 1] : 0;
	struct fmt_layer_record r = {.kind = FMT_LAYER_HEAD,
	    .head = {.layer = 7,
		.workspace = "w",
		.next_ino = 2,
		.segment = last + 1 + (how & 1),
		.checkpoint = how & 2}};

	if (s->count == SEGMENTS_MAX)
		return;
	segment_end(s);
	s->number[s->count++] = r.head.segment;
	r.head.segment += how & 4 ? 1 : 0; /* it lies about its number */
	r.head.seq = s->seq;
	frame(s, &r, how >> 4);
}

static void damage(struct fuzz_input *in, struct segments *s)
{
	uint8_t how = fuzz_u8(in), where = fuzz_u8(in);

	if (s->bytes.len == 0)
		return;
	if (how < 100)
		s->bytes.len -= (size_t)where % s->bytes.len;
	else if (how < 200)
		s->bytes.data[(size_t)where * 8 % s->bytes.len] ^= how;
	else
		fuzz_must(orch_buf_add_zeros(&s->bytes, where) == 0);
}

static void choose(struct fuzz_input *in, struct segments *s)
{
	uint8_t what = fuzz_u8(in), how = fuzz_u8(in);
	struct fmt_layer_record r = {.kind = FMT_LAYER_GONE, .ino = 2};

	if (what < 60 || s->count == 0) {
		segment_begin(in, s);
		return;
	}
	if (what < 90) {
		damage(in, s);
		return;
	}
	if (what < 130)
		r = (struct fmt_layer_record){.kind = FMT_LAYER_NODE,
		    .node = {.ino = 1u + (how >> 4), .type = FMT_REG, .mode = 0644, .nlink = 1}};
	else if (what < 170)
		r = (struct fmt_layer_record){.kind = FMT_LAYER_LINK,
		    .link = {
			.parent = 1, .name = "a", .name_len = 1, .ino = how >> 4, .type = FMT_REG}};
	else if (what < 210)
		r.kind = FMT_LAYER_CHECKPOINT_END;
	else if (what < 225)
		r = (struct fmt_layer_record){.kind = FMT_LAYER_SEALED, .successor = how};
	frame(s, &r, how);
}

static void same(const struct view_log *a, const struct view_log *b)
{
	fuzz_must(a->segment == b->segment && a->used == b->used && a->total == b->total);
	fuzz_must(a->seq == b->seq && a->torn == b->torn && a->sealed == b->sealed);
	fuzz_must(a->successor == b->successor && a->drop_from == b->drop_from);
	fuzz_must(a->head.segment == b->head.segment && a->head.seq == b->head.seq);
}

/* What a mount does before it appends. */
static void cut_away(int dirfd, const struct view_log *log)
{
	char name[32];
	int fd;

	if (log->drop_from != 0)
		fuzz_must(view_log_drop(dirfd, log->drop_from, NULL) == 0);
	name_of(log->segment, name);
	fd = openat(dirfd, name, O_WRONLY | O_CLOEXEC);
	fuzz_must(fd >= 0 && ftruncate(fd, (off_t)log->used) == 0);
	close(fd);
}

static void same_without_the_rest(int dirfd, const struct view_log *a)
{
	struct view_log b = {.seq = 0};

	cut_away(dirfd, a);
	fuzz_must(view_log_replay(dirfd, NULL, &b, NULL) == 0);
	fuzz_must(!b.torn && b.drop_from == 0 && b.segment == a->segment && b.used == a->used);
	fuzz_must(b.total == a->total && b.seq == a->seq && b.sealed == a->sealed);
}

static void check(int dirfd)
{
	struct fmt_overlay *o = fmt_overlay_new(), *again = fmt_overlay_new();
	struct view_log a = {.seq = 0}, b = {.seq = 0}, c = {.seq = 0};
	struct orch_err err = ORCH_ERR_INIT, other = ORCH_ERR_INIT;
	struct fmt_layer_head head;
	int r, q;

	fuzz_must(o != NULL && again != NULL);
	r = view_log_replay(dirfd, o, &a, &err);
	q = view_log_replay(dirfd, NULL, &b, &other);
	fuzz_must(r == q && (r == 0 || err.code == -r));
	fuzz_must(view_log_replay(dirfd, again, &c, NULL) == r);
	if (r == 0) {
		same(&a, &b);
		same(&a, &c);
		fuzz_must(fmt_overlay_node_count(o) == fmt_overlay_node_count(again));
		fuzz_must(fmt_overlay_link_count(o, 1) == fmt_overlay_link_count(again, 1));
		fuzz_must(view_log_head(dirfd, &head, NULL) == 0 && head.layer == 7);
		same_without_the_rest(dirfd, &a);
	}
	fmt_overlay_free(o);
	fmt_overlay_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct segments s = {.dirfd = -1, .bytes = ORCH_BUF_INIT, .seq = 1};
	struct fuzz_input in = {data, size};
	char folder[64], name[32];

	s.dirfd = make_folder(folder);
	while (in.left > 0)
		choose(&in, &s);
	segment_end(&s);
	check(s.dirfd);
	for (size_t i = 0; i < s.count; i++) {
		name_of(s.number[i], name);
		fuzz_must(unlinkat(s.dirfd, name, 0) == 0 || errno == ENOENT);
	}
	close(s.dirfd);
	fuzz_must(rmdir(folder) == 0);
	orch_buf_fini(&s.bytes);
	return 0;
}
