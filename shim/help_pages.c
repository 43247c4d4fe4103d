/* The same tables as pages: Markdown for docs/cli.md, roff for the man page. */
#include <string.h>
#include "shim/help.h"

typedef void option_writer(struct orch_buf *out, const struct shim_option *o);
typedef void command_writer(struct orch_buf *out, const struct shim_command *c);

static void each_command(struct orch_buf *out, command_writer *write)
{
	for (const struct shim_family *f = shim_families; f->commands; f++)
		for (const struct shim_command *c = f->commands; c->name; c++)
			if (!c->later)
				write(out, c);
}

static void each_option(struct orch_buf *out, const struct shim_command *c, option_writer *write)
{
	for (const struct shim_options *const *t = c->options; t && *t; t++)
		for (size_t i = 0; i < (*t)->count; i++)
			write(out, &(*t)->v[i]);
}

static void add_escaped(struct orch_buf *out, const char *text, const char *special)
{
	for (; *text; text++) {
		if (strchr(special, *text))
			orch_buf_add_str(out, "\\");
		orch_buf_add(out, text, 1);
	}
}

/* ---- Markdown */

static void markdown_option(struct orch_buf *out, const struct shim_option *o)
{
	char kebab[2 * SHIM_NAME_MAX];
	bool later = o->works && !o->works[0];

	shim_name_kebab(o->name, kebab);
	orch_buf_printf(out, "| `--%s", kebab);
	if (o->arg && o->type != SHIM_SWITCH) {
		orch_buf_add_str(out, " ");
		add_escaped(out, o->arg, "|");
	}
	orch_buf_printf(out, "` | %s", o->fallback && o->fallback[0] ? "`" : "");
	add_escaped(out, o->fallback ? o->fallback : "", "|");
	orch_buf_printf(out, "%s | ", o->fallback && o->fallback[0] ? "`" : "");
	add_escaped(out, o->help ? o->help : "", "|<");
	if (o->choices && (!o->arg || !strchr(o->arg, '|'))) {
		orch_buf_add_str(out, " (");
		add_escaped(out, o->choices, "|");
		orch_buf_add_str(out, ")");
	}
	if (o->aliases)
		orch_buf_printf(out, "; also `%s`", o->aliases);
	orch_buf_printf(out, "%s |\n", later ? " *(not in this version)*" : "");
}

static void markdown_command(struct orch_buf *out, const struct shim_command *c)
{
	orch_buf_printf(out, "\n### %s%s%s\n\n```\n", c->family ? c->family : "",
	    c->family ? " " : "", c->name);
	shim_help_synopsis(c, out);
	orch_buf_printf(out, "\n```\n\n%s.\n", c->summary);
	if (c->details)
		orch_buf_printf(out, "\n%s\n", c->details);
	if (!c->options)
		return;
	orch_buf_add_str(out, "\n| option | default | meaning |\n|---|---|---|\n");
	each_option(out, c, markdown_option);
}

void shim_help_markdown(struct orch_buf *out)
{
	const struct shim_options *const common[] = {&shim_common_options, NULL};
	const struct shim_command every = {.options = common};

	orch_buf_add_str(out, "## Commands\n\nOptions of every command:\n\n| option | default | "
			      "meaning |\n|---|---|---|\n");
	each_option(out, &every, markdown_option);
	each_command(out, markdown_command);
}

/* ---- roff */

static void roff_text(struct orch_buf *out, const char *text)
{
	add_escaped(out, text, "\\-");
	orch_buf_add_str(out, "\n");
}

static void roff_option(struct orch_buf *out, const struct shim_option *o)
{
	char kebab[2 * SHIM_NAME_MAX];

	if (o->works && !o->works[0])
		return;
	shim_name_kebab(o->name, kebab);
	orch_buf_add_str(out, ".TP\n.B \\-\\-");
	add_escaped(out, kebab, "\\-");
	orch_buf_add_str(out, " ");
	roff_text(out, o->arg && o->type != SHIM_SWITCH ? o->arg : "");
	roff_text(out, o->help ? o->help : "");
}

static void roff_command(struct orch_buf *out, const struct shim_command *c)
{
	orch_auto(buf) struct orch_buf synopsis = ORCH_BUF_INIT;

	shim_help_synopsis(c, &synopsis);
	orch_buf_add_str(out, ".SS ");
	roff_text(out, (const char *)synopsis.data);
	roff_text(out, c->summary);
	if (c->details) {
		orch_buf_add_str(out, ".PP\n");
		roff_text(out, c->details);
	}
	each_option(out, c, roff_option);
}

void shim_help_man(struct orch_buf *out)
{
	const struct shim_options *const common[] = {&shim_common_options, NULL};
	const struct shim_command every = {.options = common};

	orch_buf_add_str(out,
	    ".TH ORCH\\-SHIM 1 2026-11-28 \"orch " ORCH_VERSION "\"\n.SH NAME\n"
	    "orch\\-shim \\- builds in workspaces that are there at once\n"
	    ".SH SYNOPSIS\n.B orch\\-shim\n.I COMMAND\n[options]\n.SH COMMANDS\n");
	each_command(out, roff_command);
	orch_buf_add_str(out, ".SH OPTIONS OF EVERY COMMAND\n");
	each_option(out, &every, roff_option);
	orch_buf_add_str(out,
	    ".SH EXIT STATUS\n.TP\n0\nsucceeded\n.TP\n1\nthe build, or what was asked, failed\n"
	    ".TP\n2\nusage: nothing was started\n.TP\n3\ninfrastructure: worth a retry\n"
	    ".TP\n4\ncancelled by a signal\n.TP\n5\ntimed out\n"
	    ".SH SEE ALSO\n.BR orch\\-fsd (8)\n");
}
