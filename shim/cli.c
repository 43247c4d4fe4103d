#include "shim/cli.h"

#include <stdlib.h>
#include <string.h>
#include "core/clock.h"
#include "core/log.h"
#include "shim/api.h"
#include "shim/cancel.h"
#include "shim/help.h"
#include "shim/out.h"
#include "shim/say.h"
#include "shim/socket.h"

enum shim_exit shim_exit_of(int code)
{
	switch (code) {
	case EINVAL:
		return SHIM_USAGE;
	case ECANCELED:
		return SHIM_CANCELLED;
	case ETIMEDOUT:
		return SHIM_TIMED_OUT;
	case ENOENT:
	case EEXIST:
	case EBUSY:
	case ESTALE:
	case ENOTEMPTY:
	case ENOTDIR:
	case EACCES:
	case EPERM:
	case EBADMSG:
	case EDQUOT:
		return SHIM_FAILED;
	default:
		return SHIM_INFRASTRUCTURE;
	}
}

int shim_fail(const struct shim_cli *cli, const struct orch_err *err)
{
	enum shim_exit code = shim_exit_of(err->code);
	char hint[512];

	shim_say(SHIM_SAY_ERROR, "%s", err->msg[0] ? err->msg : orch_err_name(err->code));
	if (err->code == ORCH_ENODAEMON) /* it takes ORCH_STORE and the like from the environment */
		shim_say(SHIM_SAY_ERROR, "start one with: orch-fsd --background%s%s",
		    cli->socket_given ? " --socket " : "", cli->socket_given ? cli->socket : "");
	if (err->code == ENOSPC || err->code == EDQUOT)
		shim_say(SHIM_SAY_ERROR,
		    "next: free space where the store is (orch-shim store stat tells where and how "
		    "full it is), or drop workspaces (orch-shim workspace drop NAME)");
	if (err->code == EACCES && cli->socket && shim_socket_is_closed(cli->socket)) {
		shim_socket_hint(cli->socket, hint, sizeof(hint));
		shim_say(SHIM_SAY_ERROR, "%s", hint);
		return SHIM_INFRASTRUCTURE;
	}
	return code;
}

const char *shim_arg(const struct shim_cli *cli, size_t n)
{
	ORCH_BUG_ON(n >= cli->values.args.count);
	return cli->values.args.v[n];
}

static int usage_error(const struct shim_command *c, const struct orch_err *err)
{
	orch_auto(buf) struct orch_buf synopsis = ORCH_BUF_INIT;

	shim_say(SHIM_SAY_ERROR, "%s", err->msg);
	if (c) {
		shim_help_synopsis(c, &synopsis);
		shim_say(
		    SHIM_SAY_ERROR, "usage: %s", synopsis.data ? (const char *)synopsis.data : "");
	}
	return SHIM_USAGE;
}

static int check_args(const struct shim_cli *cli, struct orch_err *err)
{
	const struct shim_command *c = cli->command;
	const struct shim_values *s = &cli->values;

	if ((long)s->args.count > c->max_args)
		return orch_err_set(err, EINVAL, "unexpected argument '%s'%s",
		    s->args.v[c->max_args],
		    c->takes_command ? "; the command that is run stands behind --" : "");
	if ((long)s->args.count < c->min_args)
		return orch_err_set(err, EINVAL, "an argument is missing");
	if (s->has_command && !c->takes_command)
		return orch_err_set(err, EINVAL, "this command takes nothing behind --");
	return 0;
}

static int read_values(struct shim_cli *cli, int argc, char **argv, struct orch_err *err)
{
	const struct shim_options *tables[16] = {&shim_common_options};
	size_t n = 1;
	int r;

	for (const struct shim_options *const *t = cli->command->options; t && *t; t++) {
		ORCH_BUG_ON(n >= ORCH_ARRAY_LEN(tables));
		tables[n++] = *t;
	}
	r = shim_values_init(&cli->values, tables, n);
	if (r < 0)
		return orch_err_sys(err, -r, "read the command line");
	r = shim_parse_flags(&cli->values, argc, (const char *const *)argv, err);
	if (r < 0 || shim_on(&cli->values, "help"))
		return r;
	r = shim_parse_env(&cli->values, cli->envp, err);
	if (r == 0)
		r = shim_check(&cli->values, err);
	return r;
}

static int set_up(struct shim_cli *cli, struct orch_err *err)
{
	const struct shim_values *s = &cli->values;
	const char *format = shim_text(s, "logFormat");

	cli->json = shim_on(s, "json");
	cli->quiet = shim_on(s, "quiet");
	cli->verbose = shim_on(s, "verbose");
	cli->json_log = format && strcmp(format, "json") == 0;
	cli->socket_given = shim_given(s, "socket");
	shim_say_setup(cli->verbose, cli->quiet, cli->json_log);
	orch_log_setup(2, cli->verbose ? ORCH_LOG_DEBUG : ORCH_LOG_WARN,
	    cli->json_log ? ORCH_LOG_JSON : ORCH_LOG_TEXT);
	return shim_socket_resolve(shim_text(s, "socket"), cli->envp, &cli->socket, err);
}

static void warn_ambient(void *priv, const struct shim_value *v)
{
	shim_say(SHIM_SAY_WARN,
	    "%s is set, but %s is not supported by this version of orch: ignored", v->from,
	    v->option->name);
}

static int run_command(struct shim_cli *cli, struct orch_err *err)
{
	int fd = shim_cancel_install(err);

	if (fd < 0)
		return SHIM_INFRASTRUCTURE;
	cli->cancel_fd = fd;
	return cli->command->run(cli);
}

static int print_help(
    void (*make)(const struct shim_command *, struct orch_buf *), const struct shim_command *c)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;

	make(c, &b);
	return shim_out(&b, NULL) < 0 ? SHIM_INFRASTRUCTURE : SHIM_OK;
}

static int with_command(struct shim_cli *cli, int argc, char **argv)
{
	struct orch_err err = ORCH_ERR_INIT;
	int r;

	if (cli->command->later) {
		shim_say(SHIM_SAY_ERROR, "%s%s%s is not in this version of orch",
		    cli->command->family ? cli->command->family : "",
		    cli->command->family ? " " : "", cli->command->name);
		return SHIM_USAGE;
	}
	r = read_values(cli, argc, argv, &err);
	if (r == 0 && shim_on(&cli->values, "help"))
		return print_help(shim_help_command, cli->command);
	if (r == 0)
		r = set_up(cli, &err);
	if (r == 0)
		r = shim_check_works(&cli->values, warn_ambient, NULL, &err);
	if (r == 0)
		r = check_args(cli, &err);
	if (r < 0)
		return usage_error(cli->command, &err);
	r = run_command(cli, &err);
	if (err.code)
		return shim_fail(cli, &err);
	return r;
}

static void help_any(const struct shim_command *family, struct orch_buf *b)
{
	const struct shim_family *f = family ? shim_find_family(family->family) : NULL;

	if (f)
		shim_help_family(f, b);
	else
		shim_help_program(b);
}

static void markdown(const struct shim_command *unused, struct orch_buf *b)
{
	shim_help_markdown(b);
}

static void man_page(const struct shim_command *unused, struct orch_buf *b)
{
	shim_help_man(b);
}

static bool is_word(const char *s, const char *a, const char *b, const char *c)
{
	return strcmp(s, a) == 0 || strcmp(s, b) == 0 || strcmp(s, c) == 0;
}

/* --help, --version, "snapshot --help" and the like; -1: a command is to be run. */
static int without_command(int argc, char **argv)
{
	const struct shim_family *f;

	if (argc < 2) {
		shim_say(SHIM_SAY_ERROR, "nothing to do; orch-shim --help lists the commands");
		return SHIM_USAGE;
	}
	if (is_word(argv[1], "--version", "-V", "version"))
		return shim_out_line("orch-shim " ORCH_VERSION, NULL) < 0 ? SHIM_INFRASTRUCTURE
									  : SHIM_OK;
	if (is_word(argv[1], "--help", "-h", "help") && argc == 2)
		return print_help(help_any, NULL);
	if (strcmp(argv[1], "--help-markdown") == 0)
		return print_help(markdown, NULL);
	if (strcmp(argv[1], "--help-man") == 0)
		return print_help(man_page, NULL);
	f = argc == 3 ? shim_find_family(argv[1]) : NULL;
	if (f && is_word(argv[2], "--help", "-h", "help"))
		return print_help(help_any, f->commands);
	return -1;
}

/* Moves options of every command that stand before the command's name behind it. */
static void move_leading_options(int argc, char **argv)
{
	int at = 1;

	while (at < argc && argv[at][0] == '-' && argv[at][1] == '-' && argv[at][2]) {
		bool takes =
		    strcmp(argv[at], "--socket") == 0 || strcmp(argv[at], "--log-format") == 0;

		at += takes ? 2 : 1;
	}
	for (int words = 0; at > 1 && at < argc && words < 2 && argv[at][0] != '-'; words++, at++) {
		char *word = argv[at];

		memmove(
		    &argv[words + 2], &argv[words + 1], (size_t)(at - words - 1) * sizeof(*argv));
		argv[words + 1] = word;
	}
}

int shim_main(int argc, char **argv, char **envp)
{
	struct shim_cli cli = {
	    .envp = (const char *const *)envp, .cancel_fd = -1, .deadline_ns = ORCH_FOREVER};
	struct orch_err err = ORCH_ERR_INIT;
	int used = 0, code = without_command(argc, argv);

	if (code >= 0)
		return code;
	move_leading_options(argc, argv);
	if (argv[1][0] == '-') {
		orch_err_set(&err, EINVAL, "unknown option %s; orch-shim --help lists the commands",
		    argv[1]);
		return usage_error(NULL, &err);
	}
	if (shim_find_command(argc - 1, (const char *const *)argv + 1, &cli.command, &used, &err) <
	    0)
		return usage_error(NULL, &err);
	code = with_command(&cli, argc - 1 - used, argv + 1 + used);
	shim_disconnect(&cli);
	shim_values_fini(&cli.values);
	free(cli.socket);
	return code;
}
