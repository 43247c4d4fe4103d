/*
 * A build: what was asked for, what came of it, and the phases that lead from one to the other. One
 * file each for a group of phases; build.c runs the table. One thread.
 */
#ifndef ORCH_SHIM_BUILD_H
#define ORCH_SHIM_BUILD_H

#include <stdbool.h>
#include <stdint.h>
#include "core/err.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/strv.h"
#include "output/build_log.h"
#include "output/collect.h"
#include "output/result.h"
#include "shim/checkout.h"
#include "shim/cli.h"
#include "shim/job.h"
#include "shim/journal.h"
#include "shim/mount_watch.h"
#include "shim/test_report.h"

/* A workspace between the request and its answer: nobody knows. */
enum shim_made { SHIM_NOT_MADE, SHIM_PERHAPS_MADE, SHIM_MADE };

#define SHIM_PHASES_MAX 16
#define SHIM_ID_BYTES	(ORCH_DIGEST_HEX + 1)

struct shim_phase_time {
	const char *name;
	uint64_t begin_ns, end_ns; /* monotonic */
	bool failed;
	char detail[160]; /* "": none */
};

struct shim_build {
	struct shim_cli *cli;
	const struct shim_values *in;

	/* what was asked for */
	char *run;	   /* its name: time and chance */
	char *source_dir;  /* absolute */
	char *output_dir;  /* the run's folder, absolute */
	char *output_base; /* what holds it and is no part of the source */
	char *key, *source_ref, *build_ref;
	char *branch, *commit; /* NULL: unknown */
	const char *platform, *provider;
	char *workspace; /* its name */
	bool retained;	 /* it is not dropped at the end */
	struct orch_strv argv, env;
	struct shim_checkout checkout;
	uint64_t timeout_ms; /* 0: none */
	int retries;

	/* what came of it */
	struct shim_journal *journal;
	bool daemon_started;
	char source_id[SHIM_ID_BYTES], start_id[SHIM_ID_BYTES], result_id[SHIM_ID_BYTES];
	uint64_t source_files, source_bytes, source_read_files;
	uint64_t source_changed; /* paths, since the start's source */
	uint64_t source_reset;	 /* others that the build which made the start had changed */
	char *from_run;		 /* the run whose result is the start; NULL: the source alone */
	char *why_cold;		 /* why there was none */
	enum shim_made made;	 /* the workspace, by this run */
	char *runs_folder;	 /* of the journals */
	char *mount_path;	 /* of the workspace; NULL: not mounted */
	uint64_t mount_pid;	 /* the process behind it; 0: unknown */
	uint32_t uid, gid;	 /* its owner */
	uint64_t start_seq;	 /* of the workspace's changes */
	struct shim_job job;	 /* what the daemon calls it */
	char *task_name;	 /* what the journal calls the running command; NULL */
	bool ran;		 /* the command was started */
	enum out_state state;
	int exit_code, signal; /* of the command; -1 and 0 when it did not end by itself */
	char reason[512];      /* in words; "": succeeded */
	char hint[512];	       /* what mends it; "": nothing more is known */
	bool source_refused;   /* it can't be read: wrong input, not worth a retry */
	struct shim_phase_time phases[SHIM_PHASES_MAX];
	size_t phase_count;
	int64_t wall_begin_ns;
	uint64_t begin_ns;
	struct shim_test_counts tests;
	size_t test_files;
	unsigned attempts; /* how often the command was started */
	struct out_resources resources;
	int folder;	     /* the run's, open; -1: not made yet */
	struct out_log *log; /* build.log, and its live copy */
	struct out_specs *specs;
	struct out_collection collected;
	bool has_collected;
	struct orch_strv warnings; /* in pairs: where from, the sentence */
	int workspace_lock;	   /* of a retained one; -1: none */
};

enum shim_exit shim_state_exit(enum out_state state);

/* The first failure stays: a later one does not hide its cause. */
void shim_build_end(struct shim_build *b, enum out_state state, const char *fmt, ...)
    ORCH_PRINTF(3, 4) ORCH_NONNULL(1, 3);

/* Tells it on the terminal and in the report. */
void shim_build_warn(struct shim_build *b, const char *where, const char *fmt, ...)
    ORCH_PRINTF(3, 4) ORCH_NONNULL(1, 2, 3);

/* What the phase that runs now tells about itself in the report, one line. */
void shim_build_detail(struct shim_build *b, const char *fmt, ...) ORCH_PRINTF(2, 3)
    ORCH_NONNULL(1, 2);

/* Phases, in their order: 0, or -errno with err set when it could not be done. */
int shim_build_inputs(struct shim_build *b, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
int shim_build_begin(struct shim_build *b, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
int shim_build_connect(struct shim_build *b, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
int shim_build_import(struct shim_build *b, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
int shim_build_choose(struct shim_build *b, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
int shim_build_workspace(struct shim_build *b, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
int shim_build_run(struct shim_build *b, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
/* The mount under it, borrowed. */
struct shim_mount shim_build_mount(const struct shim_build *b) ORCH_NONNULL(1);
int shim_build_collect(struct shim_build *b, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
int shim_build_tests(struct shim_build *b, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
int shim_build_commit(struct shim_build *b, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;

/* Undo: never fail for what is gone already; quick when the build is cancelled. */
int shim_build_undo_run(struct shim_build *b, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
int shim_build_release(struct shim_build *b, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;

/* The end: result.json, report, summary; what fails there is told, and is no failure of the build. */
void shim_build_report(struct shim_build *b) ORCH_NONNULL(1);
void shim_build_fini(struct shim_build *b) ORCH_NONNULL(1);

/* The step summary and outputs of GitHub Actions, when it runs us. */
void shim_build_github(struct shim_build *b, const struct out_result *r) ORCH_NONNULL(1, 2);

/* The globs of --test-results, before anything is touched. */
int shim_build_check_tests(const struct shim_build *b, struct orch_err *err)
    ORCH_NONNULL(1) ORCH_WUR;

/* --print-input and --dry-run. */
int shim_build_print_input(struct shim_build *b, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
int shim_build_print_plan(struct shim_build *b, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;

/* The environment of the command: the contract's names, CI names, --env. envp: orch-shim's own. */
int shim_build_make_env(struct shim_build *b, const char *const *envp, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;

#endif
