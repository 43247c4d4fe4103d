/* orch-fsd: settings, background, the daemon. */
#include <stdio.h>
#include <unistd.h>
#include "background.h"
#include "core/log.h"
#include "daemon.h"
#include "settings.h"

static int fail(const struct orch_err *err)
{
	fprintf(stderr, "orch-fsd: %s\n", err->msg);
	return err->code == EINVAL ? 2 : 1;
}

/* In the background the first process tells what went wrong. */
static int serve(const struct fsd_settings *s, int ready_fd)
{
	struct orch_err err = ORCH_ERR_INIT;

	orch_log_setup(STDERR_FILENO, s->log_level, s->log_format);
	if (fsd_daemon_run(s, ready_fd, &err) >= 0)
		return 0;
	if (ready_fd < 0)
		return fail(&err);
	fsd_background_failed(ready_fd, &err);
	return 1;
}

static int run(const struct fsd_settings *s)
{
	struct orch_err err = ORCH_ERR_INIT;
	int ready_fd = -1;

	if (s->help) {
		fsd_settings_help(stdout);
		return 0;
	}
	if (s->version) {
		puts("orch-fsd " ORCH_VERSION);
		return 0;
	}
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
