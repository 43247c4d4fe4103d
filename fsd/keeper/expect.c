/* Compare-and-swap of refs, as requests spell it. */
#include "expect.h"
#include "core/path.h"

int fsd_expect_parse(const char *s, struct cas_expect *out, struct orch_err *err)
{
	struct cas_expect e = {.how = CAS_EXPECT_ANY};

	if (s && *s) {
		e.how = CAS_EXPECT_ID;
		if (orch_digest_parse(s, &e.id) < 0)
			return orch_err_set(err, EINVAL,
			    "what the ref is expected to point to is neither empty nor a "
			    "snapshot's id "
			    "(64 hex digits)");
	} else if (s) {
		e.how = CAS_EXPECT_ABSENT;
	}
	*out = e;
	return 0;
}

int fsd_expect_check(
    struct cas_store *s, const char *ref, const struct cas_expect *expect, struct orch_err *err)
{
	struct cas_ref now;
	int rc;

	if (!ref)
		return 0;
	if (!orch_ref_name_valid(ref))
		return orch_err_set(err, EINVAL, "'%s' can't be the name of a ref", ref);
	if (expect->how == CAS_EXPECT_ANY)
		return 0;
	rc = cas_ref_get(s, ref, &now, NULL);
	if (rc < 0 && rc != -ENOENT)
		return orch_err_sys(err, -rc, "ref %s", ref);
	if (rc == -ENOENT && expect->how == CAS_EXPECT_ID)
		return orch_err_set(err, ORCH_ECONFLICT, "ref %s does not exist", ref);
	if (rc == 0 && expect->how == CAS_EXPECT_ABSENT)
		return orch_err_set(err, ORCH_ECONFLICT, "ref %s exists already", ref);
	if (rc == 0 && !orch_digest_eq(&now.id, &expect->id))
		return orch_err_set(err, ORCH_ECONFLICT, "ref %s has changed", ref);
	return 0;
}
