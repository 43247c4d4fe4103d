/* Commit: layers written by hand become snapshots. */
#include "rig.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cache/layer.h"
#include "cache/walk.h"
#include "core/clock.h"
#include "core/fd.h"
#include "format/layer.h"

/* A layer that is being written, as a mount process would. */
struct writer {
	struct rig *rig;
	struct orch_digest base;
	uint64_t id, seq, next_ino, next_spool;
	size_t frame;
	struct orch_buf log;
};

static void layer_begin(
    struct writer *w, struct rig *g, const struct orch_digest *base, const struct writer *parent)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct fmt_layer_head head = {.snapshot = *base, .segment = 1, .workspace = "w"};

	*w = (struct writer){.rig = g,
	    .base = *base,
	    .seq = parent ? parent->seq : 1,
	    .next_spool = parent ? parent->next_spool : 1,
	    .log = ORCH_BUF_INIT,
	    .next_ino = parent ? parent->next_ino : rig_snapshot(g, base).next_ino};
	RIG_OK(cas_layer_new_id(g->s, &w->id, &err), &err);
	head.layer = w->id;
	head.parent = parent ? parent->id : 0;
	head.next_ino = w->next_ino;
	head.next_spool = w->next_spool;
	head.seq = w->seq;
	assert_int_equal(fmt_layer_head_frame(&head, &w->log), 0);
	RIG_OK(cas_layer_create(g->s, w->id, w->log.data, w->log.len, &err), &err);
	assert_int_equal(fmt_txn_begin(&w->log, ++w->seq, &w->frame), 0);
}

static void record(struct writer *w, const struct fmt_layer_record *r)
{
	assert_int_equal(fmt_txn_add(&w->log, r), 0);
}

static void write_log(struct writer *w, int number)
{
	char name[64];
	int fd;

	assert_int_equal(fmt_txn_end(&w->log, w->frame), 0);
	snprintf(name, sizeof(name), "%" PRIu64 "/log.%d", w->id, number);
	fd = openat(
	    cas_store_layers_fd(w->rig->s), name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(orch_fd_write_all(fd, w->log.data, w->log.len), 0);
	close(fd);
	orch_buf_fini(&w->log);
}

static void layer_seal(struct writer *w)
{
	struct fmt_layer_record counters = {.kind = FMT_LAYER_COUNTERS};
	struct fmt_layer_record sealed = {.kind = FMT_LAYER_SEALED, .successor = w->id + 1};

	counters.counters.next_ino = w->next_ino;
	counters.counters.next_spool = w->next_spool;
	record(w, &counters);
	record(w, &sealed);
	write_log(w, 1);
}

static void put_link(
    struct writer *w, uint64_t parent, const char *name, uint64_t ino, enum fmt_type type)
{
	struct fmt_layer_record r = {.kind = FMT_LAYER_LINK};

	r.link = (struct fmt_link){.parent = parent,
	    .name = name,
	    .name_len = (uint16_t)strlen(name),
	    .ino = ino,
	    .type = type};
	record(w, &r);
}

static void put_node(struct writer *w, const struct fmt_node *n)
{
	struct fmt_layer_record r = {.kind = FMT_LAYER_NODE, .node = *n};

	record(w, &r);
}

static struct fmt_node new_node(uint64_t ino, enum fmt_type type)
{
	return (struct fmt_node){.ino = ino,
	    .type = type,
	    .mode = type == FMT_DIR ? 0755 : 0644,
	    .uid = FMT_ID_OWNER,
	    .gid = FMT_ID_OWNER,
	    .nlink = 1,
	    .mtime_ns = 4242};
}

/* A private file with that content. */
static struct fmt_node spool_node(struct writer *w, uint64_t ino, const char *text)
{
	struct fmt_node n = new_node(ino, FMT_REG);
	struct timespec times[2] = {orch_ns_timespec(9), orch_ns_timespec(777000000123)};
	char name[64];
	int fd;

	n.content = FMT_CONTENT_SPOOL;
	n.spool_layer = w->id;
	n.spool_id = w->next_spool++;
	snprintf(name, sizeof(name), "%" PRIu64 "/spool/%" PRIu64, w->id, n.spool_id);
	fd = openat(
	    cas_store_layers_fd(w->rig->s), name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(orch_fd_write_all(fd, text, strlen(text)), 0);
	assert_int_equal(futimens(fd, times), 0);
	close(fd);
	return n;
}

struct find {
	const char *path;
	struct fmt_node node;
	bool found;
};

static int find_entry(void *priv, const struct cas_walk_entry *e)
{
	struct find *f = priv;

	if (strcmp(e->path, f->path) != 0)
		return 0;
	f->found = true;
	f->node.ino = e->stamp.ino;
	f->node.type = e->entry.type;
	f->node.mode = (uint16_t)e->entry.mode;
	f->node.uid = e->entry.uid;
	f->node.gid = e->entry.gid;
	f->node.nlink = f->node.base_links = e->stamp.nlink;
	f->node.mtime_ns = e->stamp.mtime_ns;
	f->node.digest = e->entry.digest;
	f->node.stamps = e->stamp.stamps;
	f->node.size = e->entry.type == FMT_REG ? e->entry.size : 0;
	f->node.content = e->entry.type == FMT_DIR ? FMT_CONTENT_TREE : FMT_CONTENT_OBJECT;
	return -ECANCELED;
}

/* The node that a mount makes of a base entry when it records it first. */
static struct fmt_node base_node(struct writer *w, const char *path)
{
	struct find f = {.path = path};
	struct orch_err err = ORCH_ERR_INIT;
	struct fmt_snapshot s = rig_snapshot(w->rig, &w->base);

	if (!*path) {
		f.node = new_node(FMT_ROOT_INO, FMT_DIR);
		f.node.content = FMT_CONTENT_TREE;
		f.node.digest = s.root.digest;
		f.node.stamps = s.stamps;
		return f.node;
	}
	(void)!cas_walk(cas_store_packset(w->rig->s), &w->base, find_entry, &f, &err);
	if (!f.found)
		fail_msg("no %s in the base", path);
	return f.node;
}

static struct orch_digest commit(
    struct rig *g, const struct orch_digest *base, const uint64_t *layers, size_t count)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct sync_commit_spec spec = {.base = base, .layers = layers, .layer_count = count};
	struct sync_committed done;

	RIG_OK(rig_commit(g, &spec, &done, &err), &err);
	return done.snapshot;
}

static struct orch_digest commit_one(struct writer *w)
{
	layer_seal(w);
	return commit(w->rig, &w->base, &w->id, 1);
}

static void record_root(struct writer *w)
{
	struct fmt_node root = base_node(w, "");

	put_node(w, &root);
}

static void test_nothing(void **state)
{
	struct rig *g = *state;
	struct orch_digest base = rig_make(g, "a=1\nd/b=2\n", NULL), id;
	struct writer w;

	layer_begin(&w, g, &base, NULL);
	id = commit_one(&w);
	assert_true(orch_digest_eq(&id, &base));
	layer_begin(&w, g, &base, NULL);
	w.next_ino = 100;
	id = commit_one(&w);
	rig_expect(g, &id, "a=1\nd/\nd/b=2\n");
	assert_int_equal(rig_snapshot(g, &id).next_ino, 100);
}

static void test_files(void **state)
{
	struct rig *g = *state;
	struct orch_digest base = rig_make(g, "a=1\ngone=x\nkeep/deep/f=2\nsame=3\n", NULL), id;
	struct fmt_node n;
	struct writer w;

	layer_begin(&w, g, &base, NULL);
	record_root(&w);
	n = base_node(&w, "a");
	n = spool_node(&w, n.ino, "written");
	n.base_links = 1;
	put_node(&w, &n);
	put_link(&w, 1, "a", n.ino, FMT_REG);
	put_link(&w, 1, "gone", 0, FMT_REG);
	n = base_node(&w, "same");
	n = spool_node(&w, n.ino, "3");
	put_node(&w, &n);
	put_link(&w, 1, "same", n.ino, FMT_REG);
	n = new_node(w.next_ino++, FMT_REG);
	put_node(&w, &n);
	put_link(&w, 1, "empty", n.ino, FMT_REG);
	n = new_node(w.next_ino++, FMT_SYMLINK);
	n.content = FMT_CONTENT_TARGET;
	n.target = "to";
	n.target_len = n.size = 2;
	put_node(&w, &n);
	put_link(&w, 1, "l", n.ino, FMT_SYMLINK);
	n = new_node(w.next_ino++, FMT_DIR);
	n.mode = 01777;
	put_node(&w, &n);
	put_link(&w, 1, "new", n.ino, FMT_DIR);
	n = new_node(w.next_ino++, FMT_FIFO);
	put_node(&w, &n);
	put_link(&w, 1, "pipe", n.ino, FMT_FIFO);
	n = spool_node(&w, w.next_ino++, "unlinked but open");
	n.nlink = 0;
	put_node(&w, &n);
	id = commit_one(&w);
	rig_expect(g, &id,
	    "a=written\nempty=\nkeep/\nkeep/deep/\nkeep/deep/f=2\nl->to\nnew!1777/\nsame=3\n");
	assert_int_equal(g->hashed_files, 2);
	assert_non_null(strstr((char *)g->told.data, "skipped fifo pipe\n"));
	assert_int_equal(rig_stamp(g, &id, "a").ino, rig_stamp(g, &base, "a").ino);
	assert_int_equal(rig_stamp(g, &id, "a").mtime_ns, 777000000123);
	assert_int_equal(rig_stamp(g, &id, "l").mtime_ns, 4242);
	assert_int_equal(
	    rig_stamp(g, &id, "keep/deep/f").mtime_ns, rig_stamp(g, &base, "keep/deep/f").mtime_ns);
	assert_int_equal(rig_snapshot(g, &id).next_ino, w.next_ino);
}

static void test_folders(void **state)
{
	struct rig *g = *state;
	struct orch_digest base = rig_make(g, "d/e/f=1\nd/g=2\nx/y/z=3\nr/q=4\n", NULL), id;
	struct fmt_node d, e, f, n;
	struct writer w;

	layer_begin(&w, g, &base, NULL);
	record_root(&w);
	/* mv d/e moved; rm moved/f; echo > moved/n */
	d = base_node(&w, "d");
	put_node(&w, &d);
	put_link(&w, 1, "d", d.ino, FMT_DIR);
	e = base_node(&w, "d/e");
	put_node(&w, &e);
	put_link(&w, d.ino, "e", 0, FMT_DIR);
	put_link(&w, 1, "moved", e.ino, FMT_DIR);
	put_link(&w, e.ino, "f", 0, FMT_REG);
	n = spool_node(&w, w.next_ino++, "new");
	put_node(&w, &n);
	put_link(&w, e.ino, "n", n.ino, FMT_REG);
	/* chmod x; mv x/y/z d/z2 */
	f = base_node(&w, "x");
	f.mode = 0700;
	put_node(&w, &f);
	put_link(&w, 1, "x", f.ino, FMT_DIR);
	n = base_node(&w, "x/y");
	put_node(&w, &n);
	put_link(&w, f.ino, "y", n.ino, FMT_DIR);
	f = base_node(&w, "x/y/z");
	put_node(&w, &f);
	put_link(&w, n.ino, "z", 0, FMT_REG);
	put_link(&w, d.ino, "z2", f.ino, FMT_REG);
	/* rm -r r; a file in its place */
	n = spool_node(&w, w.next_ino++, "file now");
	put_node(&w, &n);
	put_link(&w, 1, "r", n.ino, FMT_REG);
	id = commit_one(&w);
	rig_expect(g, &id, "d/\nd/g=2\nd/z2=3\nmoved/\nmoved/n=new\nr=file now\nx!0700/\nx/y/\n");
	assert_int_equal(rig_stamp(g, &id, "d/z2").ino, rig_stamp(g, &base, "x/y/z").ino);
	assert_int_equal(rig_stamp(g, &id, "moved").ino, rig_stamp(g, &base, "d/e").ino);
}

static void test_links(void **state)
{
	struct rig *g = *state;
	struct orch_digest base = rig_make(g, "a=1\nfar/away/b==a\nfar/c==a\no=2\nu/p==o\n", NULL),
			   id;
	struct fmt_node n, u;
	struct writer w;

	layer_begin(&w, g, &base, NULL);
	record_root(&w);
	/* written through the name a: the others change with it */
	n = base_node(&w, "a");
	assert_int_equal(n.nlink, 3);
	n = spool_node(&w, n.ino, "written");
	n.nlink = n.base_links = 3;
	put_node(&w, &n);
	put_link(&w, 1, "a", n.ino, FMT_REG);
	/* rm o: u/p stays, with one link */
	n = base_node(&w, "o");
	n.nlink = 1;
	put_node(&w, &n);
	put_link(&w, 1, "o", 0, FMT_REG);
	/* a new file with two names */
	u = base_node(&w, "u");
	put_node(&w, &u);
	put_link(&w, 1, "u", u.ino, FMT_DIR);
	n = spool_node(&w, w.next_ino++, "two names");
	n.nlink = 2;
	put_node(&w, &n);
	put_link(&w, 1, "n1", n.ino, FMT_REG);
	put_link(&w, u.ino, "n2", n.ino, FMT_REG);
	id = commit_one(&w);
	rig_expect(g, &id,
	    "a=written\nfar/\nfar/away/\nfar/away/b==a\nfar/c==a\nn1=two names\nu/\n"
	    "u/n2==n1\nu/p=2\n");
	assert_int_equal(rig_stamp(g, &id, "far/away/b").nlink, 3);
	assert_int_equal(rig_stamp(g, &id, "far/away/b").mtime_ns, 777000000123);
	assert_int_equal(rig_stamp(g, &id, "u/p").nlink, 1);
	assert_int_equal(rig_stamp(g, &id, "u/n2").nlink, 2);
}

/* A rebase keeps records of hard-linked files without an entry: what is done to them later counts. */
static void test_record_without_entry(void **state)
{
	struct rig *g = *state;
	struct orch_digest base = rig_make(g, "d/a=1\nd/e/b=2\nd/e/c==d/e/b\n", NULL), id;
	struct fmt_node n;
	struct writer w;

	layer_begin(&w, g, &base, NULL);
	record_root(&w);
	n = base_node(&w, "d/a");
	n.mode = 0600;
	put_node(&w, &n);
	n = base_node(&w, "d/e/b");
	n = spool_node(&w, n.ino, "written");
	n.nlink = n.base_links = 2;
	put_node(&w, &n);
	id = commit_one(&w);
	rig_expect(g, &id, "d/\nd/a!0600=1\nd/e/\nd/e/b=written\nd/e/c==d/e/b\n");
}

/* A mount process was killed while it removed the segments that its checkpoint (log.3) replaced:
 * log.1 is left, log.2, which removed the name again, is not. */
static void test_segments_before_a_checkpoint(void **state)
{
	struct rig *g = *state;
	struct orch_digest base = rig_make(g, "a=1\n", NULL), id;
	struct fmt_layer_record rec = {.kind = FMT_LAYER_HEAD};
	struct fmt_node n;
	struct writer w;

	layer_begin(&w, g, &base, NULL);
	record_root(&w);
	n = spool_node(&w, w.next_ino++, "gone");
	put_node(&w, &n);
	put_link(&w, 1, "gone", n.ino, FMT_REG);
	write_log(&w, 1);
	rec.head = (struct fmt_layer_head){.layer = w.id,
	    .snapshot = base,
	    .segment = 3,
	    .workspace = "w",
	    .next_ino = w.next_ino,
	    .next_spool = w.next_spool,
	    .seq = ++w.seq,
	    .checkpoint = true};
	assert_int_equal(fmt_txn_begin(&w.log, w.seq, &w.frame), 0);
	record(&w, &rec);
	record_root(&w);
	n = spool_node(&w, w.next_ino++, "there");
	put_node(&w, &n);
	put_link(&w, 1, "there", n.ino, FMT_REG);
	rec = (struct fmt_layer_record){.kind = FMT_LAYER_CHECKPOINT_END};
	record(&w, &rec);
	rec = (struct fmt_layer_record){.kind = FMT_LAYER_SEALED, .successor = w.id + 1};
	record(&w, &rec);
	write_log(&w, 3);
	id = commit(g, &base, &w.id, 1);
	rig_expect(g, &id, "a=1\nthere=there\n");
}

static void test_chain(void **state)
{
	struct rig *g = *state;
	struct orch_digest base = rig_make(g, "a=1\nb=2\n", NULL), id;
	struct writer one, two;
	uint64_t layers[2];
	struct fmt_node n, m;

	layer_begin(&one, g, &base, NULL);
	record_root(&one);
	n = spool_node(&one, one.next_ino++, "from one");
	put_node(&one, &n);
	put_link(&one, 1, "new", n.ino, FMT_REG);
	m = spool_node(&one, base_node(&one, "a").ino, "a of one");
	put_node(&one, &m);
	put_link(&one, 1, "a", m.ino, FMT_REG);
	layer_seal(&one);
	layer_begin(&two, g, &base, &one);
	n = spool_node(&two, m.ino, "a of two");
	put_node(&two, &n);
	put_link(&two, 1, "b", 0, FMT_REG);
	layer_seal(&two);
	layers[0] = one.id;
	layers[1] = two.id;
	id = commit(g, &base, layers, 2);
	rig_expect(g, &id, "a=a of two\nnew=from one\n");
	id = commit(g, &base, layers, 1);
	rig_expect(g, &id, "a=a of one\nb=2\nnew=from one\n");
}

static void test_damage(void **state)
{
	struct rig *g = *state;
	struct orch_digest base = rig_make(g, "a=1\n", NULL);
	struct orch_err err = ORCH_ERR_INIT;
	struct sync_commit_spec spec = {.base = &base, .layer_count = 1};
	struct sync_committed done;
	struct fmt_node n;
	struct writer w;
	char name[64];

	layer_begin(&w, g, &base, NULL);
	record_root(&w);
	put_link(&w, 1, "x", 999, FMT_REG);
	layer_seal(&w);
	spec.layers = &w.id;
	assert_int_equal(rig_commit(g, &spec, &done, &err), -ORCH_ECORRUPT);
	assert_non_null(strstr(err.msg, "x: node 999"));
	layer_begin(&w, g, &base, NULL);
	record_root(&w);
	n = spool_node(&w, w.next_ino++, "text");
	put_node(&w, &n);
	put_link(&w, 1, "x", n.ino, FMT_REG);
	layer_seal(&w);
	snprintf(name, sizeof(name), "%" PRIu64 "/spool/1", w.id);
	assert_int_equal(unlinkat(cas_store_layers_fd(g->s), name, 0), 0);
	assert_int_equal(rig_commit(g, &spec, &done, &err), -ORCH_ECORRUPT);
	w.id = 12345;
	assert_int_equal(rig_commit(g, &spec, &done, &err), -ENOENT);
	/* a circle of folders */
	layer_begin(&w, g, &base, NULL);
	record_root(&w);
	n = new_node(50, FMT_DIR);
	put_node(&w, &n);
	put_link(&w, 1, "d", 50, FMT_DIR);
	put_link(&w, 50, "d", 50, FMT_DIR);
	layer_seal(&w);
	assert_int_equal(rig_commit(g, &spec, &done, &err), -ORCH_ECORRUPT);
}

static void test_cancel(void **state)
{
	struct rig *g = *state;
	struct orch_digest base = rig_make(g, "a=1\n", NULL);
	struct orch_err err = ORCH_ERR_INIT;
	struct sync_commit_spec spec = {.base = &base, .layer_count = 1};
	struct sync_committed done;
	struct writer w;
	struct fmt_node n;

	layer_begin(&w, g, &base, NULL);
	record_root(&w);
	n = spool_node(&w, w.next_ino++, "text");
	put_node(&w, &n);
	put_link(&w, 1, "x", n.ino, FMT_REG);
	layer_seal(&w);
	spec.layers = &w.id;
	g->cancel = true;
	assert_int_equal(rig_commit(g, &spec, &done, &err), -ECANCELED);
	g->cancel = false;
	RIG_OK(rig_commit(g, &spec, &done, &err), &err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    rig_quick_test(test_nothing),
	    rig_quick_test(test_files),
	    rig_quick_test(test_folders),
	    rig_quick_test(test_links),
	    rig_quick_test(test_record_without_entry),
	    rig_quick_test(test_segments_before_a_checkpoint),
	    rig_quick_test(test_chain),
	    rig_quick_test(test_damage),
	    rig_quick_test(test_cancel),
	};

	return tap_run(tests);
}
