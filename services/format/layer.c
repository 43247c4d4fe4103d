/*
 * The records of a layer and the frames that hold them. Pure. docs/format.md has the bytes.
 */
#include "format/layer.h"
#include "format/format_priv.h"

#define LAYER_VERSION 1
#define FRAME_BYTES   32
/* What a search for frames behind a bad one may spend on checksums, in lengths of the rest. */
#define SEARCH_FACTOR 8

#define NODE_HAS_OWNER	    0x01u
#define NODE_HAS_RDEV	    0x02u
#define NODE_HAS_BASE_LINKS 0x04u
#define NODE_HAS_XATTRS	    0x08u
#define NODE_BITS	    0x0fu

/* ---- what a valid record is ---- */

static bool content_fits(enum fmt_type type, enum fmt_content content)
{
	switch (type) {
	case FMT_REG:
		return content == FMT_CONTENT_NONE || content == FMT_CONTENT_OBJECT ||
		       content == FMT_CONTENT_SPOOL;
	case FMT_DIR:
		return content == FMT_CONTENT_NONE || content == FMT_CONTENT_TREE;
	case FMT_SYMLINK:
		return content == FMT_CONTENT_TARGET;
	case FMT_FIFO:
	case FMT_SOCKET:
	case FMT_CHR:
	case FMT_BLK:
		return content == FMT_CONTENT_NONE;
	}
	return false;
}

static bool ino_valid(uint64_t ino)
{
	return ino != 0 && ino != UINT64_MAX;
}

bool fmt_node_valid(const struct fmt_node *n)
{
	if (!ino_valid(n->ino) || n->mode > 07777 || n->size > INT64_MAX ||
	    !content_fits(n->type, n->content))
		return false;
	if (n->content == FMT_CONTENT_TARGET &&
	    (n->target_len == 0 || n->target_len > FMT_SYMLINK_MAX || n->size != n->target_len ||
		memchr(n->target, '\0', n->target_len) != NULL))
		return false;
	return fmt_xattrs_check(n->xattrs.p, n->xattrs.len) == 0;
}

bool fmt_link_valid(const struct fmt_link *l)
{
	if (!ino_valid(l->parent) || l->ino == UINT64_MAX ||
	    !fmt_name_valid(l->name, l->name_len) || l->type > FMT_BLK)
		return false;
	return l->ino == 0 || l->type != 0;
}

static bool head_valid(const struct fmt_layer_head *h)
{
	return memchr(h->workspace, '\0', sizeof(h->workspace)) != NULL && h->next_ino != 0;
}

/* ---- writing ---- */

static void node_add(struct orch_buf *out, const struct fmt_node *n, enum fmt_layer_kind kind)
{
	uint8_t bits = 0;

	bits |= n->uid != FMT_ID_OWNER || n->gid != FMT_ID_OWNER ? NODE_HAS_OWNER : 0;
	bits |= n->rdev != 0 ? NODE_HAS_RDEV : 0;
	bits |= n->base_links != 0 ? NODE_HAS_BASE_LINKS : 0;
	bits |= n->xattrs.len != 0 ? NODE_HAS_XATTRS : 0;
	(void)orch_buf_add_u8(out, (uint8_t)kind);
	(void)orch_buf_add_u8(out, (uint8_t)n->type);
	(void)orch_buf_add_u8(out, (uint8_t)n->content);
	(void)orch_buf_add_u8(out, bits);
	(void)orch_buf_add_u16(out, n->mode);
	(void)orch_buf_add_u32(out, n->nlink);
	(void)orch_buf_add_u64(out, n->ino);
	(void)orch_buf_add_u64(out, (uint64_t)n->atime_ns);
	(void)orch_buf_add_u64(out, (uint64_t)n->mtime_ns);
	(void)orch_buf_add_u64(out, (uint64_t)n->ctime_ns);
	(void)orch_buf_add_u64(out, n->size);
	(void)orch_buf_add_u64(out, n->written_seq);
	if (kind == FMT_LAYER_NODE_AT)
		(void)orch_buf_add_u64(out, n->seq);
	if (bits & NODE_HAS_OWNER) {
		(void)orch_buf_add_u32(out, n->uid);
		(void)orch_buf_add_u32(out, n->gid);
	}
	if (bits & NODE_HAS_RDEV)
		(void)orch_buf_add_u32(out, n->rdev);
	if (bits & NODE_HAS_BASE_LINKS)
		(void)orch_buf_add_u32(out, n->base_links);
	if (bits & NODE_HAS_XATTRS) {
		(void)orch_buf_add_u32(out, (uint32_t)n->xattrs.len);
		(void)orch_buf_add(out, n->xattrs.p, n->xattrs.len);
	}
}

static void content_add(struct orch_buf *out, const struct fmt_node *n)
{
	switch (n->content) {
	case FMT_CONTENT_NONE:
		break;
	case FMT_CONTENT_OBJECT:
		(void)orch_buf_add(out, n->digest.b, ORCH_DIGEST_BYTES);
		break;
	case FMT_CONTENT_SPOOL:
		(void)orch_buf_add_u64(out, n->spool_layer);
		(void)orch_buf_add_u64(out, n->spool_id);
		break;
	case FMT_CONTENT_TREE:
		(void)orch_buf_add(out, n->digest.b, ORCH_DIGEST_BYTES);
		(void)orch_buf_add(out, n->stamps.b, ORCH_DIGEST_BYTES);
		break;
	case FMT_CONTENT_TARGET: /* size is its length */
		(void)orch_buf_add(out, n->target, n->target_len);
		break;
	}
}

static void link_add(struct orch_buf *out, const struct fmt_link *l, enum fmt_layer_kind kind)
{
	(void)orch_buf_add_u8(out, (uint8_t)kind);
	(void)orch_buf_add_u8(out, (uint8_t)l->type);
	(void)orch_buf_add_u8(out, (uint8_t)l->name_len);
	(void)orch_buf_add_u64(out, l->parent);
	(void)orch_buf_add_u64(out, l->ino);
	if (kind == FMT_LAYER_LINK_AT)
		(void)orch_buf_add_u64(out, l->seq);
	(void)orch_buf_add(out, l->name, l->name_len);
}

static void head_add(struct orch_buf *out, const struct fmt_layer_head *h)
{
	size_t name_len = strlen(h->workspace);

	(void)orch_buf_add_u8(out, FMT_LAYER_HEAD);
	(void)orch_buf_add_u16(out, LAYER_VERSION);
	(void)orch_buf_add_u8(out, h->checkpoint);
	(void)orch_buf_add_u64(out, h->layer);
	(void)orch_buf_add_u64(out, h->parent);
	(void)orch_buf_add(out, h->snapshot.b, ORCH_DIGEST_BYTES);
	(void)orch_buf_add_u64(out, h->next_ino);
	(void)orch_buf_add_u64(out, h->next_spool);
	(void)orch_buf_add_u64(out, h->seq);
	(void)orch_buf_add_u32(out, h->uid);
	(void)orch_buf_add_u32(out, h->gid);
	(void)orch_buf_add_u64(out, h->segment);
	(void)orch_buf_add_u64(out, (uint64_t)h->wall_ns);
	(void)orch_buf_add_u8(out, (uint8_t)name_len);
	(void)orch_buf_add(out, h->workspace, name_len);
}

int fmt_txn_begin(struct orch_buf *out, uint64_t seq, size_t *out_frame_at)
{
	size_t was = out->len;

	(void)orch_buf_add_u64(out, 0);
	(void)orch_buf_add_u32(out, FMT_MAGIC_TXN);
	(void)orch_buf_add_u32(out, 0);
	(void)orch_buf_add_u64(out, seq);
	(void)orch_buf_add_u64(out, 0);
	*out_frame_at = was;
	return fmt_appended(out, was);
}

void fmt_txn_durable(struct orch_buf *out, size_t frame_at, uint64_t durable)
{
	orch_buf_put_u64(out, frame_at + 24, durable);
}

int fmt_txn_add(struct orch_buf *out, const struct fmt_layer_record *r)
{
	size_t was = out->len;

	switch (r->kind) {
	case FMT_LAYER_HEAD:
		if (!head_valid(&r->head))
			return -EINVAL;
		head_add(out, &r->head);
		break;
	case FMT_LAYER_NODE:
	case FMT_LAYER_NODE_AT:
		if (!fmt_node_valid(&r->node))
			return -EINVAL;
		node_add(out, &r->node, r->kind);
		content_add(out, &r->node);
		break;
	case FMT_LAYER_LINK:
	case FMT_LAYER_LINK_AT:
		if (!fmt_link_valid(&r->link))
			return -EINVAL;
		link_add(out, &r->link, r->kind);
		break;
	case FMT_LAYER_GONE:
		(void)orch_buf_add_u8(out, FMT_LAYER_GONE);
		(void)orch_buf_add_u64(out, r->ino);
		break;
	case FMT_LAYER_COUNTERS:
		(void)orch_buf_add_u8(out, FMT_LAYER_COUNTERS);
		(void)orch_buf_add_u64(out, r->counters.next_ino);
		(void)orch_buf_add_u64(out, r->counters.next_spool);
		break;
	case FMT_LAYER_SEALED:
		(void)orch_buf_add_u8(out, FMT_LAYER_SEALED);
		(void)orch_buf_add_u64(out, r->successor);
		break;
	case FMT_LAYER_CHECKPOINT_END:
		(void)orch_buf_add_u8(out, FMT_LAYER_CHECKPOINT_END);
		break;
	default:
		return -EINVAL;
	}
	return fmt_appended(out, was);
}

int fmt_txn_end(struct orch_buf *out, size_t frame_at)
{
	size_t payload;

	if (fmt_appended(out, frame_at) < 0)
		return -ENOMEM;
	ORCH_BUG_ON(out->len < frame_at + FRAME_BYTES);
	payload = out->len - frame_at - FRAME_BYTES;
	if (payload > FMT_TXN_MAX) {
		out->len = frame_at;
		return -EFBIG;
	}
	(void)orch_buf_add_zeros(out, -payload & 7);
	if (fmt_appended(out, frame_at) < 0)
		return -ENOMEM;
	orch_buf_put_u32(out, frame_at + 12, (uint32_t)payload);
	orch_buf_put_u64(
	    out, frame_at, orch_xxh64(out->data + frame_at + 8, out->len - frame_at - 8, 0));
	return 0;
}

int fmt_layer_head_frame(const struct fmt_layer_head *head, struct orch_buf *out)
{
	struct fmt_layer_record r = {.kind = FMT_LAYER_HEAD, .head = *head};
	size_t at;
	int rc = fmt_txn_begin(out, head->seq, &at);

	if (rc < 0)
		return rc;
	rc = fmt_txn_add(out, &r);
	if (rc == -EINVAL) {
		out->len = at;
		return rc;
	}
	fmt_txn_durable(out, at, head->durable);
	return fmt_txn_end(out, at);
}

/* ---- frames, read ---- */

struct frame {
	uint64_t seq, durable;
	size_t payload, total;
};

/* Whether a header that could begin a frame lies at `at`; out->total fits the bytes. */
static bool frame_shape(const uint8_t *p, size_t len, size_t at, struct frame *out)
{
	uint32_t payload;

	if (len - at < FRAME_BYTES || orch_le32(p + at + 8) != FMT_MAGIC_TXN)
		return false;
	payload = orch_le32(p + at + 12);
	out->payload = payload;
	out->total = FRAME_BYTES + (((size_t)payload + 7) & ~(size_t)7);
	out->seq = orch_le64(p + at + 16);
	out->durable = orch_le64(p + at + 24);
	return payload <= FMT_TXN_MAX && out->total <= len - at;
}

static bool frame_sum_right(const uint8_t *p, size_t at, const struct frame *f)
{
	return orch_le64(p + at) == orch_xxh64(p + at + 8, f->total - 8, 0);
}

enum behind { BEHIND_NOTHING, BEHIND_UNSYNCED, BEHIND_DAMAGE };

/* What lies behind a bad frame: valid ones with numbers that would have come after it? */
static enum behind look_behind(const uint8_t *p, size_t len, size_t at, uint64_t last_seq)
{
	enum behind found = BEHIND_NOTHING;
	uint64_t budget = (uint64_t)(len - at) * SEARCH_FACTOR + 4096;
	struct frame f;

	for (at += 8; at < len && len - at >= FRAME_BYTES; at += 8) {
		if (!frame_shape(p, len, at, &f) || f.seq < last_seq)
			continue;
		if (f.total > budget)
			return BEHIND_DAMAGE; /* bytes made to be slow: nobody's log */
		budget -= f.total;
		if (!frame_sum_right(p, at, &f))
			continue;
		if (f.durable == 0 || f.durable > last_seq)
			return BEHIND_DAMAGE;
		found = BEHIND_UNSYNCED;
		at += f.total - 8;
	}
	return found;
}

int fmt_txn_next(const void *p, size_t len, size_t *pos, uint64_t last_seq, struct fmt_txn *out,
    bool *out_torn, struct orch_err *err)
{
	const uint8_t *b = p;
	struct frame f;
	size_t left;

	ORCH_BUG_ON(*pos > len || *pos % 8 != 0);
	*out_torn = false;
	left = len - *pos;
	if (left == 0)
		return 0;
	if (frame_shape(b, len, *pos, &f) && f.seq >= last_seq && frame_sum_right(b, *pos, &f)) {
		out->seq = f.seq;
		out->durable = f.durable;
		out->records = orch_cursor_make(b + *pos + FRAME_BYTES, f.payload);
		*pos += f.total;
		return 1;
	}
	switch (look_behind(b, len, *pos, last_seq)) {
	case BEHIND_DAMAGE:
		return orch_err_set(err, ORCH_ECORRUPT,
		    "corrupt log: bad frame at byte %zu, behind transaction %llu", *pos,
		    (unsigned long long)last_seq);
	case BEHIND_UNSYNCED:
		*out_torn = true;
		break;
	case BEHIND_NOTHING:
		*out_torn = !fmt_all_zero(b + *pos, left < FRAME_BYTES ? left : FRAME_BYTES);
		break;
	}
	return 0;
}

/* ---- records, read ---- */

static void digest_read(struct orch_cursor *c, struct orch_digest *out)
{
	const uint8_t *p = orch_cursor_bytes(c, ORCH_DIGEST_BYTES);

	if (p != NULL)
		memcpy(out->b, p, ORCH_DIGEST_BYTES);
}

static void content_read(struct orch_cursor *c, struct fmt_node *n)
{
	switch (n->content) {
	case FMT_CONTENT_NONE:
		break;
	case FMT_CONTENT_OBJECT:
		digest_read(c, &n->digest);
		break;
	case FMT_CONTENT_SPOOL:
		n->spool_layer = orch_cursor_u64(c);
		n->spool_id = orch_cursor_u64(c);
		break;
	case FMT_CONTENT_TREE:
		digest_read(c, &n->digest);
		digest_read(c, &n->stamps);
		break;
	case FMT_CONTENT_TARGET:
		n->target_len = n->size <= FMT_SYMLINK_MAX ? (size_t)n->size : 0;
		n->target = (const char *)orch_cursor_bytes(c, n->target_len);
		break;
	}
}

static bool node_read(struct orch_cursor *c, bool at, uint64_t seq, struct fmt_node *out)
{
	struct fmt_node n = {.uid = FMT_ID_OWNER, .gid = FMT_ID_OWNER};
	uint8_t bits;

	n.type = orch_cursor_u8(c);
	n.content = orch_cursor_u8(c);
	bits = orch_cursor_u8(c);
	n.mode = orch_cursor_u16(c);
	n.nlink = orch_cursor_u32(c);
	n.ino = orch_cursor_u64(c);
	n.atime_ns = (int64_t)orch_cursor_u64(c);
	n.mtime_ns = (int64_t)orch_cursor_u64(c);
	n.ctime_ns = (int64_t)orch_cursor_u64(c);
	n.size = orch_cursor_u64(c);
	n.written_seq = orch_cursor_u64(c);
	n.seq = at ? orch_cursor_u64(c) : seq;
	if (bits & NODE_HAS_OWNER) {
		n.uid = orch_cursor_u32(c);
		n.gid = orch_cursor_u32(c);
	}
	if (bits & NODE_HAS_RDEV)
		n.rdev = orch_cursor_u32(c);
	if (bits & NODE_HAS_BASE_LINKS)
		n.base_links = orch_cursor_u32(c);
	if (bits & NODE_HAS_XATTRS) {
		n.xattrs.len = orch_cursor_u32(c);
		n.xattrs.p = orch_cursor_bytes(c, n.xattrs.len);
	}
	if (c->failed || (bits & ~NODE_BITS) != 0 || !content_fits(n.type, n.content))
		return false;
	content_read(c, &n);
	*out = n;
	return !c->failed && fmt_node_valid(out);
}

static bool link_read(struct orch_cursor *c, bool at, uint64_t seq, struct fmt_link *out)
{
	struct fmt_link l = {0};

	l.type = orch_cursor_u8(c);
	l.name_len = orch_cursor_u8(c);
	l.parent = orch_cursor_u64(c);
	l.ino = orch_cursor_u64(c);
	l.seq = at ? orch_cursor_u64(c) : seq;
	l.name = (const char *)orch_cursor_bytes(c, l.name_len);
	*out = l;
	return !c->failed && fmt_link_valid(out);
}

static bool head_read(struct orch_cursor *c, struct fmt_layer_head *out)
{
	struct fmt_layer_head h = {0};
	const uint8_t *name;
	uint8_t checkpoint, name_len;

	checkpoint = orch_cursor_u8(c);
	h.layer = orch_cursor_u64(c);
	h.parent = orch_cursor_u64(c);
	digest_read(c, &h.snapshot);
	h.next_ino = orch_cursor_u64(c);
	h.next_spool = orch_cursor_u64(c);
	h.seq = orch_cursor_u64(c);
	h.uid = orch_cursor_u32(c);
	h.gid = orch_cursor_u32(c);
	h.segment = orch_cursor_u64(c);
	h.wall_ns = (int64_t)orch_cursor_u64(c);
	name_len = orch_cursor_u8(c);
	name = orch_cursor_bytes(c, name_len);
	if (c->failed || checkpoint > 1 || name_len >= sizeof(h.workspace) ||
	    memchr(name, '\0', name_len) != NULL)
		return false;
	memcpy(h.workspace, name, name_len);
	h.checkpoint = checkpoint;
	*out = h;
	return head_valid(out);
}

/* The body of a record of that kind; false when it is not one. */
static bool record_read(struct fmt_txn *t, uint8_t kind, struct fmt_layer_record *out)
{
	struct orch_cursor *c = &t->records;

	out->kind = kind;
	switch (kind) {
	case FMT_LAYER_HEAD:
		return head_read(c, &out->head);
	case FMT_LAYER_NODE:
	case FMT_LAYER_NODE_AT:
		out->kind = FMT_LAYER_NODE;
		return node_read(c, kind == FMT_LAYER_NODE_AT, t->seq, &out->node);
	case FMT_LAYER_LINK:
	case FMT_LAYER_LINK_AT:
		out->kind = FMT_LAYER_LINK;
		return link_read(c, kind == FMT_LAYER_LINK_AT, t->seq, &out->link);
	case FMT_LAYER_GONE:
		out->ino = orch_cursor_u64(c);
		break;
	case FMT_LAYER_COUNTERS:
		out->counters.next_ino = orch_cursor_u64(c);
		out->counters.next_spool = orch_cursor_u64(c);
		break;
	case FMT_LAYER_SEALED:
		out->successor = orch_cursor_u64(c);
		break;
	case FMT_LAYER_CHECKPOINT_END:
		break;
	default:
		return false;
	}
	return !c->failed;
}

int fmt_txn_record(struct fmt_txn *t, struct fmt_layer_record *out, struct orch_err *err)
{
	struct fmt_layer_record r;
	uint16_t version;
	uint8_t kind;

	if (t->records.failed)
		return fmt_corrupt(err, "log record", "it is cut");
	if (orch_cursor_left(&t->records) == 0)
		return 0;
	kind = orch_cursor_u8(&t->records);
	if (kind == 0 || kind > FMT_LAYER_LINK_AT)
		return orch_err_set(err, ORCH_EFORMAT, "log record of unknown kind %u", kind);
	if (kind == FMT_LAYER_HEAD) {
		version = orch_cursor_u16(&t->records);
		if (!t->records.failed && version != LAYER_VERSION)
			return orch_err_set(err, ORCH_EFORMAT,
			    "layer has format version %u, this program knows %u", version,
			    LAYER_VERSION);
	}
	if (!record_read(t, kind, &r)) {
		t->records.failed = true;
		return orch_err_set(err, ORCH_ECORRUPT,
		    "corrupt log: record of kind %u in transaction %llu", kind,
		    (unsigned long long)t->seq);
	}
	*out = r;
	return 1;
}
