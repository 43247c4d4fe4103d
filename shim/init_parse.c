/* See init_parse.h. */
#include "shim/init_parse.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/number.h"
#include "providers/init_protocol.h"

static int take_descriptor(const char *value, int *out)
{
	uint64_t n;

	if (orch_number_parse(value, strlen(value), INT_MAX, &n) < 0)
		return -EINVAL;
	*out = (int)n;
	return 0;
}

/* The largest one means "as it is" to the kernel: who asked for it would stay root. */
static int take_id(const char *value, long *out)
{
	uint64_t n;

	if (orch_number_parse(value, strlen(value), UINT32_MAX - 1, &n) < 0)
		return -EINVAL;
	*out = (long)n;
	return 0;
}

static int take_path(const char *value, const char **list, size_t max, size_t *count)
{
	if (*count == max)
		return -E2BIG;
	list[(*count)++] = value;
	return 0;
}

/* One option with a value. -ENOENT: it is none of these. */
static int take_value(struct shim_init_options *o, const char *name, const char *value)
{
	if (strcmp(name, "--control") == 0)
		return take_descriptor(value, &o->control);
	if (strcmp(name, "--env") == 0)
		return take_descriptor(value, &o->env);
	if (strcmp(name, "--uid") == 0)
		return take_id(value, &o->uid);
	if (strcmp(name, "--gid") == 0)
		return take_id(value, &o->gid);
	if (strcmp(name, "--own") == 0)
		return take_path(value, o->own, SHIM_INIT_OWN_MAX, &o->own_count);
	if (strcmp(name, "--freeze") == 0)
		return take_path(value, o->freeze, SHIM_INIT_FREEZE_MAX, &o->freeze_count);
	if (strcmp(name, "--cwd") != 0)
		return -ENOENT;
	o->cwd = value;
	return 0;
}

static bool take_flag(struct shim_init_options *o, const char *name)
{
	if (strcmp(name, "--drop-capabilities") == 0)
		return o->drop_capabilities = true;
	if (strcmp(name, "--tty") == 0)
		return o->tty = true;
	return false;
}

static const char *why(int code)
{
	return code == -E2BIG	 ? "too many folders"
	       : code == -EINVAL ? "a number is expected"
				 : "unknown option";
}

/* NULL: they fit together. */
static const char *misfit(const struct shim_init_options *o)
{
	if (!o->command || !*o->command)
		return "no command";
	if ((o->uid < 0) != (o->gid < 0))
		return "--uid and --gid go together";
	return o->own_count > 0 && o->uid < 0 ? "--own needs --uid" : NULL;
}

int shim_init_options_parse(char **argv, struct shim_init_options *out, const char **out_why)
{
	struct shim_init_options o = {.control = -1, .env = -1, .uid = -1, .gid = -1};
	int r;

	for (argv += *argv != NULL; *argv && !o.command; argv++) {
		if (strcmp(*argv, "--") == 0) {
			o.command = argv + 1;
		} else if (!take_flag(&o, *argv)) {
			r = argv[1] ? take_value(&o, argv[0], argv[1]) : -ENOENT;
			if (r < 0) {
				*out_why = why(r);
				return -EINVAL;
			}
			argv++;
		}
	}
	if (misfit(&o)) {
		*out_why = misfit(&o);
		return -EINVAL;
	}
	*out = o;
	return 0;
}

char **shim_init_environment_parse(char *text, size_t len)
{
	size_t count = 0, i = 0;
	char **env;

	for (size_t at = 0; at < len; at += strlen(text + at) + 1)
		count++;
	env = calloc(count + 1, sizeof(*env));
	for (size_t at = 0; env && at < len; at += strlen(text + at) + 1)
		env[i++] = text + at;
	return env;
}

bool shim_init_stat_parse(const char *text, struct shim_init_stat *out)
{
	const char *p = strrchr(text, ')');
	struct shim_init_stat s;

	if (!p || sscanf(p + 1, " %c %d %d", &s.state, &s.parent, &s.group) != 3)
		return false;
	*out = s;
	return true;
}

pid_t shim_init_pid_parse(const char *name)
{
	uint64_t n;

	return orch_number_parse(name, strlen(name), INT_MAX, &n) < 0 ? 0 : (pid_t)n;
}

int shim_init_request_parse(const void *message, size_t len)
{
	struct prv_init_message m;

	if (len != sizeof(m))
		return 0;
	memcpy(&m, message, sizeof(m));
	if (m.magic != PRV_INIT_MAGIC || m.version != PRV_INIT_VERSION ||
	    m.kind != PRV_INIT_SIGNAL || m.value < 1 || m.value >= NSIG)
		return 0;
	return m.value;
}
