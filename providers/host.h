/*
 * What the providers of this host share: a task is a child process under orch-init, its output comes
 * through one pipe, its end through orch-init's socket. sandbox.c and local.c only say which command
 * line that takes. The process that submitted a task pumps its log; other processes read the record.
 */
#ifndef ORCH_PROVIDERS_HOST_H
#define ORCH_PROVIDERS_HOST_H

#include <stddef.h>
#include "core/err.h"
#include "core/strv.h"
#include "providers/provider.h"

extern const struct prv_ops prv_sandbox_ops;
extern const struct prv_ops prv_local_ops;
int prv_sandbox_open(const struct prv_config *config, struct prv **out, struct orch_err *err);
int prv_local_open(const struct prv_config *config, struct prv **out, struct orch_err *err);

#define PRV_HOST_FDS_MAX 96

/* A command line that is being made, and the descriptors that the child inherits (ours to close). */
struct prv_host_command {
	struct orch_strv argv;
	int fds[PRV_HOST_FDS_MAX];
	size_t fd_count;
	int control, env; /* the numbers that orch-init is given; among fds */
};

/* Hands a descriptor over to the command: it is inherited under its number, then closed here. */
int prv_host_keep(struct prv_host_command *c, int fd) ORCH_NONNULL(1) ORCH_WUR;
/* A descriptor that reads as these bytes; its number, or -errno. */
int prv_host_data(struct prv_host_command *c, const void *p, size_t n) ORCH_NONNULL(1) ORCH_WUR;
/* Appends "orch-init's options -- the task's argv" for a task whose folder is cwd; options NULL: none.
 */
int prv_host_add_init(struct prv_host_command *c, const struct prv_task *t, const char *program,
    const char *cwd, const char *const *options) ORCH_NONNULL(1, 2, 3, 4) ORCH_WUR;
/* Where orch-init is; malloc'd. */
char *prv_host_init_program(struct orch_err *err) ORCH_WUR;

struct prv_host_task;

struct prv_host {
	struct prv base;
	char *state_dir; /* NULL: no records */
	struct prv_host_task *tasks;
	/* What is wrong with the task, before anything is made. */
	int (*check)(struct prv_host *h, const struct prv_task *t, struct orch_err *err);
	int (*build)(struct prv_host *h, const struct prv_task *t, struct prv_host_command *c,
	    struct orch_err *err);
	const char *home; /* HOME of tasks that have none in their env; NULL: the owner's */
};

int prv_host_open(struct prv_host *h, const struct prv_config *config, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;

/* Limits and reattaching are the same for all; the caller fills in the rest before or after. */
void prv_host_probe(const struct prv_host *h, struct prv_probe *out) ORCH_NONNULL(1, 2);
void prv_probe_set(struct prv_probe *out, enum prv_feature f, bool have, const char *fmt, ...)
    ORCH_PRINTF(4, 5) ORCH_NONNULL(1, 4);

/* The callbacks of struct prv_ops. */
int prv_host_submit(
    struct prv *p, const struct prv_task *t, char **out_handle, struct orch_err *err);
int prv_host_attach(struct prv *p, const char *handle, uint64_t offset, const struct prv_sink *sink,
    uint64_t deadline_ns, int cancel_fd, struct orch_err *err);
int prv_host_poll(struct prv *p, const char *handle, struct prv_result *out, struct orch_err *err);
int prv_host_cancel(struct prv *p, const char *handle, uint64_t grace_ms,
    const struct prv_sink *sink, struct orch_err *err);
int prv_host_fetch(struct prv *p, const char *handle, struct orch_err *err);
int prv_host_cleanup(struct prv *p, const char *handle, struct orch_err *err);
int prv_host_gc(struct prv *p, const struct prv_gc *how, struct orch_err *err);
int prv_host_list(struct prv *p,
    int (*fn)(void *priv, const char *handle, const struct prv_result *r), void *priv,
    struct orch_err *err);
void prv_host_close(struct prv *p);

#endif
