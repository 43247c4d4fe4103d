/*
 * What a worker leaves is hostile: the input chooses trees, stamps and snapshots that name one another, or
 * nothing that is there, and raw bytes as records. Where the checks of a quarantine's pack take it, a slow
 * walk from the snapshot must find every folder whole, and stamps that belong to it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include "cache/store_priv.h"
#include "tests/lib/fuzz.h"
#include "view/packset.h"

enum { RECORDS_MAX = 48, OBJECTS = 4, DEPTH_MAX = RECORDS_MAX + 2 };

struct record {
	enum fmt_pack_kind kind;
	struct orch_digest digest;
	struct orch_buf bytes;
};

struct quarantine {
	struct record v[RECORDS_MAX];
	size_t count;
};

/* A store with nothing in it: its folders have no name any more. Made once. */
static struct cas_store *empty_store(void)
{
	static struct cas_store store;
	char path[] = "/tmp/fuzz-adopt.XXXXXX";

	if (store.packset != NULL)
		return &store;
	fuzz_must(mkdtemp(path) != NULL);
	store.packs_fd = store.objects_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fuzz_must(store.packs_fd >= 0 && rmdir(path) == 0);
	fuzz_must(view_packset_new(store.packs_fd, &store.packset, NULL) == 0);
	return &store;
}

/* ---- what the input says ---- */

/* The nth of that kind among those there are; none: a digest of nothing. */
static struct orch_digest nth(const struct quarantine *q, enum fmt_pack_kind kind, uint8_t n)
{
	struct orch_digest none;
	uint8_t k = 0;

	for (size_t i = 0; i < q->count; i++)
		if (q->v[i].kind == kind && k++ == n)
			return q->v[i].digest;
	memset(none.b, 0xee, sizeof(none.b));
	return none;
}

static struct orch_digest object(uint8_t n)
{
	struct orch_digest d;

	orch_sha256(&n, 1, &d);
	return d;
}

static struct record *record_new(struct quarantine *q, enum fmt_pack_kind kind)
{
	struct record *r = &q->v[q->count++];

	*r = (struct record){.kind = kind, .bytes = ORCH_BUF_INIT};
	return r;
}

static void choose_entry(
    struct fuzz_input *in, const struct quarantine *q, char *name, struct fmt_entry *out)
{
	uint8_t how = fuzz_u8(in), which = fuzz_u8(in);

	*out = (struct fmt_entry){.name = name,
	    .name_len = 1,
	    .type = (enum fmt_type)(1 + how % 3),
	    .mode = 0644,
	    .uid = FMT_ID_OWNER,
	    .gid = FMT_ID_OWNER,
	    .size = which % OBJECTS};
	if (out->type == FMT_REG)
		out->digest = object(which % (OBJECTS + 1));
	if (out->type == FMT_DIR)
		out->digest = nth(q, FMT_PACK_TREE, which);
	if (out->type == FMT_SYMLINK) {
		out->target = "target";
		out->target_len = out->size = 6;
	}
}

static void add_tree(struct fuzz_input *in, struct quarantine *q)
{
	struct fmt_tree_builder *b = fmt_tree_builder_new();
	struct orch_buf out = ORCH_BUF_INIT;
	uint8_t count = fuzz_u8(in) % 8;
	char name = 'a';

	fuzz_must(b != NULL);
	for (uint8_t i = 0; i < count; i++, name++) {
		struct fmt_entry e;

		choose_entry(in, q, &name, &e);
		fuzz_must(fmt_tree_builder_add(b, &e, NULL) == 0);
	}
	fuzz_must(fmt_tree_builder_end(b, &out, NULL) == 0);
	record_new(q, FMT_PACK_TREE)->bytes = out;
	fmt_tree_builder_free(b);
}

static void add_stamps(struct fuzz_input *in, struct quarantine *q)
{
	struct fmt_stamps_builder *b = fmt_stamps_builder_new();
	struct orch_buf out = ORCH_BUF_INIT;
	uint8_t count = fuzz_u8(in) % 8;

	fuzz_must(b != NULL);
	for (uint8_t i = 0; i < count; i++) {
		uint8_t how = fuzz_u8(in);
		struct fmt_stamp s = {.ino = 2u + i, .mtime_ns = how, .nlink = 1};

		if (how & 1)
			s.stamps = nth(q, FMT_PACK_STAMPS, how >> 1);
		fuzz_must(fmt_stamps_builder_add(b, &s) == 0);
	}
	fuzz_must(fmt_stamps_builder_end(b, &out) == 0);
	record_new(q, FMT_PACK_STAMPS)->bytes = out;
	fmt_stamps_builder_free(b);
}

static void add_snapshot(struct fuzz_input *in, struct quarantine *q)
{
	struct fmt_snapshot s = {.root = {.name = "",
				     .type = FMT_DIR,
				     .mode = 0755,
				     .uid = FMT_ID_OWNER,
				     .gid = FMT_ID_OWNER},
	    .next_ino = 100,
	    .source = ""};
	struct orch_buf out = ORCH_BUF_INIT;

	s.root.digest = nth(q, FMT_PACK_TREE, fuzz_u8(in));
	s.stamps = nth(q, FMT_PACK_STAMPS, fuzz_u8(in));
	fuzz_must(fmt_snapshot_format(&s, &out) == 0);
	record_new(q, FMT_PACK_SNAPSHOT)->bytes = out;
}

static void add_raw(struct fuzz_input *in, struct quarantine *q)
{
	struct record *r = record_new(q, (enum fmt_pack_kind)(1 + fuzz_u8(in) % 4));
	size_t len = fuzz_u8(in);

	if (len > in->left)
		len = in->left;
	fuzz_must(orch_buf_add(&r->bytes, in->p, len) == 0);
	in->p += len;
	in->left -= len;
}

static void choose(struct fuzz_input *in, struct quarantine *q)
{
	while (in->left > 0 && q->count < RECORDS_MAX) {
		uint8_t what = fuzz_u8(in);
		struct record *r;

		if (what < 90)
			add_tree(in, q);
		else if (what < 180)
			add_stamps(in, q);
		else if (what < 240)
			add_snapshot(in, q);
		else
			add_raw(in, q);
		r = &q->v[q->count - 1];
		orch_sha256(r->bytes.data, r->bytes.len, &r->digest);
	}
}

/* ---- the slow walk ---- */

static const struct record *find(
    const struct quarantine *q, enum fmt_pack_kind kind, const struct orch_digest *d)
{
	for (size_t i = 0; i < q->count; i++)
		if (q->v[i].kind == kind && orch_digest_eq(&q->v[i].digest, d))
			return &q->v[i];
	return NULL;
}

static void is_whole_file(const struct fmt_entry *e)
{
	bool there = false;

	for (uint8_t n = 0; n < OBJECTS; n++) {
		struct orch_digest d = object(n);

		there |= orch_digest_eq(&d, &e->digest) && e->size == n;
	}
	fuzz_must(there);
}

/* budget: a folder may be there by many ways. */
static void is_whole(const struct quarantine *q, const struct orch_digest *tree,
    const struct orch_digest *stamps, unsigned depth, unsigned *budget)
{
	const struct record *a = find(q, FMT_PACK_TREE, tree),
			    *b = find(q, FMT_PACK_STAMPS, stamps);
	struct fmt_stamps s;
	struct fmt_entry e;
	struct fmt_stamp x;
	struct fmt_tree t;

	fuzz_must(a != NULL && b != NULL && depth < DEPTH_MAX);
	fuzz_must(fmt_tree_check(a->bytes.data, a->bytes.len, NULL) == 0);
	fuzz_must(fmt_tree_open(a->bytes.data, a->bytes.len, &t, NULL) == 0);
	fuzz_must(fmt_stamps_open(b->bytes.data, b->bytes.len, &s, NULL) == 0);
	fuzz_must(t.count == s.count);
	for (uint32_t i = 0; i<t.count && * budget> 0; i++, (*budget)--) {
		fuzz_must(fmt_tree_entry(&t, i, &e, NULL) == 0);
		fuzz_must(fmt_stamps_get(&s, i, &x, NULL) == 0);
		fuzz_must((e.type == FMT_DIR) != orch_digest_is_null(&x.stamps));
		if (e.type == FMT_REG)
			is_whole_file(&e);
		if (e.type == FMT_DIR)
			is_whole(q, &e.digest, &x.stamps, depth + 1, budget);
	}
}

static void snapshot_is_whole(const struct quarantine *q, const struct orch_digest *id)
{
	const struct record *r = find(q, FMT_PACK_SNAPSHOT, id);
	unsigned budget = 2000;
	struct fmt_snapshot s;

	fuzz_must(r != NULL);
	fuzz_must(fmt_snapshot_parse(r->bytes.data, r->bytes.len, &s, NULL) == 0);
	is_whole(q, &s.root.digest, &s.stamps, 0, &budget);
}

/* ---- one input ---- */

static void write_pack(const struct quarantine *q, struct orch_buf *out)
{
	struct fmt_pack_writer *w = fmt_pack_writer_new();

	fuzz_must(w != NULL && fmt_pack_writer_begin(w, out) == 0);
	for (size_t i = 0; i < q->count; i++) {
		const struct record *r = &q->v[i];
		int rc =
		    fmt_pack_writer_add(w, r->kind, &r->digest, r->bytes.data, r->bytes.len, out);

		fuzz_must(rc == 0 || rc == -EEXIST);
	}
	fuzz_must(fmt_pack_writer_end(w, out) == 0);
	fmt_pack_writer_free(w);
}

static void write_manifest(struct orch_buf *out)
{
	struct cas_object o[OBJECTS] = {0};

	for (uint8_t n = 0; n < OBJECTS; n++) {
		o[n].digest = object(n);
		o[n].size = n;
	}
	fuzz_must(cas_manifest_format(o, OBJECTS, out) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cas_adopt a = {.s = empty_store(), .dirfd = -1, .pack_fd = INT32_MAX};
	struct orch_buf pack = ORCH_BUF_INIT, manifest = ORCH_BUF_INIT;
	struct fuzz_input in = {data, size};
	struct quarantine q = {.count = 0};
	struct orch_err err = ORCH_ERR_INIT;
	struct orch_digest id = {{0}};
	int r;

	choose(&in, &q);
	write_pack(&q, &pack);
	write_manifest(&manifest);
	fuzz_must(fmt_pack_open(pack.data, pack.len, &a.pack, NULL) == 0);
	fuzz_must(cas_manifest_open(manifest.data, manifest.len, &a.manifest, NULL) == 0);
	for (size_t i = 0; i < q.count; i++)
		if (q.v[i].kind == FMT_PACK_SNAPSHOT)
			id = q.v[i].digest;
	r = cas_adopt_check_records(&a, &id, &err);
	if (r < 0)
		fuzz_must(err.code == ORCH_ECORRUPT || err.code == ORCH_EFORMAT);
	else if (!orch_digest_is_null(&id))
		snapshot_is_whole(&q, &id);
	for (size_t i = 0; i < q.count; i++)
		orch_buf_fini(&q.v[i].bytes);
	orch_buf_fini(&pack);
	orch_buf_fini(&manifest);
	return 0;
}
