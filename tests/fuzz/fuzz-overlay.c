/*
 * The state of a layer: the input chooses records, which are applied, written to a log and replayed, and
 * written as a checkpoint and replayed; each result must be what a slow model says.
 */
#include "format/overlay.h"
#include "tests/lib/fuzz.h"

enum { INOS = 8, NAMES = 40, NAME_BYTES = 255 };

struct model_link {
	bool there;
	uint64_t ino, seq, position;
	enum fmt_type type;
};

struct model {
	struct fmt_node nodes[INOS]; /* ino 0: not there */
	struct model_link links[INOS][NAMES];
	uint64_t positions[INOS]; /* the next one of a folder */
	uint64_t next_ino, next_spool, seq, successor;
	bool sealed;
};

static const uint8_t some_xattrs[] = "\1\0\6user.a\2\0\0\0vv";
static char names[NAMES][NAME_BYTES + 1]; /* the same for every input */
static char target[FMT_SYMLINK_MAX];

/* Short ones, and some of all lengths: entries of different sizes lie in different places. */
static void make_names(void)
{
	for (int i = 0; i < NAMES; i++) {
		size_t len = i < 30 ? 3 : (size_t)(i - 29) * 23;

		memset(names[i], 'n', len);
		names[i][0] = (char)('0' + i / 10);
		names[i][1] = (char)('0' + i % 10);
	}
	memset(target, 't', sizeof(target));
}

/* ---- what the input says ---- */

static void choose_node(struct fuzz_input *in, struct fmt_node *out)
{
	uint8_t how = fuzz_u8(in), more = fuzz_u8(in);

	*out = (struct fmt_node){
	    .ino = fuzz_u8(in) % INOS,
	    .type = (enum fmt_type)(how % 9),
	    .content = (enum fmt_content)(how / 9 % 5),
	    .mode = (uint16_t)(more * 20),
	    .uid = more & 1 ? more : FMT_ID_OWNER,
	    .gid = more & 2 ? more : FMT_ID_OWNER,
	    .nlink = more & 7,
	    .base_links = more >> 6,
	    .rdev = how & 0x80 ? more : 0,
	    .mtime_ns = (int64_t)more * -1000000007,
	    .written_seq = more,
	    .target = target,
	    .target_len = (size_t)more * 17,
	    .spool_layer = more & 3,
	    .spool_id = more & 4 ? UINT64_MAX - 1 + (more >> 7) : more,
	};
	out->size = out->content == FMT_CONTENT_TARGET ? out->target_len : more;
	if (more & 8)
		out->xattrs = (struct fmt_xattrs){some_xattrs, sizeof(some_xattrs) - 1};
	memset(out->digest.b, more, sizeof(out->digest.b));
	memset(out->stamps.b, how, sizeof(out->stamps.b));
}

static void choose_link(struct fuzz_input *in, struct fmt_link *out)
{
	const char *name = names[fuzz_u8(in) % NAMES];
	uint8_t how = fuzz_u8(in);

	*out = (struct fmt_link){.parent = how % INOS,
	    .name = name,
	    .name_len = (uint16_t)strlen(name),
	    .ino = fuzz_u8(in) % INOS,
	    .type = (enum fmt_type)(how / INOS % 9)};
}

static void choose(struct fuzz_input *in, struct fmt_layer_record *out)
{
	uint8_t kind = fuzz_u8(in);

	*out = (struct fmt_layer_record){.kind = FMT_LAYER_LINK};
	if (kind < 90) {
		choose_link(in, &out->link);
	} else if (kind < 180) {
		out->kind = FMT_LAYER_NODE;
		choose_node(in, &out->node);
	} else if (kind < 230) {
		out->kind = FMT_LAYER_GONE;
		out->ino = 1 + fuzz_u8(in) % (INOS - 1);
	} else if (kind < 250) {
		out->kind = FMT_LAYER_COUNTERS;
		out->counters.next_ino = fuzz_u8(in);
		out->counters.next_spool = fuzz_u8(in);
	} else {
		out->kind = FMT_LAYER_SEALED;
		out->successor = fuzz_u8(in);
	}
}

/* ---- the model ---- */

static void raise_to(uint64_t *counter, uint64_t v)
{
	if (v > *counter)
		*counter = v;
}

static void model_node(struct model *m, const struct fmt_node *n, uint64_t seq)
{
	m->nodes[n->ino] = *n;
	m->nodes[n->ino].seq = seq;
	raise_to(&m->next_ino, n->ino + 1);
	if (n->content == FMT_CONTENT_SPOOL && n->spool_id != UINT64_MAX)
		raise_to(&m->next_spool, n->spool_id + 1);
}

static void model_link(struct model *m, const struct fmt_link *l, uint64_t seq)
{
	struct model_link *v = m->links[l->parent];

	while (strcmp(names[v - m->links[l->parent]], l->name) != 0)
		v++;
	if (l->type == 0) {
		v->there = false;
		return;
	}
	if (!v->there)
		v->position = m->positions[l->parent]++;
	*v = (struct model_link){true, l->ino, seq, v->position, l->type};
}

static void model_apply(struct model *m, const struct fmt_layer_record *r, uint64_t seq)
{
	if (r->kind == FMT_LAYER_NODE) {
		model_node(m, &r->node, seq);
	} else if (r->kind == FMT_LAYER_LINK) {
		model_link(m, &r->link, seq);
	} else if (r->kind == FMT_LAYER_GONE) {
		m->nodes[r->ino].ino = 0;
		memset(m->links[r->ino], 0, sizeof(m->links[r->ino]));
		m->positions[r->ino] = 0;
	} else if (r->kind == FMT_LAYER_COUNTERS) {
		raise_to(&m->next_ino, r->counters.next_ino);
		raise_to(&m->next_spool, r->counters.next_spool);
	} else {
		m->sealed = true;
		m->successor = r->successor;
	}
	raise_to(&m->seq, seq);
}

/* ---- comparing ---- */

static void same_node(const struct fmt_node *a, const struct fmt_node *b)
{
	fuzz_must(a->ino == b->ino && a->type == b->type && a->content == b->content);
	fuzz_must(a->mode == b->mode && a->uid == b->uid && a->gid == b->gid);
	fuzz_must(a->nlink == b->nlink && a->base_links == b->base_links && a->rdev == b->rdev);
	fuzz_must(a->atime_ns == b->atime_ns && a->mtime_ns == b->mtime_ns);
	fuzz_must(a->ctime_ns == b->ctime_ns && a->size == b->size && a->seq == b->seq);
	fuzz_must(a->written_seq == b->written_seq && a->xattrs.len == b->xattrs.len);
	fuzz_must(a->xattrs.len == 0 || memcmp(a->xattrs.p, b->xattrs.p, a->xattrs.len) == 0);
	if (a->content == FMT_CONTENT_OBJECT || a->content == FMT_CONTENT_TREE)
		fuzz_must(orch_digest_eq(&a->digest, &b->digest));
	if (a->content == FMT_CONTENT_TREE)
		fuzz_must(orch_digest_eq(&a->stamps, &b->stamps));
	if (a->content == FMT_CONTENT_SPOOL)
		fuzz_must(a->spool_layer == b->spool_layer && a->spool_id == b->spool_id);
	if (a->content == FMT_CONTENT_TARGET)
		fuzz_must(a->target_len == b->target_len &&
			  memcmp(a->target, b->target, a->target_len) == 0);
}

static void same_nodes(const struct fmt_overlay *o, const struct model *m)
{
	size_t count = 0, seen = 0;
	const struct fmt_node *n;
	uint64_t cookie = 0;

	for (uint64_t ino = 1; ino < INOS; ino++) {
		n = fmt_overlay_node(o, ino);
		fuzz_must((n != NULL) == (m->nodes[ino].ino != 0));
		if (n != NULL)
			same_node(n, &m->nodes[ino]);
		count += n != NULL;
	}
	while ((n = fmt_overlay_nodes(o, &cookie)) != NULL)
		seen++;
	fuzz_must(seen == count && fmt_overlay_node_count(o) == count);
}

static void same_link(
    const struct fmt_link *l, uint64_t parent, const char *name, const struct model_link *v)
{
	fuzz_must(l->parent == parent && l->ino == v->ino && l->type == v->type);
	fuzz_must(l->seq == v->seq && l->name_len == strlen(name));
	fuzz_must(memcmp(l->name, name, l->name_len) == 0);
}

/* The entry of that folder with the least position from `from` on; NAMES: none. */
static int next_of(const struct model_link *links, uint64_t from)
{
	int best = NAMES;

	for (int i = 0; i < NAMES; i++)
		if (links[i].there && links[i].position >= from &&
		    (best == NAMES || links[i].position < links[best].position))
			best = i;
	return best;
}

/* From the end: each of them again, in the other order. */
static void same_downwards(const struct fmt_overlay *o, uint64_t parent, size_t count)
{
	uint64_t below = UINT64_MAX, up;
	const struct fmt_link *l;

	while ((l = fmt_overlay_links_down(o, parent, &below)) != NULL) {
		up = below;
		fuzz_must(fmt_overlay_links(o, parent, &up) == l);
		fuzz_must(up == below + 1);
		fuzz_must(count-- > 0);
	}
	fuzz_must(count == 0);
}

/* positions: whether they are those of the model; of a replayed checkpoint only their order is. */
static void same_folder(
    const struct fmt_overlay *o, const struct model *m, uint64_t parent, bool positions)
{
	uint64_t cookie = 0, from = 0;
	size_t count = 0;
	int i;

	while ((i = next_of(m->links[parent], from)) < NAMES) {
		const struct fmt_link *l = fmt_overlay_links(o, parent, &cookie);

		fuzz_must(l != NULL);
		same_link(l, parent, names[i], &m->links[parent][i]);
		from = m->links[parent][i].position + 1;
		fuzz_must(!positions || cookie == from);
		count++;
	}
	fuzz_must(fmt_overlay_links(o, parent, &cookie) == NULL);
	fuzz_must(fmt_overlay_link_count(o, parent) == count);
	same_downwards(o, parent, count);
	for (i = 0; i < NAMES; i++) {
		const struct fmt_link *l = fmt_overlay_link(o, parent, names[i], strlen(names[i]));

		fuzz_must((l != NULL) == m->links[parent][i].there);
		if (l != NULL)
			same_link(l, parent, names[i], &m->links[parent][i]);
	}
}

static void same(const struct fmt_overlay *o, const struct model *m, bool positions)
{
	uint64_t successor = 0;

	same_nodes(o, m);
	for (uint64_t parent = 1; parent < INOS; parent++)
		same_folder(o, m, parent, positions);
	fuzz_must(fmt_overlay_next_ino(o) == m->next_ino);
	fuzz_must(fmt_overlay_next_spool(o) == m->next_spool);
	fuzz_must(fmt_overlay_seq(o) == m->seq);
	fuzz_must(!positions || fmt_overlay_sealed(o, &successor) == m->sealed);
	fuzz_must(successor == (positions ? m->successor : 0));
}

/* ---- one input ---- */

static bool is_valid(const struct fmt_layer_record *r)
{
	if (r->kind == FMT_LAYER_NODE)
		return fmt_node_valid(&r->node);
	return r->kind != FMT_LAYER_LINK || fmt_link_valid(&r->link);
}

static void log_record(
    struct orch_buf *log, const struct fmt_layer_record *r, uint64_t seq, bool valid)
{
	size_t at, was = log->len;

	fuzz_must(fmt_txn_begin(log, seq, &at) == 0);
	fuzz_must((fmt_txn_add(log, r) == 0) == valid);
	if (valid)
		fuzz_must(fmt_txn_end(log, at) == 0);
	else
		log->len = was;
}

static int keep(void *priv, const void *p, size_t n)
{
	return orch_buf_add(priv, p, n);
}

static void replayed(const struct orch_buf *log, const struct model *m, bool positions)
{
	struct fmt_overlay *o = fmt_overlay_new();
	struct fmt_layer_head head;
	size_t end = 0;
	bool torn = true;

	fuzz_must(o != NULL);
	fuzz_must(fmt_overlay_replay(o, log->data, log->len, &end, &head, &torn, NULL) == 0);
	fuzz_must(end == log->len && !torn && head.layer == 1);
	same(o, m, positions);
	fmt_overlay_free(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fmt_layer_head head = {.layer = 1, .workspace = "w", .next_ino = 2, .seq = 1};
	struct fmt_layer_record r = {.kind = FMT_LAYER_HEAD, .head = head};
	struct model m = {.next_ino = 2, .seq = 1};
	struct orch_buf log = ORCH_BUF_INIT, dump = ORCH_BUF_INIT;
	struct fmt_overlay *o = fmt_overlay_new();
	struct fuzz_input in = {data, size};

	if (names[0][0] == '\0')
		make_names();
	fuzz_must(o != NULL && fmt_layer_head_frame(&head, &log) == 0);
	fuzz_must(fmt_overlay_apply(o, &r, 1) == 0);
	for (uint64_t seq = 2; in.left > 0 && !m.sealed; seq++) {
		bool valid;

		choose(&in, &r);
		valid = is_valid(&r);
		log_record(&log, &r, seq, valid);
		fuzz_must((fmt_overlay_apply(o, &r, seq) == 0) == valid);
		if (valid)
			model_apply(&m, &r, seq);
	}
	same(o, &m, true);
	replayed(&log, &m, true);
	head.seq = m.seq;
	fuzz_must(fmt_overlay_dump(o, &head, keep, &dump) == 0);
	replayed(&dump, &m, false);
	orch_buf_fini(&log);
	orch_buf_fini(&dump);
	fmt_overlay_free(o);
	return 0;
}
