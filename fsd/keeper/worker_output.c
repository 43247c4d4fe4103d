/* The lines of a worker. */
#include "worker_output.h"
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include "json_value.h"

#define LINE_MAX_BYTES ((size_t)8 << 20)

void fsd_worker_output_init(struct fsd_worker_output *o,
    int (*on_event)(void *priv, const char *line, size_t len), void *priv)
{
	*o = (struct fsd_worker_output){.on_event = on_event, .priv = priv, .err = ORCH_ERR_INIT};
	orch_buf_init(&o->line, LINE_MAX_BYTES);
}

void fsd_worker_output_fini(struct fsd_worker_output *o)
{
	orch_buf_fini(&o->line);
	orch_json_free(o->result);
	orch_json_free(o->error);
}

static struct orch_json *copy_member(const struct orch_json *j, const char *key)
{
	const struct orch_json *v = orch_json_get(j, key);

	return v ? fsd_json_copy(v) : NULL;
}

static int on_line(struct fsd_worker_output *o, const char *p, size_t n)
{
	orch_auto(json) struct orch_json *j = NULL;
	int rc = orch_json_parse(p, n, &j, &o->err);

	if (rc < 0) {
		orch_err_wrap(&o->err, "a line of the worker");
		return rc;
	}
	if (orch_json_get(j, "event"))
		return o->on_event(o->priv, p, n);
	orch_json_free(o->result);
	orch_json_free(o->error);
	o->result = copy_member(j, "result");
	o->error = copy_member(j, "error");
	return 0;
}

static void on_complaint(struct fsd_worker_output *o, const char *p, size_t n)
{
	size_t max = sizeof(o->complaint) - 1;

	if (n > max) {
		p += n - max;
		n = max;
	}
	if (o->complaint_len + n > max) {
		size_t drop = o->complaint_len + n - max;

		memmove(o->complaint, o->complaint + drop, o->complaint_len - drop);
		o->complaint_len -= drop;
	}
	memcpy(o->complaint + o->complaint_len, p, n);
	o->complaint_len += n;
	o->complaint[o->complaint_len] = '\0';
}

int fsd_worker_output_add(struct fsd_worker_output *o, int stream, const void *data, size_t n)
{
	const char *p = data, *end = p + n;
	int rc = 0;

	if (stream != 1) {
		on_complaint(o, p, n);
		return 0;
	}
	while (rc >= 0 && p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t part = (size_t)((nl ? nl : end) - p);

		rc = orch_buf_add(&o->line, p, part);
		if (rc < 0)
			return orch_err_set(&o->err, EPROTO, "a line of the worker is too long");
		p += part;
		if (!nl)
			break;
		p++;
		rc = o->line.len ? on_line(o, (const char *)o->line.data, o->line.len) : 0;
		orch_buf_reset(&o->line);
	}
	return rc;
}

static int ended_badly(const struct fsd_worker_output *o, int status, struct orch_err *err)
{
	const char *why = *o->complaint ? o->complaint : "it said nothing";

	if (WIFSIGNALED(status))
		return orch_err_set(
		    err, EIO, "the worker was killed by signal %d: %s", WTERMSIG(status), why);
	return orch_err_set(err, EIO, "the worker ended with status %d and no result: %s",
	    WIFEXITED(status) ? WEXITSTATUS(status) : -1, why);
}

static int told_error(const struct fsd_worker_output *o, struct orch_err *err)
{
	const char *code = orch_json_str(orch_json_get(o->error, "code"));
	const char *message = orch_json_str(orch_json_get(o->error, "message"));
	int e = code ? orch_err_code(code) : 0;

	return orch_err_set(err, e ? e : EIO, "%s", message ? message : "the worker failed");
}

int fsd_worker_output_end(struct fsd_worker_output *o, int status, struct orch_json **out_result,
    struct orch_json **out_error, struct orch_err *err)
{
	int rc;

	if (o->result && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		*out_result = orch_take(o->result);
		return 0;
	}
	rc = o->error ? told_error(o, err) : ended_badly(o, status, err);
	if (out_error && o->error)
		*out_error = orch_take(o->error);
	return rc;
}
