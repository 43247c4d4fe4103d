/*
 * What Git on Linux makes of a blob on its way into a file: ends of lines, $Id$, encodings. Only
 * what the attributes alone decide, no configuration and no program. Pure.
 */
#ifndef ORCH_SYNC_GIT_CONVERT_H
#define ORCH_SYNC_GIT_CONVERT_H

#include "core/buf.h"
#include "sync/git_attr.h"
#include "sync/git_parse.h"

enum sync_git_lines { /* LF becomes CR LF */
	SYNC_GIT_LINES_KEEP,
	SYNC_GIT_LINES_CRLF,
	SYNC_GIT_LINES_AUTO, /* in what looks like text and has no CR LF yet */
};
enum sync_git_encoding { /* the numbers are on disk, in the memo's keys */
	SYNC_GIT_UTF8,
	SYNC_GIT_UTF16,	  /* a byte order mark, little-endian */
	SYNC_GIT_UTF16LE, /* without one */
	SYNC_GIT_UTF16BE,
	SYNC_GIT_UTF16BE_BOM,
	SYNC_GIT_UTF32,
	SYNC_GIT_UTF32LE,
	SYNC_GIT_UTF32BE,
	SYNC_GIT_LATIN1,
};
struct sync_git_how {
	enum sync_git_lines lines;
	enum sync_git_encoding encoding;
	bool ident;
	bool lfs;		 /* filter=lfs: the pointer stays as it is */
	const char *filter;	 /* another one, which is not run; borrowed; NULL */
	const char *not_encoded; /* an encoding that is not known here; borrowed; NULL */
};
void sync_git_how_of(const struct sync_git_attr_value v[SYNC_GIT_ATTRS], struct sync_git_how *out)
    ORCH_NONNULL(1, 2);
/* Whether any byte may change. */
bool sync_git_how_is_plain(const struct sync_git_how *how) ORCH_NONNULL(1);
/* Equal keys make the same of the same blob. All zeros: plain. */
void sync_git_how_key(const struct sync_git_how *how, uint8_t out[SYNC_GIT_KEY_BYTES])
    ORCH_NONNULL(1, 2);

/* 1: *out (empty before) is what the file holds; 0: it holds the blob's bytes; -ENOMEM, -EOVERFLOW
 * (larger than out->max). id is the blob's. *out_failed: it is not the UTF-8 that was to be encoded,
 * and stays as it is, as with Git. */
int sync_git_convert(const struct sync_git_how *how, const struct sync_git_id *id, const void *p,
    size_t len, struct orch_buf *out, bool *out_failed) ORCH_NONNULL(1, 2, 5, 6) ORCH_WUR;

#endif
