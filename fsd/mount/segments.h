/*
 * Reading a layer's log back: which segments count (a checkpoint supersedes those before it), in
 * which order, and what they end with. Acts on files; the meaning of frames is format's.
 *
 * Threads: none; used before anything is served, and by rebase on sealed layers.
 */
#ifndef ORCH_FSD_MOUNT_SEGMENTS_H
#define ORCH_FSD_MOUNT_SEGMENTS_H

#include "format/overlay.h"

struct mnt_replay {
	struct fmt_layer_head head; /* of the last segment; counters as it ends */
	uint64_t segment;	    /* the last one's number */
	size_t used;		    /* bytes used in it */
	uint64_t total;		    /* bytes of all segments that count */
	bool torn;		    /* an unfinished transaction was cut off */
	bool sealed;
	uint64_t successor; /* when sealed */
};

/* Applies the layer in folder dirfd to o. ORCH_ECORRUPT and ORCH_EFORMAT name the segment. */
int mnt_segments_replay(int dirfd, struct fmt_overlay *o, struct mnt_replay *out,
    struct orch_err *err) ORCH_NONNULL(2, 3) ORCH_WUR;
/* The head alone: first frame of the last segment that counts. */
int mnt_segments_head(int dirfd, struct fmt_layer_head *out, struct orch_err *err)
    ORCH_NONNULL(2) ORCH_WUR;

#endif
