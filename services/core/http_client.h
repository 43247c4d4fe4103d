/*
 * The client of the control API: HTTP/1.1 + JSON over a Unix socket, by libcurl (only
 * http_client.c includes it, and the first request loads it). One connection, one request at a time.
 */
#ifndef ORCH_CORE_HTTP_CLIENT_H
#define ORCH_CORE_HTTP_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include "core/err.h"
#include "core/json.h"

struct orch_http_client;

int orch_http_client_new(const char *socket_path, struct orch_http_client **out,
    struct orch_err *err) ORCH_NONNULL(1, 2) ORCH_WUR;
void orch_http_client_free(struct orch_http_client *c);

struct orch_http_request {
	const char *method;	      /* "GET", "POST", "PUT", "DELETE" */
	const char *path;	      /* "/v1/..." already escaped, see orch_http_escape */
	const struct orch_json *body; /* NULL: none */
	uint64_t deadline_ns;	      /* absolute; ORCH_FOREVER for long operations */
	int cancel_fd;		      /* -1: none; readable: the request is dropped, -ECANCELED */
	/* For answers of type application/x-ndjson: called for each line as it comes, but for the last
	 * one, which has the member "result" or "error". A negative return cancels the request and is
	 * its result. NULL: progress lines are dropped. */
	int (*on_event)(void *priv, const struct orch_json *event);
	void *priv;
	/* NULL, or: the HTTP status of the answer, also of one that could not be taken; 0: none came, so it
	 * may be carried out or not; ORCH_HTTP_UNSENT: nobody was asked. */
	long *out_status;
};
#define ORCH_HTTP_UNSENT (-1L)

/* 0: 2xx, *out_body is the parsed answer (the caller's; an empty object when there was no body); of
 * an x-ndjson answer it is the value of the last line's "result".
 * An API error ({"error":{"code","message"}}) comes back as -errno of its code with its message in
 * err. -EHOSTDOWN: nobody listens on the socket. -ECONNRESET: the daemon went away in the middle.
 * -ETIMEDOUT, -ECANCELED: the connection was closed, which cancels a long operation. */
int orch_http_request(struct orch_http_client *c, const struct orch_http_request *req,
    struct orch_json **out_body, struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;

/* Percent-encodes one path segment or query value; malloc'd. */
char *orch_http_escape(const char *s) ORCH_NONNULL(1) ORCH_WUR;

#endif
