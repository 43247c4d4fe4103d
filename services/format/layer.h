/*
 * The records of a layer: the changes of one workspace on top of its base snapshot. A layer is a
 * sequence of transactions, each framed, numbered and checksummed; a transaction is a list of
 * *state* records (the whole new state of a node, of a directory entry), so the last one wins,
 * replay is idempotent, and a checkpoint is nothing but the final state written again.
 * Pure. overlay.h is the state that such records make up.
 *
 * Nodes are named by inode number, which base snapshots hold too (stamps). Invariant kept by the
 * writer: when a node is recorded and linked, its entry and the entries and nodes of all its
 * ancestors are recorded as well, so the recorded entries form a tree that hangs from the root;
 * what is not recorded is exactly the base. (The other names of a hard-linked base file are the
 * one exception: fmt_node.base_links tells that there may be some.)
 */
#ifndef ORCH_FORMAT_LAYER_H
#define ORCH_FORMAT_LAYER_H

#include "format/entry.h"

enum __attribute__((packed)) fmt_content { /* on disk: where a node's bytes (or children) are */
	FMT_CONTENT_NONE = 0,		   /* empty file, fresh folder, special file */
	FMT_CONTENT_OBJECT = 1,		   /* base object: digest, size */
	FMT_CONTENT_SPOOL = 2, /* private file: layers/<layer>/spool/<id>; size and mtime are its */
	FMT_CONTENT_TREE = 3,  /* folder: base tree and stamps below recorded entries */
	FMT_CONTENT_TARGET = 4, /* symlink target */
};

/* A folder's content is NONE or TREE, a file's NONE, OBJECT or SPOOL, a symlink's TARGET, that of
 * others NONE. Only the fields that `content` names mean anything: in a node that an overlay returns
 * the others (from spool_layer on) hold arbitrary bytes, so read none of them without a look at
 * `content`. A copy of the whole struct is fine. */
struct fmt_node {
	uint64_t ino;
	enum fmt_type type;
	enum fmt_content content;
	uint16_t mode;	     /* 07777 */
	uint32_t uid, gid;   /* FMT_ID_OWNER possible */
	uint32_t nlink;	     /* files; 0: unlinked, kept only while open */
	uint32_t base_links; /* links of this number in the base snapshot (0: made in a layer) */
	uint32_t rdev;	     /* as makedev() gives for numbers that Linux has */
	int64_t atime_ns, mtime_ns, ctime_ns;
	uint64_t size;	      /* OBJECT: bytes; TARGET: length; SPOOL: size when last recorded */
	uint64_t seq;	      /* change sequence: the transaction that recorded it last */
	uint64_t written_seq; /* the last transaction that opened it for writing or truncated it */
	struct fmt_xattrs xattrs;	/* borrowed */
	uint64_t spool_layer, spool_id; /* SPOOL */
	const char *target;		/* TARGET; borrowed, not NUL-terminated */
	size_t target_len;
	struct orch_digest digest; /* OBJECT: object; TREE: tree */
	struct orch_digest stamps; /* TREE */
};

struct fmt_link { /* one recorded directory entry */
	uint64_t parent;
	const char *name; /* borrowed, not NUL-terminated */
	uint64_t ino;	  /* 0: whiteout (what is below this layer has that name, and it is gone) */
	uint64_t seq;
	uint16_t name_len;
	enum fmt_type
	    type; /* 0 (with ino 0): nothing is recorded any more, the name was never below */
};

/* First transaction of every segment: what the layer is. All that a mount process needs. */
struct fmt_layer_head {
	uint64_t layer;		     /* this layer's id, unique in the store */
	uint64_t parent;	     /* the sealed layer below; 0: the base snapshot */
	char workspace[104];	     /* its name when created, NUL-terminated */
	struct orch_digest snapshot; /* base of the whole chain */
	uint64_t next_ino;	     /* counters as of this record */
	uint64_t next_spool;
	uint64_t seq;
	uint32_t uid, gid; /* the workspace's owner */
	uint64_t segment;  /* number of the segment file, from 1; later ones supersede earlier */
	bool checkpoint;   /* this segment begins with the layer's whole state */
	int64_t wall_ns;
	uint64_t
	    durable; /* what its frame says (fmt_txn_durable); 0: nothing. No part of the record */
};

enum fmt_layer_kind { /* on disk */
	FMT_LAYER_HEAD = 1,
	FMT_LAYER_NODE = 2,
	FMT_LAYER_LINK = 3,
	FMT_LAYER_GONE = 4, /* u64 ino: forgotten entirely (no links, no openers), and the entries
	                          recorded below it when it was a folder */
	FMT_LAYER_COUNTERS = 5, /* next_ino, next_spool */
	FMT_LAYER_SEALED = 6,	/* last record: the layer is immutable from here; u64 successor */
	FMT_LAYER_CHECKPOINT_END = 7,
	FMT_LAYER_NODE_AT =
	    8, /* as NODE and LINK, with the seq of the value itself: in checkpoints. Read */
	FMT_LAYER_LINK_AT = 9, /* they are NODE and LINK */
};

struct fmt_layer_record {
	enum fmt_layer_kind kind;
	union {
		struct fmt_layer_head head;
		struct fmt_node node;
		struct fmt_link link;
		uint64_t ino;
		struct {
			uint64_t next_ino, next_spool;
		} counters;
		uint64_t successor;
	};
};

/* Whether a reader would take it. */
bool fmt_node_valid(const struct fmt_node *n) ORCH_NONNULL(1);
bool fmt_link_valid(const struct fmt_link *l) ORCH_NONNULL(1);

/* Writing: _begin reserves the frame, add records, _end fills in length and checksum; out then
 * holds whole frames, each a multiple of 8 bytes. The `seq` fields of nodes and links are not
 * written (but for NODE_AT and LINK_AT): the transaction's number is theirs. _add: -EINVAL when the record is not valid. After a
 * failed _add out holds what it held before it, after a failed _end nothing of the frame; -EFBIG: more
 * than FMT_TXN_MAX. */
int fmt_txn_begin(struct orch_buf *out, uint64_t seq, size_t *out_frame_at)
    ORCH_NONNULL(1, 3) ORCH_WUR;
int fmt_txn_add(struct orch_buf *out, const struct fmt_layer_record *r) ORCH_NONNULL(1, 2) ORCH_WUR;
int fmt_txn_end(struct orch_buf *out, size_t frame_at) ORCH_NONNULL(1) ORCH_WUR;
/* Between _begin and _end: this frame says that the frame numbered `durable` and all before it had
 * been made durable (fdatasync of the log returned) when it was written. After a power cut the pages
 * of an unsynced tail may be on the disk in any order: with this a reader tells a tail that was
 * never durable (torn) from damage to what was (ORCH_ECORRUPT). A log that never says it is read
 * strictly: a hole before a valid frame is damage. 0 (the default): not said. */
void fmt_txn_durable(struct orch_buf *out, size_t frame_at, uint64_t durable) ORCH_NONNULL(1);
#define FMT_TXN_MAX (UINT32_C(64) << 20)
/* Behind the number of a layer in layers/ while a mount process makes it; with a shared lock (flock)
 * on layers/, so who has the exclusive one may remove what has this name. */
#define FMT_LAYER_UNFINISHED ".new"
/* Bytes that a layer which nobody has mounted keeps for removals on a full disk: behind the last frame of its
 * log, or in the file "spare". */
#define FMT_LAYER_ROOM ((size_t)64 << 10)

/* The whole first frame of a segment: one transaction with one HEAD record (seq = head->seq).
 * What the keeper writes into layers/<id>/log.1 when it makes a layer. */
int fmt_layer_head_frame(const struct fmt_layer_head *head, struct orch_buf *out)
    ORCH_NONNULL(1, 2) ORCH_WUR;

/* Reading: the next frame at *pos (8-aligned; p is the begin of a segment). 1: *out is a whole
 * transaction and *pos is behind it. 0: the log ends here: zeros, the end of the bytes, or a torn
 * tail (*out_torn). A bad frame is damage (ORCH_ECORRUPT) when a valid one with such a number follows
 * in the bytes and does not say (fmt_txn_durable) that the bad one may be missing; else a torn tail.
 * Sequence numbers never fall: seq >= last_seq. Before anything is appended behind a torn tail the
 * rest of the segment must be zeroed, or what lies there might be taken for its continuation. */
struct fmt_txn {
	uint64_t seq;
	uint64_t durable; /* as fmt_txn_durable said; 0: nothing */
	struct orch_cursor records;
};
int fmt_txn_next(const void *p, size_t len, size_t *pos, uint64_t last_seq, struct fmt_txn *out,
    bool *out_torn, struct orch_err *err) ORCH_NONNULL(3, 5, 6) ORCH_WUR;
/* 1: *out is the next record (borrowed pointers); 0: end of the transaction. */
int fmt_txn_record(struct fmt_txn *t, struct fmt_layer_record *out, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;

#endif
