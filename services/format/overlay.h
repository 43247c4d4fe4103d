/*
 * The state that a layer's records make up, in memory: nodes by inode number, recorded entries by
 * (parent, name) and grouped by parent. The mount process keeps such states for its layers and changes
 * the top one with every operation; the commit worker builds one from sealed layers. Pure: no I/O.
 * Not thread-safe, but calls that change nothing may run in many threads at once. Pointers that are
 * returned are borrowed and live until the next change.
 */
#ifndef ORCH_FORMAT_OVERLAY_H
#define ORCH_FORMAT_OVERLAY_H

#include "format/layer.h"

struct fmt_overlay;
struct fmt_overlay *fmt_overlay_new(void) ORCH_WUR;
void fmt_overlay_free(struct fmt_overlay *o);

/* Copies what it needs; the record may point into the overlay itself (a changed copy of a node that
 * it returned). HEAD and COUNTERS raise the counters, as does a node with a higher number; the
 * others do what they say. seq: the transaction's, which becomes that of the node or link; 0: the
 * record's own `seq` counts (records that were read). -ENOMEM, and -EINVAL for a record that can't be
 * valid, leave the state as it was. */
int fmt_overlay_apply(struct fmt_overlay *o, const struct fmt_layer_record *r, uint64_t seq)
    ORCH_NONNULL(1, 2) ORCH_WUR;
/* Replays all frames of one segment. *out_end: bytes used (where appending goes on). -ENODATA: no
 * whole frame, or a checkpoint that is not whole; nothing was applied. After another error the
 * state is that of the frames before it: throw the overlay away. */
int fmt_overlay_replay(struct fmt_overlay *o, const void *p, size_t len, size_t *out_end,
    struct fmt_layer_head *out_head, bool *out_torn, struct orch_err *err)
    ORCH_NONNULL(1, 4, 5, 6) ORCH_WUR;

/* What a segment is and how it ends, without its meaning. */
struct fmt_log_end {
	struct fmt_layer_head head; /* its first record */
	size_t used;		    /* bytes of whole frames */
	uint64_t seq;		    /* of the last transaction */
	uint64_t durable; /* the highest that a frame says; UINT64_MAX: one says nothing */
	bool torn;	  /* bytes of an unfinished transaction lie behind */
	bool sealed;
	uint64_t successor; /* when sealed */
};
/* Reads all frames and records of one segment. -ENODATA: no whole frame, or a checkpoint that is not
 * whole. */
int fmt_log_scan(const void *p, size_t len, struct fmt_log_end *out, struct orch_err *err)
    ORCH_NONNULL(3) ORCH_WUR;

const struct fmt_node *fmt_overlay_node(const struct fmt_overlay *o, uint64_t ino) ORCH_NONNULL(1);
/* The recorded entry (may be a whiteout: ino 0); NULL: nothing recorded, ask the base. */
const struct fmt_link *fmt_overlay_link(const struct fmt_overlay *o, uint64_t parent,
    const char *name, size_t name_len) ORCH_NONNULL(1, 3);
/* Iterates recorded entries of a folder (whiteouts too) by position. An entry gets the next position
 * of its folder when it is first recorded and keeps it while it is recorded (also when it becomes a
 * whiteout and an entry again), so a cookie stays right while the folder changes: readdir offsets
 * are made of them. *cookie is 0 at the start; the call returns the first entry whose position is
 * >= *cookie, sets *cookie to that position + 1, and takes O(log n). NULL at the end. Positions start
 * at 0 and stay below 2^48. */
const struct fmt_link *fmt_overlay_links(
    const struct fmt_overlay *o, uint64_t parent, uint64_t *cookie) ORCH_NONNULL(1, 3);
/* The same from the end to the start: the last entry whose position is < *below, which becomes that
 * position; UINT64_MAX at the start. What is recorded meanwhile has a higher position: it never comes. */
const struct fmt_link *fmt_overlay_links_down(
    const struct fmt_overlay *o, uint64_t parent, uint64_t *below) ORCH_NONNULL(1, 3);
size_t fmt_overlay_link_count(const struct fmt_overlay *o, uint64_t parent) ORCH_NONNULL(1);
/* All nodes, any order; between the calls nothing may change. *cookie starts at 0. */
const struct fmt_node *fmt_overlay_nodes(const struct fmt_overlay *o, uint64_t *cookie)
    ORCH_NONNULL(1, 2);
size_t fmt_overlay_node_count(const struct fmt_overlay *o) ORCH_NONNULL(1);
uint64_t fmt_overlay_next_ino(const struct fmt_overlay *o) ORCH_NONNULL(1);
uint64_t fmt_overlay_next_spool(const struct fmt_overlay *o) ORCH_NONNULL(1);
uint64_t fmt_overlay_seq(const struct fmt_overlay *o) ORCH_NONNULL(1); /* highest applied */

/* The successor that the last replayed segment's SEALED record names. false: it is not sealed. */
bool fmt_overlay_sealed(const struct fmt_overlay *o, uint64_t *out_successor) ORCH_NONNULL(1, 2);
/* Bytes of memory in use, tables included. */
size_t fmt_overlay_bytes(const struct fmt_overlay *o) ORCH_NONNULL(1);

/* The whole state as transactions (a checkpoint): head with checkpoint = true first, then counters,
 * nodes and links in frames of at most ~1 MiB, CHECKPOINT_END last. emit gets whole frames. */
int fmt_overlay_dump(const struct fmt_overlay *o, const struct fmt_layer_head *head,
    int (*emit)(void *priv, const void *p, size_t n), void *priv) ORCH_NONNULL(1, 2, 3) ORCH_WUR;

#endif
