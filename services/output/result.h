/*
 * What a run says of itself when it is over, and the files that say it: result.json, manifest.json,
 * report.html. The struct is filled by the caller, every pointer in it is borrowed; strings may hold
 * any bytes (what is not UTF-8 goes as <key>_b64). Files are written atomically into the run's folder.
 */
#ifndef ORCH_OUTPUT_RESULT_H
#define ORCH_OUTPUT_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/err.h"
#include "core/json.h"
#include "output/collect.h"

/* The closed list of ends; names as in result.json. */
enum out_state {
	OUT_SUCCEEDED,
	OUT_FAILED,
	OUT_KILLED,
	OUT_OUT_OF_MEMORY,
	OUT_TIMED_OUT,
	OUT_CANCELLED,
	OUT_EVICTED,
	OUT_LOST,
	OUT_INFRASTRUCTURE_ERROR,
};
#define OUT_STATES 9
const char *out_state_name(enum out_state s); /* "succeeded", "out-of-memory", ... */
int out_state_parse(const char *name, enum out_state *out) ORCH_NONNULL(1, 2) ORCH_WUR;

enum out_phase_state { OUT_PHASE_DONE, OUT_PHASE_FAILED, OUT_PHASE_SKIPPED };

struct out_phase {
	const char *name;
	enum out_phase_state state;
	uint64_t begin_ns, end_ns; /* since the run began, monotonic */
	const char *detail;	   /* one line; NULL: none */
};

struct out_pair { /* for tables and for free-form members */
	const char *name, *value;
};

struct out_tests {
	bool known; /* reports were asked for */
	uint64_t files, total, passed, failed, skipped;
};

struct out_resources {
	bool known;
	uint64_t user_ns, system_ns;	    /* CPU time */
	uint64_t peak_bytes;		    /* memory; 0: unknown */
	uint64_t read_bytes, written_bytes; /* 0: unknown */
};

struct out_cache {
	const char *key;
	bool hit;	       /* the build began with what an earlier one had left */
	const char *from;      /* the run or snapshot it began with; NULL */
	const char *why;       /* one sentence: why this, or why nothing */
	uint64_t source_files; /* of the source; how many of them were read, how many had changed */
	uint64_t source_read, source_changed;
	uint64_t source_bytes;
};

struct out_result {
	const char *run; /* its name */
	enum out_state state;
	int exit_code;	       /* of the command; -1: it did not end by itself */
	int signal;	       /* that ended it; 0: none */
	const char *reason;    /* why it did not succeed, one or two sentences; NULL */
	const char *next_step; /* what to do about it; NULL */
	int64_t wall_begin_ns;
	uint64_t duration_ns;
	unsigned attempts;			  /* how often the command was started */
	const char *const *argv;		  /* of the command, NULL-terminated; NULL: none */
	const char *reproduce;			  /* a shell line that repeats this run; NULL */
	const char *engine, *provider, *platform; /* NULL: not said */
	const char *source, *branch, *commit;
	const char *source_snapshot, *start_snapshot, *result_snapshot; /* NULL or "": none */
	const char *workspace;
	bool retained;
	struct out_cache cache;
	struct out_resources resources;
	struct out_tests tests;
	const struct out_phase *phases;
	size_t phase_count;
	const struct out_collection *outputs; /* NULL: nothing was collected */
	const char *log_name;		      /* in the run's folder: "build.log"; NULL */
	uint64_t log_bytes;
	const struct out_pair *warnings; /* name: where from; value: the sentence */
	size_t warning_count;
	const struct out_pair *facts; /* anything else, e.g. tool versions: shown as a table */
	size_t fact_count;
};

/* result.json lists so many files of an output; manifest.json has them all. */
#define OUT_RESULT_FILES 10000

/* The documents; NULL: no memory. */
struct orch_json *out_result_json(const struct out_result *r) ORCH_NONNULL(1) ORCH_WUR;
struct orch_json *out_manifest_json(const struct out_result *r) ORCH_NONNULL(1) ORCH_WUR;
/* Whether a document is one: every field that docs/output.md requires, of its type, in its range.
 * -EINVAL names the field. */
int out_result_check(const struct orch_json *j, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
int out_manifest_check(const struct orch_json *j, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;

/* result.json, manifest.json, report.html in the folder, each whole or not at all. */
int out_result_write(int dirfd, const struct out_result *r, struct orch_err *err)
    ORCH_NONNULL(2) ORCH_WUR;
int out_manifest_write(int dirfd, const struct out_result *r, struct orch_err *err)
    ORCH_NONNULL(2) ORCH_WUR;
/* Reads the end of r->log_name in the same folder; a log that can't be read is said in the report. */
int out_report_write(int dirfd, const struct out_result *r, struct orch_err *err)
    ORCH_NONNULL(2) ORCH_WUR;

/* Pure: the page; log: the log's last bytes (any bytes), whole: whether that is all of it. */
int out_report_html(const struct out_result *r, const char *log, size_t log_len, bool whole,
    struct orch_buf *out) ORCH_NONNULL(1, 5) ORCH_WUR;

#endif
