/* The client of the control API against a server of canned bytes. */
#include "tests/lib/tap.h"

#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "core/clock.h"
#include "core/http_client.h"
#include "tests/unit/core/scratch.h"

/* What the server does: it reads a request, then sends each piece; "" waits until `go` is posted. */
struct server {
	char path[108];
	int listener;
	int go; /* eventfd */
	const char *const *pieces;
	bool hang; /* keep the connection open and silent after the pieces */
	struct orch_buf request;
	pthread_t thread;
};

static void wait_go(int fd)
{
	uint64_t v;

	assert_int_equal(orch_fd_read_all(fd, &v, sizeof(v)), 0);
}

static void post(int fd)
{
	uint64_t one = 1;

	assert_int_equal(orch_fd_write_all(fd, &one, sizeof(one)), 0);
}

/* Up to the blank line and the body that Content-Length promises. */
static void read_request(int fd, struct orch_buf *b)
{
	for (;;) {
		char block[4096];
		const char *head, *length;
		ssize_t n = read(fd, block, sizeof(block));

		if (n <= 0)
			return;
		orch_buf_add(b, block, (size_t)n);
		head = strstr((char *)b->data, "\r\n\r\n");
		length = strcasestr((char *)b->data, "content-length:");
		if (head &&
		    (!length || b->len >= (size_t)(head + 4 - (char *)b->data) +
					      (size_t)atoi(length + strlen("content-length:"))))
			return;
	}
}

static void *serve(void *arg)
{
	struct server *s = arg;
	int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
	char byte;

	if (fd < 0)
		return NULL;
	read_request(fd, &s->request);
	for (const char *const *p = s->pieces; *p; p++) {
		if (!**p)
			wait_go(s->go);
		else if (send(fd, *p, strlen(*p), MSG_NOSIGNAL) < 0)
			break;
	}
	if (s->hang)
		while (read(fd, &byte, 1) > 0)
			;
	close(fd);
	return NULL;
}

static void server_start(struct server *s, struct scratch *scratch, const char *const *pieces)
{
	snprintf(s->path, sizeof(s->path), "%s/sock", scratch->path);
	s->listener = orch_sock_listen(s->path, SOCK_STREAM, 0600, NULL);
	assert_true(s->listener >= 0);
	s->go = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
	s->pieces = pieces;
	orch_buf_init(&s->request, 1 << 20);
	pthread_create(&s->thread, NULL, serve, s);
}

static void server_stop(struct server *s)
{
	pthread_join(s->thread, NULL);
	close(s->listener);
	close(s->go);
	orch_buf_fini(&s->request);
}

static int request(
    const char *path, struct orch_http_request req, struct orch_json **out, struct orch_err *err)
{
	struct orch_http_client *c = NULL;
	int r;

	assert_int_equal(orch_http_client_new(path, &c, err), 0);
	r = orch_http_request(c, &req, out, err);
	orch_http_client_free(c);
	return r;
}

#define GET(p)                                                                           \
	(struct orch_http_request)                                                       \
	{                                                                                \
		.method = "GET", .path = (p), .deadline_ns = orch_deadline_in_ms(10000), \
		.cancel_fd = -1                                                          \
	}

static void a_plain_answer(void **state)
{
	static const char *const pieces[] = {"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
					     "Content-Length: 7\r\n\r\n{\"a\"",
	    ":1}", NULL};
	orch_auto(json) struct orch_json *out = NULL, *body = orch_json_object();
	struct orch_err err = ORCH_ERR_INIT;
	struct orch_http_request req = GET("/v1/refs/a%2Fb");
	struct server s = {.listener = -1};
	int64_t a = 0;

	server_start(&s, *state, pieces);
	orch_json_set_str(body, "k", "v");
	req.method = "PUT";
	req.body = body;
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	assert_int_equal(request(s.path, req, &out, &err), 0);
	unsetenv("http_proxy");
	assert_int_equal(orch_json_get_int(out, "a", &a, NULL), 0);
	assert_int_equal(a, 1);
	assert_ptr_equal(
	    strstr((char *)s.request.data, "PUT /v1/refs/a%2Fb HTTP/1.1\r\n"), s.request.data);
	assert_non_null(strstr((char *)s.request.data, "\r\n\r\n{\"k\":\"v\"}"));
	server_stop(&s);
}

static void no_body_is_an_empty_object(void **state)
{
	static const char *const pieces[] = {"HTTP/1.1 204 No Content\r\n\r\n", NULL};
	orch_auto(json) struct orch_json *out = NULL;
	struct server s = {.listener = -1};

	server_start(&s, *state, pieces);
	assert_int_equal(request(s.path, GET("/"), &out, NULL), 0);
	assert_true(orch_json_is_object(out));
	assert_int_equal(orch_json_len(out), 0);
	server_stop(&s);
}

static void an_api_error_keeps_code_and_message(void **state)
{
	static const char *const pieces[] = {
	    "HTTP/1.1 409 Conflict\r\nContent-Length: 54\r\n\r\n"
	    "{\"error\":{\"code\":\"ESTALE\",\"message\":\"ref a moved on\"}}",
	    NULL};
	struct orch_err err = ORCH_ERR_INIT;
	struct orch_json *out = NULL;
	struct server s = {.listener = -1};

	server_start(&s, *state, pieces);
	assert_int_equal(request(s.path, GET("/"), &out, &err), -ORCH_ECONFLICT);
	assert_string_equal(err.msg, "ref a moved on");
	assert_null(out);
	server_stop(&s);
}

static void an_error_without_json(void **state)
{
	static const char *const pieces[] = {
	    "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope", NULL};
	struct orch_err err = ORCH_ERR_INIT;
	struct orch_json *out = NULL;
	struct server s = {.listener = -1};

	server_start(&s, *state, pieces);
	assert_int_equal(request(s.path, GET("/"), &out, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "404"));
	server_stop(&s);
}

#define STREAM_HEAD \
	"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n"

struct events {
	struct server *server;
	unsigned count;
	int answer;
};

static int on_event(void *priv, const struct orch_json *event)
{
	struct events *e = priv;
	int64_t n = -1;

	assert_int_equal(orch_json_get_int(event, "n", &n, NULL), 0);
	assert_int_equal(n, e->count++);
	/* only now does the server go on: an event that were held back would hang the test */
	if (e->server)
		post(e->server->go);
	return e->answer;
}

static void events_come_one_by_one(void **state)
{
	static const char *const pieces[] = {STREAM_HEAD "{\"n\"", ":0}\n", "", "{\"n\":1}\r\n\n",
	    "", "{\"n\":2}\n", "", "{\"result\":{\"id\"", ":\"x\"}}", NULL};
	orch_auto(json) struct orch_json *out = NULL;
	struct server s = {.listener = -1};
	struct events e = {.server = &s};
	struct orch_http_request req = GET("/");
	const char *id = "";

	server_start(&s, *state, pieces);
	req.on_event = on_event;
	req.priv = &e;
	assert_int_equal(request(s.path, req, &out, NULL), 0);
	assert_int_equal(e.count, 3);
	assert_int_equal(orch_json_get_str(out, "id", &id, NULL), 0);
	assert_string_equal(id, "x");
	server_stop(&s);
}

static void a_stream_ends_with_an_error(void **state)
{
	static const char *const pieces[] = {STREAM_HEAD
	    "{\"n\":0}\n{\"error\":{\"code\":\"ENOSPC\",\"message\":\"disk full\"}}\n",
	    NULL};
	struct orch_err err = ORCH_ERR_INIT;
	struct orch_json *out = NULL;
	struct server s = {.listener = -1};

	server_start(&s, *state, pieces);
	assert_int_equal(request(s.path, GET("/"), &out, &err), -ENOSPC);
	assert_string_equal(err.msg, "disk full");
	server_stop(&s);
}

static void a_stream_without_a_result_is_an_error(void **state)
{
	static const char *const pieces[] = {STREAM_HEAD "{\"n\":0}\n", NULL};
	struct orch_err err = ORCH_ERR_INIT;
	struct orch_json *out = NULL;
	struct server s = {.listener = -1};

	server_start(&s, *state, pieces);
	assert_int_equal(request(s.path, GET("/"), &out, &err), -ECONNRESET);
	server_stop(&s);
}

static void a_callback_stops_the_request(void **state)
{
	static const char *const pieces[] = {STREAM_HEAD "{\"n\":0}\n", NULL};
	struct orch_err err = ORCH_ERR_INIT;
	struct orch_json *out = NULL;
	struct server s = {.listener = -1, .hang = true};
	struct events e = {.answer = -EDOM};
	struct orch_http_request req = GET("/");

	server_start(&s, *state, pieces);
	req.on_event = on_event;
	req.priv = &e;
	assert_int_equal(request(s.path, req, &out, &err), -EDOM);
	assert_int_equal(err.code, EDOM);
	server_stop(&s);
}

static void garbage_is_an_error(void **state)
{
	static const char *const pieces[] = {STREAM_HEAD "{\"n\":0\n", NULL};
	struct orch_err err = ORCH_ERR_INIT;
	struct orch_json *out = NULL;
	struct server s = {.listener = -1};

	server_start(&s, *state, pieces);
	assert_int_equal(request(s.path, GET("/"), &out, &err), -EINVAL);
	server_stop(&s);
}

static void deadline_and_cancel_close_the_connection(void **state)
{
	static const char *const pieces[] = {STREAM_HEAD, NULL};
	struct orch_err err = ORCH_ERR_INIT;
	struct orch_json *out = NULL;
	struct orch_http_request req = GET("/");
	int cancel = eventfd(1, EFD_CLOEXEC);

	for (int i = 0; i < 2; i++) {
		struct server s = {.listener = -1, .hang = true};
		uint64_t start = orch_clock_ns();

		server_start(&s, *state, pieces);
		req.deadline_ns = orch_deadline_in_ms(i ? 60000 : 100);
		req.cancel_fd = i ? cancel : -1;
		assert_int_equal(request(s.path, req, &out, &err), i ? -ECANCELED : -ETIMEDOUT);
		assert_true(orch_clock_ns() - start < 5 * ORCH_NS_PER_S);
		server_stop(&s); /* returns, so the server has seen the end */
	}
	close(cancel);
}

static void nobody_listens(void **state)
{
	struct scratch *scratch = *state;
	struct orch_err err = ORCH_ERR_INIT;
	struct orch_http_client *c = NULL;
	struct orch_json *out = NULL;
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/sock", scratch->path);
	assert_int_equal(request(path, GET("/"), &out, &err), -ORCH_ENODAEMON);
	assert_non_null(strstr(err.msg, path));
	fd = orch_sock_listen(path, SOCK_STREAM, 0600, NULL);
	close(fd); /* the file stays */
	assert_int_equal(request(path, GET("/"), &out, &err), -ORCH_ENODAEMON);
	memset(path, 'a', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(orch_http_client_new(path, &c, &err), -ENAMETOOLONG);
}

/* Whoever asked for something to be made learns whether it may have been. */
static void the_status_of_an_answer_that_failed(void **state)
{
	static const struct {
		const char *answer;
		long status;
	} cases[] = {
	    {"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope", 404},
	    {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\"n\":0", 200}, /* it is cut */
	    {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnope", 200},
	    {"HTTP", 0},
	};
	struct scratch *scratch = *state;
	struct orch_err err = ORCH_ERR_INIT;
	struct orch_json *out = NULL;
	char path[256];
	long status;

	for (size_t i = 0; i < ORCH_ARRAY_LEN(cases); i++) {
		const char *const pieces[] = {cases[i].answer, NULL};
		struct orch_http_request req = GET("/");
		struct server s = {.listener = -1};

		server_start(&s, scratch, pieces);
		status = 12345;
		req.out_status = &status;
		assert_true(request(s.path, req, &out, &err) < 0);
		assert_int_equal(status, cases[i].status);
		server_stop(&s);
	}
	snprintf(path, sizeof(path), "%s/none", scratch->path);
	status = 12345;
	{
		struct orch_http_request req = GET("/");

		req.out_status = &status;
		assert_int_equal(request(path, req, &out, &err), -ORCH_ENODAEMON);
	}
	assert_int_equal(status, 0);
}

static void escaping(void **state)
{
	char *s = orch_http_escape("a/b c%\xc3\xa9~-._");

	assert_string_equal(s, "a%2Fb%20c%25%C3%A9~-._");
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    scratch_test(a_plain_answer),
	    scratch_test(no_body_is_an_empty_object),
	    scratch_test(an_api_error_keeps_code_and_message),
	    scratch_test(an_error_without_json),
	    scratch_test(events_come_one_by_one),
	    scratch_test(a_stream_ends_with_an_error),
	    scratch_test(a_stream_without_a_result_is_an_error),
	    scratch_test(a_callback_stops_the_request),
	    scratch_test(garbage_is_an_error),
	    scratch_test(deadline_and_cancel_close_the_connection),
	    scratch_test(nobody_listens),
	    scratch_test(the_status_of_an_answer_that_failed),
	    cmocka_unit_test(escaping),
	};

	return tap_run(tests);
}
