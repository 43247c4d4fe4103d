/* /etc/fuse.conf, in which root says what fusermount3 does for ordinary users. */
#ifndef ORCH_CORE_FUSE_CONF_H
#define ORCH_CORE_FUSE_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/err.h"

#define ORCH_FUSE_CONF "/etc/fuse.conf"

struct orch_fuse_conf {
	bool user_allow_other;
	int64_t mount_max; /* FUSE mounts of all users together; -1: any number */
};

/* As fusermount3 reads it: what it does not know it skips. Pure. */
void orch_fuse_conf_parse(const char *text, size_t len, struct orch_fuse_conf *out) ORCH_NONNULL(3);
/* What counts when there is no such file, or it may not be read: the defaults. */
void orch_fuse_conf_load(const char *path, struct orch_fuse_conf *out) ORCH_NONNULL(1, 2);

#endif
