/*
 * Each allocation of each codec fails once: the call says so, what was there is as it was, nothing leaks
 * (the sanitizer builds look), and tried again it works. Needs --enable-fault-injection.
 */
#include "core/fault.h"
#include "format/msg.h"
#include "format/overlay.h"
#include "format/pack.h"
#include "format/scan.h"
#include "format/stamps.h"
#include "format/tree.h"
#include "tests/unit/format/hostile.h"

#ifdef ORCH_FAULT_INJECTION

/* Runs step with its n-th allocation failing, for all n until it needs fewer; *fails: how many. */
static unsigned torture(int (*step)(void *priv), void *priv)
{
	char spec[32];
	unsigned n = 0;
	int r;

	do {
		snprintf(spec, sizeof(spec), "alloc:%u", ++n);
		assert_int_equal(orch_fault_set(spec), 0);
		r = step(priv);
		assert_int_equal(orch_fault_set(NULL), 0);
		assert_true(r == 0 || r == -ENOMEM);
		assert_true(n < 10000);
	} while (r != 0);
	return n - 1;
}

static int tree_step(void *priv)
{
	struct fmt_entry e = {.type = FMT_REG, .uid = FMT_ID_OWNER, .gid = FMT_ID_OWNER};
	struct fmt_tree_builder *b = fmt_tree_builder_new();
	struct orch_buf out = ORCH_BUF_INIT;
	int r = b == NULL ? -ENOMEM : 0;
	char name[16];

	for (int i = 0; r == 0 && i < 40; i++) {
		e.name = name;
		e.name_len = (size_t)snprintf(name, sizeof(name), "%d", i);
		r = fmt_tree_builder_add(b, &e, NULL);
		if (r == -ENOMEM && fmt_tree_builder_add(b, &e, NULL) != 0)
			fail_msg("tried again, it must work");
	}
	if (b != NULL && r == 0)
		r = fmt_tree_builder_end(b, &out, NULL);
	if (r == 0)
		assert_int_equal(fmt_tree_check(out.data, out.len, NULL), 0);
	else
		assert_int_equal(out.len, 0);
	orch_buf_fini(&out);
	fmt_tree_builder_free(b);
	return r;
}

static int stamps_step(void *priv)
{
	struct fmt_stamp s = {.ino = 2, .nlink = 1, .stamps = {{1}}};
	struct fmt_stamps_builder *b = fmt_stamps_builder_new();
	struct orch_buf out = ORCH_BUF_INIT;
	int r = b == NULL ? -ENOMEM : 0;

	for (int i = 0; r == 0 && i < 40; i++) {
		r = fmt_stamps_builder_add(b, &s);
		if (r == -ENOMEM && fmt_stamps_builder_add(b, &s) != 0)
			fail_msg("tried again, it must work");
	}
	if (r == 0)
		r = fmt_stamps_builder_end(b, &out);
	if (r == 0)
		assert_int_equal(fmt_stamps_check(out.data, out.len, NULL), 0);
	else
		assert_int_equal(out.len, 0);
	orch_buf_fini(&out);
	fmt_stamps_builder_free(b);
	return r;
}

static int pack_step(void *priv)
{
	struct fmt_pack_writer *w = fmt_pack_writer_new();
	struct orch_buf out = ORCH_BUF_INIT;
	struct fmt_pack k;
	int r = w == NULL ? -ENOMEM : fmt_pack_writer_begin(w, &out);

	for (uint32_t i = 0; r == 0 && i < 200; i++) {
		struct orch_digest d = {{0}};

		memcpy(&d, &i, sizeof(i));
		r = fmt_pack_writer_add(w, FMT_PACK_OBJECT, &d, &i, sizeof(i), &out);
		if (r == 0)
			continue;
		assert_int_equal(fmt_pack_writer_count(w), i);
		out.failed = false;
		if (fmt_pack_writer_add(w, FMT_PACK_OBJECT, &d, &i, sizeof(i), &out) != 0)
			fail_msg("tried again, it must work");
	}
	if (w != NULL && r == 0)
		r = fmt_pack_writer_end(w, &out);
	if (r == 0)
		assert_int_equal(fmt_pack_open(out.data, out.len, &k, NULL), 0);
	orch_buf_fini(&out);
	fmt_pack_writer_free(w);
	return r;
}

static int scan_step(void *priv)
{
	struct fmt_scan_head head = {0};
	struct fmt_scan_writer *w = fmt_scan_writer_new(&head);
	struct orch_buf out = ORCH_BUF_INIT;
	int r = w == NULL ? -ENOMEM : 0;
	char path[16];

	for (int i = 0; r == 0 && i < 40; i++) {
		struct fmt_scan_entry e = {.path = path};

		e.path_len = (size_t)snprintf(path, sizeof(path), "%03d", i);
		r = fmt_scan_writer_add(w, &e, &out);
	}
	if (r == 0)
		r = fmt_scan_writer_end(w, &out);
	orch_buf_fini(&out);
	fmt_scan_writer_free(w);
	return r;
}

static int msg_step(void *priv)
{
	struct orch_buf out = ORCH_BUF_INIT;
	int r = fmt_msg_begin(&out, FMT_MSG_PING, 1, 0);

	if (r == 0)
		r = fmt_msg_add_str(&out, FMT_TAG_JSON,
		    "{                                                                         "
		    "                                                                          "
		    "         }");
	if (r == 0)
		r = fmt_msg_end(&out);
	orch_buf_fini(&out);
	return r;
}

/* ---- the overlay: records go in one by one, and each is all or nothing ---- */

#define RECORDS 400

static const uint8_t xattrs[] = "\1\0\6user.a\2\0\0\0vv";

static struct fmt_layer_record record(unsigned i, char name[16])
{
	struct fmt_layer_record r = {.kind = FMT_LAYER_NODE,
	    .node = {.ino = 2 + i / 2 % 60,
		.type = FMT_REG,
		.content = FMT_CONTENT_SPOOL,
		.nlink = 1,
		.uid = FMT_ID_OWNER,
		.gid = FMT_ID_OWNER,
		.mode = 0644,
		.spool_id = i}};

	if (i % 2 == 1) {
		r = (struct fmt_layer_record){.kind = FMT_LAYER_LINK,
		    .link = {.parent = 1 + i % 9, .name = name, .ino = 2 + i / 2, .type = FMT_REG}};
		r.link.name_len = (uint16_t)snprintf(name, 16, "n%u", i);
	} else if (i % 3 == 1) {
		r.node.xattrs = (struct fmt_xattrs){xattrs, sizeof(xattrs) - 1};
	} else if (i % 5 == 0) {
		r.node.type = FMT_SYMLINK;
		r.node.content = FMT_CONTENT_TARGET;
		r.node.target = "target";
		r.node.size = r.node.target_len = 6;
	} else if (i % 7 == 0) {
		r.node.type = FMT_DIR;
		r.node.content = FMT_CONTENT_TREE;
	}
	return r;
}

struct overlay_case {
	struct fmt_overlay *o;
	unsigned i;
};

static int apply_step(void *priv)
{
	struct overlay_case *c = priv;
	size_t nodes = fmt_overlay_node_count(c->o);
	const struct fmt_node *old;
	struct fmt_layer_record r;
	uint64_t seq = 0;
	char name[16];
	int rc;

	r = record(c->i, name);
	old = r.kind == FMT_LAYER_NODE ? fmt_overlay_node(c->o, r.node.ino) : NULL;
	seq = old == NULL ? 0 : old->seq;
	rc = fmt_overlay_apply(c->o, &r, c->i + 1);
	if (rc == 0)
		return 0;
	assert_int_equal(fmt_overlay_node_count(c->o), nodes);
	if (r.kind == FMT_LAYER_LINK)
		assert_null(fmt_overlay_link(c->o, r.link.parent, name, r.link.name_len));
	else if (old != NULL)
		assert_int_equal(fmt_overlay_node(c->o, r.node.ino)->seq, seq);
	else
		assert_null(fmt_overlay_node(c->o, r.node.ino));
	return rc;
}

static int keep(void *priv, const void *p, size_t n)
{
	return orch_buf_add(priv, p, n);
}

static int dump_step(void *priv)
{
	struct fmt_layer_head head = {.workspace = "w", .next_ino = 2, .seq = RECORDS};
	struct orch_buf out = ORCH_BUF_INIT;
	int r = fmt_overlay_dump(priv, &head, keep, &out);

	orch_buf_fini(&out);
	return r;
}

static void test_overlay(void **state)
{
	struct overlay_case c = {0};
	unsigned fails = 0;

	assert_int_equal(orch_fault_set("alloc:1"), 0);
	assert_null(fmt_overlay_new());
	assert_int_equal(orch_fault_set(NULL), 0);
	c.o = fmt_overlay_new();
	for (c.i = 0; c.i < RECORDS; c.i++)
		fails += torture(apply_step, &c);
	assert_true(fails > 100);
	assert_int_equal(fmt_overlay_node_count(c.o), 60);
	assert_true(torture(dump_step, c.o) > 0);
	fmt_overlay_free(c.o);
}

static void test_codecs(void **state)
{
	assert_true(torture(tree_step, NULL) > 3);
	assert_true(torture(stamps_step, NULL) > 3);
	assert_true(torture(pack_step, NULL) > 5);
	assert_true(torture(scan_step, NULL) > 3);
	assert_true(torture(msg_step, NULL) > 1);
}

#else

static void test_overlay(void **state)
{
	skip();
}

static void test_codecs(void **state)
{
	skip();
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_codecs),
	    cmocka_unit_test(test_overlay),
	};

	return tap_run(tests);
}
