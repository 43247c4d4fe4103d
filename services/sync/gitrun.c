/* Running git; see gitrun.h. */
#include "sync/gitrun.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "core/clock.h"
#include "core/fd.h"
#include "core/process.h"
#include "sync/giturl.h"

#define LOOK_MS	    200
#define GRACE_MS    2000
#define TELL_NS	    (100 * ORCH_NS_PER_MS)
#define LINE_BYTES  1024
#define SERVER_SAID 256
#define GIT_PATH    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* One git that runs. */
struct running {
	struct sync_gitrun *run;
	uint64_t heard_ns; /* when it last said anything */
	uint64_t told_ns;
	const char *phase; /* of the progress; its begin: */
	uint64_t phase_began_ns;
	char line[LINE_BYTES]; /* of standard error, cut at its end */
	size_t line_len;
	char said[SYNC_GITRUN_SAID]; /* what is no progress and not the server's */
	size_t said_len;
	char server[SERVER_SAID]; /* the first that the server said */
};

static void tell(struct running *g, const struct sync_gitsay_progress *p)
{
	uint64_t now = orch_clock_ns();
	struct sync_transfer t = {
	    .done = p->done, .total = p->total, .bytes = p->bytes, .rate_bytes = p->rate_bytes};

	if (!g->run->progress)
		return;
	if (p->phase != g->phase) {
		g->phase = p->phase;
		g->phase_began_ns = now;
		g->told_ns = 0;
	}
	if (now - g->told_ns < TELL_NS && (p->total == 0 || p->done < p->total))
		return;
	g->told_ns = now;
	t.left_ms = sync_gitsay_left_ms(p, now - g->phase_began_ns);
	sync_task_transfer(g->run->task, p->phase, &t);
}

static void keep(struct running *g, const char *line, size_t n)
{
	size_t room = sizeof(g->said) - 2 - g->said_len;

	n = n < room ? n : room;
	if (n == 0)
		return;
	memcpy(g->said + g->said_len, line, n);
	g->said_len += n;
	g->said[g->said_len++] = '\n';
	g->said[g->said_len] = '\0';
}

static void on_line(struct running *g)
{
	struct sync_gitsay_progress p;

	g->line[g->line_len] = '\0';
	if (g->line_len > 0 && sync_gitsay_parse(g->line, &p))
		tell(g, &p);
	else if (strncmp(g->line, "remote: ", 8) == 0) {
		if (!g->server[0] && strncmp(g->line + 8, "Total ", 6) != 0)
			snprintf(g->server, sizeof(g->server), "%s", g->line + 8);
	} else {
		keep(g, g->line, strlen(g->line));
	}
	g->line_len = 0;
}

static int on_output(void *priv, int stream, const void *data, size_t n)
{
	struct running *g = priv;
	const char *p = data;

	g->heard_ns = orch_clock_ns();
	if (stream == 1)
		return g->run->out ? orch_buf_add(g->run->out, p, n) : 0;
	for (size_t i = 0; i < n; i++) {
		if (p[i] == '\n' || p[i] == '\r')
			on_line(g);
		else if (g->line_len + 1 < sizeof(g->line))
			g->line[g->line_len++] = p[i];
	}
	return 0;
}

static bool is_cancelled(const struct sync_gitrun *run)
{
	return *run->task->cancel;
}

/* To its end, or until it must be ended. */
static int pump(struct running *g, struct orch_process *p, int *status, struct orch_err *err)
{
	const struct sync_gitrun *run = g->run;

	for (;;) {
		struct orch_err why = ORCH_ERR_INIT;
		uint64_t silent_ns;
		int r = orch_process_wait(p, orch_deadline_in_ms(LOOK_MS), -1, status, &why);

		if (r != -ETIMEDOUT)
			return r < 0 ? orch_err_set(err, -r, "%s", why.msg) : 0;
		silent_ns = orch_clock_ns() - g->heard_ns;
		if (is_cancelled(run))
			r = orch_err_set(err, ORCH_ECANCELLED, "cancelled");
		else if (run->stall_ms && silent_ns / ORCH_NS_PER_MS > run->stall_ms)
			r = orch_err_set(err, ORCH_ETIMEOUT,
			    "nothing came for %llu s: the server is stuck",
			    (unsigned long long)run->stall_ms / 1000);
		else
			continue;
		(void)orch_process_end(p, GRACE_MS, status);
		return r;
	}
}

/* What git said, as one sentence. */
static int say_failure(struct running *g, int status, struct orch_err *err)
{
	const struct sync_gitsay_cause *cause = sync_gitsay_cause(g->said);
	orch_auto(free) char *clean = NULL, *server = NULL;
	char line[LINE_BYTES];
	size_t n;
	const char *s = sync_gitsay_line(g->said, &n);

	snprintf(line, sizeof(line), "%.*s", (int)(n < 400 ? n : 400), s);
	clean = sync_giturl_scrub(line, g->run->secret);
	server = sync_giturl_scrub(g->server, g->run->secret);
	if (!clean || !server)
		return orch_err_set(err, ENOMEM, "no memory");
	g->run->cause = cause;
	if (WIFSIGNALED(status) && !clean[0])
		return orch_err_set(err, EIO, "git was killed by signal %d", WTERMSIG(status));
	return orch_err_set(err, cause->code, "%s (git: %s%s%s)", cause->what,
	    clean[0] ? clean : "no word", server[0] ? "; the server: " : "", server);
}

int sync_gitrun(struct sync_gitrun *run, const char *const *argv, struct orch_err *err)
{
	orch_auto(free) struct running *g = calloc(1, sizeof(*g));
	struct orch_process_spec spec = {
	    .argv = argv,
	    .envp = (const char *const *)orch_strv_argv(run->env),
	    .cwd = "/",
	    .stdin_fd = run->stdin_fd,
	    .stdout_fd = -1,
	    .stderr_fd = -1,
	    .keep_fds = run->fds,
	    .keep_fd_count = run->fd_count,
	    .new_session = true, /* no terminal to ask on */
	    .die_with_parent = true,
	    .on_output = on_output,
	    .priv = g,
	};
	struct orch_process *p = NULL;
	int status = 0, r;

	run->cause = NULL;
	if (!g)
		return orch_err_set(err, ENOMEM, "no memory");
	g->run = run;
	g->heard_ns = orch_clock_ns();
	r = orch_process_start(&spec, &p, err);
	if (r < 0)
		return r;
	r = pump(g, p, &status, err);
	orch_process_free(p);
	if (r < 0)
		return r;
	if (g->line_len)
		on_line(g);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : say_failure(g, status, err);
}

int sync_gitrun_env(struct orch_strv *env, const char *git_dir)
{
	static const char *const fixed[][2] = {
	    {"PATH", GIT_PATH},
	    {"LC_ALL", "C"},
	    {"GIT_TERMINAL_PROMPT", "0"},
	    {"GIT_OPTIONAL_LOCKS", "0"},
	    {"GIT_NO_REPLACE_OBJECTS", "1"},
	    {"GIT_ADVICE", "0"},
	};
	int r = orch_strv_set_env(env, "GIT_DIR", git_dir);

	for (size_t i = 0; r == 0 && i < ORCH_ARRAY_LEN(fixed); i++)
		r = orch_strv_set_env(env, fixed[i][0], fixed[i][1]);
	return r;
}

int sync_gitrun_config(struct orch_strv *env, unsigned *n, const char *key, const char *value)
{
	char name[40];
	int r;

	snprintf(name, sizeof(name), "GIT_CONFIG_KEY_%u", *n);
	r = orch_strv_set_env(env, name, key);
	snprintf(name, sizeof(name), "GIT_CONFIG_VALUE_%u", *n);
	if (r == 0)
		r = orch_strv_set_env(env, name, value);
	(*n)++;
	snprintf(name, sizeof(name), "%u", *n);
	return r == 0 ? orch_strv_set_env(env, "GIT_CONFIG_COUNT", name) : r;
}

int sync_gitrun_input(const void *p, size_t n)
{
	int fd = memfd_create("orch-git", MFD_CLOEXEC);
	int r = fd < 0 ? -errno : orch_fd_pwrite_all(fd, p, n, 0);

	if (r < 0) {
		orch_fd_close(fd);
		return r;
	}
	return fd;
}
