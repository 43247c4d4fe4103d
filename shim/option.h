/*
 * Options as data: one table for each command, one parser for all of them. A value knows where it
 * came from. Pure: what is parsed and the environment are arguments; nothing is printed here.
 * Not thread-safe.
 *
 * Names are camelCase in the tables. On the command line `--camelCase` and `--kebab-case` mean the
 * same, for every alias too. A value comes from, first hit wins: a flag, a GitHub Actions input
 * (INPUT_CAMELCASE or INPUT_UPPER_SNAKE), the environment (ORCH_UPPER_SNAKE; and, unless SHIM_OWN,
 * camelCase verbatim and UPPER_SNAKE), the default. Empty inputs and variables count as absent.
 */
#ifndef ORCH_SHIM_OPTION_H
#define ORCH_SHIM_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/err.h"
#include "core/strv.h"

enum shim_type {
	SHIM_SWITCH, /* true or false; the flag alone means true */
	SHIM_TEXT,
	SHIM_NUMBER, /* a decimal integer within [min, max] */
	SHIM_CHOICE, /* one of `choices` */
	SHIM_LIST,   /* comma-separated, blanks around items dropped */
	SHIM_JSON,   /* text that must be valid JSON */
};

enum shim_option_flag {
	SHIM_REPEATS = 1 << 0,	 /* may be given several times; see shim_list */
	SHIM_SECRET = 1 << 1,	 /* never printed */
	SHIM_OWN = 1 << 2,	 /* orch's own: only ORCH_* of the environment */
	SHIM_FLAG_ONLY = 1 << 3, /* never from inputs or environment */
	SHIM_INFO = 1 << 4,	 /* carried into the environment of the build and nothing else */
};

struct shim_option {
	const char *name;
	const char *aliases;  /* blank-separated; NULL: none */
	const char *arg;      /* "DIR" in help; NULL for switches */
	const char *help;     /* one sentence without its full stop */
	const char *fallback; /* the default's text; NULL: none */
	const char *choices;  /* "a|b|c" for SHIM_CHOICE */
	const char
	    *works; /* "a|b": what this version implements; "": only the default; NULL: all */
	int64_t min, max;
	enum shim_type type;
	unsigned flags;
	char letter; /* the short form, 0: none */
};

struct shim_options {
	const char *title; /* in help; NULL: "Options" */
	const struct shim_option *v;
	size_t count;
};

enum shim_origin {
	SHIM_FROM_NOWHERE,
	SHIM_FROM_DEFAULT,
	SHIM_FROM_ENV,
	SHIM_FROM_INPUT,
	SHIM_FROM_FLAG
};

struct shim_value {
	const struct shim_option *option;
	char *text; /* the last one given; NULL: absent */
	struct orch_strv all;
	enum shim_origin origin;
	bool ambient; /* from a plain UPPER_SNAKE variable that may have been meant for others */
	char *from;   /* "--cache-key", "INPUT_CACHEKEY", "CACHE_KEY", "default" */
};

struct shim_values {
	struct shim_value *v;
	size_t count;
	struct orch_strv args;	  /* positional */
	struct orch_strv command; /* behind "--" */
	bool has_command;	  /* "--" was there */
};

/* One slot for each option of the tables, which must live as long as the values. */
int shim_values_init(struct shim_values *s, const struct shim_options *const *tables, size_t n)
    ORCH_NONNULL(1, 2) ORCH_WUR;
void shim_values_fini(struct shim_values *s) ORCH_NONNULL(1);

/* argv without program and verb names. -EINVAL with the nearest match for an unknown option. */
int shim_parse_flags(struct shim_values *s, int argc, const char *const *argv, struct orch_err *err)
    ORCH_NONNULL(1, 3) ORCH_WUR;
/* Fills what no flag gave from inputs, environment and defaults. */
int shim_parse_env(struct shim_values *s, const char *const *envp, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;
/* Types, ranges, choices; each -EINVAL names the option, where its value came from, and what is allowed. */
int shim_check(const struct shim_values *s, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
/* What this version can't do: -EINVAL when it was asked for. From an ambient variable it is only
 * reported: `warn` is called for each. */
int shim_check_works(const struct shim_values *s,
    void (*warn)(void *priv, const struct shim_value *v), void *priv, struct orch_err *err)
    ORCH_NONNULL(1) ORCH_WUR;

/* Getters by camelCase name; a name that no table has is a bug. Borrowed from s. */
const struct shim_value *shim_value(const struct shim_values *s, const char *name)
    ORCH_NONNULL(1, 2);
const char *shim_text(const struct shim_values *s, const char *name); /* NULL: absent */
bool shim_on(const struct shim_values *s, const char *name);
int64_t shim_number(const struct shim_values *s, const char *name); /* 0: absent */
const struct orch_strv *shim_list(const struct shim_values *s, const char *name);
bool shim_given(const struct shim_values *s, const char *name); /* not absent and not the default */

/* "targetPlatform" -> "target-platform", "TARGET_PLATFORM"; out has room for twice the name. */
#define SHIM_NAME_MAX 64
void shim_name_kebab(const char *name, char out[2 * SHIM_NAME_MAX]) ORCH_NONNULL(1, 2);
void shim_name_env(const char *name, char out[2 * SHIM_NAME_MAX]) ORCH_NONNULL(1, 2);

/* true, yes, on, 1 / false, no, off, 0 in any case; -EINVAL. */
int shim_bool_parse(const char *text, bool *out) ORCH_NONNULL(1, 2) ORCH_WUR;
/* Whether word is one of "a|b|c". */
bool shim_one_of(const char *list, const char *word) ORCH_NONNULL(1, 2);

#endif
