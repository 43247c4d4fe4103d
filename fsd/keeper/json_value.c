/* Shared JSON values. */
#include "json_value.h"
#include <errno.h>
#include "core/clock.h"
#include "core/log.h"

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

/* Twice: the second call makes the room that the library wants before it looks whether the member is
 * there. Changing it takes none then. */
int fsd_json_reserve_bool(struct orch_json *o, const char *key)
{
	int rc = orch_json_set_bool(o, key, false);

	return rc < 0 ? rc : orch_json_set_bool(o, key, false);
}

void fsd_json_settle_bool(struct orch_json *o, const char *key, bool v)
{
	ORCH_BUG_ON(!orch_json_get(o, key));
	if (orch_json_set_bool(o, key, v) < 0)
		orch_log(ORCH_LOG_WARN, "keeper", "answer", "member=%s reason=\"no memory\"", key);
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
