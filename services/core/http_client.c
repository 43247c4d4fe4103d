/*
 * HTTP over a Unix socket by libcurl. The library and the thirty that it draws in cost 3.4 ms to
 * load, more than all the rest of a short command: so it is loaded by the first request, and a
 * program that makes none never meets it. A client belongs to one thread at a time.
 */
#include "core/http_client.h"

#include <ctype.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/http_answer.h"

#define CURL_SONAME "libcurl.so.4"

/* Each function of libcurl that is used, by its name without "curl_". */
#define CURL_FUNCTIONS(X)      \
	X(global_init)         \
	X(easy_init)           \
	X(easy_cleanup)        \
	X(easy_reset)          \
	X(easy_setopt)         \
	X(easy_getinfo)        \
	X(easy_strerror)       \
	X(multi_init)          \
	X(multi_cleanup)       \
	X(multi_add_handle)    \
	X(multi_remove_handle) \
	X(multi_perform)       \
	X(multi_poll)          \
	X(multi_info_read)     \
	X(multi_strerror)      \
	X(slist_append)        \
	X(slist_free_all)

/* The library; filled once, read-only from then on. */
static struct {
#define X(name) __typeof__(curl_##name) *name;
	CURL_FUNCTIONS(X)
#undef X
	const char *missing; /* what could not be loaded; NULL: all is there */
} lib;
static pthread_once_t lib_once = PTHREAD_ONCE_INIT;

static void lib_load(void)
{
	void *so = dlopen(CURL_SONAME, RTLD_NOW | RTLD_LOCAL);

	if (!so) {
		lib.missing = CURL_SONAME;
		return;
	}
#define X(name)                                                    \
	lib.name = (__typeof__(lib.name))dlsym(so, "curl_" #name); \
	if (!lib.name)                                             \
		lib.missing = "curl_" #name;
	CURL_FUNCTIONS(X)
#undef X
	/* Nothing global is needed: no TLS and no resolver on a Unix socket. */
	if (!lib.missing && lib.global_init(CURL_GLOBAL_NOTHING) != CURLE_OK)
		lib.missing = "curl_global_init";
}

struct orch_http_client {
	char *socket_path;
	CURL *easy;
	CURLM *multi;
};

/* One request on its way. */
struct exchange {
	const struct orch_http_request *req;
	struct curl_slist *headers;
	struct orch_buf sent;
	struct orch_buf url;
	struct orch_http_answer answer;
	struct orch_err *err;
};

int orch_http_client_new(
    const char *socket_path, struct orch_http_client **out, struct orch_err *err)
{
	struct orch_http_client *c;

	if (strlen(socket_path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return orch_err_set(err, ENAMETOOLONG,
		    "the socket path %s is longer than %zu bytes", socket_path,
		    sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1);
	c = calloc(1, sizeof(*c));
	if (c)
		c->socket_path = strdup(socket_path);
	if (!c || !c->socket_path) {
		free(c);
		return orch_err_sys(err, ENOMEM, "cannot make a client of %s", socket_path);
	}
	*out = c;
	return 0;
}

void orch_http_client_free(struct orch_http_client *c)
{
	if (!c)
		return;
	if (c->easy)
		lib.easy_cleanup(c->easy);
	if (c->multi)
		lib.multi_cleanup(c->multi);
	free(c->socket_path);
	free(c);
}

static int client_ready(struct orch_http_client *c, struct orch_err *err)
{
	pthread_once(&lib_once, lib_load);
	if (lib.missing)
		return orch_err_set(err, ENOPKG,
		    "cannot load %s, which talks to the daemon: is the package libcurl4 installed?",
		    lib.missing);
	if (!c->multi)
		c->multi = lib.multi_init();
	if (!c->easy)
		c->easy = lib.easy_init();
	return c->multi && c->easy ? 0 : orch_err_sys(err, ENOMEM, "cannot make an HTTP client");
}

static size_t on_body(char *p, size_t size, size_t n, void *priv)
{
	struct exchange *x = priv;

	n *= size;
	return orch_http_answer_body(&x->answer, p, n) < 0 ? 0 : n;
}

static size_t on_header(char *p, size_t size, size_t n, void *priv)
{
	struct exchange *x = priv;

	n *= size;
	orch_http_answer_header(&x->answer, p, n);
	return n;
}

static int add_header(struct exchange *x, const char *text)
{
	struct curl_slist *l = lib.slist_append(x->headers, text);

	if (!l)
		return -ENOMEM;
	x->headers = l;
	return 0;
}

static int exchange_fill(struct exchange *x)
{
	if (orch_buf_printf(&x->url, "http://orch%s", x->req->path) < 0)
		return -ENOMEM;
	if (x->req->body) {
		int r = orch_json_format(x->req->body, 0, &x->sent);

		if (r == 0)
			r = add_header(x, "Content-Type: application/json");
		if (r < 0)
			return r;
	}
	return add_header(x, "Expect:");
}

static void exchange_fini(struct exchange *x)
{
	if (x->headers)
		lib.slist_free_all(x->headers);
	orch_buf_fini(&x->sent);
	orch_buf_fini(&x->url);
	orch_http_answer_fini(&x->answer);
}

/* Options only fail for lack of memory, which the transfer then meets again. */
static void set_options(struct orch_http_client *c, struct exchange *x)
{
	CURL *e = c->easy;

	lib.easy_reset(e);
	lib.easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH, c->socket_path);
	lib.easy_setopt(e, CURLOPT_URL, (const char *)x->url.data);
	lib.easy_setopt(e, CURLOPT_PROXY, "");
	lib.easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
	lib.easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	lib.easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	lib.easy_setopt(e, CURLOPT_CUSTOMREQUEST, x->req->method);
	lib.easy_setopt(e, CURLOPT_HTTPHEADER, x->headers);
	lib.easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	lib.easy_setopt(e, CURLOPT_WRITEDATA, x);
	lib.easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	lib.easy_setopt(e, CURLOPT_HEADERDATA, x);
	if (x->req->body || strcmp(x->req->method, "GET") != 0) {
		lib.easy_setopt(
		    e, CURLOPT_POSTFIELDS, x->sent.data ? (const char *)x->sent.data : "");
		lib.easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)x->sent.len);
	}
}

/* 1: the transfer is over, *out_code says how. */
static int transfer_result(struct orch_http_client *c, CURLcode *out_code)
{
	CURLMsg *msg;
	int left;

	while ((msg = lib.multi_info_read(c->multi, &left))) {
		if (msg->msg == CURLMSG_DONE) {
			*out_code = msg->data.result;
			return 1;
		}
	}
	return 0;
}

static int multi_failed(CURLMcode m, struct orch_err *err)
{
	return orch_err_set(err, m == CURLM_OUT_OF_MEMORY ? ENOMEM : EIO,
	    "cannot talk to the daemon: %s", lib.multi_strerror(m));
}

/* Runs the transfer to its end, the deadline, or a readable cancel_fd. */
static int transfer(struct orch_http_client *c, struct exchange *x, CURLcode *out_code)
{
	struct curl_waitfd cancel = {.fd = x->req->cancel_fd, .events = CURL_WAIT_POLLIN};
	unsigned extra = x->req->cancel_fd >= 0;

	for (;;) {
		int running, ms;
		CURLMcode m = lib.multi_perform(c->multi, &running);

		if (m != CURLM_OK)
			return multi_failed(m, x->err);
		if (transfer_result(c, out_code))
			return 0;
		ms = orch_deadline_poll_ms(x->req->deadline_ns);
		if (ms == 0)
			return orch_err_set(x->err, ETIMEDOUT, "%s %s: no answer in time",
			    x->req->method, x->req->path);
		cancel.revents = 0;
		m = lib.multi_poll(
		    c->multi, &cancel, extra, ms < 0 || ms > 60000 ? 60000 : ms, NULL);
		if (m != CURLM_OK)
			return multi_failed(m, x->err);
		if (extra && cancel.revents)
			return orch_err_set(
			    x->err, ECANCELED, "%s %s was cancelled", x->req->method, x->req->path);
	}
}

static int no_transfer(const struct orch_http_client *c, const struct exchange *x, CURLcode code)
{
	long os_errno = 0;

	if (x->answer.failed) /* a callback ended it and has said why */
		return x->err->code > 0 ? x->answer.failed
					: orch_err_set(x->err, -x->answer.failed,
					      "%s %s was stopped", x->req->method, x->req->path);
	if (code == CURLE_OUT_OF_MEMORY)
		return orch_err_sys(x->err, ENOMEM, "cannot talk to the daemon");
	lib.easy_getinfo(c->easy, CURLINFO_OS_ERRNO, &os_errno);
	if (code == CURLE_COULDNT_CONNECT && (os_errno == EACCES || os_errno == EPERM))
		return orch_err_sys(
		    x->err, (int)os_errno, "cannot open the daemon's socket %s", c->socket_path);
	if (code == CURLE_COULDNT_CONNECT)
		return orch_err_set(
		    x->err, ORCH_ENODAEMON, "no daemon answers on %s", c->socket_path);
	return orch_err_set(x->err, ECONNRESET, "%s %s: the daemon on %s broke off: %s",
	    x->req->method, x->req->path, c->socket_path, lib.easy_strerror(code));
}

static int exchange_run(struct orch_http_client *c, struct exchange *x, struct orch_json **out)
{
	CURLcode code = CURLE_OK;
	long status = 0;
	CURLMcode m;
	int r;

	set_options(c, x);
	m = lib.multi_add_handle(c->multi, c->easy);
	if (m != CURLM_OK)
		return multi_failed(m, x->err);
	r = transfer(c, x, &code);
	lib.easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
	if (x->req->out_status)
		*x->req->out_status = status;
	if (r == 0 && code != CURLE_OK)
		r = no_transfer(c, x, code);
	/* Of a transfer that is not over this closes the connection: the daemon sees the end. */
	lib.multi_remove_handle(c->multi, c->easy);
	if (r < 0)
		return r;
	return orch_http_answer_end(&x->answer, status, out);
}

int orch_http_request(struct orch_http_client *c, const struct orch_http_request *req,
    struct orch_json **out_body, struct orch_err *err)
{
	struct orch_err own = ORCH_ERR_INIT;
	struct exchange x = {
	    .req = req,
	    .sent = ORCH_BUF_INIT,
	    .url = ORCH_BUF_INIT,
	    .err = &own,
	};
	int r = client_ready(c, &own);

	if (req->out_status)
		*req->out_status = ORCH_HTTP_UNSENT;
	orch_http_answer_init(&x.answer, req, &own);

	if (r == 0) {
		r = exchange_fill(&x);
		r = r < 0 ? orch_err_sys(&own, -r, "cannot build a request")
			  : exchange_run(c, &x, out_body);
		exchange_fini(&x);
	}
	if (r < 0 && err)
		*err = own;
	return r;
}

char *orch_http_escape(const char *s)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;

	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if ((c < 0x80 && isalnum(c)) || strchr("-._~", c))
			orch_buf_add(&b, &c, 1);
		else
			orch_buf_printf(&b, "%%%02X", c);
	}
	return orch_buf_take_str(&b);
}
