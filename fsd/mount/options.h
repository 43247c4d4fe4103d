/* The command line of orch-mount (docs/architecture.md). Pure. */
#ifndef ORCH_FSD_MOUNT_OPTIONS_H
#define ORCH_FSD_MOUNT_OPTIONS_H

#include "core/err.h"
#include "core/log.h"

struct mnt_options {
	int objects_fd, packs_fd, layers_fd; /* inherited */
	uint64_t layer;
	const char *mountpoint, *control; /* absolute paths; borrowed from argv */
	const char *source;		  /* what /proc/mounts shows; NULL: not given */
	int mountpoint_fd; /* the folder itself, checked by who started us; -1: none was given */
	int ready_fd;	   /* -1: nobody waits */
	bool read_only, allow_other, passthrough, after_reboot;
	enum orch_log_level log_level;
};

int mnt_options_parse(int argc, char **argv, struct mnt_options *out, struct orch_err *err)
    ORCH_NONNULL(2, 3) ORCH_WUR;

#endif
