/* Streams of changed paths (diff, changes), printed line by line or as one JSON document. */
#include <string.h>
#include "shim/api.h"
#include "shim/out.h"

struct lines {
	struct shim_cli *cli;
	struct orch_json *all; /* --json: collected; else printed as they come */
	struct orch_err *err;
};

static char change_letter(const char *change)
{
	static const struct {
		const char *name;
		char letter;
	} letters[] = {{"added", 'A'}, {"created", 'A'}, {"removed", 'D'}, {"modified", 'M'},
	    {"type", 'T'}, {"mode", 'm'}, {"attributes", 'm'}};

	for (size_t i = 0; i < ORCH_ARRAY_LEN(letters); i++)
		if (strcmp(letters[i].name, change) == 0)
			return letters[i].letter;
	return '?';
}

/* As git does: a name with a newline, a control byte, a quote or a backslash is told in double
 * quotes with C escapes, so that no name looks like a line of its own. Other bytes stay. */
static void add_path(struct orch_buf *b, const char *path, size_t len)
{
	static const char letters[] = "abtnvfr"; /* from 7 on */
	bool plain = true;

	for (size_t i = 0; i < len; i++)
		plain = plain && (unsigned char)path[i] >= 32 && path[i] != 127 && path[i] != '"' &&
			path[i] != '\\';
	if (plain) {
		orch_buf_add(b, path, len);
		return;
	}
	orch_buf_add_str(b, "\"");
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)path[i];

		if (c == '"' || c == '\\')
			orch_buf_printf(b, "\\%c", c);
		else if (c >= 7 && c < 14)
			orch_buf_printf(b, "\\%c", letters[c - 7]);
		else if (c < 32 || c == 127)
			orch_buf_printf(b, "\\%03o", c);
		else
			orch_buf_add(b, &path[i], 1);
	}
	orch_buf_add_str(b, "\"");
}

static int on_change(void *priv, const struct orch_json *line)
{
	struct lines *l = priv;
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	orch_auto(free) char *path = NULL;
	size_t len;
	int r;

	if (l->cli->json) {
		struct orch_json *copy = shim_json_copy(line);

		return copy ? orch_json_push(l->all, &copy) : -ENOMEM;
	}
	r = orch_json_get_bytes(line, "path", &path, &len, l->err);
	if (r < 0)
		return r;
	orch_buf_printf(&b, "%c ", change_letter(shim_get(line, "change")));
	add_path(&b, path, len);
	orch_buf_add_str(&b, "\n");
	return shim_out(&b, l->err);
}

int shim_print_changes(struct shim_cli *cli, const struct shim_call *request, struct orch_err *err)
{
	orch_auto(json) struct orch_json *answer = NULL;
	struct lines lines = {.cli = cli, .all = orch_json_array(), .err = err};
	struct shim_call call = *request;
	int r;

	call.timeout_ms = UINT64_MAX;
	call.on_line = on_change;
	call.priv = &lines;
	r = lines.all ? shim_call(cli, &call, &answer, err) : orch_err_sys(err, ENOMEM, "changes");
	if (r == 0 && cli->json) {
		r = orch_json_set_json(answer, "changes", &lines.all);
		if (r == 0)
			r = shim_out_json(answer, err);
	}
	orch_json_free(lines.all);
	return r;
}
