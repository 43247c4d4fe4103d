/* orch-fsd: settings, background, the daemon. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "background.h"
#include "core/log.h"
#include "core/strv.h"
#include "daemon.h"
#include "listen.h"
#include "repair.h"
#include "settings.h"

static int fail(const struct orch_err *err)
{
	fprintf(stderr, "orch-fsd: %s\n", err->msg);
	return err->code == EINVAL ? 2 : 1;
}

static int make_argv(char *const *argv, struct orch_strv *v)
{
	int rc = 0, n = 0;

	for (; rc == 0 && argv[n]; n++)
		rc = orch_strv_add(v, argv[n]);
	/* It is in the background already if it was to be. */
	if (rc == 0 && strcmp(argv[n - 1], "--foreground") != 0)
		rc = orch_strv_add(v, "--foreground");
	return rc;
}

/* The same command line in the same process, for a program that was replaced. When that can't be
 * executed, the one that runs begins anew: the old one goes on. */
static int replace(const struct fsd_settings *s, int listen_fd)
{
	struct orch_err err = ORCH_ERR_INIT;
	orch_auto(free) char *program = fsd_daemon_program(&err);
	orch_auto(strv) struct orch_strv v = ORCH_STRV_INIT;
	int rc = make_argv(s->argv, &v);

	if (rc == 0)
		rc = fsd_listen_bequeath(listen_fd);
	if (rc < 0) {
		orch_err_sys(&err, -rc, "hand over");
		orch_log_err("keeper", "replace", &err);
		return 1;
	}
	if (program) {
		execv(program, orch_strv_argv(&v));
		orch_err_sys(&err, errno, "%s", program);
	}
	orch_log_err("keeper", "replace", &err);
	execv("/proc/self/exe", orch_strv_argv(&v));
	orch_err_sys(&err, errno, "/proc/self/exe");
	orch_log_err("keeper", "replace", &err);
	return 1;
}

/* In the background the first process tells what went wrong. */
static int serve(const struct fsd_settings *s, int ready_fd)
{
	struct orch_err err = ORCH_ERR_INIT;
	int rc, listen_fd = -1;

	orch_log_setup(STDERR_FILENO, s->log_level, s->log_format);
	rc = fsd_daemon_run(s, ready_fd, &listen_fd, &err);
	if (rc == FSD_DAEMON_REPLACE)
		return replace(s, listen_fd);
	if (rc >= 0)
		return 0;
	if (ready_fd < 0)
		return fail(&err);
	fsd_background_failed(ready_fd, &err);
	return 1;
}

static int run(const struct fsd_settings *s)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct orch_fuse_conf conf;
	int ready_fd = -1;

	if (s->help) {
		fsd_settings_help(stdout);
		return 0;
	}
	if (s->version) {
		puts("orch-fsd " ORCH_VERSION);
		return 0;
	}
	orch_fuse_conf_load(ORCH_FUSE_CONF, &conf);
	if (fsd_settings_check(s, geteuid(), &conf, &err) < 0)
		return fail(&err);
	if (s->repair_database)
		return fsd_repair_database(s, stdout, &err) < 0 ? fail(&err) : 0;
	if (s->background) {
		int rc = fsd_background_start(&ready_fd, &err);

		if (rc <= 0)
			return rc < 0 ? fail(&err) : 0;
	}
	return serve(s, ready_fd);
}

int main(int argc, char **argv)
{
	struct fsd_settings s;
	struct orch_err err = ORCH_ERR_INIT;
	int status;

	status = fsd_settings_load(&s, argc, argv, &err) < 0 ? fail(&err) : run(&s);
	fsd_settings_fini(&s);
	return status;
}
