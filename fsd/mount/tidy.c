/* Strata put together in another way, for the name space. See strata.h, ns_priv.h. */
#include "fsd/mount/ns_priv.h"
#include "fsd/mount/strata.h"

static int swap(struct mnt_ns *ns, struct mnt_restrata *m)
{
	int r;

	mnt_ns_lock(ns);
	mnt_ns_keep_listings(ns);
	r = mnt_strata_swap(&ns->chain, m);
	mnt_ns_unlock(ns);
	return r;
}

int mnt_ns_border(struct mnt_ns *ns, size_t layers, size_t *out, struct orch_err *err)
{
	struct mnt_restrata m;
	size_t below;
	int r;

	if (layers == 0) {
		*out = 0;
		return 0;
	}
	r = mnt_strata_split(&ns->chain, layers, &m, err);
	below = m.at;
	if (r == 0 && m.count > 0) {
		r = swap(ns, &m);
		if (r < 0)
			orch_err_sys(err, -r, "state of the layers");
	}
	mnt_restrata_fini(&m);
	if (r == 0)
		*out = below + 1;
	return r;
}

void mnt_ns_tidy(struct mnt_ns *ns)
{
	struct mnt_restrata m;
	int r;

	if (!mnt_strata_many(&ns->chain, &m))
		return;
	r = mnt_strata_merge(&ns->chain, &m);
	if (r == 0)
		r = swap(ns, &m);
	mnt_restrata_fini(&m);
	if (r < 0) /* look-ups take longer, that is all */
		orch_log(
		    ORCH_LOG_WARN, "mount", "strata-not-merged", "errno=%s", orch_err_name(-r));
}
