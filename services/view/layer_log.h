/*
 * Reading a layer's log back: which segments count (a checkpoint supersedes those before it), in
 * which order, and what they end with. The one reader of logs: mounts, commits, the keeper and
 * verify see the same. Acts on files and changes none; the meaning of frames is format's.
 */
#ifndef ORCH_VIEW_LAYER_LOG_H
#define ORCH_VIEW_LAYER_LOG_H

#include "format/overlay.h"

struct view_log {
	struct fmt_layer_head head; /* of the last segment that counts */
	uint64_t first;		    /* number of the first segment that counts */
	uint64_t segment;	    /* of the last one */
	size_t used;		    /* bytes used in it */
	uint64_t total;		    /* bytes of all segments that count */
	uint64_t seq;		    /* the last transaction */
	bool torn;		    /* an unfinished transaction was cut off */
	bool sealed;
	uint64_t successor; /* when sealed */
	/* Segments from this number on hold nothing that counts: the last one was just being made, or
	 * a power cut took what lay before them. Who goes on with the log removes them first, durably.
	 * 0: there are none. */
	uint64_t drop_from;
};

/* Applies the log in folder dirfd to o (NULL: it is only read and checked). ORCH_ECORRUPT and
 * ORCH_EFORMAT name the segment. With o NULL it may be one that is being written: a reading that
 * was overtaken is told as corrupt. */
int view_log_replay(int dirfd, struct fmt_overlay *o, struct view_log *out, struct orch_err *err)
    ORCH_NONNULL(3) ORCH_WUR;
/* The head alone: first frame of the last segment that counts. -ENODATA: there is no log at all. */
int view_log_head(int dirfd, struct fmt_layer_head *out, struct orch_err *err)
    ORCH_NONNULL(2) ORCH_WUR;
/* Removes the segments from number `from` on; durable. */
int view_log_drop(int dirfd, uint64_t from, struct orch_err *err) ORCH_WUR;
/* Removes the segments before number `first`: what a process left that was killed behind its checkpoint.
 * What can't be removed does no harm. */
void view_log_trim(int dirfd, uint64_t first);

#endif
