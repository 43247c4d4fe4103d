/* The state of a layer: against a slow model with random operations, replay, checkpoint, cookies. */
#include "format/overlay.h"
#include "tests/unit/format/hostile.h"

static struct fmt_layer_record node(uint64_t ino, enum fmt_type type, enum fmt_content content)
{
	return (struct fmt_layer_record){.kind = FMT_LAYER_NODE,
	    .node = {.ino = ino,
		.type = type,
		.content = content,
		.mode = 0644,
		.nlink = 1,
		.uid = FMT_ID_OWNER,
		.gid = FMT_ID_OWNER,
		.size = 6,
		.spool_layer = 1,
		.spool_id = ino * 2,
		.digest = digest_of("o"),
		.stamps = digest_of("s"),
		.target = "target",
		.target_len = 6}};
}

static struct fmt_layer_record entry(uint64_t parent, const char *name, uint64_t ino)
{
	return (struct fmt_layer_record){.kind = FMT_LAYER_LINK,
	    .link = {.parent = parent,
		.name = name,
		.name_len = (uint16_t)strlen(name),
		.ino = ino,
		.type = FMT_REG}};
}

static struct fmt_layer_record forgotten(uint64_t parent, const char *name)
{
	struct fmt_layer_record r = entry(parent, name, 0);

	r.link.type = 0;
	return r;
}

static void apply(struct fmt_overlay *o, struct fmt_layer_record r, uint64_t seq)
{
	assert_int_equal(fmt_overlay_apply(o, &r, seq), 0);
}

static void gone(struct fmt_overlay *o, uint64_t ino)
{
	apply(o, (struct fmt_layer_record){.kind = FMT_LAYER_GONE, .ino = ino}, 1);
}

static void test_basics(void **state)
{
	static const uint8_t xattrs[] = "\1\0\6user.a\2\0\0\0vv";
	struct fmt_overlay *o = fmt_overlay_new();
	struct fmt_layer_record r = node(5, FMT_SYMLINK, FMT_CONTENT_TARGET);
	const struct fmt_node *n;

	assert_null(fmt_overlay_node(o, 5));
	assert_null(fmt_overlay_link(o, 1, "a", 1));
	r.node.xattrs = (struct fmt_xattrs){xattrs, sizeof(xattrs) - 1};
	apply(o, r, 3);
	n = fmt_overlay_node(o, 5);
	assert_non_null(n);
	assert_ptr_not_equal(n->target, r.node.target);
	assert_memory_equal(n->target, "target", 6);
	assert_int_equal(n->seq, 3);
	assert_int_equal(fmt_xattrs_count(&n->xattrs), 1);
	assert_int_equal(fmt_overlay_next_ino(o), 6);
	/* a changed copy that borrows from the overlay itself */
	r.node = *n;
	r.node.mode = 0777;
	apply(o, r, 4);
	n = fmt_overlay_node(o, 5);
	assert_memory_equal(n->target, "target", 6);
	assert_int_equal(fmt_xattrs_count(&n->xattrs), 1);
	assert_int_equal(n->mode, 0777);
	/* another content: another size in memory */
	apply(o, node(5, FMT_DIR, FMT_CONTENT_TREE), 5);
	apply(o, node(5, FMT_REG, FMT_CONTENT_SPOOL), 6);
	n = fmt_overlay_node(o, 5);
	assert_int_equal(n->spool_id, 10);
	assert_int_equal(fmt_overlay_next_spool(o), 11);
	assert_int_equal(fmt_overlay_node_count(o), 1);
	assert_int_equal(fmt_overlay_seq(o), 6);
	r = node(0, FMT_REG, FMT_CONTENT_NONE);
	assert_int_equal(fmt_overlay_apply(o, &r, 7), -EINVAL);
	gone(o, 5);
	gone(o, 5);
	assert_null(fmt_overlay_node(o, 5));
	fmt_overlay_free(o);
	fmt_overlay_free(NULL);
}

static void test_entries(void **state)
{
	struct fmt_overlay *o = fmt_overlay_new();
	const struct fmt_link *l;

	apply(o, entry(1, "a", 10), 1);
	apply(o, entry(1, "b", 11), 1);
	apply(o, entry(2, "a", 12), 1);
	assert_int_equal(fmt_overlay_link(o, 1, "a", 1)->ino, 10);
	assert_int_equal(fmt_overlay_link(o, 2, "a", 1)->ino, 12);
	assert_null(fmt_overlay_link(o, 2, "b", 1));
	assert_null(fmt_overlay_link(o, 1, "ab", 2));
	apply(o, entry(1, "a", 0), 2); /* a whiteout is recorded */
	l = fmt_overlay_link(o, 1, "a", 1);
	assert_non_null(l);
	assert_int_equal(l->ino, 0);
	assert_int_equal(l->seq, 2);
	assert_int_equal(fmt_overlay_link_count(o, 1), 2);
	apply(o, forgotten(1, "a"), 3);
	apply(o, forgotten(1, "never"), 3);
	assert_null(fmt_overlay_link(o, 1, "a", 1));
	assert_int_equal(fmt_overlay_link_count(o, 1), 1);
	gone(o, 1); /* a folder takes the entries below it along */
	assert_null(fmt_overlay_link(o, 1, "b", 1));
	assert_int_equal(fmt_overlay_link_count(o, 1), 0);
	assert_int_equal(fmt_overlay_link_count(o, 2), 1);
	fmt_overlay_free(o);
}

/* Positions do not move, whatever is removed or added while somebody lists. */
static void test_cookies(void **state)
{
	struct fmt_overlay *o = fmt_overlay_new();
	const struct fmt_link *l;
	uint64_t cookie = 0, kept, at = 50;
	char name[16];
	int seen = 0;

	for (uint64_t i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "%llu", (unsigned long long)i);
		apply(o, entry(1, name, 1000 + i), 1);
	}
	for (int i = 0; i < 50; i++)
		assert_int_equal(fmt_overlay_links(o, 1, &cookie)->ino, 1000 + i);
	assert_int_equal(cookie, 50);
	kept = cookie;
	for (uint64_t i = 0; i < 95; i++) { /* before and behind; compaction happens */
		snprintf(name, sizeof(name), "%llu", (unsigned long long)i);
		if (i % 10 != 3)
			apply(o, forgotten(1, name), 2);
	}
	apply(o, entry(1, "7", 2007), 3); /* recorded again: a new position, at the end */
	apply(o, entry(1, "3", 0), 3);	  /* a whiteout keeps its own */
	while ((l = fmt_overlay_links(o, 1, &cookie)) != NULL) {
		assert_true(cookie > at);
		at = cookie;
		seen++;
	}
	assert_int_equal(seen, 5 + 5 + 1); /* 53..93, 95..99, 7 */
	assert_int_equal(cookie, 101);
	cookie = kept;
	assert_int_equal(fmt_overlay_links(o, 1, &cookie)->ino, 1053);
	assert_int_equal(cookie, 54);
	cookie = 0;
	assert_int_equal(fmt_overlay_links(o, 1, &cookie)->ino, 0);
	assert_int_equal(cookie, 4);
	cookie = UINT64_MAX; /* a user may seek anywhere */
	assert_null(fmt_overlay_links(o, 1, &cookie));
	cookie = UINT64_C(1) << 63;
	assert_null(fmt_overlay_links(o, 1, &cookie));
	fmt_overlay_free(o);
}

/* From the end to the start, what is recorded behind the place never comes: whoever renames each entry that he
 * lists comes to an end. */
static void test_downwards(void **state)
{
	struct fmt_overlay *o = fmt_overlay_new();
	const struct fmt_link *l;
	uint64_t below = UINT64_MAX;
	char name[16];
	int seen = 0;

	assert_null(fmt_overlay_links_down(o, 1, &below));
	for (uint64_t i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "%llu", (unsigned long long)i);
		apply(o, entry(1, name, 1000 + i), 1);
	}
	while ((l = fmt_overlay_links_down(o, 1, &below)) != NULL) {
		uint64_t ino = l->ino;

		assert_int_equal(ino, 1099 - seen);
		assert_int_equal(below, 99 - seen);
		snprintf(name, sizeof(name), "%llu", (unsigned long long)ino - 1000);
		apply(o, forgotten(1, name), 2);
		apply(o, entry(1, "t", ino), 2);
		apply(o, forgotten(1, "t"), 3);
		apply(o, entry(1, name, ino), 3);
		seen++;
	}
	assert_int_equal(seen, 100);
	assert_int_equal(below, 0);
	assert_null(fmt_overlay_links_down(o, 1, &below));
	below = 1; /* a user may seek anywhere; all have higher positions now */
	assert_null(fmt_overlay_links_down(o, 1, &below));
	fmt_overlay_free(o);
}

/* ---- the model: plain arrays over few numbers and names ---- */

#define INOS  40
#define NAMES 12

struct model {
	struct {
		bool is;
		enum fmt_type type;
		enum fmt_content content;
		uint64_t size, seq;
		char target[8];
	} node[INOS];
	struct {
		bool is;
		uint64_t ino, seq, order;
	} link[INOS][NAMES];
	uint64_t order;
};

static void name_of(unsigned i, char out[300])
{
	/* lengths from 1 to 255: every size class */
	size_t len = 1 + (size_t)i * 254 / (NAMES - 1);

	memset(out, 'a' + (int)i, len);
	out[len] = '\0';
}

static void assert_model(const struct fmt_overlay *o, const struct model *m)
{
	size_t nodes = 0, walked = 0;
	uint64_t cookie = 0;
	char name[300];

	for (unsigned i = 1; i < INOS; i++) {
		const struct fmt_node *n = fmt_overlay_node(o, i);
		uint64_t at = 0, last = 0;
		const struct fmt_link *l;
		size_t count = 0, expect = 0;

		assert_int_equal(n != NULL, m->node[i].is);
		nodes += n != NULL;
		if (n != NULL) {
			assert_int_equal(n->type, m->node[i].type);
			assert_int_equal(n->content, m->node[i].content);
			assert_int_equal(n->size, m->node[i].size);
			assert_int_equal(n->seq, m->node[i].seq);
			if (n->content == FMT_CONTENT_TARGET)
				assert_memory_equal(n->target, m->node[i].target, n->size);
			if (n->content == FMT_CONTENT_SPOOL)
				assert_int_equal(n->spool_id, i);
		}
		for (unsigned k = 0; k < NAMES; k++) {
			name_of(k, name);
			l = fmt_overlay_link(o, i, name, strlen(name));
			assert_int_equal(l != NULL, m->link[i][k].is);
			if (l == NULL)
				continue;
			expect++;
			assert_int_equal(l->ino, m->link[i][k].ino);
			assert_int_equal(l->seq, m->link[i][k].seq);
			assert_int_equal(l->name_len, strlen(name));
			assert_memory_equal(l->name, name, l->name_len);
		}
		assert_int_equal(fmt_overlay_link_count(o, i), expect);
		while ((l = fmt_overlay_links(o, i, &at)) != NULL) {
			unsigned k = (unsigned)(l->name[0] - 'a');

			assert_true(m->link[i][k].is);
			assert_true(m->link[i][k].order > last); /* in the order of recording */
			last = m->link[i][k].order;
			count++;
		}
		assert_int_equal(count, expect);
	}
	while (fmt_overlay_nodes(o, &cookie) != NULL)
		walked++;
	assert_int_equal(walked, nodes);
	assert_int_equal(fmt_overlay_node_count(o), nodes);
}

static struct fmt_layer_record random_node(struct rnd *r, struct model *m, uint64_t seq)
{
	static const struct {
		enum fmt_type type;
		enum fmt_content content;
	} shapes[] = {{FMT_REG, FMT_CONTENT_NONE}, {FMT_REG, FMT_CONTENT_OBJECT},
	    {FMT_REG, FMT_CONTENT_SPOOL}, {FMT_DIR, FMT_CONTENT_TREE},
	    {FMT_SYMLINK, FMT_CONTENT_TARGET}, {FMT_FIFO, FMT_CONTENT_NONE}};
	unsigned i = 1 + (unsigned)rnd_below(r, INOS - 1);
	size_t s = rnd_below(r, ORCH_ARRAY_LEN(shapes));
	struct fmt_layer_record rec = node(i, shapes[s].type, shapes[s].content);

	m->node[i].is = true;
	m->node[i].type = shapes[s].type;
	m->node[i].content = shapes[s].content;
	m->node[i].seq = seq;
	rec.node.size = rnd_below(r, 1000);
	rec.node.spool_id = i;
	if (shapes[s].content == FMT_CONTENT_TARGET) {
		rec.node.size = rec.node.target_len = 1 + rnd_below(r, 7);
		memset(m->node[i].target, 'a' + (int)rnd_below(r, 26), sizeof(m->node[i].target));
		rec.node.target = m->node[i].target;
	}
	m->node[i].size = rec.node.size;
	return rec;
}

static struct fmt_layer_record random_link(
    struct rnd *r, struct model *m, uint64_t seq, char name[300])
{
	unsigned i = 1 + (unsigned)rnd_below(r, INOS - 1), k = (unsigned)rnd_below(r, NAMES);
	bool forget = rnd_below(r, 3) == 0;

	name_of(k, name);
	if (forget) {
		m->link[i][k].is = false;
		return forgotten(i, name);
	}
	if (!m->link[i][k].is)
		m->link[i][k].order = ++m->order;
	m->link[i][k].is = true;
	m->link[i][k].ino = rnd_below(r, INOS);
	m->link[i][k].seq = seq;
	return entry(i, name, m->link[i][k].ino);
}

static struct fmt_layer_record random_record(
    struct rnd *r, struct model *m, uint64_t seq, char name[300])
{
	struct fmt_layer_record rec = {.kind = FMT_LAYER_GONE};

	switch (rnd_below(r, 16)) {
	case 0:
		rec.ino = 1 + rnd_below(r, INOS - 1);
		m->node[rec.ino].is = false;
		for (unsigned k = 0; k < NAMES; k++)
			m->link[rec.ino][k].is = false;
		return rec;
	case 1:
	case 2:
	case 3:
	case 4:
		return random_node(r, m, seq);
	default:
		return random_link(r, m, seq, name);
	}
}

static int dump_to(void *priv, const void *p, size_t n)
{
	return orch_buf_add(priv, p, n);
}

/* The same operations through apply, through the log, and through a checkpoint of the result. */
static void test_random_against_model(void **state)
{
	struct fmt_layer_head head = {.layer = 1, .workspace = "w", .next_ino = 2, .segment = 1};
	struct rnd r = rnd_make("overlay");

	for (int round = 0; round < 20; round++) {
		struct fmt_overlay *o = fmt_overlay_new(), *replayed = fmt_overlay_new(),
				   *restored = fmt_overlay_new();
		struct orch_buf log = ORCH_BUF_INIT, checkpoint = ORCH_BUF_INIT;
		struct model *m = calloc(1, sizeof(*m));
		struct fmt_layer_head got;
		char name[300];
		bool torn;
		size_t end, at;

		assert_int_equal(fmt_layer_head_frame(&head, &log), 0);
		for (uint64_t seq = 1; seq <= 300; seq++) {
			assert_int_equal(fmt_txn_begin(&log, seq, &at), 0);
			for (uint64_t n = rnd_below(&r, 5); n > 0; n--) {
				struct fmt_layer_record rec = random_record(&r, m, seq, name);

				assert_int_equal(fmt_txn_add(&log, &rec), 0);
				apply(o, rec, seq);
			}
			assert_int_equal(fmt_txn_end(&log, at), 0);
		}
		assert_model(o, m);
		assert_int_equal(
		    fmt_overlay_replay(replayed, log.data, log.len, &end, &got, &torn, NULL), 0);
		assert_int_equal(end, log.len);
		assert_false(torn);
		assert_model(replayed, m);
		assert_int_equal(fmt_overlay_seq(replayed), 300);
		head.seq = 300;
		assert_int_equal(fmt_overlay_dump(o, &head, dump_to, &checkpoint), 0);
		head.seq = 0;
		assert_int_equal(fmt_overlay_replay(restored, checkpoint.data, checkpoint.len, &end,
				     &got, &torn, NULL),
		    0);
		assert_true(got.checkpoint);
		assert_model(restored, m);
		assert_int_equal(fmt_overlay_seq(restored), 300);
		assert_int_equal(fmt_overlay_next_ino(restored), fmt_overlay_next_ino(o));
		free(m);
		orch_buf_fini(&log);
		orch_buf_fini(&checkpoint);
		fmt_overlay_free(o);
		fmt_overlay_free(replayed);
		fmt_overlay_free(restored);
	}
}

/* A checkpoint that ends early must change nothing; the log before it is still there. */
static void test_cut_checkpoint(void **state)
{
	struct fmt_layer_head head = {.layer = 1, .workspace = "w", .next_ino = 2, .seq = 9}, got;
	struct fmt_overlay *o = fmt_overlay_new(), *other = fmt_overlay_new();
	struct orch_buf b = ORCH_BUF_INIT;
	size_t end;
	bool torn;

	apply(o, node(2, FMT_REG, FMT_CONTENT_SPOOL), 8);
	apply(o, entry(1, "x", 2), 9);
	assert_int_equal(fmt_overlay_dump(o, &head, dump_to, &b), 0);
	for (size_t n = 0; n < b.len; n++) {
		assert_int_equal(
		    fmt_overlay_replay(other, b.data, n, &end, &got, &torn, NULL), -ENODATA);
		assert_int_equal(fmt_overlay_node_count(other), 0);
	}
	assert_int_equal(fmt_overlay_replay(other, b.data, b.len, &end, &got, &torn, NULL), 0);
	assert_int_equal(fmt_overlay_node(other, 2)->seq, 8);
	fmt_overlay_free(o);
	fmt_overlay_free(other);
	orch_buf_fini(&b);
}

/* A large state goes out in frames of about a megabyte. */
static size_t largest;
static int dump_measure(void *priv, const void *p, size_t n)
{
	largest = n > largest ? n : largest;
	return orch_buf_add(priv, p, n);
}

static void test_large(void **state)
{
	struct fmt_layer_head head = {.layer = 1, .workspace = "w", .next_ino = 2, .seq = 9}, got;
	struct fmt_overlay *o = fmt_overlay_new(), *other = fmt_overlay_new();
	struct orch_buf b = ORCH_BUF_INIT;
	char name[32];
	uint64_t cookie = 0;
	size_t end, n = 0;
	bool torn;

	for (uint64_t i = 2; i < 50002; i++) {
		snprintf(name, sizeof(name), "file-%llu.o", (unsigned long long)i);
		apply(o, node(i, FMT_REG, FMT_CONTENT_SPOOL), 5);
		apply(o, entry(1 + i % 7, name, i), 5);
	}
	print_message(
	    "# %zu bytes for each of 50000 recorded files\n", fmt_overlay_bytes(o) / 50000);
	assert_true(fmt_overlay_bytes(o) / 50000 < 260);
	assert_int_equal(fmt_overlay_dump(o, &head, dump_measure, &b), 0);
	assert_true(largest < ((size_t)1 << 20) + 65536);
	assert_int_equal(fmt_overlay_replay(other, b.data, b.len, &end, &got, &torn, NULL), 0);
	assert_int_equal(fmt_overlay_node_count(other), 50000);
	while (fmt_overlay_links(other, 3, &cookie) != NULL)
		n++;
	assert_int_equal(n, fmt_overlay_link_count(o, 3));
	for (uint64_t i = 2; i < 50002; i++) { /* everything away again */
		snprintf(name, sizeof(name), "file-%llu.o", (unsigned long long)i);
		apply(o, forgotten(1 + i % 7, name), 6);
		gone(o, i);
	}
	assert_int_equal(fmt_overlay_node_count(o), 0);
	fmt_overlay_free(o);
	fmt_overlay_free(other);
	orch_buf_fini(&b);
}

/* A mount keeps one for every seal: a small one must be small. */
static void test_small(void **state)
{
	struct fmt_overlay *o = fmt_overlay_new();
	char name[32];

	for (uint64_t i = 2; i < 8; i++) {
		snprintf(name, sizeof(name), "%.*s", (int)i * 3, "a-name-that-is-rather-long");
		apply(o, node(i, FMT_REG, FMT_CONTENT_SPOOL), 5);
		apply(o, entry(1, name, i), 5);
	}
	apply(o, node(1, FMT_DIR, FMT_CONTENT_TREE), 5);
	print_message("# %zu bytes for six recorded files\n", fmt_overlay_bytes(o));
	assert_true(fmt_overlay_bytes(o) < 16384);
	fmt_overlay_free(o);
}

static void test_segments(void **state)
{
	struct fmt_layer_head head = {.layer = 1, .workspace = "w", .next_ino = 2}, got;
	struct fmt_overlay *o = fmt_overlay_new();
	struct orch_buf b = ORCH_BUF_INIT;
	struct orch_err err = ORCH_ERR_INIT;
	struct fmt_layer_record rec = {.kind = FMT_LAYER_SEALED, .successor = 77};
	size_t end, at, sealed_at;
	uint64_t successor;
	bool torn;

	/* empty, then without a head */
	assert_int_equal(fmt_overlay_replay(o, b.data, 0, &end, &got, &torn, &err), -ENODATA);
	assert_int_equal(fmt_txn_begin(&b, 1, &at), 0);
	assert_int_equal(fmt_txn_add(&b, &rec), 0);
	assert_int_equal(fmt_txn_end(&b, at), 0);
	assert_int_equal(
	    fmt_overlay_replay(o, b.data, b.len, &end, &got, &torn, &err), -ORCH_ECORRUPT);
	orch_buf_reset(&b);
	assert_int_equal(fmt_layer_head_frame(&head, &b), 0);
	assert_int_equal(fmt_txn_begin(&b, 1, &at), 0);
	assert_int_equal(fmt_txn_add(&b, &rec), 0);
	assert_int_equal(fmt_txn_end(&b, at), 0);
	sealed_at = b.len;
	assert_int_equal(orch_buf_add_zeros(&b, 4096), 0);
	assert_int_equal(fmt_overlay_replay(o, b.data, b.len, &end, &got, &torn, &err), 0);
	assert_int_equal(end, sealed_at);
	assert_false(torn);
	assert_true(fmt_overlay_sealed(o, &successor));
	assert_int_equal(successor, 77);
	b.len = sealed_at; /* nothing may follow a seal */
	rec = (struct fmt_layer_record){.kind = FMT_LAYER_GONE, .ino = 3};
	assert_int_equal(fmt_txn_begin(&b, 2, &at), 0);
	assert_int_equal(fmt_txn_add(&b, &rec), 0);
	assert_int_equal(fmt_txn_end(&b, at), 0);
	assert_int_equal(
	    fmt_overlay_replay(o, b.data, b.len, &end, &got, &torn, &err), -ORCH_ECORRUPT);
	b.len = sealed_at;
	orch_buf_reset(&b); /* the next layer's head opens it again */
	assert_int_equal(fmt_layer_head_frame(&head, &b), 0);
	assert_int_equal(fmt_overlay_replay(o, b.data, b.len, &end, &got, &torn, &err), 0);
	assert_false(fmt_overlay_sealed(o, &successor));
	fmt_overlay_free(o);
	orch_buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_basics),
	    cmocka_unit_test(test_entries),
	    cmocka_unit_test(test_cookies),
	    cmocka_unit_test(test_downwards),
	    cmocka_unit_test(test_random_against_model),
	    cmocka_unit_test(test_cut_checkpoint),
	    cmocka_unit_test(test_large),
	    cmocka_unit_test(test_small),
	    cmocka_unit_test(test_segments),
	};

	return tap_run(tests);
}
