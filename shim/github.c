/* What GitHub Actions reads: the step summary and the outputs of the step. Nobody else's files. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include "core/fd.h"
#include "shim/build.h"
#include "shim/out.h"
#include "shim/say.h"
#include "shim/socket.h"

static void append(const char *file, const struct orch_buf *text)
{
	orch_auto(fd) int fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);

	if (fd < 0 || text->failed || orch_fd_write_all(fd, text->data, text->len) < 0)
		shim_say(SHIM_SAY_WARN, "%s can't be written: %m", file);
}

/* Names and reasons in a table's cell: no pipes, no lines, no HTML. */
static void add_cell(struct orch_buf *out, const char *text)
{
	for (; text && *text; text++) {
		if (strchr("|<>\\`*_[]", *text))
			orch_buf_printf(out, "&#%d;", *text);
		else
			orch_buf_add(out, (unsigned char)*text < ' ' ? " " : text, 1);
	}
}

static void add_outputs(struct orch_buf *out, const struct out_collection *c)
{
	if (!c || !c->count)
		return;
	orch_buf_add_str(out, "\n| output | files | size | unchanged |\n|---|---:|---:|---:|\n");
	for (size_t i = 0; i < c->count; i++) {
		char bytes[SHIM_SHORT];

		orch_buf_add_str(out, "| ");
		add_cell(out, c->v[i].name);
		orch_buf_printf(out, " | %zu | %s | %zu |\n", c->v[i].count,
		    shim_human_bytes(c->v[i].bytes, bytes), c->v[i].count - c->v[i].produced);
	}
}

static void write_summary(const char *file, const struct out_result *r)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	char took[SHIM_SHORT];

	orch_buf_printf(&b, "### orch: %s\n\n| | |\n|---|---|\n| run | ", out_state_name(r->state));
	add_cell(&b, r->run);
	orch_buf_printf(&b, " |\n| time | %s |\n", shim_human_ns(r->duration_ns, took));
	if (r->reason) {
		orch_buf_add_str(&b, "| why | ");
		add_cell(&b, r->reason);
		orch_buf_add_str(&b, " |\n");
	}
	orch_buf_add_str(&b, "| cache | ");
	add_cell(&b, r->cache.why);
	orch_buf_add_str(&b, " |\n");
	if (r->tests.known)
		orch_buf_printf(&b,
		    "| tests | %" PRIu64 " passed, %" PRIu64 " failed, %" PRIu64 " skipped |\n",
		    r->tests.passed, r->tests.failed, r->tests.skipped);
	add_outputs(&b, r->outputs);
	append(file, &b);
}

/* A delimiter that no value can hold, since nobody can guess it. */
static void add_output(struct orch_buf *out, const char *name, const char *value)
{
	uint64_t chance[2] = {0};

	if (getrandom(chance, sizeof(chance), 0) != sizeof(chance))
		out->failed = true;
	orch_buf_printf(out,
	    "%s<<orch_%016" PRIx64 "%016" PRIx64 "\n%s\norch_%016" PRIx64 "%016" PRIx64 "\n", name,
	    chance[0], chance[1], value ? value : "", chance[0], chance[1]);
}

static void write_outputs(const char *file, const struct shim_build *b, const struct out_result *r)
{
	orch_auto(buf) struct orch_buf out = ORCH_BUF_INIT;
	orch_auto(buf) struct orch_buf path = ORCH_BUF_INIT;
	char code[16];

	snprintf(code, sizeof(code), "%d", r->exit_code);
	orch_buf_printf(&path, "%s/manifest.json", b->output_dir);
	add_output(&out, "build-result", out_state_name(r->state));
	add_output(&out, "engineExitCode", code);
	add_output(&out, "artifactManifestPath", (const char *)path.data);
	add_output(&out, "volume", "");
	add_output(&out, "buildVersion", shim_text(b->in, "version"));
	add_output(&out, "androidVersionCode", shim_text(b->in, "androidVersionCode"));
	add_output(&out, "runFolder", b->output_dir);
	add_output(&out, "library-found", r->cache.hit ? "true" : "false");
	append(file, &out);
}

void shim_build_github(struct shim_build *b, const struct out_result *r)
{
	const char *summary = shim_getenv(b->cli->envp, "GITHUB_STEP_SUMMARY");
	const char *outputs = shim_getenv(b->cli->envp, "GITHUB_OUTPUT");

	if (summary)
		write_summary(summary, r);
	if (outputs)
		write_outputs(outputs, b, r);
}
