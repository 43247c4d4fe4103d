/*
 * One request of the control API, as a handler sees it: the peer, the decoded parts of the path,
 * the query, the body (a JSON object whose members were checked against the route), and what it
 * may answer with. A handler runs in a thread of its own and may block, but never without a
 * deadline and never with a lock held. `cancel_fd` becomes readable when the client has gone or
 * the daemon ends.
 */
#ifndef FSD_KEEPER_REQUEST_H
#define FSD_KEEPER_REQUEST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "core/json.h"
#include "peer.h"

struct fsd_daemon;
struct fsd_events; /* events.h */

#define FSD_PARAMS_MAX 2

struct fsd_request {
	struct fsd_daemon *daemon;
	struct fsd_peer peer;
	const char *params[FSD_PARAMS_MAX]; /* of the path, decoded, in order */
	const struct orch_json *body;	    /* never NULL; an empty object when there was none */
	const struct orch_json *query;	    /* strings by name; never NULL */
	struct fsd_events *events;	    /* streams only, else NULL */
	int cancel_fd;
	int client_fd;		   /* the connection, to see whether it was closed */
	const atomic_bool *cancel; /* the same as a flag */
	struct orch_buf *text;	   /* routes that answer text: the answer */
};

/* 0: *out_answer (NULL: {}) is the answer, or the result of a stream. -errno with a message in err.
 * On failure *out_answer may be an object whose members go into the error object. */
typedef int fsd_handler(struct fsd_request *r, struct orch_json **out_answer, struct orch_err *err);

enum fsd_route_flags {
	FSD_ROUTE_STREAM = 1, /* NDJSON; the client's leaving cancels */
	FSD_ROUTE_TEXT = 2,   /* text/plain */
	FSD_ROUTE_MAKES = 4,  /* something new: refused at once when the disk is full */
};

struct fsd_route {
	const char *method;
	const char *pattern; /* "/v1/refs/{}": {} is one percent-encoded segment */
	fsd_handler *handler;
	/* Members of the body: "name:s at:s? ..."; kinds: s string, b bool, o object, a array of
	 * strings, p path (also as <name>_b64), * anything; '?': may be absent. NULL: no body. */
	const char *body;
	const char *query; /* names, blank between; '?' at the end: may be absent. NULL: none */
	unsigned flags;
};

/* -EINVAL names the member or parameter that is missing, unknown or of a wrong type. Pure. */
int fsd_request_check_body(const char *spec, const struct orch_json *body, struct orch_err *err)
    ORCH_NONNULL(2) ORCH_WUR;
int fsd_request_check_query(const char *spec, const struct orch_json *query, struct orch_err *err)
    ORCH_NONNULL(2) ORCH_WUR;

/* Members of the body that were checked: NULL / fallback when absent or null. */
const char *fsd_body_str(const struct fsd_request *r, const char *key) ORCH_NONNULL(1, 2);
bool fsd_body_bool(const struct fsd_request *r, const char *key, bool fallback) ORCH_NONNULL(1, 2);
const char *fsd_query_str(const struct fsd_request *r, const char *key) ORCH_NONNULL(1, 2);
/* A number in the query; 0 when absent. -EINVAL names it. */
int fsd_query_u64(const struct fsd_request *r, const char *key, uint64_t *out, struct orch_err *err)
    ORCH_NONNULL(1, 2, 3) ORCH_WUR;
/* {"uid","gid"} in the body; none of them is the one that means "no change" to the kernel. */
int fsd_body_ids(const struct fsd_request *r, const char *key, uid_t *out_uid, gid_t *out_gid,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3, 4) ORCH_WUR;

/* The flag alone: no system call. */
bool fsd_request_cancel_flag(const struct fsd_request *r) ORCH_NONNULL(1);
/* -ECANCELED when the client has gone or the daemon ends. */
int fsd_request_cancelled(const struct fsd_request *r, struct orch_err *err)
    ORCH_NONNULL(1) ORCH_WUR;

#endif
