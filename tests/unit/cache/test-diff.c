/* Walking a snapshot, and what differs between two. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include "cache/diff.h"
#include "cache/walk.h"

static struct orch_digest publish(struct fx *f, struct fx_quarantine *q, const struct fx_made *root)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct orch_digest id = fx_snapshot(q, root);
	struct cas_published done;
	struct cas_publish p = {.quarantine = q->id, .snapshot = id};

	fx_quarantine_finish(q);
	FX_OK(cas_publish(f->s, &p, &done, &err), &err);
	return id;
}

/* dir/{a,b}, dir/deep/{x}, file, link -> first */
static struct orch_digest first(struct fx *f)
{
	struct fx_quarantine q;
	struct fx_made deep, dir, root;

	fx_quarantine(f, &q);
	{
		struct fx_entry e[] = {{.name = "x", .text = "x", .ino = 10}};

		deep = fx_folder(&q, e, 1);
	}
	{
		struct fx_entry e[] = {{.name = "a", .text = "a", .ino = 11},
		    {.name = "b", .text = "b", .ino = 12},
		    {.name = "deep", .dir = &deep, .ino = 13}};

		dir = fx_folder(&q, e, 3);
	}
	{
		struct fx_entry e[] = {{.name = "dir", .dir = &dir, .ino = 14},
		    {.name = "dir.x", .text = "order", .ino = 20},
		    {.name = "file", .text = "one", .ino = 15},
		    {.name = "gone", .dir = &deep, .ino = 17},
		    {.name = "link", .target = "first", .ino = 16}};

		root = fx_folder(&q, e, 5);
	}
	return publish(f, &q, &root);
}

/* dir/a modified, dir/b mode, file -> folder, gone/ gone, link -> second, new/ new, x's mtime */
static struct orch_digest second(struct fx *f)
{
	struct fx_quarantine q;
	struct fx_made deep, dir, root;

	fx_quarantine(f, &q);
	{
		struct fx_entry e[] = {{.name = "x", .text = "x", .ino = 10, .mtime_ns = 5000}};

		deep = fx_folder(&q, e, 1);
	}
	{
		struct fx_entry e[] = {{.name = "a", .text = "a changed", .ino = 11},
		    {.name = "b", .text = "b", .mode = 0755, .ino = 12},
		    {.name = "deep", .dir = &deep, .ino = 13}};

		dir = fx_folder(&q, e, 3);
	}
	{
		struct fx_entry e[] = {{.name = "dir", .dir = &dir, .ino = 14},
		    {.name = "dir.x", .text = "order", .ino = 20},
		    {.name = "file", .dir = &deep, .ino = 18},
		    {.name = "link", .target = "second", .ino = 16},
		    {.name = "new", .dir = &deep, .ino = 19}};

		root = fx_folder(&q, e, 5);
	}
	return publish(f, &q, &root);
}

struct text {
	char s[4000];
	int stop_at;
};

static int note_difference(void *priv, const struct cas_difference *d)
{
	struct text *t = priv;

	snprintf(t->s + strlen(t->s), sizeof(t->s) - strlen(t->s), "%s %.*s\n",
	    cas_change_name(d->change), (int)d->path_len, d->path);
	assert_int_equal(strlen(d->path), d->path_len);
	assert_int_equal(d->a == NULL, d->change == CAS_CHANGE_ADDED);
	assert_int_equal(d->b == NULL, d->change == CAS_CHANGE_REMOVED);
	return t->stop_at && --t->stop_at == 0 ? -ECANCELED : 1;
}

static void expect(struct fx *f, const struct orch_digest *a, const struct orch_digest *b,
    unsigned flags, const char *want)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct text t = {.s = ""};

	FX_OK(cas_diff(cas_store_packset(f->s), a, b, flags, note_difference, &t, &err), &err);
	assert_string_equal(t.s, want);
}

static void test_differences(void **state)
{
	struct fx *f = *state;
	struct orch_digest a = first(f), b = second(f);
	struct text t = {.s = "", .stop_at = 2};

	expect(f, &a, &a, CAS_DIFF_STAMPS, "");
	expect(f, &a, &b, 0,
	    "modified dir/a\nmode dir/b\ntype file\nadded file/x\nremoved gone\nremoved gone/x\n"
	    "modified link\nadded new\nadded new/x\n");
	expect(f, &a, &b, CAS_DIFF_SHALLOW,
	    "modified dir/a\nmode dir/b\ntype file\nremoved gone\nmodified link\nadded new\n");
	expect(f, &a, &b, CAS_DIFF_STAMPS,
	    "modified dir/a\nmode dir/b\nattributes dir/deep/x\ntype file\nadded file/x\n"
	    "removed gone\nremoved gone/x\nmodified link\nadded new\nadded new/x\n");
	expect(f, &b, &a, CAS_DIFF_SHALLOW,
	    "modified dir/a\nmode dir/b\ntype file\nadded gone\nmodified link\nremoved new\n");
	assert_int_equal(
	    cas_diff(cas_store_packset(f->s), &a, &b, 0, note_difference, &t, NULL), -ECANCELED);
	assert_string_equal(t.s, "modified dir/a\nmode dir/b\n");
}

static int note_entry(void *priv, const struct cas_walk_entry *e)
{
	struct text *t = priv;

	snprintf(t->s + strlen(t->s), sizeof(t->s) - strlen(t->s), "%s %d\n", e->path,
	    (int)e->stamp.ino);
	return strcmp(e->path, "gone") == 0;
}

static void test_walk(void **state)
{
	struct fx *f = *state;
	struct orch_digest a = first(f);
	struct text t = {.s = ""};

	FX_OK(cas_walk(cas_store_packset(f->s), &a, note_entry, &t, NULL), NULL);
	assert_string_equal(t.s, "dir 14\ndir/a 11\ndir/b 12\ndir/deep 13\ndir/deep/x 10\n"
				 "dir.x 20\nfile 15\ngone 17\nlink 16\n");
}

static void test_deep(void **state)
{
	struct fx *f = *state;
	struct orch_digest a, b;
	struct text t = {.s = ""};
	struct cas_count count;
	struct fx_quarantine q;
	struct fx_made at;

	for (int k = 0; k < 2; k++) {
		struct fx_entry e[] = {{.name = "f", .text = k ? "other" : "one"}};

		fx_quarantine(f, &q);
		at = fx_folder(&q, e, 1);
		for (int i = 0; i < 1000; i++) {
			struct fx_made below = at;
			struct fx_entry d[] = {{.name = "d", .dir = &below, .ino = 100}};

			at = fx_folder(&q, d, 1);
		}
		*(k ? &b : &a) = publish(f, &q, &at);
	}
	FX_OK(cas_walk_count(cas_store_packset(f->s), &a, &count, NULL), NULL);
	assert_int_equal(count.dirs, 1000);
	assert_int_equal(count.files, 1);
	FX_OK(cas_diff(cas_store_packset(f->s), &a, &b, 0, note_difference, &t, NULL), NULL);
	assert_int_equal(strlen(t.s), strlen("modified ") + 2001 + 1);
}

static void test_unknown(void **state)
{
	struct fx *f = *state;
	struct orch_digest a = first(f), none = a;
	struct cas_count count;

	none.b[3] ^= 1;
	assert_int_equal(cas_walk_count(cas_store_packset(f->s), &none, &count, NULL), -ENOENT);
	assert_int_equal(
	    cas_diff(cas_store_packset(f->s), &a, &none, 0, note_difference, NULL, NULL), -ENOENT);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_differences),
	    T(test_walk),
	    T(test_deep),
	    T(test_unknown),
	};

	return tap_run(tests);
}
