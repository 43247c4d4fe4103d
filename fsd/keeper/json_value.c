/* Shared JSON values. */
#include "json_value.h"
#include <errno.h>
#include "core/clock.h"

int fsd_json_set_digest(struct orch_json *o, const char *key, const struct orch_digest *d)
{
	char hex[ORCH_DIGEST_HEX + 1];

	if (orch_digest_is_null(d))
		return 0;
	orch_digest_format(d, hex);
	return orch_json_set_str(o, key, hex);
}

int fsd_json_set_time(struct orch_json *o, const char *key, int64_t wall_ns)
{
	char text[ORCH_RFC3339_BYTES];

	orch_wall_format(wall_ns, text);
	return orch_json_set_str(o, key, text);
}

struct orch_json *fsd_json_copy(const struct orch_json *j)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	struct orch_json *copy = NULL;

	if (orch_json_format(j, 0, &b) < 0 ||
	    orch_json_parse((const char *)b.data, b.len, &copy, NULL) < 0)
		return NULL;
	return copy;
}

int fsd_json_finish(int rc, struct orch_json **o, struct orch_json **out, struct orch_err *err)
{
	if (rc == 0 && *o) {
		*out = orch_take(*o);
		return 0;
	}
	orch_json_free(*o);
	*o = NULL;
	if (rc < 0 && err && err->code == -rc)
		return rc;
	return orch_err_sys(err, rc < 0 ? -rc : ENOMEM, "make the answer");
}
