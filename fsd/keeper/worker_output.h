/*
 * What a worker writes (docs/worker.md): events, then one result or error, a line of JSON each, on its
 * standard output; complaints on the other. No I/O: bytes come in as they were read.
 */
#ifndef FSD_KEEPER_WORKER_OUTPUT_H
#define FSD_KEEPER_WORKER_OUTPUT_H

#include "core/buf.h"
#include "core/err.h"
#include "core/json.h"

struct fsd_worker_output {
	/* A line that is an event, borrowed; a negative return is what _add returns. */
	int (*on_event)(void *priv, const char *line, size_t len);
	void *priv;
	struct orch_buf line; /* of standard output, not ended yet */
	char complaint[512];  /* end of standard error */
	size_t complaint_len;
	struct orch_json *result, *error;
	struct orch_err err; /* why _add failed, unless on_event did */
};

void fsd_worker_output_init(struct fsd_worker_output *o,
    int (*on_event)(void *priv, const char *line, size_t len), void *priv) ORCH_NONNULL(1, 2);
void fsd_worker_output_fini(struct fsd_worker_output *o) ORCH_NONNULL(1);
/* stream: 1 standard output, else standard error. */
int fsd_worker_output_add(struct fsd_worker_output *o, int stream, const void *data, size_t n)
    ORCH_NONNULL(1) ORCH_WUR;
/* What came of it, when the process ended with this wait status. 0: *out_result is its result; else
 * the worker's own error, *out_error (may be NULL) the whole object. */
int fsd_worker_output_end(struct fsd_worker_output *o, int status, struct orch_json **out_result,
    struct orch_json **out_error, struct orch_err *err) ORCH_NONNULL(1, 3) ORCH_WUR;

#endif
