/*
 * A request of the control API: "METHOD TARGET\nBODY". Route, query and body are checked as the server
 * does, and the values in them; what is decoded encodes again to what decodes to the same.
 */
#include "core/http_client.h"
#include "fsd/keeper/api.h"
#include "fsd/keeper/expect.h"
#include "fsd/keeper/routes.h"
#include "fsd/keeper/url.h"
#include "tests/lib/fuzz.h"

static void decode(const char *s, size_t n)
{
	char *plain = fsd_url_decode(s, n), *escaped, *again;

	if (plain == NULL)
		return;
	fuzz_must(strlen(plain) <= n);
	escaped = orch_http_escape(plain);
	fuzz_must(escaped != NULL && strpbrk(escaped, "/?&= ") == NULL);
	again = fsd_url_decode(escaped, strlen(escaped));
	fuzz_must(again != NULL && strcmp(again, plain) == 0);
	free(again);
	free(escaped);
	free(plain);
}

/* Digits that are less than 2^64, and nothing else; written without the parser. */
static bool is_number(const char *s)
{
	size_t zeros = strspn(s, "0"), len = strlen(s + zeros);

	return *s && strspn(s, "0123456789") == zeros + len &&
	       (len < 20 || (len == 20 && strcmp(s + zeros, "18446744073709551615") <= 0));
}

static void check_since(const struct orch_json *query)
{
	struct fsd_request q = {.query = query};
	const char *text = fsd_query_str(&q, "since");
	struct orch_err err = ORCH_ERR_INIT;
	uint64_t since = 1;

	if (fsd_query_u64(&q, "since", &since, &err) < 0)
		fuzz_must(text && !is_number(text) && err.code == EINVAL);
	else
		fuzz_must(text ? is_number(text) : since == 0);
}

static void check_query(const struct fsd_route *r, const char *text)
{
	orch_auto(json) struct orch_json *query = NULL;
	struct orch_err err = ORCH_ERR_INIT;

	if (fsd_url_query(text, &query, &err) < 0) {
		fuzz_must(err.code == EINVAL && query == NULL);
		return;
	}
	if (fsd_request_check_query(r->query, query, &err) < 0)
		fuzz_must(err.code == EINVAL);
	else
		check_since(query);
}

/* A user that "owner" names is none that the kernel takes for "no change". */
static void check_owner(const struct fsd_request *q)
{
	struct orch_err err = ORCH_ERR_INIT;
	uid_t uid = (uid_t)-1;
	gid_t gid = (gid_t)-1;

	if (fsd_body_ids(q, "owner", &uid, &gid, &err) < 0)
		fuzz_must(err.code == EINVAL && uid == (uid_t)-1 && gid == (gid_t)-1);
	else
		fuzz_must(uid != (uid_t)-1 && gid != (gid_t)-1);
}

static void check_body(const struct fsd_route *r, const struct fuzz_input *in)
{
	orch_auto(json) struct orch_json *body = NULL;
	struct fsd_request q = {.body = NULL};
	struct orch_err err = ORCH_ERR_INIT;
	struct cas_expect expect;

	if (orch_json_parse((const char *)in->p, in->left, &body, &err) < 0)
		return;
	if (fsd_request_check_body(r->body, body, &err) < 0) {
		fuzz_must(err.code == EINVAL);
		return;
	}
	q.body = body;
	(void)fsd_body_bool(&q, "force", false);
	check_owner(&q);
	if (fsd_body_str(&q, "expect"))
		(void)!fsd_expect_parse(fsd_body_str(&q, "expect"), &expect, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	char *method = fuzz_word(&in, ' '), *target = fuzz_word(&in, '\n'), *mark;
	char *params[FSD_PARAMS_MAX], allow[64];
	const struct fsd_route *r;
	unsigned status = 0;
	size_t path_len;

	mark = strchr(target, '?');
	path_len = mark ? (size_t)(mark - target) : strlen(target);
	decode(target, path_len);
	r = fsd_url_route(fsd_routes, method, target, path_len, params, &status, allow);
	for (size_t i = 0; i < FSD_PARAMS_MAX; i++) {
		fuzz_must(r != NULL || params[i] == NULL);
		fuzz_must(params[i] == NULL || *params[i]);
		free(params[i]);
	}
	fuzz_must(r != NULL || status == 404 || status == 405 || status == 400);
	if (r != NULL) {
		fuzz_must(strcmp(r->method, method) == 0);
		check_query(r, mark ? mark + 1 : NULL);
		check_body(r, &in);
	}
	free(method);
	free(target);
	return 0;
}
