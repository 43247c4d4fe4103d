/* git fetch into a quarantine; see gitfetch.h. */
#include "sync/gitfetch.h"

#include <dirent.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "core/clock.h"
#include "core/fd.h"
#include "core/path.h"
#include "sync/gitcred.h"
#include "sync/gitrev.h"
#include "sync/gitrun.h"

#define REPO	   "repo.git"
#define PROTOCOLS  "file:git:http:https:ssh"
#define TOKEN_USER "x-access-token"

/* What is inherited: the quarantine, and what the helper answers. */
enum { FD_QUARANTINE, FD_TOKEN, FDS };

struct fetch {
	struct sync_task *task;
	const struct sync_gitfetch_spec *spec;
	struct orch_strv env;
	unsigned configs;
	int fds[FDS];
	size_t fd_count;
	const char *secret; /* NULL: none; borrowed */
	const char *user;
	struct orch_buf header; /* "Authorization: ..." */
};

/* ---- environment ---- */

static const char *const allowed[] = {"HOME", "XDG_CONFIG_HOME", "SSH_AUTH_SOCK", "GIT_SSH_COMMAND",
    "GIT_ASKPASS", "SSH_ASKPASS", "http_proxy", "https_proxy", "all_proxy", "no_proxy",
    "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "GIT_SSL_CAINFO", "GIT_PRIVATE_TOKEN", "GITHUB_TOKEN"};
static const char *const tokens[] = {"GIT_PRIVATE_TOKEN", "GITHUB_TOKEN"};

bool sync_gitfetch_env_allowed(const char *name)
{
	for (size_t i = 0; i < ORCH_ARRAY_LEN(allowed); i++)
		if (strcmp(name, allowed[i]) == 0)
			return true;
	return false;
}

static bool is_token(const char *entry)
{
	for (size_t i = 0; i < ORCH_ARRAY_LEN(tokens); i++) {
		size_t n = strlen(tokens[i]);

		if (strncmp(entry, tokens[i], n) == 0 && entry[n] == '=')
			return true;
	}
	return false;
}

static bool is_http(const struct fetch *f)
{
	return f->spec->url->scheme == SYNC_GITURL_HTTP ||
	       f->spec->url->scheme == SYNC_GITURL_HTTPS;
}

/* The URL's own password comes first: it is the most exact. */
static void find_secret(struct fetch *f)
{
	const struct sync_giturl *u = f->spec->url;

	f->user = u->user ? u->user : TOKEN_USER;
	if (!is_http(f))
		return;
	f->secret = u->password && u->password[0] ? u->password : NULL;
	for (size_t i = 0; !f->secret && i < ORCH_ARRAY_LEN(tokens); i++) {
		const char *v = orch_strv_get_env(f->spec->env, tokens[i]);

		f->secret = v && v[0] ? v : NULL;
	}
}

static int set_home(struct fetch *f)
{
	struct passwd pw, *found = NULL;
	orch_auto(free) char *room = NULL;
	const size_t bytes = 16384;

	if (orch_strv_get_env(&f->env, "HOME"))
		return 0;
	room = malloc(bytes);
	if (!room)
		return -ENOMEM;
	(void)getpwuid_r(geteuid(), &pw, room, bytes, &found);
	return orch_strv_set_env(
	    &f->env, "HOME", found && found->pw_dir[0] ? found->pw_dir : "/nonexistent");
}

static int copy_env(struct fetch *f)
{
	const struct orch_strv *from = f->spec->env;
	int r = 0;

	for (size_t i = 0; r == 0 && i < from->count; i++)
		if (!is_token(from->v[i]))
			r = orch_strv_add(&f->env, from->v[i]);
	return r == 0 ? set_home(f) : r;
}

/* What a user's configuration must not change: nothing but this fetch runs, and it ends with packs. */
static int set_configs(struct fetch *f)
{
	static const char *const fixed[][2] = {
	    {"core.hooksPath", "/dev/null"},
	    {"core.fsmonitor", "false"},
	    {"core.fsync", "none"}, /* taken over with a sync of its own */
	    {"gc.auto", "0"},
	    {"maintenance.auto", "false"},
	    {"fetch.unpackLimit", "1"},
	    {"transfer.unpackLimit", "1"},
	    {"transfer.fsckObjects", "false"}, /* taken over with a check of its own */
	    {"fetch.fsckObjects", "false"},
	    {"fetch.recurseSubmodules", "false"},
	    {"submodule.recurse", "false"},
	    {"fetch.writeCommitGraph", "false"},
	    {"fetch.showForcedUpdates", "false"},
	    {"fetch.output", "full"},
	    {"http.lowSpeedLimit", "100"},
	    {"http.lowSpeedTime", "60"},
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ORCH_ARRAY_LEN(fixed); i++)
		r = sync_gitrun_config(&f->env, &f->configs, fixed[i][0], fixed[i][1]);
	return r;
}

/* 'it''s' for the shell by which git starts a helper. */
static int add_quoted(struct orch_buf *b, const char *s)
{
	(void)orch_buf_add_u8(b, '\'');
	for (; *s; s++)
		(void)(*s == '\'' ? orch_buf_add_str(b, "'\\''") : orch_buf_add_u8(b, (uint8_t)*s));
	return orch_buf_add_u8(b, '\'');
}

/* The first, empty helper takes away those of the user: they must not be asked, and must not store
 * what is not theirs. */
static int set_helper(struct fetch *f)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	char number[24];
	int fd = sync_gitcred_file(f->spec->url->origin, f->user, f->secret), r;

	if (fd < 0)
		return fd;
	f->fds[FD_TOKEN] = fd;
	f->fd_count = FDS;
	(void)orch_buf_add_u8(&b, '!');
	(void)add_quoted(&b, f->spec->helper);
	(void)orch_buf_add_str(&b, " " SYNC_GITCRED_WORD);
	snprintf(number, sizeof(number), "%d", fd);
	r = b.failed ? -ENOMEM : orch_strv_set_env(&f->env, SYNC_GITCRED_FD, number);
	if (r == 0)
		r = sync_gitrun_config(&f->env, &f->configs, "credential.helper", "");
	if (r == 0)
		r = sync_gitrun_config(
		    &f->env, &f->configs, "credential.helper", (const char *)b.data);
	return r;
}

/* With every request to this host, and so to none that it redirects to. */
static int set_header(struct fetch *f)
{
	orch_auto(buf) struct orch_buf key = ORCH_BUF_INIT;
	int r = sync_gitcred_header(f->user, f->secret, &f->header);

	(void)orch_buf_printf(&key, "http.%s/.extraHeader", f->spec->url->origin);
	if (key.failed)
		return -ENOMEM;
	if (r == 0)
		r = sync_gitrun_config(
		    &f->env, &f->configs, (const char *)key.data, (const char *)f->header.data);
	if (r == 0)
		r = sync_gitrun_config(&f->env, &f->configs, "http.followRedirects", "false");
	return r;
}

static int set_auth(struct fetch *f)
{
	orch_auto(buf) struct orch_buf key = ORCH_BUF_INIT;

	if (f->secret) {
		/* with a header, too: who refuses it is not to be tried with what the user has */
		int r = set_helper(f);

		return r == 0 && f->spec->auth == SYNC_GITFETCH_HEADER ? set_header(f) : r;
	}
	if (!is_http(f) || !f->spec->url->user)
		return 0;
	/* for the user's own helpers: a name may be a secret, too, so not in the arguments */
	(void)orch_buf_printf(&key, "credential.%s.username", f->spec->url->origin);
	return key.failed ? -ENOMEM
			  : sync_gitrun_config(
				&f->env, &f->configs, (const char *)key.data, f->spec->url->user);
}

static int prepare(struct fetch *f, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf git_dir = ORCH_BUF_INIT;
	int r;

	if (f->spec->place)
		(void)orch_buf_printf(&git_dir, "%s/" REPO, f->spec->place);
	else
		(void)orch_buf_printf(&git_dir, "/proc/self/fd/%d/" REPO, f->spec->quarantine_fd);
	if (git_dir.failed)
		return orch_err_set(err, ENOMEM, "no memory");
	f->fds[FD_QUARANTINE] = f->spec->quarantine_fd;
	f->fds[FD_TOKEN] = -1;
	f->fd_count = 1;
	find_secret(f);
	r = copy_env(f);
	if (r == 0)
		r = sync_gitrun_env(&f->env, (const char *)git_dir.data);
	if (r == 0)
		r = orch_strv_set_env(&f->env, "GIT_ALLOW_PROTOCOL", PROTOCOLS);
	if (r == 0)
		r = orch_strv_set_env(&f->env, "GIT_PROTOCOL_FROM_USER", "1");
	if (r == 0)
		r = set_configs(f);
	if (r == 0)
		r = set_auth(f);
	return r < 0 ? orch_err_sys(err, -r, "environment of git") : 0;
}

static void fetch_fini(struct fetch *f)
{
	orch_strv_fini(&f->env);
	if (f->header.data)
		explicit_bzero(f->header.data, f->header.len);
	orch_buf_fini(&f->header);
	if (f->fds[FD_TOKEN] >= 0)
		close(f->fds[FD_TOKEN]);
}

/* ---- runs ---- */

static int run_once(struct fetch *f, const char *const *argv, struct orch_buf *out, bool progress,
    bool *again, struct orch_err *err)
{
	struct sync_gitrun run = {.task = f->task,
	    .env = &f->env,
	    .fds = f->fds,
	    .fd_count = f->fd_count,
	    .stdin_fd = -1,
	    .stall_ms = f->spec->stall_ms,
	    .out = out,
	    .progress = progress,
	    .secret = f->secret};
	int r = sync_gitrun(&run, argv, err);

	*again = r < 0 && run.cause && run.cause->again;
	return r;
}

/* -ECANCELED */
static int pause_for(struct fetch *f, unsigned seconds, struct orch_err *err)
{
	uint64_t end = orch_deadline_in_ms((uint64_t)seconds * 1000);

	while (orch_clock_ns() < end) {
		struct timespec ts = {.tv_nsec = 100000000};

		if (*f->task->cancel)
			return orch_err_set(err, ORCH_ECANCELLED, "cancelled");
		nanosleep(&ts, NULL);
	}
	return 0;
}

/* As often as it makes sense. */
static int run_git(struct fetch *f, const char *const *argv, struct orch_buf *out, bool progress,
    struct orch_err *err)
{
	unsigned seconds = 1;

	for (int i = 1;; i++) {
		struct orch_err why = ORCH_ERR_INIT;
		bool again;
		int r = run_once(f, argv, out, progress, &again, &why);

		if (r == 0)
			return 0;
		if (!again || i == SYNC_GITFETCH_TRIES) {
			*err = why;
			return r;
		}
		sync_task_warn(f->task, "%s; trying again in %u s", why.msg, seconds);
		r = pause_for(f, seconds, err);
		if (r < 0)
			return r;
		seconds *= 3;
		if (out)
			orch_buf_reset(out);
	}
}

/* The option for the next piece of a history; "": all of it. */
static void depth_option(const struct fetch *f, char *out, size_t room)
{
	bool begun = faccessat(f->spec->quarantine_fd, REPO "/shallow", F_OK, 0) == 0;
	unsigned long long depth = f->spec->depth;

	if (depth == 0)
		snprintf(out, room, "%s", begun ? "--unshallow" : "");
	else
		snprintf(out, room, "--%s=%llu", begun ? "deepen" : "depth", depth);
}

static int fetch_refs(
    struct fetch *f, bool prune, const char *const *refspecs, size_t count, struct orch_err *err)
{
	char depth[40];
	const char *argv[24] = {"git", "fetch", "--progress", "--no-tags", "--no-write-fetch-head",
	    "--no-auto-maintenance", "--no-recurse-submodules", "--refmap=", "--force"};
	size_t n = 9;

	depth_option(f, depth, sizeof(depth));
	if (depth[0])
		argv[n++] = depth;
	if (prune)
		argv[n++] = "--prune";
	argv[n++] = "--end-of-options";
	argv[n++] = f->spec->url->url;
	ORCH_BUG_ON(n + count >= ORCH_ARRAY_LEN(argv));
	for (size_t i = 0; i < count; i++)
		argv[n++] = refspecs[i];
	return run_git(f, argv, NULL, true, err);
}

/* "ref: refs/heads/main\tHEAD" of git ls-remote --symref. 1: found. */
static int parse_default(const char *text, char *out, size_t room)
{
	while (*text) {
		size_t n = strcspn(text, "\n"), name = strcspn(text, "\t\n");

		if (strncmp(text, "ref: refs/heads/", 16) == 0 && n == name + 5 &&
		    strncmp(text + name, "\tHEAD", 5) == 0 && name - 5 < room) {
			snprintf(out, room, "%.*s", (int)name - 5, text + 5);
			return orch_ref_name_valid(out);
		}
		text += n;
		text += *text == '\n';
	}
	return 0;
}

static int find_default(struct fetch *f, struct sync_gitfetched *out, struct orch_err *err)
{
	const char *argv[] = {
	    "git", "ls-remote", "--symref", "--end-of-options", f->spec->url->url, "HEAD", NULL};
	orch_auto(buf) struct orch_buf text = ORCH_BUF_INIT;
	int r;

	orch_buf_init(&text, 1 << 20);
	r = run_git(f, argv, &text, false, err);
	if (r < 0)
		return r;
	out->empty =
	    !text.data || parse_default((const char *)text.data, out->name, sizeof(out->name)) != 1;
	return 0;
}

static int fetch_one(struct fetch *f, const char *from, const char *to, struct orch_err *err)
{
	char spec[2 * 1024 + 8];
	const char *refspecs[] = {spec};

	snprintf(spec, sizeof(spec), "+%s:%s", from, to);
	return fetch_refs(f, false, refspecs, 1, err);
}

static int fetch_default(struct fetch *f, struct sync_gitfetched *out, struct orch_err *err)
{
	int r = find_default(f, out, err);

	return r < 0 || out->empty ? r : fetch_one(f, out->name, out->name, err);
}

static int fetch_all(struct fetch *f, struct orch_err *err)
{
	const char *name = f->spec->name;
	char more[2 * 1024 + 8];
	const char *refspecs[] = {"+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*", more};

	if (name)
		snprintf(more, sizeof(more), "+%s:%s", name,
		    strcmp(name, "HEAD") == 0 ? SYNC_GITREF_HEAD : name);
	return fetch_refs(f, true, refspecs, name ? 3 : 2, err);
}

static int fetch_id(struct fetch *f, struct orch_err *err)
{
	char to[sizeof(SYNC_GITREF_COMMITS) + SYNC_GITREV_HEX];

	snprintf(to, sizeof(to), SYNC_GITREF_COMMITS "%s", f->spec->name);
	return fetch_one(f, f->spec->name, to, err);
}

static bool is_loose_folder(const struct dirent *e)
{
	return strlen(e->d_name) == 2 && strspn(e->d_name, "0123456789abcdef") == 2;
}

/* 1: there are objects outside of packs. */
static int has_loose(const struct fetch *f, struct orch_err *err)
{
	int fd =
	    openat(f->spec->quarantine_fd, REPO "/objects", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	int found = 0;

	if (!d) {
		orch_fd_close(fd);
		return orch_err_sys(err, errno, REPO "/objects");
	}
	for (struct dirent *e; !found && (e = readdir(d));)
		found = is_loose_folder(e);
	closedir(d);
	return found;
}

/* The old http transport, which reads files, leaves single objects, and packs in which anything may be
 * missing: one pack is made of all that is reachable. */
static int pack_loose(struct fetch *f, struct orch_err *err)
{
	const char *argv[] = {"git", "repack", "-a", "-d", "-q", NULL};
	bool again;
	int r = has_loose(f, err);

	return r > 0 ? run_once(f, argv, NULL, false, &again, err) : r;
}

/* What the repository of the quarantine has now, for whoever takes it over. */
static int save_refs(struct fetch *f, struct orch_err *err)
{
	const char *argv[] = {"git", "for-each-ref", "--format=%(objectname) %(refname)", NULL};
	orch_auto(buf) struct orch_buf text = ORCH_BUF_INIT;
	orch_auto(fd) int fd = -1;
	bool again;
	int r;

	orch_buf_init(&text, SYNC_GITREFS_BYTES);
	r = run_once(f, argv, &text, false, &again, err);
	if (r < 0)
		return r;
	fd = openat(f->spec->quarantine_fd, SYNC_GITFETCH_REFS,
	    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	r = fd < 0 ? -errno : orch_fd_write_all(fd, text.data, text.len);
	return r < 0 ? orch_err_sys(err, -r, "list of refs") : 0;
}

int sync_gitfetch(struct sync_task *t, const struct sync_gitfetch_spec *spec,
    struct sync_gitfetched *out, struct orch_err *err)
{
	struct fetch f = {.task = t, .spec = spec, .env = ORCH_STRV_INIT, .header = ORCH_BUF_INIT};
	struct sync_gitfetched made = {0};
	int r = prepare(&f, err);

	if (r == 0) {
		switch (spec->what) {
		case SYNC_GITFETCH_DEFAULT:
			r = fetch_default(&f, &made, err);
			break;
		case SYNC_GITFETCH_ALL:
			r = fetch_all(&f, err);
			break;
		case SYNC_GITFETCH_ID:
			r = fetch_id(&f, err);
			break;
		}
	}
	if (r == 0)
		r = pack_loose(&f, err);
	if (r == 0)
		r = save_refs(&f, err);
	fetch_fini(&f);
	if (r == 0)
		*out = made;
	return r;
}
