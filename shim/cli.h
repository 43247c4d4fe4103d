/*
 * The frame of the command line: the table of commands, what a command is given, how it ends. A
 * command is a row of a table; its handler gets a `struct shim_cli` and returns an exit code.
 * Results go to standard output, everything else to standard error.
 */
#ifndef ORCH_SHIM_CLI_H
#define ORCH_SHIM_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/err.h"
#include "core/json.h"
#include "shim/option.h"

struct orch_http_client;

/* What the process ends with; the meaning is in docs/cli.md. */
enum shim_exit {
	SHIM_OK = 0,
	SHIM_FAILED = 1,
	SHIM_USAGE = 2,
	SHIM_INFRASTRUCTURE = 3,
	SHIM_CANCELLED = 4,
	SHIM_TIMED_OUT = 5,
};

struct shim_cli;

struct shim_command {
	const char *family;			   /* "snapshot"; NULL: the command stands alone */
	const char *name;			   /* "import", "build" */
	const char *usage;			   /* arguments, as the synopsis shows them */
	const char *summary;			   /* one line */
	const char *details;			   /* paragraphs for --help; NULL: none */
	const struct shim_options *const *options; /* NULL-terminated; NULL: none of its own */
	int min_args, max_args;
	bool takes_command; /* "-- COMMAND..." */
	bool later;	    /* part of the surface, not of this version: not listed, ends with 2 */
	int (*run)(struct shim_cli *cli); /* an exit code */
};

/* A family of commands: snapshot, ref, ...; `commands` ends with a row without a name. */
struct shim_family {
	const char *name;
	const char *summary;
	const struct shim_command *commands;
};

extern const struct shim_family shim_families[];      /* ends with a row without commands */
extern const struct shim_options shim_common_options; /* --socket, --json, --help, ... */

struct shim_cli {
	const struct shim_command *command;
	struct shim_values values;
	const char *const *envp;
	char *socket;			 /* path, resolved */
	bool socket_given;		 /* by flag or ORCH_SOCKET */
	struct orch_http_client *client; /* NULL until shim_connect */
	int cancel_fd;	      /* readable after the first signal; -1: signals not caught */
	uint64_t deadline_ns; /* of every call; ORCH_FOREVER */
	bool json, quiet, verbose;
	bool json_log;
};

/* argv with the program's name. The exit code of the process. */
int shim_main(int argc, char **argv, char **envp);

/* The command that argv[1..] names; *out_used: how many words that took. -EINVAL with the nearest. */
int shim_find_command(int argc, const char *const *argv, const struct shim_command **out,
    int *out_used, struct orch_err *err) ORCH_NONNULL(2, 3, 4) ORCH_WUR;
const struct shim_family *shim_find_family(const char *name) ORCH_NONNULL(1);

/* The nth positional argument. */
const char *shim_arg(const struct shim_cli *cli, size_t n) ORCH_NONNULL(1);

/* Reports err on standard error, with the next step where there is one; the exit code for it. */
int shim_fail(const struct shim_cli *cli, const struct orch_err *err) ORCH_NONNULL(1, 2);
enum shim_exit shim_exit_of(int code);

#endif
