/*
 * What `doctor` reads of this machine before it decides: small facts, so that what is made of them
 * (doctor_user.h) can be tested without such a machine. Threads: one.
 */
#ifndef ORCH_SHIM_DOCTOR_FACTS_H
#define ORCH_SHIM_DOCTOR_FACTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "core/fuse_conf.h"

/* A switch below /proc/sys that this kernel has not. */
#define SHIM_NO_SWITCH (-1)

struct shim_facts {
	uid_t uid;	     /* who mounts: the daemon's user if one answers, else who asks */
	bool others;	     /* that is another than who asks, who needs nothing of his own then */
	bool admin;	     /* CAP_SYS_ADMIN */
	bool no_new_privs;   /* set-uid programs get nothing */
	bool initial_userns; /* root here is root of the machine */
	bool has_name;	     /* in /etc/passwd and the like */
	int device_errno;    /* of opening /dev/fuse */
	struct {
		char path[160]; /* "": none in PATH */
		bool runs;	/* this user may execute it */
		bool setuid;	/* root's, and set-uid */
		bool nosuid;	/* on a file system where that does not count */
	} fusermount;
	struct orch_fuse_conf conf;
	unsigned fuse_mounts; /* of all users, as fusermount3 counts them */
	int64_t userns_max, userns_clone, userns_apparmor;
	uint64_t files_max;  /* hard limit of open files */
	const char *runtime; /* XDG_RUNTIME_DIR, borrowed; NULL: not set */
	bool runtime_works;  /* a folder in which this user may make files */
};

/* root: "" or the folder that stands for / (tests); path: of programs (PATH). Who mounts is the caller's to say: uid and
 * others are not touched. runtime is borrowed. What can't be read counts as not there. */
void shim_facts_load(const char *root, const char *path, const char *runtime,
    struct shim_facts *out) ORCH_NONNULL(1, 2, 4);

#endif
