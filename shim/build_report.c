/* The end of a build: result.json, manifest.json, report.html, and one summary in words. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "core/clock.h"
#include "shim/build.h"
#include "shim/build_folder.h"
#include "shim/cancel.h"
#include "shim/out.h"
#include "shim/say.h"

#define WARNINGS_MAX 64
#define LOG_STEP_MS  200

/* ---- words */

/* What a build has made of the source is not what the next one sees. */
static void say_reset(const struct shim_build *b, struct orch_buf *out)
{
	char count[SHIM_SHORT];

	if (b->source_reset)
		orch_buf_printf(out, "; %s source %s that the last build had changed %s put back",
		    shim_human_count(b->source_reset, count),
		    b->source_reset == 1 ? "file" : "files", b->source_reset == 1 ? "was" : "were");
}

/* Why the build began with what it began with. */
static void say_start(const struct shim_build *b, struct orch_buf *out)
{
	char same[SHIM_SHORT], all[SHIM_SHORT];
	uint64_t changed =
	    b->source_changed < b->source_files ? b->source_changed : b->source_files;

	if (!b->start_id[0])
		orch_buf_add_str(out, "nothing was started");
	else if (b->why_cold)
		orch_buf_printf(out, "started from the source alone: %s", b->why_cold);
	else if (b->from_run && b->from_run[0])
		orch_buf_printf(out,
		    "started from the result of run %s: %s of %s source files unchanged",
		    b->from_run, shim_human_count(b->source_files - changed, same),
		    shim_human_count(b->source_files, all));
	else if (b->from_run)
		orch_buf_printf(out,
		    "started from the last result: %s of %s source files unchanged",
		    shim_human_count(b->source_files - changed, same),
		    shim_human_count(b->source_files, all));
	else
		orch_buf_printf(out,
		    "started from workspace %s as it was left: %s of %s source files unchanged",
		    b->workspace, shim_human_count(b->source_files - changed, same),
		    shim_human_count(b->source_files, all));
	say_reset(b, out);
}

static const char *next_step(const struct shim_build *b)
{
	if (b->hint[0])
		return b->hint;
	switch (b->state) {
	case OUT_FAILED:
		return b->exit_code > 0
			   ? "The end of build.log says what the command complained about"
			   : "Look at the globs of --output and --test-results, and at what the "
			     "build wrote";
	case OUT_KILLED:
		return "The command was ended by a signal that was not ours: a crash, or "
		       "somebody's kill";
	case OUT_OUT_OF_MEMORY:
		return "Give it more memory, or let it run fewer things at once";
	case OUT_TIMED_OUT:
		return "Raise --timeout, or find out in build.log what it waited for";
	case OUT_EVICTED:
	case OUT_LOST:
	case OUT_INFRASTRUCTURE_ERROR:
		return "Nothing is wrong with the build itself: try again (--retries does), or ask "
		       "orch-shim doctor";
	case OUT_SUCCEEDED:
	case OUT_CANCELLED:
		break;
	}
	return NULL;
}

static void add_quoted_n(struct orch_buf *out, const char *word, size_t n)
{
	static const char plain[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=@%+,";

	orch_buf_add_str(out, " ");
	if (n && strspn(word, plain) >= n) {
		orch_buf_add(out, word, n);
		return;
	}
	orch_buf_add_str(out, "'");
	for (; n > 0; word++, n--)
		if (*word == '\'')
			orch_buf_add_str(out, "'\\''");
		else
			orch_buf_add(out, word, 1);
	orch_buf_add_str(out, "'");
}

/* Variables are named, not told: they may be anything. */
static size_t value_length(const struct shim_value *v, const char *text)
{
	return strcmp(v->option->name, "env") == 0 ? strcspn(text, "=") : strlen(text);
}

/* The flags that were given, but secrets. */
static void make_reproduce(const struct shim_build *b, struct orch_buf *out)
{
	orch_buf_add_str(out, "orch-shim build");
	for (size_t i = 0; i < b->in->count; i++) {
		const struct shim_value *v = &b->in->v[i];
		char kebab[2 * SHIM_NAME_MAX];

		if (v->origin != SHIM_FROM_FLAG || (v->option->flags & SHIM_SECRET))
			continue;
		shim_name_kebab(v->option->name, kebab);
		for (size_t j = 0; j < v->all.count; j++) {
			orch_buf_printf(out, " --%s", kebab);
			if (v->option->type != SHIM_SWITCH)
				add_quoted_n(out, v->all.v[j], value_length(v, v->all.v[j]));
		}
	}
	orch_buf_add_str(out, b->in->has_command ? " --" : "");
	for (size_t i = 0; b->in->has_command && i < b->argv.count; i++)
		add_quoted_n(out, b->argv.v[i], strlen(b->argv.v[i]));
}

/* ---- the result */

struct report {
	struct orch_buf start, reproduce;
	struct out_phase phases[SHIM_PHASES_MAX];
	struct utsname host;
	struct out_pair facts[4];
	struct out_pair warnings[WARNINGS_MAX];
	struct out_result result;
};

static void fill_phases(const struct shim_build *b, struct report *r)
{
	for (size_t i = 0; i < b->phase_count; i++) {
		const struct shim_phase_time *t = &b->phases[i];

		r->phases[i] = (struct out_phase){
		    .name = t->name,
		    .state = t->failed ? OUT_PHASE_FAILED : OUT_PHASE_DONE,
		    .begin_ns = t->begin_ns - b->begin_ns,
		    .end_ns = t->end_ns - b->begin_ns,
		    .detail = t->detail[0] ? t->detail : NULL,
		};
	}
	r->result.phases = r->phases;
	r->result.phase_count = b->phase_count;
}

static void fill_facts(const struct shim_build *b, struct report *r)
{
	size_t n = 0;

	r->facts[n++] = (struct out_pair){"orch", ORCH_VERSION};
	if (uname(&r->host) == 0) {
		r->facts[n++] = (struct out_pair){"host", r->host.nodename};
		r->facts[n++] = (struct out_pair){"kernel", r->host.release};
	}
	r->facts[n++] = (struct out_pair){
	    "daemon", b->daemon_started ? "started by this build" : "was running"};
	r->result.facts = r->facts;
	r->result.fact_count = n;
}

static void fill_warnings(const struct shim_build *b, struct report *r)
{
	size_t n = 0;

	for (; n < WARNINGS_MAX && 2 * n + 1 < b->warnings.count; n++)
		r->warnings[n] = (struct out_pair){b->warnings.v[2 * n], b->warnings.v[2 * n + 1]};
	r->result.warnings = r->warnings;
	r->result.warning_count = n;
}

static void fill_cache(const struct shim_build *b, struct report *r)
{
	r->result.cache = (struct out_cache){
	    .key = b->key,
	    .hit = b->start_id[0] && !b->why_cold,
	    .from = b->from_run && b->from_run[0] ? b->from_run : NULL,
	    .why = (const char *)r->start.data,
	    .source_files = b->source_files,
	    .source_read = b->source_read_files,
	    .source_changed = b->source_changed,
	    .source_bytes = b->source_bytes,
	};
}

static void fill_result(const struct shim_build *b, struct report *r)
{
	r->result = (struct out_result){
	    .run = b->run,
	    .state = b->state,
	    .exit_code = b->exit_code,
	    .signal = b->signal,
	    .reason = b->reason[0] ? b->reason : NULL,
	    .next_step = next_step(b),
	    .wall_begin_ns = b->wall_begin_ns,
	    .duration_ns = orch_clock_ns() - b->begin_ns,
	    .attempts = b->attempts,
	    .argv = (const char *const *)b->argv.v,
	    .reproduce = (const char *)r->reproduce.data,
	    .engine = "generic",
	    .provider = b->provider,
	    .platform = b->platform,
	    .source = b->source_dir,
	    .branch = b->branch,
	    .commit = b->commit,
	    .source_snapshot = b->source_id,
	    .start_snapshot = b->start_id,
	    .result_snapshot = b->result_id,
	    .workspace = b->workspace,
	    .retained = b->retained,
	    .resources = b->resources,
	    .tests = {.known = shim_list(b->in, "testResults")->count > 0,
		.files = b->test_files,
		.total = b->tests.tests,
		.passed = b->tests.tests - b->tests.failed - b->tests.skipped,
		.failed = b->tests.failed,
		.skipped = b->tests.skipped},
	    .outputs = b->has_collected ? &b->collected : NULL,
	    .log_name = "build.log",
	    .log_bytes = b->log ? out_log_bytes(b->log) : 0,
	};
	fill_phases(b, r);
	fill_facts(b, r);
	fill_warnings(b, r);
	fill_cache(b, r);
}

static void write_files(struct shim_build *b, const struct out_result *result)
{
	static int (*const writers[])(int, const struct out_result *, struct orch_err *) = {
	    out_result_write, out_manifest_write, out_report_write};

	for (size_t i = 0; i < ORCH_ARRAY_LEN(writers); i++) {
		struct orch_err err = ORCH_ERR_INIT;

		if (writers[i](b->folder, result, &err) < 0)
			shim_say(SHIM_SAY_ERROR, "%s", err.msg);
	}
}

/* The results are written: a slow reader of the log delays nothing but our end. A signal ends the wait. */
static void close_log(struct shim_build *b)
{
	int r;

	while (!shim_cancelled() &&
	       out_log_flush(b->log, orch_deadline_in_ms(LOG_STEP_MS)) == -ETIMEDOUT)
		continue;
	r = out_log_close(b->log, orch_deadline_in_ms(LOG_STEP_MS));
	b->log = NULL;
	if (r < 0 && r != -ETIMEDOUT)
		shim_say(SHIM_SAY_WARN, "build.log is not complete: %s", strerrordesc_np(-r));
}

/* ---- the summary */

static void say_phases(const struct shim_build *b)
{
	orch_auto(buf) struct orch_buf line = ORCH_BUF_INIT;
	char took[SHIM_SHORT];

	for (size_t i = 0; i < b->phase_count; i++)
		orch_buf_printf(&line, "%s%s %s", i ? ", " : "", b->phases[i].name,
		    shim_human_ns(b->phases[i].end_ns - b->phases[i].begin_ns, took));
	shim_say(SHIM_SAY_INFO, "  time:    %s", (const char *)line.data);
}

static void say_outputs(const struct shim_build *b)
{
	for (size_t i = 0; b->has_collected && i < b->collected.count; i++) {
		const struct out_output *o = &b->collected.v[i];
		char files[SHIM_SHORT], bytes[SHIM_SHORT], same[SHIM_SHORT];

		shim_say(SHIM_SAY_INFO, "  output:  %s: %s files, %s, %s of them unchanged",
		    o->name, shim_human_count(o->count, files), shim_human_bytes(o->bytes, bytes),
		    shim_human_count(o->count - o->produced, same));
	}
}

static void say_summary(const struct shim_build *b, const struct report *r)
{
	char took[SHIM_SHORT];
	enum shim_voice voice = b->state == OUT_SUCCEEDED ? SHIM_SAY_INFO : SHIM_SAY_ERROR;

	shim_say(voice, "run %s %s after %s%s%s", b->run, out_state_name(b->state),
	    shim_human_ns(r->result.duration_ns, took), b->reason[0] ? ": " : "", b->reason);
	if (r->result.next_step)
		shim_say(SHIM_SAY_INFO, "  next:    %s", r->result.next_step);
	shim_say(SHIM_SAY_INFO, "  start:   %s", (const char *)r->start.data);
	say_phases(b);
	say_outputs(b);
	if (r->result.tests.known)
		shim_say(SHIM_SAY_INFO,
		    "  tests:   %" PRIu64 " passed, %" PRIu64 " failed, %" PRIu64 " skipped",
		    r->result.tests.passed, r->result.tests.failed, r->result.tests.skipped);
	if (b->retained && b->mount_path)
		shim_say(
		    SHIM_SAY_INFO, "  kept:    workspace %s at %s", b->workspace, b->mount_path);
	shim_say(SHIM_SAY_INFO, "  folder:  %s", b->output_dir);
}

static void print_json(const struct out_result *result)
{
	orch_auto(json) struct orch_json *j = out_result_json(result);
	struct orch_err err = ORCH_ERR_INIT;

	if (!j || shim_out_json(j, &err) < 0)
		shim_say(SHIM_SAY_ERROR, "%s", j ? err.msg : "no memory for the result");
}

void shim_build_report(struct shim_build *b)
{
	struct report r = {.start = ORCH_BUF_INIT, .reproduce = ORCH_BUF_INIT};

	say_start(b, &r.start);
	make_reproduce(b, &r.reproduce);
	fill_result(b, &r);
	write_files(b, &r.result);
	shim_build_folder_done(b);
	shim_build_github(b, &r.result);
	close_log(b);
	say_summary(b, &r);
	if (b->cli->json)
		print_json(&r.result);
	orch_buf_fini(&r.start);
	orch_buf_fini(&r.reproduce);
}
