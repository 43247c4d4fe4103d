/*
 * Messages between the keeper (orch-fsd) and a mount process (orch-mount): one SOCK_SEQPACKET
 * message each: header (magic, version, type, id, status, length, checksum), then fields
 * {u16 tag, u16 zero, u32 length, bytes padded to 8}. Unknown tags are skipped, unknown types
 * answered with -ENOSYS, so a newer keeper can adopt an older mount. Pure.
 */
#ifndef ORCH_FORMAT_MSG_H
#define ORCH_FORMAT_MSG_H

#include <stdbool.h>
#include <stdint.h>
#include "core/buf.h"
#include "core/cursor.h"
#include "core/err.h"
#include "core/hash.h"

#define FMT_MSG_MAX   65536 /* bytes of one message */
#define FMT_MSG_REPLY 0x8000u

enum fmt_msg_type { /* keeper -> mount; the answer has type | FMT_MSG_REPLY and the same id */
	FMT_MSG_HELLO = 1,  /* who are you: -> STATUS fields; first message on every connection */
	FMT_MSG_STATUS = 2, /* -> counters, sequence, open files, layer, ... as JSON */
	FMT_MSG_SEAL = 3, /* seal the current layer, go on in LAYER; -> SEALED layer, LAYER that is
	                        written now, LAYERS in the chain, SEQ, JSON list of files that had a
	                        writer ("last write seen"). Descriptors that come along: folders of
	                        control groups, to be frozen meanwhile, for at most DEADLINE_MS; ->
	                        FLAG_PAUSED, PAUSED_NS. With FLAG_SHARE a layer in which nothing was
	                        recorded stays as it is: SEALED is what lies below (0: the base) */
	FMT_MSG_REBASE = 4,  /* the base is now SNAPSHOT; layers up to LAYER are no longer needed */
	FMT_MSG_CHANGES = 5, /* since SEQ: writes NDJSON to the descriptor that comes along */
	FMT_MSG_UMOUNT =
	    6, /* unmount and end; FLAG_LAZY detaches; -EBUSY names a user. The keeper has
	                      taken the views away */
	FMT_MSG_FREEZE = 7, /* hold all changing requests (deadline) / 8 go on */
	FMT_MSG_THAW = 8,
	FMT_MSG_SYNC = 9, /* log and spool durable */
	FMT_MSG_PING = 10,
	FMT_MSG_FLATTEN = 11, /* what the layers above LAYER (0: all) recorded goes into the current
	                         one, which stands on LAYER then */
};

enum fmt_msg_tag {	       /* value: u64 unless said otherwise */
	FMT_TAG_WORKSPACE = 1, /* string */
	FMT_TAG_LAYER = 2,
	FMT_TAG_SEQ = 3,
	FMT_TAG_SNAPSHOT = 4, /* 32 bytes */
	FMT_TAG_FLAGS = 5,
	FMT_TAG_ERROR = 6, /* string: message that belongs to a negative status */
	FMT_TAG_JSON = 7,  /* string */
	FMT_TAG_PID = 8,
	FMT_TAG_DEADLINE_MS = 9,
	FMT_TAG_SEALED = 10,
	FMT_TAG_NEXT_INO = 11,
	FMT_TAG_MOUNTPOINT = 12, /* bytes */
	FMT_TAG_BOOT = 13,	 /* string */
	FMT_TAG_PAUSED_NS = 14,
	FMT_TAG_LAYERS = 15,
	FMT_TAG_MORE = 16, /* how many the list in JSON has not */
};

/* The folder that the keeper's views of workspaces lie in, beside their mounts. */
#define FMT_VIEWS_FOLDER ".views"

#define FMT_MSG_FLAG_LAZY   1u
#define FMT_MSG_FLAG_PAUSED 2u
#define FMT_MSG_FLAG_SHARE  4u
#define FMT_MSG_FLAG_YOURS  8u

struct fmt_msg {
	uint16_t type;
	uint32_t id;
	int32_t status; /* 0 or -errno, in answers */
	struct orch_cursor fields;
};

/* One message in one buffer: _begin empties out, _end makes it whole. */
int fmt_msg_begin(struct orch_buf *out, uint16_t type, uint32_t id, int32_t status)
    ORCH_NONNULL(1) ORCH_WUR;
int fmt_msg_add(struct orch_buf *out, uint16_t tag, const void *p, size_t n)
    ORCH_NONNULL(1) ORCH_WUR;
int fmt_msg_add_u64(struct orch_buf *out, uint16_t tag, uint64_t v) ORCH_NONNULL(1) ORCH_WUR;
int fmt_msg_add_str(struct orch_buf *out, uint16_t tag, const char *s) ORCH_NONNULL(1, 3) ORCH_WUR;
int fmt_msg_end(struct orch_buf *out) ORCH_NONNULL(1) ORCH_WUR; /* -EMSGSIZE beyond FMT_MSG_MAX */

int fmt_msg_parse(const void *p, size_t n, struct fmt_msg *out, struct orch_err *err)
    ORCH_NONNULL(3) ORCH_WUR;
/* First field with that tag; NULL when absent. */
const uint8_t *fmt_msg_get(const struct fmt_msg *m, uint16_t tag, size_t *out_len)
    ORCH_NONNULL(1, 3);
bool fmt_msg_get_u64(const struct fmt_msg *m, uint16_t tag, uint64_t *out) ORCH_NONNULL(1, 3);
/* malloc'd; NULL: absent, holds a NUL byte, or no memory. */
char *fmt_msg_get_str(const struct fmt_msg *m, uint16_t tag) ORCH_NONNULL(1);

#endif
