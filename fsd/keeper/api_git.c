/* Mirrors of Git repositories in the control API. */
#include <stdlib.h>
#include "api.h"
#include "core/fd.h"
#include "daemon.h"
#include "git_fetch.h"
#include "json_value.h"

static int make_answer(
    const struct fsd_git_fetched *made, struct orch_json **out, struct orch_err *err)
{
	struct orch_json *o = orch_json_object();
	int rc = o ? orch_json_set_str(o, "commit", made->commit) : -ENOMEM;

	(void)fsd_json_set_digest(o, "key", &made->key);
	(void)orch_json_set_str(o, "url", made->url);
	(void)orch_json_set_bool(o, "fetched", made->fetched);
	(void)orch_json_set_u64(o, "steps", made->steps);
	(void)orch_json_set_u64(o, "packs", made->packs);
	(void)orch_json_set_u64(o, "bytes", made->pack_bytes);
	(void)orch_json_set_u64(o, "refs", made->refs_changed);
	if (rc == 0 && orch_json_failed(o))
		rc = -ENOMEM;
	return fsd_json_finish(rc, &o, out, err);
}

int fsd_api_git_fetch(struct fsd_request *r, struct orch_json **out, struct orch_err *err)
{
	struct fsd_git_spec spec;
	struct fsd_git_fetched made;
	int rc = fsd_ending_check(&r->daemon->ending, err);

	if (rc == 0)
		rc = fsd_peer_actable(&r->peer, err);
	if (rc == 0)
		rc = fsd_git_spec_get(r, &spec, err);
	if (rc == 0)
		rc = fsd_git_fetch(r, &spec, &made, err);
	if (rc < 0)
		return rc;
	rc = make_answer(&made, out, err);
	orch_fd_close(made.mirror_fd);
	free(made.url);
	return rc;
}
