/* Three-way application: every cell of the table in docs/sync.md, stamps, links, and properties of
 * random trees. */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "core/clock.h"

#define NOW INT64_C(2000000000000000000)

struct told {
	struct orch_buf text; /* "path base incoming mine\n"... */
};

static char letter(enum fmt_type t)
{
	return t == FMT_REG ? 'f' : t == FMT_DIR ? 'd' : t == FMT_SYMLINK ? 'l' : '-';
}

static void on_conflict(void *priv, const struct sync_conflict *c)
{
	struct told *t = priv;

	orch_buf_printf(&t->text, "%s %c%c%c\n", c->path, letter(c->base), letter(c->incoming),
	    letter(c->mine));
}

static int apply(struct rig *g, const struct orch_digest *base, const struct orch_digest *incoming,
    const struct orch_digest *mine, enum sync_conflict_how how, struct sync_applied *out,
    struct told *told)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct sync_apply_spec spec = {.base = base,
	    .incoming = incoming,
	    .mine = mine,
	    .how = how,
	    .wall_ns = NOW,
	    .on_conflict = told ? on_conflict : NULL,
	    .priv = told};
	int r = rig_apply(g, &spec, out, &err);

	if (r < 0 && r != -ORCH_ECONFLICT)
		fail_msg("apply: %s", err.msg);
	return r;
}

struct cell {
	const char *base, *incoming, *mine;
	const char *kept, *replaced; /* what _KEEP and _REPLACE make; replaced NULL: no conflict */
	const char *conflicts;	     /* NULL: none */
};

/* The order is that of the table in docs/sync.md. */
static const struct cell cells[] = {
    /* nothing came in: mine stays, whatever it is */
    {"a=1\n", "a=1\n", "a=2\n", "a=2\n", NULL, NULL},
    {"a=1\n", "a=1\n", "", "", NULL, NULL},
    {"a=1\n", "a=1\n", "a/b=1\n", "a/\na/b=1\n", NULL, NULL},
    {"", "", "o=made\n", "o=made\n", NULL, NULL},
    {"d/a=1\n", "d/a=1\n", "d/a=1\nd/o=2\n", "d/\nd/a=1\nd/o=2\n", NULL, NULL},
    /* mine is as base: incoming is taken */
    {"a=1\n", "a=2\n", "a=1\n", "a=2\n", NULL, NULL},
    {"a=1\n", "", "a=1\n", "", NULL, NULL},
    {"", "a=1\n", "", "a=1\n", NULL, NULL},
    {"a=1\n", "a->x\n", "a=1\n", "a->x\n", NULL, NULL},
    {"a=1\n", "a/b=2\n", "a=1\n", "a/\na/b=2\n", NULL, NULL},
    {"d/a=1\nd/e/f=2\n", "d=3\n", "d/a=1\nd/e/f=2\n", "d=3\n", NULL, NULL},
    {"d/a=1\n", "", "d/a=1\n", "", NULL, NULL},
    {"", "d/e/f=1\nd/e/g=2\n", "o=1\n", "d/\nd/e/\nd/e/f=1\nd/e/g=2\no=1\n", NULL, NULL},
    {"a=1\n", "a!0755=1\n", "a=1\n", "a!0755=1\n", NULL, NULL},
    /* both sides did the same */
    {"a=1\n", "a=2\n", "a=2\n", "a=2\n", NULL, NULL},
    {"a=1\n", "", "", "", NULL, NULL},
    {"", "a=1\n", "a=1\n", "a=1\n", NULL, NULL},
    {"d/a=1\n", "d=1\n", "d=1\n", "d=1\n", NULL, NULL},
    /* different names of one folder go together */
    {"d/a=1\nd/b=1\n", "d/a=2\nd/b=1\n", "d/a=1\nd/b=2\nd/o=1\n", "d/\nd/a=2\nd/b=2\nd/o=1\n", NULL,
	NULL},
    {"", "d/a=1\n", "d/o=2\n", "d/\nd/a=1\nd/o=2\n", NULL, NULL},
    {"d=1\n", "d/a=1\n", "d/o=2\n", "d/\nd/a=1\nd/o=2\n", NULL, NULL},
    /* a folder removed in incoming: what base had goes, what mine made keeps it */
    {"d/a=1\nd/b=2\n", "", "d/a=1\nd/b=2\nd/o=3\n", "d/\nd/o=3\n", NULL, NULL},
    {"d/a=1\nd/b=2\n", "", "d/a=1\nd/b=3\n", "d/\nd/b=3\n", "", "d/b f-f\n"},
    {"d/a=1\nd/b=2\n", "", "d/a=1\n", "", NULL, NULL},
    /* a folder removed in mine: what is new in incoming brings it back */
    {"d/a=1\n", "d/a=1\nd/n=2\n", "", "d/\nd/n=2\n", NULL, NULL},
    {"d/a=1\n", "d/a=2\n", "", "", "d/\nd/a=2\n", "d/a ff-\n"},
    /* both changed a file */
    {"a=1\n", "a=2\n", "a=3\n", "a=3\n", "a=2\n", "a fff\n"},
    {"", "a=2\n", "a=3\n", "a=3\n", "a=2\n", "a -ff\n"},
    {"a=1\n", "", "a=3\n", "a=3\n", "", "a f-f\n"},
    {"a=1\n", "a=2\n", "", "", "a=2\n", "a ff-\n"},
    {"a=1\n", "a!0755=1\n", "a!0700=1\n", "a!0700=1\n", "a!0755=1\n", "a fff\n"},
    {"a=1\n", "a!0755=1\n", "a=2\n", "a=2\n", "a!0755=1\n", "a fff\n"},
    /* types differ */
    {"a=1\n", "a->x\n", "a=2\n", "a=2\n", "a->x\n", "a flf\n"},
    {"a=1\n", "a=2\n", "a->x\n", "a->x\n", "a=2\n", "a ffl\n"},
    {"a=1\n", "a=2\n", "a/o=1\n", "a/\na/o=1\n", "a=2\n", "a ffd\n"},
    {"a=1\n", "", "a/o=1\n", "a/\na/o=1\n", "", "a f-d\n"},
    {"a=1\n", "a/b=1\n", "a=2\n", "a=2\n", "a/\na/b=1\n", "a fdf\n"},
    {"a=1\n", "a/b=1\n", "", "", "a/\na/b=1\n", "a fd-\n"},
    {"", "a/b=1\n", "a=2\n", "a=2\n", "a/\na/b=1\n", "a -df\n"},
    {"", "a=1\n", "a/o=2\n", "a/\na/o=2\n", "a=1\n", "a -fd\n"},
    {"d/a=1\n", "d=2\n", "d/a=1\nd/o=3\n", "d/\nd/a=1\nd/o=3\n", "d=2\n", "d dfd\n"},
    {"d/a=1\n", "d=2\n", "", "", "d=2\n", "d df-\n"},
    {"d/a=1\n", "d=2\n", "d=3\n", "d=3\n", "d=2\n", "d dff\n"},
    {"d/a=1\n", "d/a=2\n", "d=3\n", "d=3\n", "d/\nd/a=2\n", "d ddf\n"},
    {"d/a=1\n", "", "d=3\n", "d=3\n", "", "d d-f\n"},
};

/* What _SOURCE makes: what incoming has is as it has it. reset: of what mine alone had changed. */
static const struct source_cell {
	const char *base, *incoming, *mine, *result;
	unsigned changed, reset;
} source_cells[] = {
    /* nothing came in: what the build did to it is undone, what it added stays */
    {"a=1\n", "a=1\n", "a=1\n", "a=1\n", 0, 0},
    {"a=1\n", "a=1\n", "a=2\n", "a=1\n", 0, 1},
    {"a=1\n", "a=1\n", "a!0755=1\n", "a=1\n", 0, 1},
    {"a=1\n", "a=1\n", "", "a=1\n", 0, 1},
    {"a=1\n", "a=1\n", "a->x\n", "a=1\n", 0, 1},
    {"a->x\n", "a->x\n", "a->y\n", "a->x\n", 0, 1},
    {"a=1\n", "a=1\n", "a/b=1\na/c=2\n", "a=1\n", 0, 1},
    {"", "", "o=made\n", "o=made\n", 0, 0},
    {"d/a=1\n", "d/a=1\n", "d/a=1\nd/o=2\n", "d/\nd/a=1\nd/o=2\n", 0, 0},
    {"d/a=1\n", "d/a=1\n", "d/a=2\nd/o=2\n", "d/\nd/a=1\nd/o=2\n", 0, 1},
    {"d/e/a=1\nd/b=1\n", "d/e/a=1\nd/b=1\n", "d/o=2\n", "d/\nd/b=1\nd/e/\nd/e/a=1\nd/o=2\n", 0, 3},
    {"d/\n", "d/\n", "", "d/\n", 0, 1},
    {"d/a=1\n", "d/a=1\n", "", "d/\nd/a=1\n", 0, 2},
    {"d/a=1\n", "d/a=1\n", "d=3\n", "d/\nd/a=1\n", 0, 2},
    {"d/a=1\n", "d/a=1\n", "d->x\n", "d/\nd/a=1\n", 0, 2},
    /* something came in, beside it */
    {"a=1\nb=1\n", "a=2\nb=1\n", "a=1\nb=3\no=1\n", "a=2\nb=1\no=1\n", 1, 1},
    {"d/a=1\n", "d/a=1\nd/n=2\n", "d/a=3\n", "d/\nd/a=1\nd/n=2\n", 1, 1},
    {"d/a=1\n", "d/a=1\nd/n=2\n", "", "d/\nd/a=1\nd/n=2\n", 2, 1},
    {"d/a=1\n", "d/\n", "", "d/\n", 1, 0},
    {"d/a=1\n", "d/\n", "d/a=2\nd/o=1\n", "d/\nd/o=1\n", 1, 0},
    /* it came in, whatever mine says */
    {"a=1\n", "a=2\n", "a=3\n", "a=2\n", 1, 0},
    {"a=1\n", "a=2\n", "a=2\n", "a=2\n", 0, 0},
    {"", "a=2\n", "a=3\n", "a=2\n", 1, 0},
    {"a=1\n", "a=2\n", "", "a=2\n", 1, 0},
    {"a=1\n", "a/b=2\n", "a=3\n", "a/\na/b=2\n", 3, 0},
    {"", "d/a=1\n", "d/o=2\n", "d/\nd/a=1\nd/o=2\n", 1, 0},
    {"", "d=1\n", "d/o=2\n", "d=1\n", 3, 0},
    /* it was removed: also what mine had changed; what only mine has stays */
    {"a=1\n", "", "a=3\n", "", 1, 0},
    {"a=1\n", "", "a/o=3\n", "", 2, 0},
    {"d/a=1\nd/b=2\n", "", "d/a=1\nd/b=3\n", "", 3, 0},
    {"d/a=1\nd/b=2\n", "", "d/b=3\nd/o=3\n", "d/\nd/o=3\n", 1, 0},
    {"d/a=1\n", "", "d=3\n", "", 1, 0},
};

static void test_source_wins(void **state)
{
	struct rig *g = *state;

	for (size_t i = 0; i < ORCH_ARRAY_LEN(source_cells); i++) {
		const struct source_cell *c = &source_cells[i];
		struct orch_digest base = rig_make(g, c->base, NULL);
		struct orch_digest incoming = rig_make(g, c->incoming, NULL);
		struct orch_digest mine = rig_make(g, c->mine, NULL);
		struct sync_applied done;

		print_message("# cell %zu\n", i);
		assert_int_equal(
		    apply(g, &base, &incoming, &mine, SYNC_CONFLICT_SOURCE, &done, NULL), 0);
		rig_expect(g, &done.snapshot, c->result);
		assert_int_equal(done.changed, c->changed);
		assert_int_equal(done.reset, c->reset);
	}
}

static void test_source_stamps(void **state)
{
	static const char *const kept[] = {"b", "d", "d/o", "e", "e/x", "m", "o", "out", "out/y"};
	struct rig *g = *state;
	const char *text = "a=1\nb=2\nd/c=3\ne/x=4\ngone/z=1\nm!0755=5\n";
	struct orch_digest base = rig_make(g, text, NULL);
	struct orch_digest mine = rig_make(
	    g, "a=built\nb=2\nd/c=built\nd/o=1\ne/x=4\ngone/o=1\nm=5\no=made\nout/y=1\n", &base);
	struct sync_applied done, again;

	assert_int_equal(apply(g, &base, &base, &mine, SYNC_CONFLICT_SOURCE, &done, NULL), 0);
	assert_int_equal(done.changed, 0);
	assert_int_equal(done.reset, 4);
	for (size_t i = 0; i < ORCH_ARRAY_LEN(kept); i++) {
		struct fmt_stamp was = rig_stamp(g, &mine, kept[i]);
		struct fmt_stamp is = rig_stamp(g, &done.snapshot, kept[i]);

		assert_int_equal(was.ino, is.ino);
		assert_int_equal(was.mtime_ns, is.mtime_ns);
	}
	assert_int_equal(rig_stamp(g, &done.snapshot, "a").ino, rig_stamp(g, &mine, "a").ino);
	assert_int_equal(rig_stamp(g, &done.snapshot, "a").mtime_ns, NOW);
	assert_int_equal(rig_stamp(g, &done.snapshot, "d/c").mtime_ns, NOW);
	assert_int_equal(rig_stamp(g, &done.snapshot, "gone/z").mtime_ns, NOW);
	assert_int_equal(rig_stamp(g, &done.snapshot, "gone").mtime_ns, NOW);
	/* nothing left to put back: the very snapshot */
	assert_int_equal(
	    apply(g, &base, &base, &done.snapshot, SYNC_CONFLICT_SOURCE, &again, NULL), 0);
	assert_int_equal(again.reset, 0);
	assert_true(orch_digest_eq(&again.snapshot, &done.snapshot));
}

static void test_source_folder_attributes(void **state)
{
	struct rig *g = *state;
	struct orch_digest base = rig_make(g, "d/a=1\n", NULL), mine;
	const char *dir = rig_folder(g, true);
	struct sync_applied done;
	char p[400];

	rig_fill(dir, "d/a=1\nd/o=1\n");
	snprintf(p, sizeof(p), "%s/d", dir);
	assert_int_equal(chmod(p, 0700), 0);
	mine = rig_import(g, dir, NULL);
	assert_int_equal(apply(g, &base, &base, &mine, SYNC_CONFLICT_SOURCE, &done, NULL), 0);
	rig_expect(g, &done.snapshot, "d/\nd/a=1\nd/o=1\n");
	assert_int_equal(done.reset, 1);
	assert_int_equal(
	    rig_stamp(g, &done.snapshot, "d").mtime_ns, rig_stamp(g, &mine, "d").mtime_ns);
}

static void run_cell(struct rig *g, const struct cell *c)
{
	struct orch_digest base = rig_make(g, c->base, NULL);
	struct orch_digest incoming = rig_make(g, c->incoming, NULL);
	struct orch_digest mine = rig_make(g, c->mine, NULL);
	struct told told = {.text = ORCH_BUF_INIT};
	struct sync_applied done;
	int r = apply(g, &base, &incoming, &mine, SYNC_CONFLICT_FAIL, &done, &told);

	assert_int_equal(r, c->conflicts ? -ORCH_ECONFLICT : 0);
	assert_string_equal(
	    told.text.data ? (char *)told.text.data : "", c->conflicts ? c->conflicts : "");
	orch_buf_fini(&told.text);
	assert_int_equal(apply(g, &base, &incoming, &mine, SYNC_CONFLICT_KEEP, &done, NULL), 0);
	rig_expect(g, &done.snapshot, c->kept);
	assert_int_equal(apply(g, &base, &incoming, &mine, SYNC_CONFLICT_REPLACE, &done, NULL), 0);
	rig_expect(g, &done.snapshot, c->replaced ? c->replaced : c->kept);
}

static void test_table(void **state)
{
	for (size_t i = 0; i < ORCH_ARRAY_LEN(cells); i++) {
		print_message("# cell %zu\n", i);
		run_cell(*state, &cells[i]);
	}
}

static void test_stamps(void **state)
{
	struct rig *g = *state;
	struct orch_digest base = rig_make(g, "a=1\nb=2\nd/c=3\nkeep=4\nm=5\n", NULL);
	struct orch_digest incoming =
	    rig_make(g, "a=changed\nb=2\nd/c=3\nd/n=new\nkeep=4\nm!0755=5\n", &base);
	struct orch_digest mine = rig_make(g, "a=1\nb=mine\nd/c=3\nkeep=4\nm=5\no=made\n", &base);
	uint64_t next = rig_snapshot(g, &mine).next_ino;
	struct sync_applied done;
	struct fmt_stamp was, is;

	assert_int_equal(apply(g, &base, &incoming, &mine, SYNC_CONFLICT_FAIL, &done, NULL), 0);
	assert_int_equal(done.changed, 3);
	is = rig_stamp(g, &done.snapshot, "a");
	assert_int_equal(is.ino, rig_stamp(g, &mine, "a").ino);
	assert_int_equal(is.mtime_ns, NOW);
	is = rig_stamp(g, &done.snapshot, "d/n");
	assert_int_equal(is.ino, next);
	assert_int_equal(is.mtime_ns, NOW);
	assert_int_equal(rig_stamp(g, &done.snapshot, "d").mtime_ns, NOW);
	assert_int_equal(rig_snapshot(g, &done.snapshot).next_ino, next + 1);
	for (const char **p = (const char *[]){"b", "d/c", "keep", "m", "o", NULL}; *p; p++) {
		was = rig_stamp(g, &mine, *p);
		is = rig_stamp(g, &done.snapshot, *p);
		assert_int_equal(was.ino, is.ino);
		assert_int_equal(was.mtime_ns, is.mtime_ns);
	}
	/* nothing to do: the very snapshot */
	assert_int_equal(apply(g, &base, &base, &mine, SYNC_CONFLICT_FAIL, &done, NULL), 0);
	assert_true(orch_digest_eq(&done.snapshot, &mine));
}

static void test_later_than_everything(void **state)
{
	struct rig *g = *state;
	struct orch_digest base = rig_make(g, "a=1\nd/e/f=2\n", NULL);
	struct orch_digest incoming = rig_make(g, "a=2\nd/e/f=2\n", NULL);
	struct orch_err err = ORCH_ERR_INIT;
	int64_t latest = rig_stamp(g, &base, "d/e").mtime_ns;
	struct sync_apply_spec spec = {
	    .base = &base, .incoming = &incoming, .mine = &base, .wall_ns = 5};
	struct sync_applied done;

	RIG_OK(rig_apply(g, &spec, &done, &err), &err);
	assert_true(rig_stamp(g, &done.snapshot, "a").mtime_ns > latest);
	assert_int_equal(
	    rig_stamp(g, &done.snapshot, "d/e/f").mtime_ns, rig_stamp(g, &base, "d/e/f").mtime_ns);
}

static void test_links(void **state)
{
	struct rig *g = *state;
	struct orch_digest base = rig_make(g, "a=1\nb==a\nd/c==a\nx=7\n", NULL);
	struct orch_digest incoming = rig_make(g, "a=2\nb==a\nd/c==a\nx=7\nx2==x\n", &base);
	struct orch_digest mine = rig_make(g, "a=1\nb==a\nd/c==a\nfar/o==a\nx=7\n", &base);
	struct sync_applied done;

	/* mine as base: one file stays one file, with its number */
	assert_int_equal(apply(g, &base, &incoming, &base, SYNC_CONFLICT_FAIL, &done, NULL), 0);
	rig_expect(g, &done.snapshot, "a=2\nb==a\nd/\nd/c==a\nx=7\nx2=7\n");
	assert_int_equal(rig_stamp(g, &done.snapshot, "a").ino, rig_stamp(g, &base, "a").ino);
	assert_int_equal(rig_stamp(g, &done.snapshot, "x2").nlink, 1);
	/* a name that only mine has keeps the old content: it becomes a file of its own */
	assert_int_equal(apply(g, &base, &incoming, &mine, SYNC_CONFLICT_FAIL, &done, NULL), 0);
	rig_expect(g, &done.snapshot, "a=2\nb==a\nd/\nd/c==a\nfar/\nfar/o=1\nx=7\nx2=7\n");
	assert_int_equal(rig_stamp(g, &done.snapshot, "far/o").ino, rig_stamp(g, &mine, "a").ino);
	assert_int_equal(rig_stamp(g, &done.snapshot, "far/o").nlink, 1);
	assert_int_not_equal(rig_stamp(g, &done.snapshot, "a").ino, rig_stamp(g, &mine, "a").ino);
	assert_int_equal(rig_stamp(g, &done.snapshot, "a").nlink, 3);
	/* removed names count, also below a removed folder */
	incoming = rig_make(g, "a=1\nb==a\nx=7\n", &base);
	assert_int_equal(apply(g, &base, &incoming, &mine, SYNC_CONFLICT_FAIL, &done, NULL), 0);
	rig_expect(g, &done.snapshot, "a=1\nb==a\nfar/\nfar/o==a\nx=7\n");
	assert_int_equal(rig_stamp(g, &done.snapshot, "b").nlink, 3);
}

static void test_folder_attributes(void **state)
{
	struct rig *g = *state;
	struct orch_digest base = rig_make(g, "d/a=1\n", NULL), incoming, mine;
	const char *dir = rig_folder(g, true);
	struct told told = {.text = ORCH_BUF_INIT};
	struct sync_applied done;
	char p[400];

	rig_fill(dir, "d/a=1\n");
	snprintf(p, sizeof(p), "%s/d", dir);
	assert_int_equal(chmod(p, 0700), 0);
	incoming = rig_import(g, dir, NULL);
	assert_int_equal(apply(g, &base, &incoming, &base, SYNC_CONFLICT_FAIL, &done, NULL), 0);
	rig_expect(g, &done.snapshot, "d!0700/\nd/a=1\n");
	assert_int_equal(chmod(p, 0750), 0);
	mine = rig_import(g, dir, NULL);
	assert_int_equal(apply(g, &base, &incoming, &mine, SYNC_CONFLICT_KEEP, &done, &told), 0);
	assert_string_equal((char *)told.text.data, "d ddd\n");
	rig_expect(g, &done.snapshot, "d!0750/\nd/a=1\n");
	orch_buf_fini(&told.text);
}

static void random_text(uint64_t *seed, struct orch_buf *out, const char *prefix, unsigned depth)
{
	for (char c = 'a'; c < 'f'; c++) {
		char name[64];
		uint64_t x = rig_random(seed) % 10;

		snprintf(name, sizeof(name), "%s%c", prefix, c);
		if (x < 3)
			orch_buf_printf(out, "%s=%c\n", name, (int)('0' + rig_random(seed) % 3));
		else if (x == 3)
			orch_buf_printf(out, "%s->%c\n", name, (int)('x' + rig_random(seed) % 2));
		else if (x < 7 && depth < 3) {
			orch_buf_printf(out, "%s/\n", name);
			snprintf(name, sizeof(name), "%s%c/", prefix, c);
			random_text(seed, out, name, depth + 1);
		}
	}
}

static struct orch_digest random_snapshot(struct rig *g, uint64_t *seed)
{
	struct orch_buf text = ORCH_BUF_INIT;
	struct orch_digest id;

	random_text(seed, &text, "", 0);
	id = rig_make(g, text.data ? (char *)text.data : "", NULL);
	orch_buf_fini(&text);
	return id;
}

static void expect_tree(
    struct rig *g, const struct orch_digest *got, const struct orch_digest *want)
{
	struct fmt_snapshot a = rig_snapshot(g, got), b = rig_snapshot(g, want);

	assert_true(orch_digest_eq(&a.root.digest, &b.root.digest));
}

/* What the store refuses (a tree and stamps that do not fit, a missing object) fails the publish. */
static void test_random_properties(void **state)
{
	struct rig *g = *state;
	const char *given = getenv("ORCH_TEST_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)orch_wall_ns();

	print_message("# seed %llu\n", (unsigned long long)seed);
	for (int i = 0; i < 40; i++) {
		struct orch_digest b = random_snapshot(g, &seed), x = random_snapshot(g, &seed);
		struct orch_digest m = random_snapshot(g, &seed);
		struct sync_applied done, back;

		assert_int_equal(apply(g, &b, &x, &b, SYNC_CONFLICT_FAIL, &done, NULL), 0);
		expect_tree(g, &done.snapshot, &x);
		assert_int_equal(
		    apply(g, &x, &b, &done.snapshot, SYNC_CONFLICT_FAIL, &back, NULL), 0);
		expect_tree(g, &back.snapshot, &b);
		assert_int_equal(apply(g, &b, &m, &m, SYNC_CONFLICT_FAIL, &done, NULL), 0);
		expect_tree(g, &done.snapshot, &m);
		assert_int_equal(apply(g, &b, &x, &m, SYNC_CONFLICT_REPLACE, &done, NULL), 0);
		/* again: everything of incoming is there */
		assert_int_equal(
		    apply(g, &b, &x, &done.snapshot, SYNC_CONFLICT_REPLACE, &back, NULL), 0);
		expect_tree(g, &back.snapshot, &done.snapshot);
		assert_int_equal(back.conflicts, 0);
		assert_int_equal(apply(g, &b, &x, &m, SYNC_CONFLICT_KEEP, &done, NULL), 0);
		/* the source twice: the second time nothing is left to do */
		assert_int_equal(apply(g, &b, &x, &m, SYNC_CONFLICT_SOURCE, &done, NULL), 0);
		assert_int_equal(
		    apply(g, &x, &x, &done.snapshot, SYNC_CONFLICT_SOURCE, &back, NULL), 0);
		expect_tree(g, &back.snapshot, &done.snapshot);
		assert_int_equal(back.reset, 0);
		/* what mine does not have by its own is all of it */
		assert_int_equal(apply(g, &m, &x, &m, SYNC_CONFLICT_SOURCE, &done, NULL), 0);
		expect_tree(g, &done.snapshot, &x);
	}
}

/* ---- against a model: files at fixed places, no types that differ ---- */

#define PLACES 15
#define VALUES 4 /* 0: absent */

static void place_name(int i, char out[16])
{
	static const char *const folders[] = {"", "A/", "B/C/"};

	snprintf(out, 16, "%s%c", folders[i / 5], 'a' + i % 5);
}

static struct orch_digest make_values(struct rig *g, const int v[PLACES])
{
	struct orch_buf text = ORCH_BUF_INIT;
	struct orch_digest id;
	char name[16];

	for (int i = 0; i < PLACES; i++) {
		place_name(i, name);
		if (v[i])
			orch_buf_printf(&text, "%s=%d\n", name, v[i]);
	}
	id = rig_make(g, text.data ? (char *)text.data : "", NULL);
	orch_buf_fini(&text);
	return id;
}

static void expect_values(struct rig *g, const struct orch_digest *id, const int v[PLACES])
{
	char *text = rig_text(g, id), *padded = NULL;
	char name[16], line[32];

	assert_true(asprintf(&padded, "\n%s", text) > 0);
	for (int i = 0; i < PLACES; i++) {
		place_name(i, name);
		snprintf(line, sizeof(line), "\n%s=%d\n", name, v[i]);
		if (v[i] && !strstr(padded, line))
			fail_msg("no %s in %s", line, text);
		snprintf(line, sizeof(line), "\n%s=", name);
		if (!v[i] && strstr(padded, line))
			fail_msg("%s in %s", line, text);
	}
	free(padded);
	free(text);
}

static void test_model(void **state)
{
	struct rig *g = *state;
	const char *given = getenv("ORCH_TEST_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)orch_wall_ns();

	print_message("# seed %llu\n", (unsigned long long)seed);
	for (int round = 0; round < 60; round++) {
		int b[PLACES], x[PLACES], m[PLACES], keep[PLACES], replace[PLACES], source[PLACES];
		struct orch_digest base, incoming, mine;
		struct sync_applied done;
		uint64_t conflicts = 0;

		for (int i = 0; i < PLACES; i++) {
			bool conflict;

			b[i] = (int)(rig_random(&seed) % VALUES);
			x[i] = rig_random(&seed) % 2 ? b[i] : (int)(rig_random(&seed) % VALUES);
			m[i] = rig_random(&seed) % 2 ? b[i] : (int)(rig_random(&seed) % VALUES);
			conflict = x[i] != b[i] && m[i] != b[i] && x[i] != m[i];
			conflicts += conflict;
			keep[i] = x[i] == b[i] || conflict ? m[i] : x[i];
			replace[i] = x[i] == b[i] ? m[i] : x[i];
			source[i] = x[i] || b[i] ? x[i] : m[i];
		}
		base = make_values(g, b);
		incoming = make_values(g, x);
		mine = make_values(g, m);
		assert_int_equal(
		    apply(g, &base, &incoming, &mine, SYNC_CONFLICT_KEEP, &done, NULL), 0);
		assert_int_equal(done.conflicts, conflicts);
		expect_values(g, &done.snapshot, keep);
		assert_int_equal(
		    apply(g, &base, &incoming, &mine, SYNC_CONFLICT_REPLACE, &done, NULL), 0);
		expect_values(g, &done.snapshot, replace);
		assert_int_equal(
		    apply(g, &base, &incoming, &mine, SYNC_CONFLICT_SOURCE, &done, NULL), 0);
		expect_values(g, &done.snapshot, source);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    rig_quick_test(test_table),
	    rig_quick_test(test_source_wins),
	    rig_quick_test(test_source_stamps),
	    rig_quick_test(test_source_folder_attributes),
	    rig_quick_test(test_stamps),
	    rig_quick_test(test_later_than_everything),
	    rig_quick_test(test_links),
	    rig_quick_test(test_folder_attributes),
	    rig_quick_test(test_random_properties),
	    rig_quick_test(test_model),
	};

	return tap_run(tests);
}
