#include "shim/api.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/clock.h"
#include "core/http_client.h"
#include "core/path.h"
#include "shim/cancel.h"
#include "shim/out.h"
#include "shim/say.h"

#define CALL_MS	    60000
#define AGAIN_MS    200 /* so often a request is made again while the daemon is being upgraded */
#define PATIENCE_MS 600000

static char *make_path(const struct shim_call *call)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	size_t part = 0;

	for (const char *p = call->path; *p; p++) {
		orch_auto(free) char *escaped = NULL;

		if (*p != '%') {
			orch_buf_add(&b, p, 1);
			continue;
		}
		ORCH_BUG_ON(part >= ORCH_ARRAY_LEN(call->parts) || !call->parts[part]);
		escaped = orch_http_escape(call->parts[part++]);
		if (!escaped)
			return NULL;
		orch_buf_add_str(&b, escaped);
	}
	return orch_buf_take_str(&b);
}

static void show_progress(const struct shim_call *call, const struct orch_json *line)
{
	char text[160], files[SHIM_SHORT], bytes[SHIM_SHORT];

	if (!call->label || !shim_say_has_progress())
		return;
	snprintf(text, sizeof(text), "%s: %s files, %s", call->label,
	    shim_human_count(shim_get_u64(line, "files"), files),
	    shim_human_bytes(shim_get_u64(line, "bytes"), bytes));
	shim_say_progress(text);
}

static int on_event(void *priv, const struct orch_json *line)
{
	const struct shim_call *call = priv;
	const char *event = shim_get(line, "event");

	if (strcmp(event, "progress") == 0) {
		show_progress(call, line);
		return 0;
	}
	if (strcmp(event, "warning") == 0) {
		shim_say(SHIM_SAY_WARN, "%s", shim_get(line, "message"));
		return 0;
	}
	return call->on_line && !event[0] ? call->on_line(call->priv, line) : 0;
}

static int connect_once(struct shim_cli *cli, struct orch_err *err)
{
	return cli->client ? 0 : orch_http_client_new(cli->socket, &cli->client, err);
}

static uint64_t deadline_of(const struct shim_cli *cli, const struct shim_call *call)
{
	uint64_t own = ORCH_FOREVER;

	if (call->timeout_ms != UINT64_MAX)
		own = orch_deadline_in_ms(call->timeout_ms ? call->timeout_ms : CALL_MS);
	return !call->ignore_cancel && cli->deadline_ns < own ? cli->deadline_ns : own;
}

static int cancel_fd_of(const struct shim_cli *cli, const struct shim_call *call)
{
	if (call->ignore_cancel)
		return -1;
	return call->patient ? shim_cancel_late_fd() : cli->cancel_fd;
}

/* EAGAIN: nothing was begun, the daemon waits to be replaced by its successor. */
static int request_patiently(struct shim_cli *cli, struct orch_http_request *req,
    struct orch_json **body, struct orch_err *err)
{
	uint64_t until = orch_deadline_in_ms(PATIENCE_MS);

	if (until > req->deadline_ns)
		until = req->deadline_ns;
	for (;;) {
		struct pollfd p = {.fd = req->cancel_fd, .events = POLLIN};
		int r = orch_http_request(cli->client, req, body, err);

		if (r != -EAGAIN || orch_clock_ns() > until || poll(&p, 1, AGAIN_MS) != 0)
			return r;
	}
}

int shim_call(struct shim_cli *cli, const struct shim_call *call, struct orch_json **out,
    struct orch_err *err)
{
	orch_auto(json) struct orch_json *body = NULL;
	orch_auto(free) char *path = make_path(call);
	struct shim_call copy = *call;
	struct orch_http_request req = {
	    .method = call->method,
	    .path = path,
	    .body = call->body,
	    .deadline_ns = deadline_of(cli, call),
	    .cancel_fd = cancel_fd_of(cli, call),
	    .on_event = on_event,
	    .priv = &copy,
	    .out_status = call->out_status,
	};
	int r;

	if (call->out_status)
		*call->out_status = ORCH_HTTP_UNSENT;
	if (!path)
		return orch_err_sys(err, ENOMEM, "ask the daemon");
	r = connect_once(cli, err);
	if (r < 0)
		return r;
	r = request_patiently(cli, &req, &body, err);
	shim_say_progress(NULL);
	if (r == 0 && out)
		*out = orch_take(body);
	return r;
}

int shim_ping(struct shim_cli *cli, struct orch_err *err)
{
	return shim_call(cli,
	    &(struct shim_call){.method = "GET", .path = "/healthz", .timeout_ms = 10000}, NULL,
	    err);
}

void shim_disconnect(struct shim_cli *cli)
{
	orch_http_client_free(cli->client);
	cli->client = NULL;
}

int shim_json_add_path(struct orch_json *o, const char *key, const char *path, struct orch_err *err)
{
	orch_auto(free) char *absolute = orch_path_absolute(path);

	if (!absolute || orch_json_set_bytes(o, key, absolute, strlen(absolute)) < 0)
		return orch_err_sys(err, ENOMEM, "name %s", path);
	return 0;
}

int shim_json_add_list(
    struct orch_json *o, const char *key, const struct orch_strv *list, struct orch_err *err)
{
	struct orch_json *a = orch_json_array();
	int r = a ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < list->count; i++)
		r = orch_json_push_str(a, list->v[i]);
	if (r < 0) {
		orch_json_free(a);
		return orch_err_sys(err, -r, "%s", key);
	}
	r = orch_json_set_json(o, key, &a);
	return r < 0 ? orch_err_sys(err, -r, "%s", key) : 0;
}

struct orch_json *shim_json_copy(const struct orch_json *j)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	struct orch_json *copy = NULL;

	if (orch_json_format(j, 0, &b) < 0)
		return NULL;
	return orch_json_parse((const char *)b.data, b.len, &copy, NULL) < 0 ? NULL : copy;
}
