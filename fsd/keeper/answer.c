/* Answers as bytes. Formatting by hand around core/json.h, so that an error can be told without
 * more memory than its own. */
#include "answer.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "core/utf8.h"

static const struct {
	int code;
	unsigned status;
} statuses[] = {
    {EINVAL, 400},
    {ENAMETOOLONG, 400},
    {ENOTDIR, 400},
    {EISDIR, 400},
    {EXDEV, 400},
    {ELOOP, 400},
    {EPERM, 403},
    {EACCES, 403},
    {ENOENT, 404},
    {EEXIST, 409},
    {EBUSY, 409},
    {ORCH_ECONFLICT, 409},
    {ENOTEMPTY, 409},
    {ENOTUNIQ, 409},
    {ECONNREFUSED, 502},
    {ECONNRESET, 502},
    {EHOSTUNREACH, 502},
    {EMSGSIZE, 413},
    {EFBIG, 413},
    {E2BIG, 413},
    {ECANCELED, 499},
    {ENOSYS, 501},
    {EOPNOTSUPP, 501},
    {EAGAIN, 503},
    {EHOSTDOWN, 503},
    {ENOMEM, 503},
    {ESHUTDOWN, 503},
    {ETIMEDOUT, 504},
    {ENOSPC, 507},
    {EDQUOT, 507},
};

unsigned fsd_answer_status(int code)
{
	for (size_t i = 0; i < ORCH_ARRAY_LEN(statuses); i++)
		if (statuses[i].code == code)
			return statuses[i].status;
	return 500;
}

/* A message may quote bytes from outside: what is not ASCII becomes \xHH if it must. */
static int set_message(struct orch_json *o, const char *msg)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;

	if (orch_utf8_valid(msg, strlen(msg)))
		return orch_json_set_str(o, "message", msg);
	for (const unsigned char *p = (const unsigned char *)msg; *p; p++)
		(void)orch_buf_printf(&b, *p < 128 ? "%c" : "\\x%02x", *p);
	return b.failed ? -ENOMEM : orch_json_set_str(o, "message", (const char *)b.data);
}

static int copy_member(const char *key, const struct orch_json *v, void *priv)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	struct orch_json *copy = NULL;

	if (strcmp(key, "code") == 0 || strcmp(key, "message") == 0)
		return 0;
	if (orch_json_format(v, 0, &b) < 0 ||
	    orch_json_parse((const char *)b.data, b.len, &copy, NULL) < 0)
		return 0;
	return orch_json_set_json(priv, key, &copy);
}

int fsd_answer_error(
    const struct orch_err *err, const struct orch_json *extra, struct orch_buf *out)
{
	struct orch_json *root = orch_json_object(), *o = orch_json_object();
	int rc = root && o ? 0 : -ENOMEM;

	if (rc == 0)
		rc = orch_json_set_str(o, "code", orch_err_name(err->code ? err->code : EIO));
	if (rc == 0)
		rc = set_message(o, err->msg);
	if (rc == 0 && extra)
		rc = orch_json_each(extra, copy_member, o);
	if (rc == 0)
		rc = orch_json_set_json(root, "error", &o);
	if (rc == 0)
		rc = orch_json_format(root, 0, out);
	orch_json_free(o);
	orch_json_free(root);
	return rc;
}

int fsd_answer_result(const struct orch_json *result, struct orch_buf *out)
{
	(void)orch_buf_add_str(out, "{\"result\":");
	if (!result)
		(void)orch_buf_add_str(out, "{}");
	else if (orch_json_format(result, 0, out) < 0)
		return -ENOMEM;
	return orch_buf_add_str(out, "}");
}
