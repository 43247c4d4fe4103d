/*
 * Calls of the control API as commands need them: paths with escaped parts, progress on the terminal,
 * a connection made at the first call. The protocol itself is core/http_client.h.
 */
#ifndef ORCH_SHIM_API_H
#define ORCH_SHIM_API_H

#include <stdint.h>
#include "core/json.h"
#include "shim/cli.h"

struct shim_call {
	const char *method;
	const char *path; /* "/v1/refs/%/mount": each '%' is replaced by the next part, escaped */
	const char *parts[3];
	const struct orch_json *body;
	uint64_t timeout_ms; /* 0: a minute; UINT64_MAX: no limit, for streams */
	bool patient; /* a signal ends it only two seconds later: what it makes is known then */
	bool ignore_cancel; /* for undo: a signal does not end it */
	const char *label;  /* streams: what the progress line says; NULL: no progress line */
	/* Streams: lines that are no events; NULL: dropped. Negative cancels. */
	int (*on_line)(void *priv, const struct orch_json *line);
	void *priv;
	long *out_status; /* as of orch_http_request; NULL: nobody asks */
};

/* Results as orch_http_request's. *out may be NULL. */
int shim_call(struct shim_cli *cli, const struct shim_call *call, struct orch_json **out,
    struct orch_err *err) ORCH_NONNULL(1, 2) ORCH_WUR;

/* Whether a daemon answers: 0, -EHOSTDOWN, or what is wrong with it. */
int shim_ping(struct shim_cli *cli, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
/* Prints the lines {"path","change"} of a stream, or one document with --json. */
int shim_print_changes(struct shim_cli *cli, const struct shim_call *request, struct orch_err *err)
    ORCH_NONNULL(1, 2, 3) ORCH_WUR;

/* Members of a request: an absolute path, a list of strings. */
int shim_json_add_path(struct orch_json *o, const char *key, const char *path, struct orch_err *err)
    ORCH_NONNULL(1, 2, 3) ORCH_WUR;
int shim_json_add_list(struct orch_json *o, const char *key, const struct orch_strv *list,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;
/* A deep copy; NULL: no memory. */
struct orch_json *shim_json_copy(const struct orch_json *j) ORCH_NONNULL(1) ORCH_WUR;

void shim_disconnect(struct shim_cli *cli) ORCH_NONNULL(1);

#endif
