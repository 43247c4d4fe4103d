/* Lines of JSON on standard output; see events.h. */
#include "fsd/worker/events.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include "core/fd.h"
#include "core/utf8.h"

static int send_line(struct worker_events *e, const struct orch_json *line)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	int r = orch_json_format(line, 0, &b);

	if (r == 0)
		r = orch_buf_add_u8(&b, '\n');
	if (r == 0)
		r = orch_fd_write_all(e->fd, b.data, b.len);
	if (r < 0)
		*e->cancel = true;
	return r;
}

char *worker_events_text(const char *s)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	size_t len = strlen(s), n;

	for (size_t i = 0; i < len; i += n ? n : 1) {
		n = orch_utf8_sequence(s + i, len - i);
		if (n)
			(void)orch_buf_add(&b, s + i, n);
		else
			(void)orch_buf_printf(&b, "\\x%02x", (unsigned char)s[i]);
	}
	return b.failed ? NULL : orch_buf_take_str(&b);
}

static void set_text(struct orch_json *o, const char *key, const char *s)
{
	orch_auto(free) char *text = worker_events_text(s);

	(void)orch_json_set_str(o, key, text ? text : "?");
}

static void on_progress(void *priv, const char *phase, uint64_t files, uint64_t bytes)
{
	struct worker_events *e = priv;
	orch_auto(json) struct orch_json *o = orch_json_object();

	if (!o)
		return;
	(void)orch_json_set_str(o, "event", "progress");
	(void)orch_json_set_str(o, "phase", phase);
	(void)orch_json_set_u64(o, "files", files);
	(void)orch_json_set_u64(o, "bytes", bytes);
	(void)send_line(e, o);
}

static void on_transfer(void *priv, const char *phase, const struct sync_transfer *t)
{
	struct worker_events *e = priv;
	orch_auto(json) struct orch_json *o = orch_json_object();

	if (!o)
		return;
	(void)orch_json_set_str(o, "event", "progress");
	(void)orch_json_set_str(o, "phase", phase);
	(void)orch_json_set_u64(o, "files", t->done);
	(void)orch_json_set_u64(o, "bytes", t->bytes);
	if (t->total)
		(void)orch_json_set_u64(o, "total", t->total);
	if (t->rate_bytes)
		(void)orch_json_set_u64(o, "rate", t->rate_bytes);
	if (t->left_ms)
		(void)orch_json_set_u64(o, "left_ms", t->left_ms);
	(void)send_line(e, o);
}

static void send_warning(struct worker_events *e, const char *message)
{
	orch_auto(json) struct orch_json *o = orch_json_object();

	if (!o)
		return;
	(void)orch_json_set_str(o, "event", "warning");
	set_text(o, "message", message);
	(void)send_line(e, o);
}

static void on_warning(void *priv, const char *message)
{
	struct worker_events *e = priv;

	if (e->warnings++ < WORKER_WARNINGS_MAX)
		send_warning(e, message);
}

void worker_events_init(struct worker_events *e, int fd, atomic_bool *cancel)
{
	*e = (struct worker_events){.fd = fd, .cancel = cancel};
	e->listener = (struct sync_listener){.on_progress = on_progress,
	    .on_transfer = on_transfer,
	    .on_warning = on_warning,
	    .priv = e};
}

static void send_missing_warnings(struct worker_events *e)
{
	char text[64];

	if (e->warnings <= WORKER_WARNINGS_MAX)
		return;
	snprintf(text, sizeof(text), "%llu more warnings",
	    (unsigned long long)(e->warnings - WORKER_WARNINGS_MAX));
	send_warning(e, text);
}

static int send_last(struct worker_events *e, const char *key, struct orch_json **value)
{
	orch_auto(json) struct orch_json *o = orch_json_object();
	int r = o ? orch_json_set_json(o, key, value) : -ENOMEM;

	send_missing_warnings(e);
	return r < 0 ? r : send_line(e, o);
}

int worker_events_result(struct worker_events *e, struct orch_json **result)
{
	return send_last(e, "result", result);
}

int worker_events_error(struct worker_events *e, const struct orch_err *err,
    struct orch_json **conflicts, uint64_t conflict_count)
{
	orch_auto(json) struct orch_json *o = orch_json_object();

	if (!o)
		return -ENOMEM;
	(void)orch_json_set_str(o, "code", orch_err_name(err->code ? err->code : EIO));
	set_text(o, "message", err->code ? err->msg : "failed");
	if (conflicts && *conflicts) {
		(void)orch_json_set_json(o, "conflicts", conflicts);
		(void)orch_json_set_u64(o, "conflict_count", conflict_count);
	}
	return send_last(e, "error", &o);
}
