/* Frames and records of a layer: round trips, torn tails at every byte, damage, what was durable. */
#include "format/layer.h"
#include "tests/unit/format/hostile.h"

static struct fmt_layer_head head_sample(void)
{
	return (struct fmt_layer_head){.layer = 7,
	    .parent = 6,
	    .workspace = "game-linux",
	    .snapshot = digest_of("snapshot"),
	    .next_ino = 1000,
	    .next_spool = 3,
	    .seq = 41,
	    .uid = 1000,
	    .gid = 100,
	    .segment = 2,
	    .checkpoint = true,
	    .wall_ns = -3};
}

static struct fmt_node node_sample(enum fmt_type type, enum fmt_content content)
{
	return (struct fmt_node){.ino = 12,
	    .type = type,
	    .content = content,
	    .mode = 0640,
	    .uid = FMT_ID_OWNER,
	    .gid = FMT_ID_OWNER,
	    .nlink = 1,
	    .atime_ns = 1,
	    .mtime_ns = -2,
	    .ctime_ns = 3,
	    .size = 5,
	    .written_seq = 9,
	    .spool_layer = 7,
	    .spool_id = 2,
	    .digest = digest_of("object"),
	    .stamps = digest_of("stamps"),
	    .target = "there",
	    .target_len = 5};
}

static void put(struct orch_buf *out, const struct fmt_layer_record *r)
{
	assert_int_equal(fmt_txn_add(out, r), 0);
}

static void put_node(struct orch_buf *out, struct fmt_node n)
{
	put(out, &(struct fmt_layer_record){.kind = FMT_LAYER_NODE, .node = n});
}

static void put_link(
    struct orch_buf *out, uint64_t parent, const char *name, uint64_t ino, enum fmt_type type)
{
	put(out, &(struct fmt_layer_record){.kind = FMT_LAYER_LINK,
		     .link = {.parent = parent,
			 .name = name,
			 .name_len = (uint16_t)strlen(name),
			 .ino = ino,
			 .type = type}});
}

/* Every kind of record and every shape of a node, in three frames. */
static void sample(struct orch_buf *out, size_t ends[3])
{
	static const uint8_t xattrs[] = "\1\0\6user.a\2\0\0\0vv";
	struct fmt_layer_head h = head_sample();
	struct fmt_node n;
	size_t at;

	assert_int_equal(fmt_layer_head_frame(&h, out), 0);
	ends[0] = out->len;
	assert_int_equal(fmt_txn_begin(out, 42, &at), 0);
	put_node(out, node_sample(FMT_REG, FMT_CONTENT_NONE));
	put_node(out, node_sample(FMT_REG, FMT_CONTENT_OBJECT));
	put_node(out, node_sample(FMT_REG, FMT_CONTENT_SPOOL));
	put_node(out, node_sample(FMT_DIR, FMT_CONTENT_NONE));
	put_node(out, node_sample(FMT_DIR, FMT_CONTENT_TREE));
	put_node(out, node_sample(FMT_SYMLINK, FMT_CONTENT_TARGET));
	n = node_sample(FMT_CHR, FMT_CONTENT_NONE);
	n.rdev = 259;
	n.uid = 5;
	n.base_links = 3;
	n.xattrs = (struct fmt_xattrs){xattrs, sizeof(xattrs) - 1};
	put_node(out, n);
	put_link(out, 1, "name", 12, FMT_REG);
	assert_int_equal(fmt_txn_end(out, at), 0);
	ends[1] = out->len;
	assert_int_equal(fmt_txn_begin(out, 43, &at), 0);
	put_link(out, 1, "gone", 0, FMT_REG);
	put_link(out, 1, "never", 0, 0);
	put(out, &(struct fmt_layer_record){.kind = FMT_LAYER_GONE, .ino = 12});
	put(out, &(struct fmt_layer_record){.kind = FMT_LAYER_COUNTERS, .counters = {2000, 9}});
	put(out, &(struct fmt_layer_record){.kind = FMT_LAYER_CHECKPOINT_END});
	put(out, &(struct fmt_layer_record){.kind = FMT_LAYER_SEALED, .successor = 8});
	assert_int_equal(fmt_txn_end(out, at), 0);
	ends[2] = out->len;
}

/* Reads everything; the number of frames, *out_r is what the end said. */
static unsigned walk(
    const uint8_t *p, size_t len, int *out_r, bool *out_torn, struct orch_buf *again)
{
	struct fmt_layer_record r;
	unsigned frames = 0;
	struct fmt_txn t;
	uint64_t last = 0;
	size_t pos = 0, at;
	int rc;

	while ((*out_r = fmt_txn_next(p, len, &pos, last, &t, out_torn, NULL)) == 1) {
		last = t.seq;
		frames++;
		if (again != NULL)
			assert_int_equal(fmt_txn_begin(again, t.seq, &at), 0);
		while ((rc = fmt_txn_record(&t, &r, NULL)) == 1) {
			if (again != NULL)
				put(again, &r);
		}
		if (rc < 0) {
			*out_r = rc;
			return frames;
		}
		if (again != NULL)
			assert_int_equal(fmt_txn_end(again, at), 0);
	}
	return frames;
}

static void test_round_trip(void **state)
{
	struct orch_buf out = ORCH_BUF_INIT, again = ORCH_BUF_INIT;
	size_t ends[3];
	bool torn;
	int r;

	sample(&out, ends);
	assert_int_equal(ends[0] % 8 + ends[1] % 8 + ends[2] % 8, 0);
	assert_int_equal(walk(out.data, out.len, &r, &torn, &again), 3);
	assert_int_equal(r, 0);
	assert_false(torn);
	assert_int_equal(again.len, out.len);
	assert_memory_equal(again.data, out.data, out.len);
	assert_golden(
	    out.data, out.len, "c25875d1101e0a33b3cfcd69f25bf6428e29c8f5085bdedaa9936c73fae89fc8");
	orch_buf_fini(&out);
	orch_buf_fini(&again);
}

static void test_fields(void **state)
{
	struct fmt_layer_head h = head_sample();
	struct orch_buf out = ORCH_BUF_INIT;
	struct fmt_layer_record r;
	struct fmt_xattr x;
	struct fmt_txn t;
	size_t ends[3], pos = 0;
	bool torn;

	sample(&out, ends);
	assert_int_equal(fmt_txn_next(out.data, out.len, &pos, 0, &t, &torn, NULL), 1);
	assert_int_equal(t.seq, 41);
	assert_int_equal(fmt_txn_record(&t, &r, NULL), 1);
	assert_int_equal(r.kind, FMT_LAYER_HEAD);
	assert_int_equal(r.head.layer, h.layer);
	assert_int_equal(r.head.parent, h.parent);
	assert_string_equal(r.head.workspace, h.workspace);
	assert_true(orch_digest_eq(&r.head.snapshot, &h.snapshot));
	assert_int_equal(r.head.next_ino, h.next_ino);
	assert_int_equal(r.head.next_spool, h.next_spool);
	assert_int_equal(r.head.seq, h.seq);
	assert_int_equal(r.head.uid, h.uid);
	assert_int_equal(r.head.gid, h.gid);
	assert_int_equal(r.head.segment, h.segment);
	assert_int_equal(r.head.checkpoint, h.checkpoint);
	assert_true(r.head.wall_ns == h.wall_ns);
	assert_int_equal(fmt_txn_record(&t, &r, NULL), 0);
	assert_int_equal(fmt_txn_next(out.data, out.len, &pos, 41, &t, &torn, NULL), 1);
	for (int i = 0; i < 7; i++)
		assert_int_equal(fmt_txn_record(&t, &r, NULL), 1);
	assert_int_equal(r.kind, FMT_LAYER_NODE);
	assert_int_equal(r.node.seq, 42);
	assert_int_equal(r.node.written_seq, 9);
	assert_int_equal(r.node.rdev, 259);
	assert_int_equal(r.node.uid, 5);
	assert_int_equal(r.node.gid, FMT_ID_OWNER);
	assert_int_equal(r.node.base_links, 3);
	assert_true(r.node.mtime_ns == -2);
	assert_true(fmt_xattrs_find(&r.node.xattrs, "user.a", &x));
	assert_int_equal(fmt_txn_record(&t, &r, NULL), 1);
	assert_int_equal(r.kind, FMT_LAYER_LINK);
	assert_int_equal(r.link.seq, 42);
	assert_int_equal(r.link.ino, 12);
	assert_memory_equal(r.link.name, "name", 4);
	orch_buf_fini(&out);
}

/* A log that ends anywhere inside a frame gives the frames before it and says that it is torn. */
static void test_torn_at_every_byte(void **state)
{
	struct orch_buf out = ORCH_BUF_INIT;
	size_t ends[3];

	sample(&out, ends);
	for (size_t n = 0; n <= out.len; n++) {
		unsigned whole = (n >= ends[0]) + (n >= ends[1]) + (n >= ends[2]);
		bool edge = n == 0 || n == ends[0] || n == ends[1] || n == ends[2];
		uint8_t *cut = malloc(n + 1), *zeros = calloc(1, out.len + 4096);
		bool torn = false;
		int r;

		memcpy(cut, out.data, n);
		memcpy(zeros, out.data, n);
		assert_int_equal(walk(cut, n, &r, &torn, NULL), whole);
		assert_int_equal(r, 0);
		assert_int_equal(torn, !edge);
		/* the same in a preallocated segment: the missing rest is zeros */
		r = 0;
		assert_in_range(walk(zeros, out.len + 4096, &r, &torn, NULL), whole, 3);
		assert_int_equal(r, 0);
		free(cut);
		free(zeros);
	}
	orch_buf_fini(&out);
}

struct flips {
	const struct orch_buf *good;
	const size_t *ends;
	size_t at;
};

/* A flipped byte is damage when whole frames follow, else a torn tail; never another log. */
static void flipped(const uint8_t *p, size_t len, void *priv)
{
	struct flips *f = priv;
	unsigned hit = 0, frames;
	bool torn = false;
	int r;

	while (p[f->at] == f->good->data[f->at])
		f->at++;
	while (f->at >= f->ends[hit])
		hit++;
	frames = walk(p, len, &r, &torn, NULL);
	assert_int_equal(frames, hit);
	if (hit == 2)
		assert_true(r == 0 && torn);
	else
		assert_int_equal(r, -ORCH_ECORRUPT);
	f->at = 0;
}

static void test_flips(void **state)
{
	struct orch_buf out = ORCH_BUF_INIT;
	size_t ends[3];
	struct flips f = {&out, ends, 0};

	sample(&out, ends);
	hostile_flips(out.data, out.len, flipped, &f);
	orch_buf_fini(&out);
}

static void frame(struct orch_buf *out, uint64_t seq, uint64_t durable)
{
	size_t at;

	assert_int_equal(fmt_txn_begin(out, seq, &at), 0);
	put_link(out, 1, "name", 12, FMT_REG);
	if (durable != 0)
		fmt_txn_durable(out, at, durable);
	assert_int_equal(fmt_txn_end(out, at), 0);
}

/* After a power cut an unsynced page may be lost while the next one is there. */
static void test_power_cut(void **state)
{
	struct orch_buf out = ORCH_BUF_INIT;
	size_t second, third;
	bool torn;
	int r;

	frame(&out, 1, 1);
	second = out.len;
	frame(&out, 2, 1);
	third = out.len;
	frame(&out, 3, 1);
	memset(out.data + second, 0, third - second);
	assert_int_equal(walk(out.data, out.len, &r, &torn, NULL), 1);
	assert_int_equal(r, 0); /* 2 was never durable: it may be missing */
	assert_true(torn);
	frame(&out, 4, 2); /* 2 had been durable: it must be there */
	assert_int_equal(walk(out.data, out.len, &r, &torn, NULL), 1);
	assert_int_equal(r, -ORCH_ECORRUPT);
	orch_buf_fini(&out);
}

/* A log of random frames with syncs in between; ends of what was synced, and the last frame in it. */
static uint64_t random_log(struct rnd *r, struct orch_buf *out, size_t *out_synced)
{
	uint64_t durable = 1;

	frame(out, 1, 1);
	*out_synced = out->len;
	for (uint64_t seq = 2; seq < 60; seq++) {
		size_t at;

		assert_int_equal(fmt_txn_begin(out, seq, &at), 0);
		for (uint64_t n = rnd_below(r, 30); n > 0; n--)
			put_link(out, 1, "a name that takes some room in the log", n, FMT_REG);
		fmt_txn_durable(out, at, durable);
		assert_int_equal(fmt_txn_end(out, at), 0);
		if (rnd_below(r, 12) == 0) {
			durable = seq;
			*out_synced = out->len;
		}
	}
	return durable;
}

/* The power goes: of what was never synced any page may be lost, any may be there. */
static void test_random_power_cuts(void **state)
{
	struct rnd r = rnd_make("power");

	for (int round = 0; round < 300; round++) {
		struct orch_buf out = ORCH_BUF_INIT;
		size_t synced, pos = 0;
		uint64_t durable, last = 0;
		struct fmt_txn t;
		bool torn;
		int rc;

		durable = random_log(&r, &out, &synced);
		assert_int_equal(orch_buf_add_zeros(&out, -out.len & 4095), 0);
		for (size_t page = synced & ~(size_t)4095; page < out.len; page += 4096) {
			size_t from = page < synced ? synced : page;

			if (rnd_below(&r, 3) == 0)
				memset(out.data + from, 0, page + 4096 - from);
		}
		while ((rc = fmt_txn_next(out.data, out.len, &pos, last, &t, &torn, NULL)) == 1) {
			assert_int_equal(t.seq, last + 1);
			last = t.seq;
		}
		assert_int_equal(rc, 0);      /* never called damage */
		assert_true(last >= durable); /* and nothing of what was synced is missing */
		orch_buf_fini(&out);
	}
}

static void test_numbers(void **state)
{
	struct orch_buf out = ORCH_BUF_INIT;
	bool torn;
	int r;

	frame(&out, 5, 0);
	frame(&out, 5, 0); /* the frames of a checkpoint share one */
	frame(&out, 9, 0);
	assert_int_equal(walk(out.data, out.len, &r, &torn, NULL), 3);
	assert_int_equal(r, 0);
	frame(&out, 8, 0); /* what is left of something older is not a continuation */
	assert_int_equal(walk(out.data, out.len, &r, &torn, NULL), 3);
	assert_int_equal(r, 0);
	assert_true(torn);
	orch_buf_fini(&out);
}

static void test_refusals(void **state)
{
	struct orch_buf out = ORCH_BUF_INIT;
	struct fmt_layer_record r = {.kind = FMT_LAYER_NODE};
	struct fmt_layer_head h = head_sample();
	size_t at, was;

	assert_int_equal(fmt_txn_begin(&out, 1, &at), 0);
	was = out.len;
	r.node = node_sample(FMT_REG, FMT_CONTENT_TREE);
	assert_int_equal(fmt_txn_add(&out, &r), -EINVAL);
	r.node = node_sample(FMT_SYMLINK, FMT_CONTENT_NONE);
	assert_int_equal(fmt_txn_add(&out, &r), -EINVAL);
	r.node = node_sample(FMT_REG, FMT_CONTENT_NONE);
	r.node.ino = 0;
	assert_int_equal(fmt_txn_add(&out, &r), -EINVAL);
	r.node = node_sample(FMT_REG, FMT_CONTENT_NONE);
	r.node.mode = 010000;
	assert_int_equal(fmt_txn_add(&out, &r), -EINVAL);
	r.kind = 77;
	assert_int_equal(fmt_txn_add(&out, &r), -EINVAL);
	r = (struct fmt_layer_record){.kind = FMT_LAYER_LINK,
	    .link = {.parent = 1, .name = "..", .name_len = 2, .ino = 3, .type = FMT_REG}};
	assert_int_equal(fmt_txn_add(&out, &r), -EINVAL);
	r.link.name_len = 1;
	assert_int_equal(fmt_txn_add(&out, &r), -EINVAL);
	r.link.name = "a";
	r.link.type = 0;
	assert_int_equal(fmt_txn_add(&out, &r), -EINVAL);
	assert_int_equal(out.len, was);
	memset(h.workspace, 'x', sizeof(h.workspace));
	assert_int_equal(fmt_layer_head_frame(&h, &out), -EINVAL);
	assert_int_equal(out.len, was);
	orch_buf_fini(&out);
}

static void test_versions(void **state)
{
	struct fmt_layer_head h = head_sample();
	struct orch_buf out = ORCH_BUF_INIT;
	uint64_t sum;
	bool torn;
	int r;

	assert_int_equal(fmt_layer_head_frame(&h, &out), 0);
	out.data[33] = 2; /* the version in the head */
	sum = orch_xxh64(out.data + 8, out.len - 8, 0);
	memcpy(out.data, &sum, 8);
	walk(out.data, out.len, &r, &torn, NULL);
	assert_int_equal(r, -ORCH_EFORMAT);
	orch_buf_reset(&out);
	frame(&out, 1, 0);
	out.data[32] = 99; /* an unknown kind */
	sum = orch_xxh64(out.data + 8, out.len - 8, 0);
	memcpy(out.data, &sum, 8);
	walk(out.data, out.len, &r, &torn, NULL);
	assert_int_equal(r, -ORCH_EFORMAT);
	orch_buf_fini(&out);
}

/* Right checksums over wrong records: every byte of the payload flipped. */
static void resummed(const uint8_t *p, size_t len, void *priv)
{
	struct orch_buf copy = ORCH_BUF_INIT;
	uint64_t sum = orch_xxh64(p + 8, len - 8, 0);
	bool torn;
	int r;

	assert_int_equal(orch_buf_add(&copy, p, len), 0);
	memcpy(copy.data, &sum, 8);
	(void)walk(copy.data, copy.len, &r, &torn, NULL);
	orch_buf_fini(&copy);
}

static void test_lying_records(void **state)
{
	struct orch_buf out = ORCH_BUF_INIT;
	size_t ends[3];

	sample(&out, ends);
	hostile_flips(out.data, ends[0], resummed, NULL);
	hostile_flips(out.data + ends[0], ends[1] - ends[0], resummed, NULL);
	hostile_flips(out.data + ends[1], ends[2] - ends[1], resummed, NULL);
	orch_buf_fini(&out);
}

/* Bytes that look like the begin of a huge frame everywhere must not cost a checksum of each. */
static void test_slow_bytes(void **state)
{
	size_t len = (size_t)4 << 20;
	uint8_t *p = malloc(len);
	bool torn;
	int r;

	for (size_t i = 0; i + 32 <= len; i += 32) {
		memset(p + i, 0xff, 32);
		memcpy(p + i + 8, "ORTX", 4);
		memcpy(p + i + 12, &(uint32_t){(uint32_t)(len - i - 32)}, 4);
	}
	assert_int_equal(walk(p, len, &r, &torn, NULL), 0);
	assert_int_equal(r, -ORCH_ECORRUPT);
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_fields),
	    cmocka_unit_test(test_torn_at_every_byte),
	    cmocka_unit_test(test_flips),
	    cmocka_unit_test(test_power_cut),
	    cmocka_unit_test(test_random_power_cuts),
	    cmocka_unit_test(test_numbers),
	    cmocka_unit_test(test_refusals),
	    cmocka_unit_test(test_versions),
	    cmocka_unit_test(test_lying_records),
	    cmocka_unit_test(test_slow_bytes),
	};

	return tap_run(tests);
}
