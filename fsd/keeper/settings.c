/*
 * Settings: the table, and the three places from which values come. Runs before any thread.
 */
#include "settings.h"
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "core/buf.h"
#include "core/fd.h"
#include "core/nearest.h"
#include "core/number.h"
#include "core/path.h"

enum kind { KIND_PATH, KIND_STR, KIND_NUMBER, KIND_BOOL, KIND_LEVEL, KIND_FORMAT, KIND_SWITCH };

struct setting {
	const char *name;
	enum kind kind;
	size_t at;	   /* offset in struct fsd_settings */
	uint64_t min, max; /* KIND_NUMBER */
	const char *placeholder;
	const char *help;
};

#define AT(member) offsetof(struct fsd_settings, member)

/* KIND_SWITCH: of the command line only. */
static const struct setting settings[] = {
    {"store", KIND_PATH, AT(store), 0, 0, "DIR", "where everything is kept (made on first use)"},
    {"socket", KIND_PATH, AT(socket), 0, 0, "PATH", "the control socket, mode 0660"},
    {"mounts", KIND_PATH, AT(mounts), 0, 0, "DIR", "where workspaces are mounted by default"},
    {"group", KIND_STR, AT(group), 0, 0, "NAME", "group of the socket, if it exists; \"\": none"},
    {"log-level", KIND_LEVEL, AT(log_level), 0, 0, "LEVEL", "error, warn, info or debug"},
    {"log-format", KIND_FORMAT, AT(log_format), 0, 0, "FORMAT", "text or json"},
    {"log-file", KIND_PATH, AT(log_file), 0, 0, "PATH",
	"default: standard error; <store>/log/orch-fsd.log in the background"},
    {"exit-idle", KIND_NUMBER, AT(exit_idle_s), 0, 86400, "SECONDS",
	"end when for so long there was no client and no mounted workspace; 0: never"},
    {"connections-max", KIND_NUMBER, AT(connections_max), 4, 4096, "N", "clients at once"},
    {"workers-max", KIND_NUMBER, AT(workers_max), 1, 256, "N",
	"imports, exports and commits at once; as many fetches besides; others wait"},
    {"mount-timeout", KIND_NUMBER, AT(mount_timeout_s), 1, 3600, "SECONDS",
	"until a mount process must be ready, or answer"},
    {"worker-timeout", KIND_NUMBER, AT(worker_timeout_s), 10, 30 * 86400, "SECONDS",
	"after which an import, export or commit is given up"},
    {"client-timeout", KIND_NUMBER, AT(client_timeout_s), 1, 3600, "SECONDS",
	"after which a client is dropped that is silent, or still sends its request or reads an "
	"answer"},
    {"pause-limit", KIND_NUMBER, AT(pause_limit_s), 0, 600, "SECONDS",
	"how long jobs stand still at most while a fork or commit copies what they write; 0: "
	"never"},
    {"passthrough", KIND_BOOL, AT(passthrough), 0, 0, "yes|no",
	"let the kernel read and write file contents directly where it can"},
    {"allow-other", KIND_BOOL, AT(allow_other), 0, 0, "yes|no",
	"let other users, root too, enter the mounts, as modes say; always for root's daemon, an "
	"ordinary user's needs user_allow_other in " ORCH_FUSE_CONF},
};

/* Of the command line only. */
static const struct setting switches[] = {
    {"config", KIND_PATH, AT(config), 0, 0, "FILE", "settings, one `name = value` a line"},
    {"foreground", KIND_SWITCH, 0, 0, 0, NULL, "stay in the foreground (the default)"},
    {"background", KIND_SWITCH, AT(background), 0, 0, NULL,
	"return when the daemon answers on its socket, or say why it can't"},
    {"repair-database", KIND_SWITCH, AT(repair_database), 0, 0, NULL,
	"make a damaged database anew from what is left, tell what is lost, and end"},
    {"help", KIND_SWITCH, AT(help), 0, 0, NULL, "this text"},
    {"version", KIND_SWITCH, AT(version), 0, 0, NULL, "the version"},
};

static const struct setting *find_in(const struct setting *table, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(table[i].name, name) == 0)
			return &table[i];
	return NULL;
}

static const struct setting *find_setting(const char *name)
{
	return find_in(settings, ORCH_ARRAY_LEN(settings), name);
}

static const struct setting *find_flag(const char *name)
{
	const struct setting *t = find_setting(name);

	return t ? t : find_in(switches, ORCH_ARRAY_LEN(switches), name);
}

/* dashes: "--" for flags, which are settings and switches; "" for the file's settings. */
static int unknown(const char *what, const char *dashes, const char *name, struct orch_err *err)
{
	const char *names[ORCH_ARRAY_LEN(settings) + ORCH_ARRAY_LEN(switches)];
	const char *near;
	size_t n = 0;

	for (size_t i = 0; i < ORCH_ARRAY_LEN(settings); i++)
		names[n++] = settings[i].name;
	for (size_t i = 0; *dashes && i < ORCH_ARRAY_LEN(switches); i++)
		names[n++] = switches[i].name;
	near = orch_nearest(name, names, n);
	if (near)
		return orch_err_set(err, EINVAL, "unknown %s '%s%s' (did you mean '%s%s'?)", what,
		    dashes, name, dashes, near);
	return orch_err_set(
	    err, EINVAL, "unknown %s '%s%s' (see orch-fsd --help)", what, dashes, name);
}

static int set_string(char **slot, char *value, struct orch_err *err)
{
	if (!value)
		return orch_err_set(err, ENOMEM, "no memory");
	free(*slot);
	*slot = value;
	return 0;
}

static int set_path(char **slot, const char *value, struct orch_err *err)
{
	if (!*value)
		return orch_err_set(err, EINVAL, "an empty path");
	return set_string(slot, orch_path_absolute(value), err);
}

static int set_number(uint64_t *slot, const struct setting *t, const char *v, struct orch_err *err)
{
	uint64_t n;

	if (orch_number_parse(v, strlen(v), t->max, &n) < 0 || n < t->min)
		return orch_err_set(err, EINVAL, "'%s' is not a number from %llu to %llu", v,
		    (unsigned long long)t->min, (unsigned long long)t->max);
	*slot = n;
	return 0;
}

static int set_bool(bool *slot, const char *v, struct orch_err *err)
{
	if (strcmp(v, "yes") == 0 || strcmp(v, "true") == 0 || strcmp(v, "on") == 0)
		*slot = true;
	else if (strcmp(v, "no") == 0 || strcmp(v, "false") == 0 || strcmp(v, "off") == 0)
		*slot = false;
	else
		return orch_err_set(err, EINVAL, "'%s' is neither yes nor no", v);
	return 0;
}

static int set_format(enum orch_log_format *slot, const char *v, struct orch_err *err)
{
	if (strcmp(v, "text") == 0)
		*slot = ORCH_LOG_TEXT;
	else if (strcmp(v, "json") == 0)
		*slot = ORCH_LOG_JSON;
	else
		return orch_err_set(err, EINVAL, "'%s' is neither text nor json", v);
	return 0;
}

static int set_level(enum orch_log_level *slot, const char *v, struct orch_err *err)
{
	if (orch_log_level_parse(v, slot) < 0)
		return orch_err_set(err, EINVAL, "'%s' is none of error, warn, info, debug", v);
	return 0;
}

static int set_value(
    struct fsd_settings *s, const struct setting *t, const char *v, struct orch_err *err)
{
	void *slot = (char *)s + t->at;

	switch (t->kind) {
	case KIND_PATH:
		return set_path(slot, v, err);
	case KIND_STR:
		return set_string(slot, strdup(v), err);
	case KIND_NUMBER:
		return set_number(slot, t, v, err);
	case KIND_BOOL:
		return set_bool(slot, v, err);
	case KIND_LEVEL:
		return set_level(slot, v, err);
	case KIND_FORMAT:
		return set_format(slot, v, err);
	case KIND_SWITCH:
		break;
	}
	return orch_err_set(err, EINVAL, "takes no value");
}

/* ---- defaults ---- */

/* $env/orch/tail, else $HOME/home_rel/orch/tail, else /tmp/orch-<uid>/tail. */
static char *user_path(const char *env, const char *home_rel, const char *tail)
{
	const char *base = getenv(env), *home = getenv("HOME");
	char *p = NULL;
	int n;

	if (base && base[0] == '/')
		n = asprintf(&p, "%s/orch/%s", base, tail);
	else if (home_rel && home && home[0] == '/')
		n = asprintf(&p, "%s/%s/orch/%s", home, home_rel, tail);
	else
		n = asprintf(&p, "/tmp/orch-%u/%s", (unsigned)geteuid(), tail);
	return n < 0 ? NULL : p;
}

/* user_path() falls back on /tmp. */
static bool is_homeless(const char *env)
{
	const char *base = getenv(env), *home = getenv("HOME");

	return !(base && base[0] == '/') && !(home && home[0] == '/');
}

/* Without a home it is a folder of its own beside the socket's things: a store lies with nothing else. */
static char *user_store(void)
{
	bool homeless = is_homeless("XDG_DATA_HOME");
	char *p = user_path("XDG_DATA_HOME", ".local/share", homeless ? "store" : "");

	if (p && !homeless) /* without the slash at its end */
		p[strlen(p) - 1] = '\0';
	return p;
}

static int defaults(struct fsd_settings *s, struct orch_err *err)
{
	bool root = geteuid() == 0;
	char *data = root ? NULL : user_store();

	*s = (struct fsd_settings){
	    .log_level = ORCH_LOG_INFO,
	    .log_format = ORCH_LOG_TEXT,
	    .connections_max = 256,
	    .workers_max = 4,
	    .mount_timeout_s = 60,
	    .worker_timeout_s = 86400,
	    .client_timeout_s = 60,
	    .pause_limit_s = 10,
	    .passthrough = true,
	    .allow_other = root,
	};
	s->store = root ? strdup(ORCH_LOCALSTATEDIR "/lib/orch") : data;
	s->socket = root ? strdup(ORCH_RUNSTATEDIR "/orch/fsd.sock")
			 : user_path("XDG_RUNTIME_DIR", NULL, "fsd.sock");
	s->mounts =
	    root ? strdup(ORCH_RUNSTATEDIR "/orch/mnt") : user_path("XDG_RUNTIME_DIR", NULL, "mnt");
	s->group = strdup("orch");
	if (!s->store || !s->socket || !s->mounts || !s->group)
		return orch_err_set(err, ENOMEM, "no memory");
	return 0;
}

/* The places that orch-shim takes from its environment too: both mean the same daemon. */
static int environment(struct fsd_settings *s, struct orch_err *err)
{
	static const struct {
		const char *env, *setting;
	} places[] = {
	    {"ORCH_STORE", "store"}, {"ORCH_SOCKET", "socket"}, {"ORCH_MOUNTS", "mounts"}};

	for (size_t i = 0; i < ORCH_ARRAY_LEN(places); i++) {
		const char *value = getenv(places[i].env);

		int rc = 0;

		if (value && *value)
			rc = set_value(s, find_setting(places[i].setting), value, err);
		if (rc < 0) {
			orch_err_wrap(err, "%s", places[i].env);
			return rc;
		}
	}
	return 0;
}

static char *default_config(void)
{
	if (geteuid() == 0)
		return strdup(ORCH_SYSCONFDIR "/orch-fsd.conf");
	if (is_homeless("XDG_CONFIG_HOME")) /* who made that folder in /tmp has no say */
		return strdup("");
	return user_path("XDG_CONFIG_HOME", ".config", "orch-fsd.conf");
}

/* ---- the file ---- */

static char *trim(char *p)
{
	char *end;

	p += strspn(p, " \t\r");
	end = p + strlen(p);
	while (end > p && strchr(" \t\r", end[-1]))
		*--end = '\0';
	return p;
}

static char *unquote(char *v)
{
	size_t n = strlen(v);

	if (n < 2 || v[0] != '"' || v[n - 1] != '"')
		return v;
	v[n - 1] = '\0';
	return v + 1;
}

static int config_line(struct fsd_settings *s, char *line, struct orch_err *err)
{
	const struct setting *t;
	char *eq, *name;
	int rc;

	line = trim(line);
	if (!*line || *line == '#')
		return 0;
	eq = strchr(line, '=');
	if (!eq)
		return orch_err_set(err, EINVAL, "'%s' is not `name = value`", line);
	*eq = '\0';
	name = trim(line);
	t = find_setting(name);
	if (!t)
		return unknown("setting", "", name, err);
	rc = set_value(s, t, unquote(trim(eq + 1)), err);
	if (rc < 0)
		orch_err_wrap(err, "%s", name);
	return rc;
}

static int config_text(struct fsd_settings *s, char *text, struct orch_err *err)
{
	unsigned number = 0;

	while (text) {
		int rc = config_line(s, strsep(&text, "\n"), err);

		number++;
		if (rc < 0) {
			orch_err_wrap(err, "line %u", number);
			return rc;
		}
	}
	return 0;
}

static int config_load(
    struct fsd_settings *s, const char *path, bool required, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	orch_auto(free) char *text = NULL;
	int rc;

	orch_buf_init(&b, 1 << 20);
	rc = orch_file_load(AT_FDCWD, path, &b, err);
	if (rc == -ENOENT && !required)
		return 0;
	if (rc < 0)
		return rc;
	if (b.len && memchr(b.data, 0, b.len))
		return orch_err_set(err, EINVAL, "%s: holds a NUL byte", path);
	text = orch_buf_take_str(&b);
	if (!text)
		return orch_err_set(err, ENOMEM, "no memory");
	rc = config_text(s, text, err);
	if (rc < 0) {
		orch_err_wrap(err, "%s", path);
		return rc;
	}
	free(s->config);
	s->config = strdup(path);
	return 0;
}

/* ---- the command line ---- */

struct flag {
	const struct setting *setting;
	const char *value; /* NULL: none given */
	bool negated;	   /* --no-NAME */
};

/* Takes one flag, and its value when it has one, from argv[*i]. */
static int next_flag(int argc, char *const *argv, int *i, struct flag *out, struct orch_err *err)
{
	const char *arg = argv[(*i)++];
	char name[64];
	const char *eq = strchr(arg, '=');
	size_t n = eq ? (size_t)(eq - arg) : strlen(arg);

	if (strncmp(arg, "--", 2) != 0 || n - 2 >= sizeof(name))
		return orch_err_set(
		    err, EINVAL, "unexpected argument '%s' (see orch-fsd --help)", arg);
	memcpy(name, arg + 2, n - 2);
	name[n - 2] = '\0';
	*out = (struct flag){.setting = find_flag(name), .value = eq ? eq + 1 : NULL};
	if (!out->setting && strncmp(name, "no-", 3) == 0 && !eq) {
		out->setting = find_flag(name + 3);
		out->negated = true;
		if (out->setting && out->setting->kind != KIND_BOOL)
			out->setting = NULL;
	}
	if (!out->setting)
		return unknown("option", "--", name, err);
	if (out->value || out->setting->kind == KIND_SWITCH || out->setting->kind == KIND_BOOL)
		return 0;
	if (*i >= argc)
		return orch_err_set(err, EINVAL, "--%s needs a value", out->setting->name);
	out->value = argv[(*i)++];
	return 0;
}

static int apply_flag(struct fsd_settings *s, const struct flag *f, struct orch_err *err)
{
	const struct setting *t = f->setting;
	int rc;

	if (t->kind == KIND_SWITCH && !f->value) {
		if (strcmp(t->name, "foreground") == 0)
			s->background = false;
		else
			*(bool *)((char *)s + t->at) = true;
		return 0;
	}
	if (t->kind == KIND_BOOL && !f->value) {
		*(bool *)((char *)s + t->at) = !f->negated;
		return 0;
	}
	rc = set_value(s, t, f->value, err);
	if (rc < 0)
		orch_err_wrap(err, "--%s", t->name);
	return rc;
}

/* only: NULL, or the one flag that is looked at. */
static int each_flag(
    struct fsd_settings *s, int argc, char *const *argv, const char *only, struct orch_err *err)
{
	for (int i = 1; i < argc;) {
		struct flag f = {0};
		int rc = next_flag(argc, argv, &i, &f, err);

		if (rc < 0)
			return rc;
		if (only && strcmp(f.setting->name, only) != 0)
			continue;
		rc = apply_flag(s, &f, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int fsd_settings_load(struct fsd_settings *s, int argc, char *const *argv, struct orch_err *err)
{
	orch_auto(free) char *path = NULL;
	bool given;
	int rc = defaults(s, err);

	s->argv = argv;
	if (rc == 0)
		rc = each_flag(s, argc, argv, "config", err);
	if (rc < 0)
		return rc;
	given = s->config != NULL;
	path = given ? orch_take(s->config) : default_config();
	if (!path)
		return orch_err_set(err, ENOMEM, "no memory");
	if (given || *path)
		rc = config_load(s, path, given, err);
	if (rc == 0)
		rc = environment(s, err);
	if (rc == 0)
		rc = each_flag(s, argc, argv, NULL, err);
	return rc;
}

int fsd_settings_check(const struct fsd_settings *s, uid_t uid, const struct orch_fuse_conf *conf,
    struct orch_err *err)
{
	if (uid == 0 && !s->allow_other)
		return orch_err_set(err, EINVAL,
		    "allow-other: root's daemon can't do without: its mounts belong to other "
		    "users");
	if (uid != 0 && s->allow_other && !conf->user_allow_other)
		return orch_err_set(err, EINVAL,
		    "allow-other: fusermount3 would refuse; root allows it with: echo "
		    "user_allow_other >> " ORCH_FUSE_CONF);
	return 0;
}

void fsd_settings_fini(struct fsd_settings *s)
{
	free(s->store);
	free(s->socket);
	free(s->mounts);
	free(s->log_file);
	free(s->group);
	free(s->config);
	*s = (struct fsd_settings){0};
}

static void help_line(FILE *to, const struct setting *t)
{
	char left[64];

	snprintf(left, sizeof(left), "--%s%s%s", t->name, t->placeholder ? " " : "",
	    t->placeholder ? t->placeholder : "");
	fprintf(to, "  %-26s %s\n", left, t->help);
}

void fsd_settings_help(FILE *to)
{
	struct fsd_settings s;
	struct orch_err err = ORCH_ERR_INIT;

	fputs(
	    "Usage: orch-fsd [OPTION]...\n\n"
	    "Keeps the store and its workspaces, and serves the control API on a Unix socket.\n\n",
	    to);
	for (size_t i = 0; i < ORCH_ARRAY_LEN(switches); i++)
		help_line(to, &switches[i]);
	fputs("\nSettings, also in orch-fsd.conf as `name = value`:\n", to);
	for (size_t i = 0; i < ORCH_ARRAY_LEN(settings); i++)
		help_line(to, &settings[i]);
	if (defaults(&s, &err) == 0)
		fprintf(to,
		    "\nDefaults: --store %s --socket %s --mounts %s\n"
		    "A flag counts more than ORCH_STORE, ORCH_SOCKET and ORCH_MOUNTS, these more "
		    "than the file.\n",
		    s.store, s.socket, s.mounts);
	fsd_settings_fini(&s);
}
