/*
 * The settings of orch-fsd: one table drives the flags, the file orch-fsd.conf and --help.
 * What is given on the command line wins over the file, the file over the defaults.
 */
#ifndef FSD_KEEPER_SETTINGS_H
#define FSD_KEEPER_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>
#include "core/err.h"
#include "core/fuse_conf.h"
#include "core/log.h"

struct fsd_settings {
	char *store; /* absolute, as are all paths here */
	char *socket;
	char *mounts;
	char *log_file; /* NULL: standard error, or <store>/log/orch-fsd.log in the background */
	char *group;	/* of the socket; "" : none */
	char *config;	/* the file that was read; NULL: none */
	enum orch_log_level log_level;
	enum orch_log_format log_format;
	uint64_t exit_idle_s; /* 0: never */
	uint64_t connections_max;
	uint64_t workers_max;
	uint64_t mount_timeout_s;  /* until a mount process says that it is ready, or answers */
	uint64_t worker_timeout_s; /* until an import, export or commit is given up */
	uint64_t client_timeout_s; /* of silence; for a head, a body, a plain answer */
	uint64_t pause_limit_s;	   /* jobs stand still for a seal; 0: they don't */
	bool passthrough;
	bool allow_other; /* others than this user may enter the mounts, as modes say */
	bool background;
	bool help, version, repair_database;
	char *const *argv; /* what this was read from; borrowed, ends with NULL */
};

/* Fills s from the defaults of this user, the file and argv. -EINVAL with one clear line: unknown
 * names come with the nearest match. s must be freed with _fini in either case. */
int fsd_settings_load(struct fsd_settings *s, int argc, char *const *argv, struct orch_err *err)
    ORCH_NONNULL(1, 3) ORCH_WUR;
/* What this user can't have of it: -EINVAL with what mends it. `conf` is what root allows to users. */
int fsd_settings_check(const struct fsd_settings *s, uid_t uid, const struct orch_fuse_conf *conf,
    struct orch_err *err) ORCH_NONNULL(1, 3) ORCH_WUR;
void fsd_settings_fini(struct fsd_settings *s) ORCH_NONNULL(1);
void fsd_settings_help(FILE *to) ORCH_NONNULL(1);

#endif
