/* The command line. See options.h. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include "core/number.h"
#include "fsd/mount/options.h"

enum {
	OPT_FDS = 1,
	OPT_LAYER,
	OPT_MOUNTPOINT,
	OPT_MOUNTPOINT_FD,
	OPT_SOURCE,
	OPT_CONTROL,
	OPT_READY,
	OPT_READ_ONLY,
	OPT_OTHER,
	OPT_NO_PASSTHROUGH,
	OPT_AFTER_REBOOT,
	OPT_LOG_LEVEL
};

static const struct option table[] = {
    {"store-fds", required_argument, NULL, OPT_FDS},
    {"layer", required_argument, NULL, OPT_LAYER},
    {"mountpoint", required_argument, NULL, OPT_MOUNTPOINT},
    {"mountpoint-fd", required_argument, NULL, OPT_MOUNTPOINT_FD},
    {"source", required_argument, NULL, OPT_SOURCE},
    {"control", required_argument, NULL, OPT_CONTROL},
    {"ready-fd", required_argument, NULL, OPT_READY},
    {"read-only", no_argument, NULL, OPT_READ_ONLY},
    {"allow-other", no_argument, NULL, OPT_OTHER},
    {"no-passthrough", no_argument, NULL, OPT_NO_PASSTHROUGH},
    {"after-reboot", no_argument, NULL, OPT_AFTER_REBOOT},
    {"log-level", required_argument, NULL, OPT_LOG_LEVEL},
    {0},
};

static int number(const char *s, const char *end_set, uint64_t max, uint64_t *out, const char **end)
{
	size_t digits = strspn(s, "0123456789");

	if (orch_number_parse(s, digits, max, out) < 0 || !strchr(end_set, s[digits]))
		return -EINVAL;
	*end = s + digits;
	return 0;
}

static int descriptor(const char *s, int *out)
{
	const char *end;
	uint64_t n;
	int r = number(s, "", INT32_MAX, &n, &end);

	if (r == 0)
		*out = (int)n;
	return r;
}

/* objects=FD,packs=FD,layers=FD in any order */
static int parse_fds(const char *s, struct mnt_options *o)
{
	const struct {
		const char *key;
		int *fd;
	} keys[] = {
	    {"objects=", &o->objects_fd}, {"packs=", &o->packs_fd}, {"layers=", &o->layers_fd}};
	uint64_t n;

	while (*s) {
		size_t i = 0;

		while (
		    i < ORCH_ARRAY_LEN(keys) && strncmp(s, keys[i].key, strlen(keys[i].key)) != 0)
			i++;
		if (i == ORCH_ARRAY_LEN(keys) ||
		    number(s + strlen(keys[i].key), ",", INT32_MAX, &n, &s) < 0)
			return -EINVAL;
		*keys[i].fd = (int)n;
		if (*s == ',')
			s++;
	}
	return 0;
}

/* It becomes one of libfuse's options, which a comma would end. */
static bool source_valid(const char *s)
{
	size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-");

	return n > 0 && n < 160 && s[n] == '\0';
}

static int set(struct mnt_options *o, int option, const char *value)
{
	const char *end;

	switch (option) {
	case OPT_FDS:
		return parse_fds(value, o);
	case OPT_LAYER:
		return number(value, "", UINT64_MAX, &o->layer, &end);
	case OPT_MOUNTPOINT:
		o->mountpoint = value;
		return 0;
	case OPT_MOUNTPOINT_FD:
		return descriptor(value, &o->mountpoint_fd);
	case OPT_SOURCE:
		o->source = value;
		return source_valid(value) ? 0 : -EINVAL;
	case OPT_CONTROL:
		o->control = value;
		return 0;
	case OPT_READY:
		return descriptor(value, &o->ready_fd);
	case OPT_READ_ONLY:
		o->read_only = true;
		return 0;
	case OPT_OTHER:
		o->allow_other = true;
		return 0;
	case OPT_NO_PASSTHROUGH:
		o->passthrough = false;
		return 0;
	case OPT_AFTER_REBOOT:
		o->after_reboot = true;
		return 0;
	case OPT_LOG_LEVEL:
		return orch_log_level_parse(value, &o->log_level);
	default:
		return -EINVAL;
	}
}

int mnt_options_parse(int argc, char **argv, struct mnt_options *out, struct orch_err *err)
{
	struct mnt_options o = {.objects_fd = -1,
	    .packs_fd = -1,
	    .layers_fd = -1,
	    .mountpoint_fd = -1,
	    .ready_fd = -1,
	    .passthrough = true,
	    .log_level = ORCH_LOG_INFO};
	int c;

	optind = 0; /* begin anew, also behind a call that stopped in the middle of a word */
	opterr = 0;
	while ((c = getopt_long(argc, argv, "", table, NULL)) != -1)
		if (set(&o, c, optarg ? optarg : "") < 0)
			return orch_err_set(err, ORCH_EUSAGE, "bad argument: %s",
			    argv[optind > 1 ? optind - 1 : 1]);
	if (optind < argc)
		return orch_err_set(err, ORCH_EUSAGE, "unexpected argument: %s", argv[optind]);
	if (o.objects_fd < 0 || o.packs_fd < 0 || o.layers_fd < 0 || o.layer == 0)
		return orch_err_set(err, ORCH_EUSAGE, "--store-fds and --layer are needed");
	if (!o.mountpoint || o.mountpoint[0] != '/' || !o.control || o.control[0] != '/')
		return orch_err_set(
		    err, ORCH_EUSAGE, "--mountpoint and --control are needed, as absolute paths");
	*out = o;
	return 0;
}
