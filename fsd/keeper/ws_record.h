/* What the store knows of a workspace: a value, and its JSON. Pure. */
#ifndef FSD_KEEPER_WS_RECORD_H
#define FSD_KEEPER_WS_RECORD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "core/clock.h"
#include "core/hash.h"
#include "core/json.h"

#define FSD_NAME_BYTES 104

enum fsd_ws_state {
	FSD_WS_CREATED, /* not mounted */
	FSD_WS_MOUNTED,
	FSD_WS_DAMAGED, /* its record can't be read: only name and error mean anything. Never stored */
};
/* What becomes of a damaged one. */
#define FSD_WS_MEND \
	"`store verify --repair` makes it again from its layers, `workspace drop` gives it up"
const char *fsd_ws_state_name(enum fsd_ws_state s);

struct fsd_ws_record {
	char name[FSD_NAME_BYTES];
	enum fsd_ws_state state;
	char path[4096];	     /* where it is, or is to be, mounted */
	bool at_given;		     /* path was given by a user; the folder is not ours */
	struct orch_digest snapshot; /* base of its chain of layers */
	uint64_t layer;		     /* on top */
	uint64_t seq;		     /* as last heard */
	uid_t uid;
	gid_t gid;
	bool read_only, passthrough;
	int64_t created_wall_ns;
	/* of the mount process; valid while MOUNTED */
	char control[112]; /* path of its socket: a later keeper may listen elsewhere */
	struct orch_proc_id process;
	char boot[37];	 /* of the last mount; "": never mounted. Valid at any time */
	char error[256]; /* why it is not mounted any more; "": nothing wrong */
};

/* The machine was started since the workspace was last mounted, or it never was. */
bool fsd_ws_booted_since(const struct fsd_ws_record *r) ORCH_NONNULL(1);

/* What is stored; NULL: no memory. */
struct orch_json *fsd_ws_record_format(const struct fsd_ws_record *r) ORCH_NONNULL(1) ORCH_WUR;
int fsd_ws_record_parse(const struct orch_json *j, struct fsd_ws_record *out, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;
/* WORKSPACE of docs/api.md; NULL: no memory. */
struct orch_json *fsd_ws_record_show(const struct fsd_ws_record *r) ORCH_NONNULL(1) ORCH_WUR;

#endif
