/*
 * What is written down about a task of this host: a folder <state_dir>/tasks/<run> with task.json
 * (who runs it), log (all of its output) and, once it has ended, result.json. So other processes can
 * attach, poll and clean up. Private to the providers that run on this host.
 */
#ifndef ORCH_PROVIDERS_RECORD_H
#define ORCH_PROVIDERS_RECORD_H

#include <stdbool.h>
#include <stdint.h>
#include "core/clock.h"
#include "core/err.h"
#include "core/json.h"
#include "providers/provider.h"

struct prv_record {
	int dir; /* -1: nothing is recorded */
	int log; /* for appending; only in the process that runs the task */
};

#define PRV_RECORD_NONE              \
	{                            \
		.dir = -1, .log = -1 \
	}

/* Makes the folder and the log. -EEXIST: there is such a task. */
int prv_record_create(const char *state_dir, const char *run, struct prv_record *out,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;
/* An existing one. -ENOENT. */
int prv_record_open(const char *state_dir, const char *run, struct prv_record *out,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;
void prv_record_close(struct prv_record *r);
int prv_record_remove(const char *state_dir, const char *run, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;

struct prv_record_task {
	char provider[32];
	struct orch_proc_id submitter; /* the process that pumps the log */
	struct orch_proc_id first; /* orch-init, or the sandbox program above it; pid 0: not yet */
	bool this_boot;
};

struct orch_cgroup;

/* Names this process as the submitter. first, group: NULL while there is none. */
int prv_record_save_task(const struct prv_record *r, const char *provider,
    const struct orch_proc_id *first, const struct orch_cgroup *group, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;
/* Removes the control group that task.json names, with all that is in it. */
void prv_record_remove_group(const struct prv_record *r) ORCH_NONNULL(1);
/* Pure: what task.json says. boot_now: the id of this boot; "": unknown. */
int prv_record_task_parse(const struct orch_json *j, const char *boot_now,
    struct prv_record_task *out, struct orch_err *err) ORCH_NONNULL(2, 3) ORCH_WUR;
int prv_record_load_task(const struct prv_record *r, struct prv_record_task *out,
    struct orch_err *err) ORCH_NONNULL(1, 2) ORCH_WUR;

int prv_record_save_result(const struct prv_record *r, const struct prv_result *result,
    struct orch_err *err) ORCH_NONNULL(1, 2) ORCH_WUR;
/* Pure: what result.json says, and the other way round (fails as all setters of JSON do).
 * ORCH_EFORMAT. */
int prv_record_result_parse(const struct orch_json *j, struct prv_result *out, struct orch_err *err)
    ORCH_NONNULL(2) ORCH_WUR;
struct orch_json *prv_record_result_format(const struct prv_result *result)
    ORCH_NONNULL(1) ORCH_WUR;
/* What is known: ended with its result; running while its processes live; else lost. */
int prv_record_state(const struct prv_record *r, struct prv_result *out, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;

/* Notes that another process cancelled it: its end is then PRV_CANCELLED. */
int prv_record_mark_cancelled(const struct prv_record *r, struct orch_err *err)
    ORCH_NONNULL(1) ORCH_WUR;

/* Delivers the log from offset on until `max_bytes` or its present end; how much, or -errno. */
int64_t prv_record_read_log(const struct prv_record *r, uint64_t offset, uint64_t max_bytes,
    const struct prv_sink *sink) ORCH_NONNULL(1, 4) ORCH_WUR;

/* Calls fn with each run name until it returns non-zero; returns that. */
int prv_record_each(const char *state_dir, int (*fn)(void *priv, const char *run), void *priv)
    ORCH_NONNULL(1, 2);

#endif
