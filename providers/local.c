/*
 * The provider `local`: the task is a plain process of this host, in the workspace's own path, with
 * the file system and network of the host. No isolation: for machines where no sandbox works, and for
 * builds that need the host. orch-init is its subreaper, so its end is told raw and what it left
 * behind is ended.
 */
#include "providers/host.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int local_check(struct prv_host *h, const struct prv_task *t, struct orch_err *err)
{
	(void)h;
	if (!t->network)
		return orch_err_set(err, ENOTSUP,
		    "the provider local cannot take the network away; the provider sandbox can");
	if (t->mount_count > 0)
		return orch_err_set(
		    err, ENOTSUP, "the provider local mounts nothing; use the host's paths");
	return 0;
}

static int local_build(
    struct prv_host *h, const struct prv_task *t, struct prv_host_command *c, struct orch_err *err)
{
	char uid[16], gid[16];
	const char *const become[] = {"--uid", uid, "--gid", gid, NULL};
	orch_auto(free) char *program = prv_host_init_program(err);
	orch_auto(free) char *cwd = NULL;

	(void)h;
	if (!program)
		return -ENOENT;
	snprintf(uid, sizeof(uid), "%u", (unsigned)t->uid);
	snprintf(gid, sizeof(gid), "%u", (unsigned)t->gid);
	if (asprintf(&cwd, "%s%s%s", t->workspace, t->cwd ? "/" : "", t->cwd ? t->cwd : "") < 0 ||
	    prv_host_add_init(c, t, program, cwd, t->uid != geteuid() ? become : NULL) < 0)
		return orch_err_sys(err, ENOMEM, "cannot start the task %s", t->run);
	return 0;
}

static int local_setup(struct prv *p, struct orch_err *err)
{
	orch_auto(free) char *program = prv_host_init_program(err);

	(void)p;
	return program ? 0 : -ENOENT;
}

static int local_probe(struct prv *p, struct prv_probe *out, struct orch_err *err)
{
	struct orch_err why = ORCH_ERR_INIT;
	int r = local_setup(p, &why);

	(void)err;
	prv_host_probe((const struct prv_host *)p, out);
	prv_probe_set(out, PRV_FEATURE_RUN, r == 0, "%s", why.msg);
	prv_probe_set(out, PRV_FEATURE_ISOLATION, false,
	    "a task sees and writes all that its user may; the provider sandbox confines it");
	prv_probe_set(out, PRV_FEATURE_NETWORK_OFF, false, "the task uses the host's network");
	prv_probe_set(out, PRV_FEATURE_TREE_KILL, true, "%s", "");
	return 0;
}

int prv_local_open(const struct prv_config *config, struct prv **out, struct orch_err *err)
{
	struct prv_host *h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return orch_err_sys(err, ENOMEM, "cannot open the provider local");
	h->base.ops = &prv_local_ops;
	h->check = local_check;
	h->build = local_build;
	r = prv_host_open(h, config, err);
	if (r < 0) {
		free(h);
		return r;
	}
	*out = &h->base;
	return 0;
}

static const char *const local_aliases[] = {"local-system", NULL};

const struct prv_ops prv_local_ops = {
    .name = "local",
    .aliases = local_aliases,
    .probe = local_probe,
    .setup = local_setup,
    .submit = prv_host_submit,
    .attach = prv_host_attach,
    .poll = prv_host_poll,
    .cancel = prv_host_cancel,
    .fetch = prv_host_fetch,
    .cleanup = prv_host_cleanup,
    .gc = prv_host_gc,
    .list = prv_host_list,
    .close = prv_host_close,
};
