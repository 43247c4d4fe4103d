/*
 * What the daemon's answer says: one document, or a line an event and a last one with the result
 * (docs/api.md). No I/O: http_client.c hands it the bytes as they come.
 */
#ifndef ORCH_CORE_HTTP_ANSWER_H
#define ORCH_CORE_HTTP_ANSWER_H

#include "core/buf.h"
#include "core/http_client.h"

struct orch_http_answer {
	const struct orch_http_request *req; /* on_event; method and path for messages; borrowed */
	struct orch_buf body;		     /* of a stream: the line that is not complete yet */
	bool stream;
	struct orch_json *last; /* of a stream: the line with "result" or "error" */
	int failed;		/* -errno of _body; nothing may be added any more */
	struct orch_err *err;
};

void orch_http_answer_init(struct orch_http_answer *x, const struct orch_http_request *req,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3);
void orch_http_answer_fini(struct orch_http_answer *x) ORCH_NONNULL(1);
/* One line of the head. */
void orch_http_answer_header(struct orch_http_answer *x, const char *p, size_t n)
    ORCH_NONNULL(1, 2);
/* The next bytes of the body. -errno: they can't be understood (err is set), or on_event's. */
int orch_http_answer_body(struct orch_http_answer *x, const char *p, size_t n)
    ORCH_NONNULL(1, 2) ORCH_WUR;
/* What orch_http_request returns; status: of HTTP. */
int orch_http_answer_end(struct orch_http_answer *x, long status, struct orch_json **out)
    ORCH_NONNULL(1, 3) ORCH_WUR;

#endif
