/* See repair.h. The store's part is cache/repair.h; this room knows what a workspace's record is. */
#include "repair.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cache/layer.h"
#include "cache/record.h"
#include "cache/repair.h"
#include "cache/verify.h"
#include "core/guard.h"
#include "core/path.h"
#include "daemon.h"
#include "ws_mend.h"

struct repair {
	struct fsd_daemon d; /* no more than settings, store and mounts */
	FILE *to;
};

static void tell(void *priv, const char *line)
{
	struct repair *p = priv;

	fprintf(p->to, "%s\n", line);
}

/* ---- workspaces */

static bool is_known(struct repair *p, const char *name)
{
	orch_auto(json) struct orch_json *j = NULL;
	struct fsd_ws_record rec;

	return cas_record_get(p->d.store, CAS_NS_WORKSPACE, name, &j, NULL) == 0 &&
	       fsd_ws_record_parse(j, &rec, NULL) == 0 && strcmp(rec.name, name) == 0;
}

static int rebuild(struct repair *p, const char *name, struct orch_err *err)
{
	orch_auto(json) struct orch_json *j = NULL;
	struct fsd_ws_record rec;
	int rc;

	if (!orch_workspace_name_valid(name) || is_known(p, name))
		return 0;
	rc = fsd_ws_rebuild(&p->d, name, &rec, err);
	if (rc <= 0)
		return rc;
	j = fsd_ws_record_format(&rec);
	rc = j ? cas_record_put(p->d.store, CAS_NS_WORKSPACE, name, j, err)
	       : orch_err_set(err, ENOMEM, "no memory");
	if (rc == 0)
		fprintf(p->to, "workspace %s: it was made again from layer %llu\n", name,
		    (unsigned long long)rec.layer);
	return rc;
}

/* Those of which there is a layer that is not sealed. */
static int rebuild_all(struct repair *p, struct orch_err *err)
{
	orch_auto(free) struct cas_layer *v = NULL;
	size_t n = 0;
	int rc = cas_layer_list(p->d.store, CAS_LAYER_SEALED, &v, &n, err);

	for (size_t i = 0; rc == 0 && i < n; i++) {
		if (v[i].status == 0 && !v[i].sealed)
			rc = rebuild(p, v[i].head.workspace, err);
		else if (v[i].status < 0 && v[i].records == 0 && v[i].children == 0)
			fprintf(p->to,
			    "layer %llu: it can't be read, and nothing names it: its workspace may "
			    "be lost\n",
			    (unsigned long long)v[i].id);
	}
	return rc;
}

/* ---- the rest */

static int on_bad(void *priv, const struct cas_bad *bad)
{
	struct repair *p = priv;

	fprintf(p->to, "%s %s: %s%s\n", cas_bad_kind_name(bad->kind), bad->name, bad->error,
	    bad->repaired ? " (mended)" : "");
	return 0;
}

static int fill(struct repair *p, struct orch_err *err)
{
	struct cas_verify_spec spec = {.repair = true, .on_bad = on_bad, .priv = p};
	struct cas_verified done;
	int rc = rebuild_all(p, err);

	return rc < 0 ? rc : cas_verify(p->d.store, &spec, &done, err);
}

int fsd_repair_database(const struct fsd_settings *s, FILE *to, struct orch_err *err)
{
	orch_auto(free) char *mounts = realpath(s->mounts, NULL);
	struct repair p = {.d = {.settings = s, .mounts = mounts ? mounts : s->mounts}, .to = to};
	struct cas_repair_spec spec = {.tell = tell, .priv = &p};
	int rc = orch_guard_install();

	if (rc < 0)
		return orch_err_sys(err, -rc, "guard of mapped files");
	umask(022);
	orch_log_setup(STDERR_FILENO, s->log_level, s->log_format);
	rc = cas_repair_begin(s->store, &spec, &p.d.store, err);
	if (rc < 0)
		return rc;
	rc = fill(&p, err);
	if (rc < 0) {
		cas_store_close(p.d.store);
		return rc;
	}
	return cas_repair_end(p.d.store, &spec, err);
}
