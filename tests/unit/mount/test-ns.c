/* The name space without FUSE: an empty base, one layer, system calls as calls. */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tests/lib/tap.h"
#include "core/fd.h"
#include "fsd/mount/ns.h"

#define ROOT 1

struct world {
	char path[64];
	int objects, packs, layers;
	struct mnt_ns_config config;
	struct mnt_ns *ns;
	size_t notes;
};

static void note_attr(void *priv, uint64_t id)
{
	((struct world *)priv)->notes++;
}

static uint64_t note_entry(void *priv, uint64_t parent, const char *name, size_t len)
{
	return ++((struct world *)priv)->notes;
}

static bool wait_sent(void *priv, uint64_t number, uint64_t deadline_ns)
{
	return true;
}

static int sub(const struct world *w, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", w->path, name);
	assert_int_equal(mkdir(path, 0700), 0);
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void make_layer(struct world *w)
{
	struct fmt_layer_head h = {
	    .layer = 1, .workspace = "w", .next_ino = 2, .next_spool = 1, .seq = 1, .segment = 1};
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	struct orch_err err = ORCH_ERR_INIT;

	assert_int_equal(fmt_layer_head_frame(&h, &b), 0);
	assert_int_equal(mkdirat(w->layers, "1", 0700), 0);
	assert_int_equal(mkdirat(w->layers, "1/spool", 0700), 0);
	int dir = openat(w->layers, "1", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(orch_file_save(dir, "log.1", b.data, b.len, 0600, &err), 0);
	close(dir);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct orch_err err = ORCH_ERR_INIT;

	assert_non_null(w);
	strcpy(w->path, "/tmp/orch-test-ns.XXXXXX");
	assert_non_null(mkdtemp(w->path));
	w->objects = sub(w, "objects");
	w->packs = sub(w, "packs");
	w->layers = sub(w, "layers");
	make_layer(w);
	assert_int_equal(view_packset_new(w->packs, &w->config.packs, &err), 0);
	assert_int_equal(mnt_contents_new(w->objects, 100, &w->config.contents), 0);
	w->config.layers_fd = w->layers;
	w->config.pool = orch_pool_new(2, 100);
	w->config.layer = 1;
	w->config.notify =
	    (struct mnt_notify){note_attr, note_attr, note_entry, wait_sent, note_attr, w};
	if (mnt_ns_new(&w->config, &w->ns, &err) < 0)
		fail_msg("%s", err.msg);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	struct orch_err err = ORCH_ERR_INIT;

	orch_pool_free(w->config.pool);
	mnt_ns_free(w->ns);
	mnt_contents_free(w->config.contents);
	view_packset_free(w->config.packs);
	close(w->objects);
	close(w->packs);
	close(w->layers);
	assert_int_equal(orch_remove_tree(AT_FDCWD, w->path, &err), 0);
	free(w);
	return 0;
}

static void again(struct world *w)
{
	struct orch_err err = ORCH_ERR_INIT;

	mnt_ns_free(w->ns);
	w->ns = NULL;
	if (mnt_ns_new(&w->config, &w->ns, &err) < 0)
		fail_msg("%s", err.msg);
}

static uint64_t make(struct world *w, uint64_t parent, const char *name, enum fmt_type type)
{
	struct mnt_make m = {.type = type, .mode = 0755, .target = "t"};
	struct mnt_attr a;

	assert_int_equal(mnt_ns_make(w->ns, parent, name, &m, &a), 0);
	return a.id;
}

static uint64_t look(struct world *w, uint64_t parent, const char *name)
{
	struct mnt_attr a;

	return mnt_ns_lookup(w->ns, parent, name, &a) == 0 ? a.id : 0;
}

static void test_names_come_and_go(void **state)
{
	struct world *w = *state;
	struct mnt_make m = {.type = FMT_DIR, .mode = 0755};
	struct mnt_attr a;
	uint64_t d = make(w, ROOT, "d", FMT_DIR);

	make(w, d, "f", FMT_REG);
	make(w, d, "link", FMT_SYMLINK);
	assert_int_equal(mnt_ns_make(w->ns, ROOT, "d", &m, &a), -EEXIST);
	assert_int_equal(mnt_ns_lookup(w->ns, d, "absent", &a), -ENOENT);
	assert_int_equal(mnt_ns_lookup(w->ns, 999, "x", &a), -ESTALE);
	assert_int_equal(mnt_ns_unlink(w->ns, ROOT, "d"), -EISDIR);
	assert_int_equal(mnt_ns_rmdir(w->ns, ROOT, "d"), -ENOTEMPTY);
	assert_int_equal(mnt_ns_rmdir(w->ns, d, "f"), -ENOTDIR);
	assert_int_equal(mnt_ns_rename(w->ns, d, "f", ROOT, "g", 0), 0);
	assert_int_equal(mnt_ns_unlink(w->ns, d, "link"), 0);
	assert_int_equal(mnt_ns_rmdir(w->ns, ROOT, "d"), 0);
	again(w);
	assert_int_equal(look(w, ROOT, "d"), 0);
	assert_true(look(w, ROOT, "g") > 0);
}

/* The kernel forgets folders before the last handle of a file in them is released: the release frees
 * both folders of the file's names, and one is the other's parent. */
static void test_a_file_takes_its_folders_along(void **state)
{
	struct world *w = *state;
	struct mnt_make m = {.type = FMT_REG, .mode = 0644};
	uint64_t p = make(w, ROOT, "p", FMT_DIR), q = make(w, p, "q", FMT_DIR);
	struct mnt_ns_status status;
	struct mnt_handle *h;
	struct mnt_attr a;

	assert_int_equal(mnt_ns_create(w->ns, q, "x", &m, O_RDWR, &a, &h), 0);
	assert_int_equal(mnt_ns_link(w->ns, a.id, p, "y", &a), 0);
	mnt_ns_forget(w->ns, q, 1);
	mnt_ns_forget(w->ns, p, 1);
	mnt_ns_forget(w->ns, a.id, 2);
	mnt_ns_release(w->ns, h);
	mnt_ns_status(w->ns, &status);
	assert_int_equal(status.nodes, 1);
	assert_true(look(w, look(w, look(w, ROOT, "p"), "q"), "x") > 0);
}

static void test_renames(void **state)
{
	struct world *w = *state;
	uint64_t a = make(w, ROOT, "a", FMT_DIR), b = make(w, ROOT, "b", FMT_DIR);

	make(w, a, "x", FMT_REG);
	make(w, b, "y", FMT_REG);
	assert_int_equal(mnt_ns_rename(w->ns, ROOT, "a", ROOT, "b", RENAME_NOREPLACE), -EEXIST);
	assert_int_equal(mnt_ns_rename(w->ns, ROOT, "a", ROOT, "b", 0), -ENOTEMPTY);
	assert_int_equal(mnt_ns_rename(w->ns, ROOT, "a", ROOT, "c", RENAME_EXCHANGE), -ENOENT);
	assert_int_equal(mnt_ns_rename(w->ns, ROOT, "a", ROOT, "b", RENAME_EXCHANGE), 0);
	assert_int_equal(mnt_ns_rename(w->ns, ROOT, "a", ROOT, "b", RENAME_WHITEOUT), -EINVAL);
	again(w);
	assert_true(look(w, look(w, ROOT, "b"), "x") > 0);
	assert_true(look(w, look(w, ROOT, "a"), "y") > 0);
}

static void write_file(struct world *w, const char *name, const char *text)
{
	struct mnt_make m = {.type = FMT_REG, .mode = 0644};
	struct mnt_handle *h;
	struct mnt_content *c;
	struct mnt_attr a;

	assert_int_equal(mnt_ns_create(w->ns, ROOT, name, &m, O_RDWR, &a, &h), 0);
	c = mnt_ns_handle_content(w->ns, h);
	assert_int_equal(orch_fd_pwrite_all(c->fd, text, strlen(text), 0), 0);
	mnt_content_put(w->config.contents, c);
	mnt_ns_release(w->ns, h);
}

static void seen(void *arg, const char *path)
{
	fail_msg("%s had no writer", path);
}

static void done(void *arg, int r)
{
	*(int *)arg = r;
}

static bool patient(void *arg)
{
	return false;
}

static void test_a_sealed_file_is_copied_before_it_is_written(void **state)
{
	struct world *w = *state;
	struct orch_err err = ORCH_ERR_INIT;
	struct mnt_seal ask = {.layer = 2, .seen = seen};
	struct mnt_sealed sealed;
	struct mnt_handle *r, *h;
	struct mnt_content *old, *new_content;
	uint64_t id;
	int result = 1;

	write_file(w, "f", "content");
	assert_int_equal(mnt_ns_seal(w->ns, &ask, &sealed, &err), 0);
	assert_int_equal(sealed.sealed, 1);
	id = look(w, ROOT, "f");
	assert_int_equal(mnt_ns_open(w->ns, id, O_RDONLY, true, &r), 0);
	assert_int_equal(mnt_ns_open(w->ns, id, O_RDWR, true, &h), MNT_AGAIN);
	mnt_ns_privatise(w->ns, id, done, patient, &result);
	orch_pool_drain(w->config.pool);
	assert_int_equal(result, 0);
	old = mnt_ns_handle_content(w->ns, r);
	assert_int_equal(mnt_ns_open(w->ns, id, O_RDWR, true, &h), 0);
	new_content = mnt_ns_handle_content(w->ns, h);
	assert_int_equal(new_content->key.layer, 2);
	assert_ptr_equal(old, new_content); /* without passthrough readers go on with the new one */
	mnt_content_put(w->config.contents, old);
	mnt_content_put(w->config.contents, new_content);
	mnt_ns_release(w->ns, r);
	mnt_ns_release(w->ns, h);
	assert_int_equal(mnt_ns_seal(w->ns, &ask, &sealed, &err), -EINVAL);
}

static bool collect(void *arg, const char *name, uint64_t ino, enum fmt_type type,
    const struct mnt_attr *attr, uint64_t next)
{
	uint64_t *last = arg;

	*last = next;
	return name[0] != '5'; /* the reader's buffer is full there */
}

static void test_a_listing_goes_on_where_it_stopped(void **state)
{
	struct world *w = *state;
	uint64_t at = 0, before;
	char name[16];
	int stops = 0;

	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "%d", i);
		make(w, ROOT, name, FMT_FIFO);
	}
	do {
		before = at;
		assert_int_equal(mnt_ns_readdir(w->ns, ROOT, at, false, collect, &at), 0);
		snprintf(name, sizeof(name), "%d", stops);
		assert_int_equal(mnt_ns_unlink(w->ns, ROOT, name), 0);
		stops++;
	} while (at != before);
	assert_int_equal(stops, 12); /* 59..50, the rest (5 was gone when its turn came), nothing */
}

static void test_attributes_and_xattrs_stay(void **state)
{
	struct world *w = *state;
	struct mnt_setattr set = {.set = MNT_SET_MODE | MNT_SET_UID | MNT_SET_MTIME,
	    .mode = 04711,
	    .uid = 77,
	    .mtime_ns = -5};
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	struct stat st;
	uint64_t id = make(w, ROOT, "f", FMT_REG);

	assert_int_equal(mnt_ns_setattr(w->ns, id, &set, &st), 0);
	assert_int_equal(mnt_ns_setxattr(w->ns, id, "user.a", "value", 5, 0), 0);
	assert_int_equal(mnt_ns_setxattr(w->ns, id, "security.a", "v", 1, 0), -EOPNOTSUPP);
	assert_int_equal(mnt_ns_setxattr(w->ns, id, "user.b", NULL, 0, 0), -ENODATA);
	again(w);
	id = look(w, ROOT, "f");
	assert_int_equal(mnt_ns_getattr(w->ns, id, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 04711);
	assert_int_equal(st.st_uid, 77);
	assert_int_equal(st.st_gid, 0);
	assert_int_equal(st.st_mtim.tv_sec, -1);
	assert_int_equal(st.st_mtim.tv_nsec, 999999995);
	assert_int_equal(mnt_ns_getxattr(w->ns, id, "user.a", &b), 0);
	assert_int_equal(b.len, 5);
	assert_int_equal(mnt_ns_getxattr(w->ns, id, "security.capability", &b), -ENODATA);
	assert_int_equal(mnt_ns_getxattr(w->ns, id, "security.selinux", &b), -EOPNOTSUPP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_names_come_and_go, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_a_file_takes_its_folders_along, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_renames, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		test_a_sealed_file_is_copied_before_it_is_written, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		test_a_listing_goes_on_where_it_stopped, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_attributes_and_xattrs_stay, setup, teardown),
	};

	return tap_run(tests);
}
