/*
 * The door to libmicrohttpd: requests of the control socket go to the handlers of a route table.
 * A thread for each connection (bounded), one more for a stream that works. Bodies are at most
 * FSD_HTTP_BODY_MAX.
 */
#ifndef FSD_KEEPER_HTTP_SERVER_H
#define FSD_KEEPER_HTTP_SERVER_H

#include "request.h"

#define FSD_HTTP_BODY_MAX ((size_t)16 << 20)

struct fsd_http;

struct fsd_http_config {
	int listen_fd; /* becomes the server's on success */
	unsigned connections_max;
	unsigned client_timeout_s;
	const struct fsd_route *routes; /* ends with method NULL; borrowed */
	struct fsd_daemon *daemon;	/* for the handlers */
};

int fsd_http_start(const struct fsd_http_config *c, struct fsd_http **out, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;
/* No new connections; running requests are cancelled, those that are still running after patience_ms;
 * returns when their handlers have. The listening socket, still listening, is the caller's again: its
 * number, or -1. h NULL: -1. */
int fsd_http_stop(struct fsd_http *h, uint64_t patience_ms) ORCH_WUR;

struct fsd_http_stat {
	uint64_t requests, errors; /* so far; errors: answers of 5xx */
	unsigned connections;	   /* now */
	unsigned streams;	   /* whose handler runs now */
	uint64_t last_ns;	   /* monotonic: when a connection last was open */
};
void fsd_http_stat(struct fsd_http *h, struct fsd_http_stat *out) ORCH_NONNULL(1, 2);

#endif
