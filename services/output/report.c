/*
 * report.html: one file that loads nothing and runs nothing (its policy says so to the browser, too).
 * Every string that is not ours goes through html.h.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "core/clock.h"
#include "core/fd.h"
#include "output/html.h"
#include "output/result.h"

#define LOG_TAIL_BYTES 65536
#define LOG_TAIL_LINES 300
#define FILES_SHOWN    200 /* of one output */
#define SKIPPED_SHOWN  50

static const char style[] =
    ":root{color-scheme:light "
    "dark;--bg:#f6f7f9;--card:#fff;--fg:#1b1f24;--dim:#5b6470;--line:#dde1e7;"
    "--good:#1a7f37;--bad:#c02a2a;--warn:#9a6700;--bar:#4a78c2;--code:#f0f2f5}"
    "@media(prefers-color-scheme:dark){:root{--bg:#12151a;--card:#1b2027;--fg:#e4e7eb;--dim:#"
    "97a1ae;"
    "--line:#303741;--good:#4cc36a;--bad:#ff7b72;--warn:#e3b341;--bar:#6f9fe8;--code:#12161b}}"
    "*{box-sizing:border-box}"
    "body{margin:0;background:var(--bg);color:var(--fg);font:15px/1.5 "
    "system-ui,-apple-system,'Segoe UI',"
    "Roboto,'Helvetica Neue',Arial,sans-serif}"
    "main{max-width:1060px;margin:0 auto;padding:24px 16px 64px}"
    "header{margin-bottom:20px}h1{font-size:24px;margin:0;overflow-wrap:anywhere}"
    "h2{font-size:17px;margin:0 0 10px}h3{font-size:15px;margin:18px 0 6px}"
    "section{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:16px "
    "18px;"
    "margin:14px 0}p{margin:6px 0}.dim{color:var(--dim)}"
    ".state{display:inline-block;padding:2px 12px;border-radius:999px;font-weight:600;color:#fff;"
    "background:var(--bad);margin-right:10px;font-size:15px;vertical-align:3px}"
    ".state.ok{background:var(--good)}.state.mid{background:var(--warn)}"
    "@media(prefers-color-scheme:dark){.state{color:#12151a}}"
    ".why{border-left:4px solid var(--bad)}"
    "table{border-collapse:collapse;width:100%;font-size:14px}"
    "th,td{text-align:left;padding:4px 14px 4px 0;border-bottom:1px solid "
    "var(--line);vertical-align:top;"
    "overflow-wrap:anywhere}th{color:var(--dim);font-weight:500}tr:last-child>*{border-bottom:0}"
    "td.n,th.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}"
    "td.key{color:var(--dim);width:180px;white-space:nowrap}"
    "code,pre{font:13px/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans "
    "Mono',monospace}"
    "pre{background:var(--code);border:1px solid var(--line);border-radius:6px;padding:10px "
    "12px;margin:8px 0;"
    "overflow:auto;max-height:560px}"
    "pre.wrap{white-space:pre-wrap;overflow-wrap:anywhere}"
    /* reversed, so that the browser shows the end of it first */
    ".tail{display:flex;flex-direction:column-reverse;max-height:560px;overflow:auto;border-radius:"
    "6px;"
    "margin:8px 0;border:1px solid var(--line)}.tail pre{max-height:none;overflow:visible;margin:0;"
    "border:0;flex:none;border-radius:0}td.w,th.w{white-space:nowrap}"
    ".bar{position:relative;height:26px;background:var(--code);border:1px solid "
    "var(--line);border-radius:6px;"
    "overflow:hidden;margin:4px 0 12px}"
    ".bar span{position:absolute;top:0;bottom:0;min-width:2px;background:var(--bar);"
    "border-right:1px solid var(--card)}"
    ".c0{background:#4a78c2!important}.c1{background:#7a5fb8!important}.c2{background:#2f8f83!"
    "important}"
    ".c3{background:#b06a2c!important}.c4{background:#a8517e!important}.c5{background:#647a2f!"
    "important}"
    ".failed{background:var(--bad)!important}.skipped{background:var(--line)!important}"
    ".dot{display:inline-block;width:10px;height:10px;border-radius:3px;margin-right:8px}"
    ".produced{color:var(--good)}.missing{color:var(--bad);font-weight:600}"
    "a{color:var(--bar)}details>summary{cursor:pointer;color:var(--dim)}";

static void str(struct orch_buf *out, const char *ours)
{
	(void)orch_buf_add_str(out, ours);
}

static void section(struct orch_buf *out, const char *title)
{
	(void)orch_buf_printf(out, "<section>\n<h2>%s</h2>\n", title);
}

static void row(struct orch_buf *out, const char *key, const char *value)
{
	if (value == NULL || value[0] == '\0')
		return;
	str(out, "<tr><td class=key>");
	html_text(out, key);
	str(out, "</td><td>");
	html_text(out, value);
	str(out, "</td></tr>\n");
}

static void code_row(struct orch_buf *out, const char *key, const char *value)
{
	if (value == NULL || value[0] == '\0')
		return;
	(void)orch_buf_printf(out, "<tr><td class=key>%s</td><td><code>", key);
	html_text(out, value);
	str(out, "</code></td></tr>\n");
}

static void number_row(struct orch_buf *out, const char *key, uint64_t n)
{
	(void)orch_buf_printf(
	    out, "<tr><td class=key>%s</td><td>%llu</td></tr>\n", key, (unsigned long long)n);
}

/* ---- how it ended ---- */

static const char *headline(const struct out_result *r)
{
	switch (r->state) {
	case OUT_SUCCEEDED:
		return "The build succeeded";
	case OUT_FAILED:
		return "The build failed";
	case OUT_KILLED:
		return "The build was killed";
	case OUT_OUT_OF_MEMORY:
		return "The build ran out of memory";
	case OUT_TIMED_OUT:
		return "The build took too long and was stopped";
	case OUT_CANCELLED:
		return "The build was cancelled";
	case OUT_EVICTED:
		return "The build was evicted from its machine";
	case OUT_LOST:
		return "The build was lost";
	case OUT_INFRASTRUCTURE_ERROR:
		break;
	}
	return "The build could not be carried out";
}

static void add_header(struct orch_buf *out, const struct out_result *r)
{
	const char *class = r->state == OUT_SUCCEEDED	? " ok"
			    : r->state == OUT_CANCELLED ? " mid"
							: "";
	char begin[ORCH_RFC3339_BYTES];

	orch_wall_format(r->wall_begin_ns, begin);
	begin[19] = '\0'; /* whole seconds */
	begin[10] = ' ';
	(void)orch_buf_printf(out,
	    "<header>\n<h1><span class=\"state%s\">%s</span>%s</h1>\n<p class=dim>", class,
	    out_state_name(r->state), headline(r));
	str(out, "Run <code>");
	html_text(out, r->run == NULL ? "" : r->run);
	(void)orch_buf_printf(out, "</code>, begun %s UTC, took ", begin);
	html_duration(out, r->duration_ns);
	if (r->exit_code >= 0)
		(void)orch_buf_printf(out, ", exit code %d", r->exit_code);
	if (r->signal > 0)
		(void)orch_buf_printf(out, ", signal %d", r->signal);
	if (r->attempts > 1)
		(void)orch_buf_printf(out, ", %u attempts", r->attempts);
	str(out, "</p>\n</header>\n");
}

static void add_reason(struct orch_buf *out, const struct out_result *r)
{
	const char *name;

	if (r->reason == NULL && r->next_step == NULL &&
	    (r->outputs == NULL || out_missing(r->outputs, 0) == NULL))
		return;
	(void)orch_buf_printf(out, "<section%s>\n", r->state == OUT_SUCCEEDED ? "" : " class=why");
	if (r->reason != NULL) {
		str(out, "<p>");
		html_text(out, r->reason);
		str(out, "</p>\n");
	}
	for (size_t i = 0; r->outputs != NULL && (name = out_missing(r->outputs, i)) != NULL; i++) {
		str(out, "<p>Required output <code>");
		html_text(out, name);
		str(out, "</code> is missing: nothing in the workspace matched it.</p>\n");
	}
	if (r->next_step != NULL) {
		str(out, "<p><b>Next:</b> ");
		html_text(out, r->next_step);
		str(out, "</p>\n");
	}
	str(out, "</section>\n");
}

/* ---- phases ---- */

/* a/b in hundredths of a percent, b > 0; in microseconds, so that no product overflows. */
static unsigned part_of(uint64_t a, uint64_t b)
{
	a /= 1000;
	b = b / 1000 + 1;
	return (unsigned)((a > b ? b : a) * 10000 / b);
}

static void phase_class(struct orch_buf *out, const struct out_phase *p, size_t i)
{
	if (p->state == OUT_PHASE_DONE)
		(void)orch_buf_printf(out, "c%zu", i % 6);
	else
		str(out, p->state == OUT_PHASE_FAILED ? "failed" : "skipped");
}

static uint64_t phase_ns(const struct out_phase *p)
{
	return p->end_ns > p->begin_ns ? p->end_ns - p->begin_ns : 0;
}

static void add_bar(struct orch_buf *out, const struct out_result *r, uint64_t total)
{
	str(out, "<div class=bar>");
	for (size_t i = 0; i < r->phase_count; i++) {
		const struct out_phase *p = &r->phases[i];
		unsigned left = part_of(p->begin_ns, total), width = part_of(phase_ns(p), total);

		if (p->state == OUT_PHASE_SKIPPED)
			continue;
		str(out, "<span class=");
		phase_class(out, p, i);
		(void)orch_buf_printf(out, " style=\"left:%u.%02u%%;width:%u.%02u%%\" title=\"",
		    left / 100, left % 100, width / 100, width % 100);
		html_text(out, p->name);
		str(out, ": ");
		html_duration(out, phase_ns(p));
		str(out, "\"></span>");
	}
	str(out, "</div>\n");
}

static void add_phase_row(struct orch_buf *out, const struct out_phase *p, size_t i)
{
	str(out, "<tr><td><span class=\"dot ");
	phase_class(out, p, i);
	str(out, "\"></span>");
	html_text(out, p->name);
	str(out, "</td><td class=n>");
	if (p->state == OUT_PHASE_SKIPPED)
		str(out, "-");
	else
		html_duration(out, phase_ns(p));
	str(out, "</td><td>");
	str(out, p->state == OUT_PHASE_DONE	? ""
		 : p->state == OUT_PHASE_FAILED ? "<span class=missing>failed</span> "
						: "<span class=dim>skipped</span> ");
	if (p->detail != NULL)
		html_text(out, p->detail);
	str(out, "</td></tr>\n");
}

static void add_phases(struct orch_buf *out, const struct out_result *r)
{
	uint64_t total = r->duration_ns;

	if (r->phase_count == 0)
		return;
	for (size_t i = 0; i < r->phase_count; i++) {
		if (r->phases[i].end_ns > total)
			total = r->phases[i].end_ns;
	}
	section(out, "Where the time went");
	if (total > 0)
		add_bar(out, r, total);
	str(out, "<table>\n");
	for (size_t i = 0; i < r->phase_count; i++)
		add_phase_row(out, &r->phases[i], i);
	str(out, "</table>\n</section>\n");
}

/* ---- outputs ---- */

static void add_file_row(struct orch_buf *out, const struct out_output *o, const struct out_file *f)
{
	char hex[ORCH_DIGEST_HEX + 1];

	str(out, "<tr><td><a href=\"");
	html_href(out, o->name);
	str(out, "/");
	html_href(out, f->path);
	str(out, "\">");
	html_text(out, f->path);
	str(out, f->type == OUT_FOLDER ? "/</a>" : "</a>");
	if (f->target != NULL) {
		str(out, " &rarr; ");
		html_text(out, f->target);
	}
	(void)orch_buf_printf(out, "</td><td class=\"w %s\">%s</td><td class=n>",
	    f->produced ? "produced" : "dim", f->produced ? "produced" : "unchanged");
	if (f->type == OUT_FILE)
		html_size(out, f->size);
	str(out, "</td><td class=w><code class=dim title=\"");
	if (f->type != OUT_FOLDER) {
		orch_digest_format(&f->digest, hex);
		(void)orch_buf_printf(out, "sha256 %s\">%.12s", hex, hex);
	} else {
		str(out, "\">");
	}
	str(out, "</code></td></tr>\n");
}

static void add_output(struct orch_buf *out, const struct out_output *o)
{
	size_t shown = o->count < FILES_SHOWN ? o->count : FILES_SHOWN;

	str(out, "<h3><code>");
	html_text(out, o->name);
	str(out, "</code> ");
	if (o->count == 0) {
		(void)orch_buf_printf(out, "<span class=%s>%s</span></h3>\n",
		    o->required ? "missing" : "dim",
		    o->required ? "missing, and required" : "nothing matched");
		return;
	}
	(void)orch_buf_printf(
	    out, "<span class=dim>%zu %s, ", o->count, o->count == 1 ? "file" : "files");
	html_size(out, o->bytes);
	(void)orch_buf_printf(out, ", %zu produced, %zu unchanged</span></h3>\n", o->produced,
	    o->count - o->produced);
	str(out, "<table>\n<tr><th>file</th><th></th><th class=n>size</th><th>sha256</th></tr>\n");
	for (size_t i = 0; i < shown; i++)
		add_file_row(out, o, &o->files[i]);
	str(out, "</table>\n");
	if (shown < o->count)
		(void)orch_buf_printf(out,
		    "<p class=dim>and %zu more: <a href=\"manifest.json\">manifest.json</a></p>\n",
		    o->count - shown);
}

static void add_outputs(struct orch_buf *out, const struct out_result *r)
{
	const struct out_collection *c = r->outputs;

	if (c == NULL || (c->count == 0 && c->skipped_count == 0))
		return;
	section(out, "Outputs");
	for (size_t i = 0; i < c->count; i++)
		add_output(out, &c->v[i]);
	if (c->skipped_count > 0) {
		(void)orch_buf_printf(out,
		    "<details><summary>%zu skipped (not files)</summary>\n<pre>", c->skipped_count);
		for (size_t i = 0; i < c->skipped_count && i < SKIPPED_SHOWN; i++) {
			html_text(out, c->skipped[i]);
			str(out, "\n");
		}
		str(out, "</pre></details>\n");
	}
	str(out, "</section>\n");
}

/* ---- cache, input, numbers ---- */

static void add_cache(struct orch_buf *out, const struct out_result *r)
{
	const struct out_cache *c = &r->cache;

	if (c->key == NULL && c->why == NULL)
		return;
	section(out, "What it began with");
	if (c->why != NULL) {
		str(out, "<p>");
		html_text(out, c->why);
		str(out, "</p>\n");
	}
	str(out, "<table>\n");
	row(out, "Start",
	    c->hit ? "an earlier result, with the new source on top" : "the source alone");
	row(out, "From", c->from);
	row(out, "Cache key", c->key);
	if (c->source_files > 0) {
		(void)orch_buf_printf(out, "<tr><td class=key>Source</td><td>%llu files, ",
		    (unsigned long long)c->source_files);
		html_size(out, c->source_bytes);
		(void)orch_buf_printf(out, "; %llu read, %llu changed since</td></tr>\n",
		    (unsigned long long)c->source_read, (unsigned long long)c->source_changed);
	}
	str(out, "</table>\n</section>\n");
}

/* An argument as a shell would want it. */
static void add_argument(struct orch_buf *out, const char *arg)
{
	static const char plain[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._/=:,+@%";
	const char *quote;

	if (arg[0] != '\0' && arg[strspn(arg, plain)] == '\0') {
		html_text(out, arg);
		return;
	}
	str(out, "&#39;");
	while ((quote = strchr(arg, '\'')) != NULL) {
		html_span(out, arg, (size_t)(quote - arg));
		str(out, "&#39;\\&#39;&#39;");
		arg = quote + 1;
	}
	html_text(out, arg);
	str(out, "&#39;");
}

static void add_input(struct orch_buf *out, const struct out_result *r)
{
	section(out, "What was built");
	str(out, "<table>\n");
	if (r->argv != NULL && r->argv[0] != NULL) {
		str(out, "<tr><td class=key>Command</td><td><code>");
		for (size_t i = 0; r->argv[i] != NULL; i++) {
			str(out, i == 0 ? "" : " ");
			add_argument(out, r->argv[i]);
		}
		str(out, "</code></td></tr>\n");
	}
	row(out, "Source", r->source);
	row(out, "Branch", r->branch);
	code_row(out, "Commit", r->commit);
	row(out, "Engine", r->engine);
	row(out, "Platform", r->platform);
	row(out, "Provider", r->provider);
	row(out, "Workspace", r->workspace);
	if (r->workspace != NULL)
		row(out, "", r->retained ? "kept after the build" : "dropped after the build");
	code_row(out, "Source snapshot", r->source_snapshot);
	code_row(out, "Start snapshot", r->start_snapshot);
	code_row(out, "Result snapshot", r->result_snapshot);
	for (size_t i = 0; i < r->fact_count; i++)
		row(out, r->facts[i].name == NULL ? "" : r->facts[i].name, r->facts[i].value);
	str(out, "</table>\n</section>\n");
}

static void duration_row(struct orch_buf *out, const char *key, uint64_t ns)
{
	(void)orch_buf_printf(out, "<tr><td class=key>%s</td><td>", key);
	html_duration(out, ns);
	str(out, "</td></tr>\n");
}

static void size_row(struct orch_buf *out, const char *key, uint64_t bytes)
{
	if (bytes == 0)
		return;
	(void)orch_buf_printf(out, "<tr><td class=key>%s</td><td>", key);
	html_size(out, bytes);
	str(out, "</td></tr>\n");
}

static void add_numbers(struct orch_buf *out, const struct out_result *r)
{
	if (r->tests.known) {
		section(out, "Tests");
		str(out, "<table>\n");
		number_row(out, "Passed", r->tests.passed);
		number_row(out, "Failed", r->tests.failed);
		number_row(out, "Skipped", r->tests.skipped);
		number_row(out, "All", r->tests.total);
		number_row(out, "Report files", r->tests.files);
		str(out, "</table>\n</section>\n");
	}
	if (r->resources.known) {
		section(out, "What it used");
		str(out, "<table>\n");
		duration_row(out, "CPU time, user", r->resources.user_ns);
		duration_row(out, "CPU time, system", r->resources.system_ns);
		size_row(out, "Memory at most", r->resources.peak_bytes);
		size_row(out, "Read", r->resources.read_bytes);
		size_row(out, "Written", r->resources.written_bytes);
		str(out, "</table>\n</section>\n");
	}
}

static void add_warnings(struct orch_buf *out, const struct out_result *r)
{
	if (r->warning_count == 0)
		return;
	section(out, "Warnings");
	str(out, "<table>\n");
	for (size_t i = 0; i < r->warning_count; i++)
		row(out, r->warnings[i].name == NULL ? "" : r->warnings[i].name,
		    r->warnings[i].value);
	str(out, "</table>\n</section>\n");
}

/* ---- log and end ---- */

/* Where the last lines begin. */
static size_t tail_begin(const char *p, size_t n)
{
	unsigned lines = 0;

	for (size_t i = n; i > 0; i--) {
		if (p[i - 1] == '\n' && i < n && ++lines == LOG_TAIL_LINES)
			return i;
	}
	return 0;
}

static void add_log(
    struct orch_buf *out, const struct out_result *r, const char *log, size_t len, bool all)
{
	size_t from;

	if (r->log_name == NULL)
		return;
	section(out, "The end of the log");
	if (log == NULL) {
		str(out, "<p class=dim>The log could not be read.</p>\n</section>\n");
		return;
	}
	from = tail_begin(log, len);
	str(out, "<p class=dim>");
	str(out, all && from == 0 ? "All of it; the bytes as they came are in <a href=\""
				  : "The last lines; all of it is in <a href=\"");
	html_href(out, r->log_name);
	str(out, "\">");
	html_text(out, r->log_name);
	str(out, "</a> (");
	html_size(out, r->log_bytes);
	str(out, ").</p>\n<div class=tail><pre class=wrap>");
	html_log(out, log + from, len - from);
	str(out, "</pre></div>\n</section>\n");
}

static void add_reproduce(struct orch_buf *out, const struct out_result *r)
{
	if (r->reproduce == NULL)
		return;
	section(out, "Once more");
	str(out, "<pre class=wrap>");
	html_text(out, r->reproduce);
	str(out, "</pre>\n</section>\n");
}

int out_report_html(
    const struct out_result *r, const char *log, size_t log_len, bool whole, struct orch_buf *out)
{
	str(out, "<!doctype html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n"
		 "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
		 "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n"
		 "<meta name=viewport content=\"width=device-width,initial-scale=1\">\n"
		 "<meta name=referrer content=no-referrer>\n<title>");
	str(out, out_state_name(r->state));
	str(out, ": ");
	html_text(out, r->run == NULL ? "" : r->run);
	(void)orch_buf_printf(out, "</title>\n<style>%s</style>\n</head>\n<body>\n<main>\n", style);
	add_header(out, r);
	add_reason(out, r);
	if (r->state != OUT_SUCCEEDED) /* what is looked for first */
		add_log(out, r, log, log_len, whole);
	add_phases(out, r);
	add_cache(out, r);
	add_outputs(out, r);
	add_warnings(out, r);
	if (r->state == OUT_SUCCEEDED)
		add_log(out, r, log, log_len, whole);
	add_numbers(out, r);
	add_input(out, r);
	add_reproduce(out, r);
	str(out, "<p class=dim>Written by orch " ORCH_VERSION ". The same for programs: "
		 "<a href=\"result.json\">result.json</a>, <a "
		 "href=\"manifest.json\">manifest.json</a>.</p>\n"
		 "</main>\n</body>\n</html>\n");
	return out->failed ? -ENOMEM : 0;
}

/* The end of the log, as much as is shown; *out_whole: that is all of it. */
static int tail_load(int dirfd, const char *name, struct orch_buf *out, bool *out_whole)
{
	orch_auto(fd) int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	off_t from;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	from = st.st_size > LOG_TAIL_BYTES ? st.st_size - LOG_TAIL_BYTES : 0;
	*out_whole = from == 0;
	r = orch_buf_reserve(out, (size_t)(st.st_size - from));
	if (r == 0)
		r = orch_fd_pread_all(fd, out->data, (size_t)(st.st_size - from), from);
	if (r == 0)
		out->len = (size_t)(st.st_size - from);
	return r;
}

int out_report_write(int dirfd, const struct out_result *r, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf log = ORCH_BUF_INIT, page = ORCH_BUF_INIT;
	bool whole = false;
	const char *text;
	int rc;

	text = r->log_name != NULL && tail_load(dirfd, r->log_name, &log, &whole) == 0
		   ? (const char *)log.data
		   : NULL;
	rc = out_report_html(r, text, text == NULL ? 0 : log.len, whole, &page);
	if (rc < 0)
		return orch_err_sys(err, -rc, "report.html");
	return orch_file_save(dirfd, "report.html", page.data, page.len, 0644, err);
}
