#include "shim/help.h"

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define COLUMN	   28
#define TEXT_WIDTH 100

/* Wraps text at blanks; the first line begins at column `at`. */
static void add_wrapped(struct orch_buf *out, const char *text, size_t indent, size_t at)
{
	while (*text) {
		size_t n = strcspn(text, " \n");

		if (at > indent && at + 1 + n > TEXT_WIDTH) {
			orch_buf_printf(out, "\n%*s", (int)indent, "");
			at = indent;
		} else if (at > indent) {
			orch_buf_add_str(out, " ");
			at++;
		}
		orch_buf_add(out, text, n);
		at += n;
		text += n;
		if (*text == '\n') {
			orch_buf_printf(out, "\n%*s", (int)indent, "");
			at = indent;
		}
		text += *text != '\0';
	}
	orch_buf_add_str(out, "\n");
}

static void add_flag(struct orch_buf *out, const struct shim_option *o)
{
	char kebab[2 * SHIM_NAME_MAX];

	shim_name_kebab(o->name, kebab);
	if (o->letter)
		orch_buf_printf(out, "-%c, ", o->letter);
	orch_buf_printf(out, "--%s", kebab);
	if (o->arg && o->type != SHIM_SWITCH)
		orch_buf_printf(out, " %s", o->arg);
}

static void add_option_text(struct orch_buf *text, const struct shim_option *o)
{
	orch_buf_add_str(text, o->help ? o->help : "");
	if (o->choices && (!o->arg || !strchr(o->arg, '|')))
		orch_buf_printf(text, " (%s)", o->works && o->works[0] ? o->works : o->choices);
	if (o->fallback && o->fallback[0] &&
	    !(o->type == SHIM_SWITCH && strcmp(o->fallback, "false") == 0))
		orch_buf_printf(text, " [%s]", o->fallback);
}

static void add_option(struct orch_buf *out, const struct shim_option *o)
{
	orch_auto(buf) struct orch_buf text = ORCH_BUF_INIT;
	size_t start = out->len, used;

	orch_buf_add_str(out, "  ");
	add_flag(out, o);
	used = out->len - start;
	if (used + 2 > COLUMN)
		orch_buf_printf(out, "\n%*s", COLUMN, "");
	else
		orch_buf_printf(out, "%*s", (int)(COLUMN - used), "");
	add_option_text(&text, o);
	add_wrapped(out, text.data ? (const char *)text.data : "", COLUMN, COLUMN);
}

/* An option that this version only knows by name. */
static bool is_later(const struct shim_option *o)
{
	return o->works && !o->works[0];
}

static void add_options(struct orch_buf *out, const struct shim_options *t)
{
	bool any = false;

	for (size_t i = 0; i < t->count; i++)
		any |= !is_later(&t->v[i]);
	if (!any)
		return;
	orch_buf_printf(out, "\n%s:\n", t->title ? t->title : "Options");
	for (size_t i = 0; i < t->count; i++)
		if (!is_later(&t->v[i]))
			add_option(out, &t->v[i]);
}

static void add_later_options(struct orch_buf *out, const struct shim_options *const *tables)
{
	orch_auto(buf) struct orch_buf names = ORCH_BUF_INIT;

	for (; *tables; tables++)
		for (size_t i = 0; i < (*tables)->count; i++) {
			char kebab[2 * SHIM_NAME_MAX];

			if (!is_later(&(*tables)->v[i]))
				continue;
			shim_name_kebab((*tables)->v[i].name, kebab);
			orch_buf_printf(&names, "%s%s", names.len ? " " : "", kebab);
		}
	if (!names.len)
		return;
	orch_buf_add_str(out,
	    "\nKnown, and refused by this version when they ask for more than their default:\n  ");
	add_wrapped(out, (const char *)names.data, 2, 2);
}

void shim_help_synopsis(const struct shim_command *c, struct orch_buf *out)
{
	orch_buf_printf(
	    out, "orch-shim %s%s%s", c->family ? c->family : "", c->family ? " " : "", c->name);
	if (c->usage && c->usage[0])
		orch_buf_printf(out, " %s", c->usage);
}

void shim_help_command(const struct shim_command *c, struct orch_buf *out)
{
	orch_buf_add_str(out, "Usage: ");
	shim_help_synopsis(c, out);
	orch_buf_add_str(out, "\n\n");
	add_wrapped(out, c->summary, 0, 0);
	if (c->details) {
		orch_buf_add_str(out, "\n");
		add_wrapped(out, c->details, 0, 0);
	}
	for (const struct shim_options *const *t = c->options; t && *t; t++)
		add_options(out, *t);
	if (c->options)
		add_later_options(out, c->options);
	add_options(out, &shim_common_options);
}

static void add_command_line(struct orch_buf *out, const struct shim_command *c)
{
	orch_auto(buf) struct orch_buf name = ORCH_BUF_INIT;

	orch_buf_printf(&name, "%s%s%s", c->family ? c->family : "", c->family ? " " : "", c->name);
	orch_buf_printf(out, "  %-22s  %s\n", (const char *)name.data, c->summary);
}

static bool has_commands(const struct shim_family *f)
{
	for (const struct shim_command *c = f->commands; c->name; c++)
		if (!c->later)
			return true;
	return false;
}

static void add_family(struct orch_buf *out, const struct shim_family *f)
{
	if (!has_commands(f))
		return;
	orch_buf_printf(out, "\n%s:\n", f->summary);
	for (const struct shim_command *c = f->commands; c->name; c++)
		if (!c->later)
			add_command_line(out, c);
}

void shim_help_family(const struct shim_family *f, struct orch_buf *out)
{
	orch_buf_printf(out, "Usage: orch-shim %s COMMAND [options]\n", f->name);
	add_family(out, f);
	orch_buf_printf(out, "\norch-shim %s COMMAND --help tells more.\n", f->name);
}

void shim_help_program(struct orch_buf *out)
{
	orch_buf_add_str(out,
	    "Usage: orch-shim COMMAND [options]\n\n"
	    "Builds in workspaces that are there at once, over a content store.\n");
	for (const struct shim_family *f = shim_families; f->commands; f++)
		add_family(out, f);
	orch_buf_add_str(out,
	    "\norch-shim COMMAND --help tells more; orch-shim --version tells the version.\n"
	    "A first build:  orch-shim build -- make\n");
}
