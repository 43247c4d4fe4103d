/*
 * libmicrohttpd below, handlers above. An `exchange` is one request with its answer. Threads: the
 * library's own, one for each connection; a stream's handler runs in another one, so that the
 * connection's thread can send lines and notice that the client has gone; one cuts off slow clients
 * (http_limit.h).
 */
#include "http_server.h"
#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include "answer.h"
#include "cache/reserve.h"
#include "core/clock.h"
#include "core/fd.h"
#include "core/log.h"
#include "daemon.h"
#include "events.h"
#include "http_limit.h"
#include "url.h"

#define MODULE	     "http"
#define THREAD_STACK ((size_t)512 << 10)
#define ALIVE_MS     10000 /* a silent stream says {"event":"alive"} so often */
#define STREAM_BLOCK 16384
#define DRAIN_MS     10000
#define SILENT_MS    300
#define UPLOAD_MAX   ((size_t)4 * FSD_HTTP_BODY_MAX) /* then the connection is dropped */

struct exchange {
	struct fsd_http *http;
	struct exchange *prev, *next; /* of http->exchanges, guarded by its lock */
	struct MHD_Connection *connection;
	char *target;
	char *params[FSD_PARAMS_MAX];
	const struct fsd_route *route;
	bool begun;
	struct orch_buf body;
	size_t uploaded;
	struct orch_json *body_json, *query;
	struct orch_buf text;
	int cancel_fd;
	atomic_bool cancelled;
	int client_fd;
	struct fsd_request request;
	struct fsd_events *events; /* streams */
	pthread_t thread;
	bool has_thread;
	/* what the handler came to; of a stream's thread until it was joined or the stream ended */
	int rc;
	struct orch_json *answer;
	struct orch_err err;
};

struct fsd_http {
	struct fsd_http_config config;
	struct MHD_Daemon *mhd;
	struct fsd_limits *limits;
	pthread_mutex_t lock;
	struct exchange *exchanges; /* guarded by lock, as all below */
	struct fsd_http_stat stat;
	bool stopping;		/* new exchanges are cancelled */
	bool ending;		/* connections end with their answer */
	pthread_cond_t drained; /* exchanges became empty */
};

/* ---- life of an exchange ---- */

static void exchange_cancel(struct exchange *x)
{
	uint64_t one = 1;

	atomic_store_explicit(&x->cancelled, true, memory_order_release);
	if (x->events)
		fsd_events_cancel(x->events);
	if (write(x->cancel_fd, &one, sizeof(one)) < 0)
		return; /* full: it is readable already */
}

static void exchange_join(struct exchange *x)
{
	if (!x->has_thread)
		return;
	pthread_join(x->thread, NULL);
	x->has_thread = false;
}

static void exchange_free(struct exchange *x)
{
	exchange_join(x);
	for (size_t i = 0; i < FSD_PARAMS_MAX; i++)
		free(x->params[i]);
	free(x->target);
	orch_buf_fini(&x->body);
	orch_buf_fini(&x->text);
	orch_json_free(x->body_json);
	orch_json_free(x->query);
	orch_json_free(x->answer);
	fsd_events_free(x->events);
	fsd_peer_fini(&x->request.peer);
	orch_fd_close(x->cancel_fd);
	free(x);
}

static struct exchange *exchange_new(
    struct fsd_http *h, struct MHD_Connection *c, const char *target)
{
	struct exchange *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	x->http = h;
	x->connection = c;
	x->client_fd = -1;
	orch_buf_init(&x->body, FSD_HTTP_BODY_MAX);
	orch_buf_init(&x->text, FSD_HTTP_BODY_MAX);
	x->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	x->target = strdup(target);
	if (x->cancel_fd < 0 || !x->target) {
		exchange_free(x);
		return NULL;
	}
	return x;
}

static void exchange_link(struct exchange *x)
{
	struct fsd_http *h = x->http;
	bool stopping;

	pthread_mutex_lock(&h->lock);
	x->next = h->exchanges;
	if (x->next)
		x->next->prev = x;
	h->exchanges = x;
	h->stat.requests++;
	stopping = h->stopping;
	pthread_mutex_unlock(&h->lock);
	if (stopping)
		exchange_cancel(x);
}

static void exchange_unlink(struct exchange *x)
{
	struct fsd_http *h = x->http;

	pthread_mutex_lock(&h->lock);
	if (x->prev)
		x->prev->next = x->next;
	else if (h->exchanges == x)
		h->exchanges = x->next;
	if (x->next)
		x->next->prev = x->prev;
	x->prev = x->next = NULL;
	if (!h->exchanges)
		pthread_cond_broadcast(&h->drained);
	pthread_mutex_unlock(&h->lock);
}

/* ---- answers ---- */

static enum MHD_Result queue(
    struct exchange *x, unsigned status, const char *type, struct orch_buf *body, const char *allow)
{
	struct MHD_Response *r;
	enum MHD_Result ok;
	bool ending;

	if (body->failed)
		return MHD_NO;
	pthread_mutex_lock(&x->http->lock);
	x->http->stat.errors += status >= 500;
	ending = x->http->ending;
	pthread_mutex_unlock(&x->http->lock);
	r = MHD_create_response_from_buffer(body->len, body->data, MHD_RESPMEM_MUST_COPY);
	if (!r)
		return MHD_NO;
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	/* A client that keeps the connection would lose its next request. */
	if (ending)
		MHD_add_response_header(r, MHD_HTTP_HEADER_CONNECTION, "close");
	if (status == 503)
		MHD_add_response_header(r, MHD_HTTP_HEADER_RETRY_AFTER, "1");
	if (allow && *allow)
		MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, allow);
	ok = MHD_queue_response(x->connection, status, r);
	MHD_destroy_response(r);
	return ok;
}

static enum MHD_Result queue_error(
    struct exchange *x, unsigned status, const struct orch_err *err, const char *allow)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;

	orch_log(status >= 500 ? ORCH_LOG_WARN : ORCH_LOG_DEBUG, MODULE, "failed",
	    "method=%s target=%s status=%u uid=%u error=%s", x->route ? x->route->method : "?",
	    x->target, status, (unsigned)x->request.peer.uid, err->msg);
	if (fsd_answer_error(err, x->answer, &b) < 0)
		return MHD_NO;
	(void)orch_buf_add_str(&b, "\n");
	return queue(x, status, "application/json", &b, allow);
}

static enum MHD_Result queue_answer(struct exchange *x)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;

	if (x->rc < 0) {
		if (x->err.code != -x->rc)
			orch_err_sys(&x->err, -x->rc, "%s", x->route->pattern);
		return queue_error(x, fsd_answer_status(x->err.code), &x->err, NULL);
	}
	if (x->route->flags & FSD_ROUTE_TEXT)
		return queue(x, 200, "text/plain; version=0.0.4", &x->text, NULL);
	if (x->answer && orch_json_format(x->answer, 0, &b) < 0)
		return MHD_NO;
	if (!x->answer)
		(void)orch_buf_add_str(&b, "{}");
	(void)orch_buf_add_str(&b, "\n");
	return queue(x, 200, "application/json", &b, NULL);
}

/* ---- streams ---- */

/* The last line, unless a failure came before the first: then it becomes a plain error answer. */
static void stream_end(struct exchange *x)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	int rc = 0;

	if (x->rc < 0 && x->err.code != -x->rc)
		orch_err_sys(&x->err, -x->rc, "%s", x->route->pattern);
	if (x->rc >= 0)
		rc = fsd_answer_result(x->answer, &b);
	else if (fsd_events_any(x->events))
		rc = fsd_answer_error(&x->err, x->answer, &b);
	fsd_events_end(x->events, rc == 0 && !b.failed ? b.data : NULL, b.len);
}

static void count_stream(struct fsd_http *h, int by)
{
	pthread_mutex_lock(&h->lock);
	h->stat.streams += (unsigned)by;
	pthread_mutex_unlock(&h->lock);
}

static void *stream_thread(void *arg)
{
	struct exchange *x = arg;

	x->rc = x->route->handler(&x->request, &x->answer, &x->err);
	count_stream(x->http, -1);
	stream_end(x);
	return NULL;
}

/* Waits until the stream has something, at most ALIVE_MS. -EPIPE: the client has gone. */
static int stream_wait(struct exchange *x)
{
	struct pollfd p[] = {
	    {.fd = fsd_events_wake_fd(x->events), .events = POLLIN},
	    {.fd = x->client_fd, .events = 0},
	};

	if (poll(p, 2, ALIVE_MS) < 0 && errno != EINTR)
		return -errno;
	return p[1].revents & (POLLHUP | POLLERR) ? -EPIPE : 0;
}

/* One read of MHD: bytes, or one of its ends. */
static ssize_t stream_read(void *cls, uint64_t pos, char *buf, size_t max)
{
	static const char alive[] = "{\"event\":\"alive\"}\n";
	struct exchange *x = cls;
	uint64_t until = orch_deadline_in_ms(ALIVE_MS);

	(void)pos;
	for (;;) {
		ssize_t n = fsd_events_take(x->events, buf, max);

		if (n > 0)
			return n;
		if (n == -ENODATA)
			return MHD_CONTENT_READER_END_OF_STREAM;
		if (n < 0 || stream_wait(x) < 0) {
			exchange_cancel(x);
			return MHD_CONTENT_READER_END_WITH_ERROR;
		}
		if (orch_clock_ns() >= until && max >= sizeof(alive) - 1) {
			memcpy(buf, alive, sizeof(alive) - 1);
			return sizeof(alive) - 1;
		}
	}
}

static enum MHD_Result queue_stream(struct exchange *x)
{
	struct MHD_Response *r =
	    MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, stream_read, x, NULL);
	enum MHD_Result ok;

	if (!r)
		return MHD_NO;
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, "application/x-ndjson");
	ok = MHD_queue_response(x->connection, 200, r);
	MHD_destroy_response(r);
	return ok;
}

/* Under the lock: the server's end cancels exchanges from another thread. */
static bool make_events(struct exchange *x)
{
	struct fsd_events *e = fsd_events_new((uint64_t)x->http->config.client_timeout_s * 1000);

	pthread_mutex_lock(&x->http->lock);
	x->events = e;
	if (e && x->cancelled)
		fsd_events_cancel(e);
	pthread_mutex_unlock(&x->http->lock);
	x->request.events = e;
	return e != NULL;
}

/* Counted before it asks, so that who waits for all streams to end overlooks none. */
static int start_stream(struct exchange *x)
{
	int rc;

	count_stream(x->http, 1);
	rc = fsd_ending_check_stream(&x->http->config.daemon->ending, &x->err);
	if (rc == 0 && (!make_events(x) || pthread_create(&x->thread, NULL, stream_thread, x) != 0))
		rc = orch_err_set(&x->err, ENOMEM, "no memory for another stream");
	if (rc < 0)
		count_stream(x->http, -1);
	else
		x->has_thread = true;
	return rc;
}

/* Starts the handler and waits for its first line or its end. */
static enum MHD_Result run_stream(struct exchange *x)
{
	if (start_stream(x) < 0)
		return queue_error(x, 503, &x->err, NULL);
	for (;;) {
		struct pollfd p = {.fd = fsd_events_wake_fd(x->events), .events = POLLIN};

		if (stream_wait(x) < 0) {
			exchange_cancel(x);
			return MHD_NO;
		}
		if (fsd_events_any(x->events))
			return queue_stream(x);
		if (poll(&p, 1, 0) > 0) /* ended without a line */
			break;
	}
	exchange_join(x);
	return queue_answer(x);
}

/* ---- requests ---- */

/* While a handler works, the client is not to blame for the silence. */
static void set_timeout(struct exchange *x, unsigned seconds)
{
	MHD_set_connection_option(x->connection, MHD_CONNECTION_OPTION_TIMEOUT, seconds);
}

/* Silent or not: so long he may take for what he does now. */
static void set_limit(struct fsd_http *h, struct MHD_Connection *c, unsigned seconds)
{
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	if (info && info->socket_context)
		fsd_limit_set(h->limits, info->socket_context, seconds);
}

static int parse_body(struct exchange *x)
{
	int rc = 0;

	if (x->uploaded > FSD_HTTP_BODY_MAX)
		return orch_err_set(
		    &x->err, EMSGSIZE, "the body is larger than %zu bytes", FSD_HTTP_BODY_MAX);
	if (x->body.len == 0)
		x->body_json = orch_json_object();
	else
		rc = orch_json_parse(
		    (const char *)x->body.data, x->body.len, &x->body_json, &x->err);
	if (rc < 0) {
		orch_err_wrap(&x->err, "body");
		return rc;
	}
	if (!x->body_json)
		return orch_err_set(&x->err, ENOMEM, "no memory");
	return fsd_request_check_body(x->route->body, x->body_json, &x->err);
}

static int prepare(struct exchange *x)
{
	const char *mark = strchr(x->target, '?');
	int rc = fsd_url_query(mark ? mark + 1 : NULL, &x->query, &x->err);

	if (rc == 0)
		rc = fsd_request_check_query(x->route->query, x->query, &x->err);
	if (rc == 0)
		rc = parse_body(x);
	if (rc < 0)
		return rc;
	x->request.daemon = x->http->config.daemon;
	x->request.body = x->body_json;
	x->request.query = x->query;
	x->request.cancel_fd = x->cancel_fd;
	x->request.cancel = &x->cancelled;
	x->request.client_fd = x->client_fd;
	x->request.text = &x->text;
	for (size_t i = 0; i < FSD_PARAMS_MAX; i++)
		x->request.params[i] = x->params[i];
	if (x->route->flags & FSD_ROUTE_MAKES)
		return cas_reserve_check(cas_store_reserve(x->request.daemon->store), &x->err);
	return 0;
}

static enum MHD_Result run(struct exchange *x)
{
	uint64_t start = orch_clock_ns();
	enum MHD_Result ok;

	x->rc = prepare(x);
	if (x->rc < 0)
		return queue_answer(x);
	set_timeout(x, 0);
	set_limit(x->http, x->connection, 0);
	if (x->route->flags & FSD_ROUTE_STREAM) {
		ok = run_stream(x);
	} else {
		x->rc = x->route->handler(&x->request, &x->answer, &x->err);
		ok = queue_answer(x);
		set_limit(x->http, x->connection, x->http->config.client_timeout_s);
	}
	set_timeout(x, x->http->config.client_timeout_s);
	orch_log(ORCH_LOG_DEBUG, MODULE, "request", "method=%s target=%s uid=%u us=%llu",
	    x->route->method, x->target, (unsigned)x->request.peer.uid,
	    (unsigned long long)((orch_clock_ns() - start) / 1000));
	return ok;
}

static int load_peer(struct exchange *x)
{
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	if (!info)
		return orch_err_set(&x->err, EIO, "a connection without a socket");
	x->client_fd = info->connect_fd;
	return fsd_peer_load(x->client_fd, &x->request.peer, &x->err);
}

/* The head has arrived: finds the route, or refuses before the body comes. */
static enum MHD_Result begin(struct exchange *x, const char *method)
{
	char allow[64];
	unsigned status = 500;

	x->begun = true;
	set_limit(x->http, x->connection, x->http->config.client_timeout_s);
	exchange_link(x);
	if (load_peer(x) < 0)
		return queue_error(x, 500, &x->err, NULL);
	x->route = fsd_url_route(x->http->config.routes, method, x->target, strcspn(x->target, "?"),
	    x->params, &status, allow);
	if (x->route)
		return MHD_YES;
	if (status == 405)
		orch_err_set(
		    &x->err, ENOSYS, "%s is not possible on %s (but %s)", method, x->target, allow);
	else
		orch_err_set(&x->err, status == 404 ? ENOENT : EINVAL, "no such resource: %s %s",
		    method, x->target);
	return queue_error(x, status, &x->err, allow);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *c, const char *url,
    const char *method, const char *version, const char *data, size_t *size, void **con_cls)
{
	struct exchange *x = *con_cls;

	(void)cls;
	(void)c;
	(void)url;
	(void)version;
	if (!x)
		return MHD_NO;
	if (!x->begun)
		return begin(x, method);
	if (*size == 0)
		return run(x);
	x->uploaded += *size;
	if (x->uploaded > UPLOAD_MAX)
		return MHD_NO;
	if (x->uploaded <= FSD_HTTP_BODY_MAX && orch_buf_add(&x->body, data, *size) < 0)
		return MHD_NO;
	*size = 0;
	return MHD_YES;
}

static void *on_target(void *cls, const char *target, struct MHD_Connection *c)
{
	return exchange_new(cls, c, target);
}

static void on_completed(
    void *cls, struct MHD_Connection *c, void **con_cls, enum MHD_RequestTerminationCode how)
{
	struct exchange *x = *con_cls;
	struct fsd_http *h = cls;

	*con_cls = NULL;
	set_limit(h, c, h->config.client_timeout_s); /* the next head */
	if (!x)
		return;
	if (how != MHD_REQUEST_TERMINATED_COMPLETED_OK)
		exchange_cancel(x);
	exchange_join(x);
	if (x->begun)
		exchange_unlink(x);
	exchange_free(x);
}

static void limit_connection(struct fsd_http *h, struct MHD_Connection *c, void **socket_ctx)
{
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct fsd_limit *x;

	if (!info)
		return;
	x = fsd_limit_add(h->limits, info->connect_fd);
	if (x)
		fsd_limit_set(h->limits, x, h->config.client_timeout_s);
	else
		(void)shutdown(info->connect_fd, SHUT_RDWR);
	*socket_ctx = x;
}

static void on_connection(void *cls, struct MHD_Connection *c, void **socket_ctx,
    enum MHD_ConnectionNotificationCode what)
{
	struct fsd_http *h = cls;

	if (what == MHD_CONNECTION_NOTIFY_STARTED)
		limit_connection(h, c, socket_ctx);
	else
		fsd_limit_remove(h->limits, *socket_ctx);
	pthread_mutex_lock(&h->lock);
	if (what == MHD_CONNECTION_NOTIFY_STARTED)
		h->stat.connections++;
	else
		h->stat.connections--;
	if (!h->stat.connections)
		pthread_cond_broadcast(&h->drained);
	h->stat.last_ns = orch_clock_ns();
	pthread_mutex_unlock(&h->lock);
}

static void on_log(void *cls, const char *format, va_list ap)
{
	struct orch_err err = ORCH_ERR_INIT;

	(void)cls;
	vsnprintf(err.msg, sizeof(err.msg), format, ap);
	err.code = EIO;
	err.msg[strcspn(err.msg, "\n")] = '\0';
	orch_log(ORCH_LOG_DEBUG, MODULE, "library", "message=%s", err.msg);
}

/* The target is kept as it came: on_target has it, and url.c decodes it after splitting. */
static size_t keep_escapes(void *cls, struct MHD_Connection *c, char *s)
{
	(void)cls;
	(void)c;
	return strlen(s);
}

/* ---- life of the server ---- */

static struct MHD_Daemon *start_library(struct fsd_http *h)
{
	return MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION |
				    MHD_USE_POLL | MHD_USE_ITC | MHD_USE_ERROR_LOG,
	    0, NULL, NULL, on_request, h, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
	    MHD_OPTION_LISTEN_SOCKET, h->config.listen_fd, MHD_OPTION_CONNECTION_LIMIT,
	    h->config.connections_max, MHD_OPTION_CONNECTION_TIMEOUT, h->config.client_timeout_s,
	    MHD_OPTION_URI_LOG_CALLBACK, on_target, h, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes,
	    NULL, MHD_OPTION_NOTIFY_COMPLETED, on_completed, h, MHD_OPTION_NOTIFY_CONNECTION,
	    on_connection, h, MHD_OPTION_THREAD_STACK_SIZE, THREAD_STACK, MHD_OPTION_END);
}

static void cond_init(pthread_cond_t *c)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(c, &attr);
	pthread_condattr_destroy(&attr);
}

static void http_free(struct fsd_http *h)
{
	fsd_limits_stop(h->limits);
	pthread_cond_destroy(&h->drained);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

int fsd_http_start(const struct fsd_http_config *c, struct fsd_http **out, struct orch_err *err)
{
	struct fsd_http *h = calloc(1, sizeof(*h));
	int rc;

	if (!h)
		return orch_err_set(err, ENOMEM, "no memory");
	rc = fsd_limits_start(&h->limits, err);
	if (rc < 0) {
		free(h);
		return rc;
	}
	h->config = *c;
	h->stat.last_ns = orch_clock_ns();
	pthread_mutex_init(&h->lock, NULL);
	cond_init(&h->drained);
	*out = h; /* for the first handler */
	h->mhd = start_library(h);
	if (!h->mhd) {
		rc = orch_err_sys(err, errno ? errno : EIO, "start the HTTP server");
		*out = NULL;
		http_free(h);
		return rc;
	}
	return 0;
}

/* Clients that were let in but have not said what they want: most do so at once. */
static void drain_silent(struct fsd_http *h)
{
	struct timespec until = orch_ns_timespec((int64_t)orch_deadline_in_ms(SILENT_MS));

	pthread_mutex_lock(&h->lock);
	while (h->stat.connections &&
	       pthread_cond_timedwait(&h->drained, &h->lock, &until) != ETIMEDOUT)
		;
	pthread_mutex_unlock(&h->lock);
}

static void wait_drained(struct fsd_http *h, uint64_t ms)
{
	struct timespec until = orch_ns_timespec((int64_t)orch_deadline_in_ms(ms));

	while (h->exchanges && pthread_cond_timedwait(&h->drained, &h->lock, &until) != ETIMEDOUT)
		;
}

/* Cancelled handlers still get to tell so: waits for their answers to be sent. */
static void drain(struct fsd_http *h, uint64_t patience_ms)
{
	pthread_mutex_lock(&h->lock);
	h->ending = true;
	if (patience_ms)
		wait_drained(h, patience_ms);
	h->stopping = true;
	for (struct exchange *x = h->exchanges; x; x = x->next)
		exchange_cancel(x);
	wait_drained(h, DRAIN_MS);
	pthread_mutex_unlock(&h->lock);
}

int fsd_http_stop(struct fsd_http *h, uint64_t patience_ms)
{
	MHD_socket listener;

	if (!h)
		return -1;
	listener = MHD_quiesce_daemon(h->mhd);
	drain(h, patience_ms);
	drain_silent(h);
	MHD_stop_daemon(h->mhd);
	http_free(h);
	return listener == MHD_INVALID_SOCKET ? -1 : listener;
}

void fsd_http_stat(struct fsd_http *h, struct fsd_http_stat *out)
{
	pthread_mutex_lock(&h->lock);
	*out = h->stat;
	pthread_mutex_unlock(&h->lock);
}
