#include "shim/say.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "core/buf.h"
#include "core/clock.h"
#include "core/fd.h"
#include "core/json.h"

/* Set once before anything is said; progress_shown only changes in the main thread. */
static struct {
	enum shim_voice loudest;
	bool json;
	bool terminal;
	bool progress_shown;
} say = {.loudest = SHIM_SAY_INFO};

static const char *const voice_names[] = {"error", "warn", "info", "debug"};

void shim_say_setup(bool verbose, bool quiet, bool json)
{
	say.loudest = verbose ? SHIM_SAY_DETAIL : quiet ? SHIM_SAY_WARN : SHIM_SAY_INFO;
	say.json = json;
	say.terminal = isatty(STDERR_FILENO) && !json && !quiet;
}

bool shim_say_has_progress(void)
{
	return say.terminal;
}

static void put(const void *p, size_t n)
{
	if (orch_fd_write_all(STDERR_FILENO, p, n) < 0)
		return; /* nobody reads: nothing can be told */
}

void shim_say_progress(const char *line)
{
	struct winsize ws;
	size_t width = 79, len;

	if (!say.terminal || (!say.progress_shown && (!line || !line[0])))
		return;
	put("\r\033[K", 4);
	say.progress_shown = line && line[0];
	if (!say.progress_shown)
		return;
	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 10)
		width = ws.ws_col - 1u;
	len = strlen(line);
	put(line, len < width ? len : width);
}

static void add_json_line(struct orch_buf *line, enum shim_voice voice, const char *text)
{
	orch_auto(json) struct orch_json *o = orch_json_object();
	char when[ORCH_RFC3339_BYTES];

	orch_wall_format(orch_wall_ns(), when);
	if (!o || orch_json_set_str(o, "time", when) < 0 ||
	    orch_json_set_str(o, "level", voice_names[voice]) < 0 ||
	    orch_json_set_str(o, "module", "shim") < 0 ||
	    orch_json_set_bytes(o, "message", text, strlen(text)) < 0 ||
	    orch_json_format(o, 0, line) < 0)
		line->failed = true;
}

void shim_say(enum shim_voice voice, const char *fmt, ...)
{
	orch_auto(buf) struct orch_buf text = ORCH_BUF_INIT, line = ORCH_BUF_INIT;
	va_list ap;

	if (voice > say.loudest)
		return;
	va_start(ap, fmt);
	orch_buf_vprintf(&text, fmt, ap);
	va_end(ap);
	if (!text.data)
		return;
	if (say.json)
		add_json_line(&line, voice, (const char *)text.data);
	else
		orch_buf_printf(&line, "orch-shim: %s%s", voice == SHIM_SAY_WARN ? "warning: " : "",
		    (const char *)text.data);
	orch_buf_add_str(&line, "\n");
	shim_say_progress(NULL);
	if (!line.failed)
		put(line.data, line.len);
}
