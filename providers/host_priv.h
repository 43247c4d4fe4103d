/* Between host.c (the calls), host_task.c (one task of ours) and host_other.c (tasks of others). */
#ifndef ORCH_PROVIDERS_HOST_PRIV_H
#define ORCH_PROVIDERS_HOST_PRIV_H

#include "providers/host.h"
#include "providers/record.h"

struct prv_host_task;

/* One task that this process has submitted. */

int prv_host_task_start(struct prv_host *h, const struct prv_task *t, const char *handle,
    struct prv_host_task **out, struct orch_err *err);
int prv_host_task_attach(struct prv_host_task *t, uint64_t offset, const struct prv_sink *sink,
    uint64_t deadline_ns, int cancel_fd, struct orch_err *err);
int prv_host_task_cancel(
    struct prv_host_task *t, uint64_t grace_ms, const struct prv_sink *sink, struct orch_err *err);
void prv_host_task_poll(struct prv_host_task *t, struct prv_result *out);
/* Kills it if it runs. */
void prv_host_task_free(struct prv_host_task *t);
const char *prv_host_task_handle(const struct prv_host_task *t);
struct prv_host_task **prv_host_task_next(struct prv_host_task *t);

/* Tasks of other processes, by their records. */

int prv_host_other_attach(const char *state_dir, const char *run, uint64_t offset,
    const struct prv_sink *sink, uint64_t deadline_ns, int cancel_fd, struct orch_err *err);
int prv_host_other_poll(
    const char *state_dir, const char *run, struct prv_result *out, struct orch_err *err);
int prv_host_other_cancel(
    const char *state_dir, const char *run, uint64_t grace_ms, struct orch_err *err);
int prv_host_other_cleanup(const char *state_dir, const char *run, struct orch_err *err);
int prv_host_other_gc(
    const char *state_dir, const char *provider, const struct prv_gc *how, struct orch_err *err);
int prv_host_other_list(const char *state_dir, const char *provider,
    int (*fn)(void *priv, const char *handle, const struct prv_result *r), void *priv);

#endif
