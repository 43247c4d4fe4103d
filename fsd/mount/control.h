/*
 * The mount's side of the control socket: a keeper, or one after another, connects and gives commands
 * (format/msg.h). The mount does not depend on it: a connection may end at any time.
 *
 * Threads: it is one, the main thread: mnt_control_run returns when the mount is to end.
 */
#ifndef ORCH_FSD_MOUNT_CONTROL_H
#define ORCH_FSD_MOUNT_CONTROL_H

#include "fsd/mount/door.h"

struct mnt_control {
	int listen_fd; /* SOCK_SEQPACKET */
	int signal_fd; /* SIGTERM, SIGINT: unmount and end */
	int ended_fd;  /* the kernel has unmounted */
	struct mnt_ns *ns;
	struct mnt_door *door;
	const char *mountpoint;
};

enum mnt_control_end {
	MNT_GOES_ON,   /* never returned */
	MNT_ENDED,     /* the kernel let the mount go */
	MNT_ABANDONED, /* unmounted; another mount namespace has a copy that nobody uses */
};
enum mnt_control_end mnt_control_run(const struct mnt_control *c) ORCH_NONNULL(1);

#endif
