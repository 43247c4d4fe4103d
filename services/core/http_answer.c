/* Answers of the control API; see http_answer.h. */
#include "core/http_answer.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

void orch_http_answer_init(
    struct orch_http_answer *x, const struct orch_http_request *req, struct orch_err *err)
{
	*x = (struct orch_http_answer){.req = req, .body = ORCH_BUF_INIT, .err = err};
}

void orch_http_answer_fini(struct orch_http_answer *x)
{
	orch_buf_fini(&x->body);
	orch_json_free(x->last);
}

/* A line of a stream: an event goes to the caller at once, the last line is kept. */
static int take_line(struct orch_http_answer *x, const char *p, size_t n)
{
	orch_auto(json) struct orch_json *line = NULL;
	int r;

	while (n > 0 && isspace((unsigned char)p[n - 1]))
		n--;
	if (n == 0)
		return 0;
	r = orch_json_parse(p, n, &line, x->err);
	if (r < 0) {
		orch_err_wrap(x->err, "the daemon's answer");
		return r;
	}
	if (x->last)
		return orch_err_set(
		    x->err, ORCH_EFORMAT, "the daemon's answer goes on after its result");
	/* an event may have a text called "error"; the last line has an object */
	if (orch_json_get(line, "result") || orch_json_get(orch_json_get(line, "error"), "code")) {
		x->last = orch_take(line);
		return 0;
	}
	return x->req->on_event ? x->req->on_event(x->req->priv, line) : 0;
}

static int take_lines(struct orch_http_answer *x, const char *p, size_t n)
{
	while (n > 0) {
		const char *nl = memchr(p, '\n', n);
		size_t len = nl ? (size_t)(nl - p) : n;
		int r = orch_buf_add(&x->body, p, len);

		if (r < 0)
			return orch_err_sys(x->err, -r, "the daemon's answer");
		if (!nl)
			return 0;
		r = take_line(x, (const char *)x->body.data, x->body.len);
		if (r < 0)
			return r;
		orch_buf_reset(&x->body);
		p += len + 1;
		n -= len + 1;
	}
	return 0;
}

int orch_http_answer_body(struct orch_http_answer *x, const char *p, size_t n)
{
	int r;

	if (x->stream) {
		r = take_lines(x, p, n);
	} else {
		r = orch_buf_add(&x->body, p, n);
		if (r < 0)
			orch_err_sys(x->err, -r, "the daemon's answer");
	}
	if (r < 0)
		x->failed = r;
	return r;
}

void orch_http_answer_header(struct orch_http_answer *x, const char *p, size_t n)
{
	static const char name[] = "content-type:", type[] = "application/x-ndjson";

	if (n > sizeof(name) && strncasecmp(p, name, sizeof(name) - 1) == 0)
		x->stream = memmem(p, n, type, sizeof(type) - 1) != NULL;
}

/* {"error":{"code","message"}} as -errno; an answer without it by its status. */
static int api_error(const struct orch_json *answer, long status, struct orch_err *err)
{
	const struct orch_json *e = orch_json_get(answer, "error");
	const char *name = orch_json_str(orch_json_get(e, "code"));
	const char *message = orch_json_str(orch_json_get(e, "message"));
	int code = name ? orch_err_code(name) : 0;

	if (code == 0)
		code = status == 404 ? ENOENT : EIO;
	if (message)
		return orch_err_set(err, code, "%s", message);
	return orch_err_set(err, code, "the daemon answered with HTTP status %ld", status);
}

static bool is_good(long status)
{
	return status >= 200 && status < 300;
}

static int stream_answer(struct orch_http_answer *x, long status, struct orch_json **out)
{
	int r = x->body.len ? take_line(x, (const char *)x->body.data, x->body.len) : 0;

	if (r < 0)
		return x->err->code ? r : orch_err_set(x->err, -r, "the answer was stopped");
	if (!x->last)
		return orch_err_set(x->err, ECONNRESET, "%s %s: the answer ends without a result",
		    x->req->method, x->req->path);
	if (orch_json_get(x->last, "error") || !is_good(status))
		return api_error(x->last, status, x->err);
	*out = orch_json_take(x->last, "result");
	return *out ? 0 : orch_err_sys(x->err, ENOMEM, "the daemon's answer");
}

static int plain_answer(struct orch_http_answer *x, long status, struct orch_json **out)
{
	orch_auto(json) struct orch_json *answer = NULL;
	bool good = is_good(status);
	int r = 0;

	if (x->body.len > 0)
		r = orch_json_parse(
		    (const char *)x->body.data, x->body.len, &answer, good ? x->err : NULL);
	if (!good)
		return api_error(answer, status, x->err);
	if (r < 0) {
		orch_err_wrap(x->err, "the daemon's answer");
		return r;
	}
	if (!answer)
		answer = orch_json_object();
	if (!answer)
		return orch_err_sys(x->err, ENOMEM, "the daemon's answer");
	*out = orch_take(answer);
	return 0;
}

int orch_http_answer_end(struct orch_http_answer *x, long status, struct orch_json **out)
{
	return x->stream ? stream_answer(x, status, out) : plain_answer(x, status, out);
}
