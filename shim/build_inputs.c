/* The first phase: everything that was asked for is made sense of, before anything is touched. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include "core/clock.h"
#include "core/fd.h"
#include "core/path.h"
#include "shim/build.h"
#include "shim/build_folder.h"
#include "shim/key.h"
#include "shim/say.h"
#include "shim/socket.h"

/* ---- source */

static int check_folder(const char *what, const char *dir, struct orch_err *err)
{
	orch_auto(fd) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return orch_err_set(err, EINVAL, "%s %s: %s", what, dir, strerrordesc_np(errno));
	return 0;
}

static int find_source(struct shim_build *b, struct orch_err *err)
{
	const char *given = shim_text(b->in, "source");
	const char *workspace = shim_getenv(b->cli->envp, "GITHUB_WORKSPACE");
	const char *dir = given ? given : workspace ? workspace : ".";
	int r;

	if (strncmp(dir, "git:", 4) == 0)
		return orch_err_set(err, EINVAL,
		    "--source %s: a Git source is not supported by this version of orch; name a "
		    "folder",
		    dir);
	r = check_folder(given ? shim_value(b->in, "source")->from : "source", dir, err);
	if (r < 0)
		return r;
	b->source_dir = realpath(dir, NULL);
	return b->source_dir
		   ? 0
		   : orch_err_set(err, EINVAL, "source %s: %s", dir, strerrordesc_np(errno));
}

/* ---- branch, commit, key */

static char *branch_of_github(const char *ref)
{
	static const char *const prefixes[] = {"refs/", "head/", "heads/"};

	for (size_t i = 0; i < ORCH_ARRAY_LEN(prefixes); i++)
		if (strncmp(ref, prefixes[i], strlen(prefixes[i])) == 0)
			ref += strlen(prefixes[i]);
	return strdup(ref);
}

static int find_revision(struct shim_build *b, struct orch_err *err)
{
	const char *branch = shim_text(b->in, "branch"), *commit = shim_text(b->in, "gitSha");
	const char *ref = shim_getenv(b->cli->envp, "GITHUB_REF"),
		   *sha = shim_getenv(b->cli->envp, "GITHUB_SHA");

	if (shim_checkout_read(b->source_dir, &b->checkout) < 0)
		return orch_err_sys(err, ENOMEM, "read the checkout");
	if (branch)
		b->branch = strdup(branch);
	else if (ref)
		b->branch = branch_of_github(ref);
	else if (b->checkout.branch)
		b->branch = strdup(b->checkout.branch);
	if (!commit)
		commit = sha ? sha : b->checkout.commit;
	b->commit = commit ? strdup(commit) : NULL;
	return 0;
}

static int make_key(struct shim_build *b, struct orch_err *err)
{
	const char *given = shim_text(b->in, "cacheKey");
	orch_auto(free) char *remote =
	    b->checkout.remote ? shim_key_repository(b->checkout.remote) : NULL;
	struct shim_key_parts parts = {.repository = remote ? remote : b->source_dir,
	    .branch = b->branch,
	    .platform = b->platform,
	    .engine = "generic",
	    .engine_version = shim_text(b->in, "unityVersion"),
	    .project_path = shim_text(b->in, "projectPath")};
	int r =
	    given ? shim_key_from_user(given, &b->key, err) : shim_key_make(&parts, &b->key, err);

	if (r < 0)
		return r;
	if (asprintf(&b->source_ref, "source/%s", b->key) < 0)
		b->source_ref = NULL;
	if (asprintf(&b->build_ref, "build/%s", b->key) < 0)
		b->build_ref = NULL;
	return b->source_ref && b->build_ref ? 0 : orch_err_sys(err, ENOMEM, "make the cache key");
}

/* ---- engine, command */

static bool has_suffix_file(const char *dir, const char *suffix)
{
	DIR *d = opendir(dir);
	const struct dirent *e;
	bool found = false;

	while (d && !found && (e = readdir(d))) {
		size_t n = strlen(e->d_name), s = strlen(suffix);

		found = n > s && strcmp(e->d_name + n - s, suffix) == 0;
	}
	if (d)
		closedir(d);
	return found;
}

static const char *detect_engine(const char *project)
{
	orch_auto(free) char *unity = orch_path_join(project, "ProjectSettings/ProjectVersion.txt");
	orch_auto(free) char *godot = orch_path_join(project, "project.godot");

	if (unity && access(unity, F_OK) == 0)
		return "Unity";
	if (godot && access(godot, F_OK) == 0)
		return "Godot";
	return has_suffix_file(project, ".uproject") ? "Unreal" : NULL;
}

static int check_engine(struct shim_build *b, struct orch_err *err)
{
	const struct shim_value *v = shim_value(b->in, "engine");
	orch_auto(free) char *project =
	    orch_path_join(b->source_dir, shim_text(b->in, "projectPath"));
	const char *found;
	int r;

	if (v->origin > SHIM_FROM_DEFAULT && strcmp(v->text, "generic") != 0) {
		bool known = shim_one_of("unity|godot|unreal", v->text) ||
			     strncmp(v->text, "cli:", 4) == 0 ||
			     strncmp(v->text, "docker:", 7) == 0;

		return orch_err_set(err, EINVAL, "%s: '%s' is %s", v->from, v->text,
		    known ? "not supported by this version of orch (it has: generic)"
			  : "none of generic|unity|godot|unreal|cli:...|docker:...");
	}
	if (!project)
		return orch_err_sys(err, ENOMEM, "find the project");
	r = check_folder(shim_value(b->in, "projectPath")->from, project, err);
	if (r < 0)
		return r;
	found = v->origin > SHIM_FROM_DEFAULT ? NULL : detect_engine(project);
	if (found)
		shim_say(SHIM_SAY_INFO,
		    "this is a %s project; this version of orch builds it as generic", found);
	return 0;
}

static int find_command(struct shim_build *b, struct orch_err *err)
{
	const char *script = shim_text(b->in, "buildCommand");
	const struct orch_strv *command = &b->in->command;
	int r = 0;

	if (command->count)
		r = orch_strv_add_all(&b->argv, (const char *const *)command->v);
	else if (script && script[0] &&
		 ((r = orch_strv_add(&b->argv, "sh")) < 0 ||
		     (r = orch_strv_add(&b->argv, "-c")) < 0 ||
		     (r = orch_strv_add(&b->argv, script)) < 0))
		r = -ENOMEM;
	if (r < 0)
		return orch_err_sys(err, -r, "take the command");
	if (b->argv.count && !b->argv.v[0][0])
		return orch_err_set(err, EINVAL,
		    "the command behind -- is empty: its first word names the program");
	if (!b->argv.count && !shim_on(b->in, "printInput"))
		return orch_err_set(err, EINVAL,
		    "nothing to run: put a command behind --, as in: orch-shim build -- make; or "
		    "give --build-command");
	return 0;
}

/* ---- outputs, tests, environment */

static bool is_word(const char *s, size_t n, const char *more)
{
	for (size_t i = 0; i < n; i++)
		if (!(s[i] >= 'a' && s[i] <= 'z') && !(s[i] >= 'A' && s[i] <= 'Z') &&
		    !(s[i] >= '0' && s[i] <= '9') && !strchr(more, s[i]))
			return false;
	return n > 0 && s[0] != '.';
}

static int check_outputs(struct shim_build *b, struct orch_err *err)
{
	const struct orch_strv *outputs = shim_list(b->in, "output");
	int r = 0;

	b->specs = out_specs_new();
	if (!b->specs)
		return orch_err_sys(err, ENOMEM, "take the outputs");
	for (size_t i = 0; r == 0 && i < outputs->count; i++)
		r = out_specs_add(b->specs, outputs->v[i], err);
	if (r < 0)
		orch_err_wrap(err, "--output");
	return r;
}

static int check_tests(struct shim_build *b, struct orch_err *err)
{
	return shim_build_check_tests(b, err);
}

static int check_env(struct shim_build *b, struct orch_err *err)
{
	const struct orch_strv *env = shim_list(b->in, "env");

	for (size_t i = 0; i < env->count; i++) {
		const char *s = env->v[i];

		if (!is_word(s, strcspn(s, "="), "_") || (s[0] >= '0' && s[0] <= '9'))
			return orch_err_set(err, EINVAL,
			    "--env: a variable's name has letters, digits and _ only, not '%.*s'",
			    (int)strcspn(s, "="), s);
	}
	return 0;
}

/* ---- names and places */

static int name_run(struct shim_build *b, struct orch_err *err)
{
	const char *guid = shim_text(b->in, "buildGuid");
	char now[ORCH_RFC3339_BYTES];
	uint32_t chance;

	b->wall_begin_ns = orch_wall_ns();
	orch_wall_format(b->wall_begin_ns, now);
	if (getrandom(&chance, sizeof(chance), 0) != sizeof(chance))
		return orch_err_sys(err, errno, "name the run");
	if (guid && !orch_workspace_name_valid(guid))
		return orch_err_set(err, EINVAL,
		    "%s: '%s' can't name a run: letters, digits, . _ - are allowed",
		    shim_value(b->in, "buildGuid")->from, guid);
	if (guid)
		b->run = strdup(guid);
	else if (asprintf(&b->run, "%.4s%.2s%.2s-%.2s%.2s%.2s-%06x", now, now + 5, now + 8,
		     now + 11, now + 14, now + 17, chance & 0xffffff) < 0)
		b->run = NULL;
	return b->run ? 0 : orch_err_sys(err, ENOMEM, "name the run");
}

/* Nobody else's, even when a run's name serves again: it is dropped by this name. */
static char *own_workspace(struct shim_build *b)
{
	uint32_t chance = 0;
	char *name;
	int n;

	if (!shim_given(b->in, "buildGuid"))
		n = asprintf(&name, "run-%s", b->run);
	else if (getrandom(&chance, sizeof(chance), 0) == sizeof(chance))
		n = asprintf(&name, "run-%s-%08x", b->run, chance);
	else
		return NULL;
	return n < 0 ? NULL : name;
}

static int name_workspace(struct shim_build *b, struct orch_err *err)
{
	const char *given = shim_text(b->in, "workspace");

	b->retained = given || shim_on(b->in, "retain");
	if (given && !orch_workspace_name_valid(given))
		return orch_err_set(err, EINVAL,
		    "--workspace: '%s' is not a name: letters, digits, . _ - are allowed", given);
	if (given)
		b->workspace = strdup(given);
	else
		b->workspace = own_workspace(b);
	if (!b->workspace)
		return orch_err_sys(err, ENOMEM, "name the workspace");
	if (!orch_workspace_name_valid(b->workspace))
		return orch_err_set(err, EINVAL, "the run's name %s is too long", b->run);
	return 0;
}

static int find_output_dir(struct shim_build *b, struct orch_err *err)
{
	const char *given = shim_text(b->in, "outputDir");
	orch_auto(free) char *cwd = realpath(".", NULL);

	if (given) {
		b->output_dir = orch_path_absolute(given);
		b->output_base = b->output_dir ? strdup(b->output_dir) : NULL;
	} else if (cwd) {
		b->output_base = orch_path_join(cwd, "orch-output");
		b->output_dir = b->output_base ? orch_path_join(b->output_base, b->run) : NULL;
	}
	if (!b->output_dir || !b->output_base)
		return orch_err_sys(err, ENOMEM, "name the run's folder");
	return shim_build_folder_check(b, err);
}

int shim_build_inputs(struct shim_build *b, struct orch_err *err)
{
	static int (*const steps[])(struct shim_build *, struct orch_err *) = {find_source,
	    find_revision, make_key, check_engine, find_command, check_outputs, check_tests,
	    check_env, name_run, name_workspace, find_output_dir};
	int r = 0;

	b->platform = shim_text(b->in, "targetPlatform");
	b->provider = shim_text(b->in, "providerStrategy");
	if (strcmp(b->provider, "local-system") == 0)
		b->provider = "local";
	b->timeout_ms = (uint64_t)shim_number(b->in, "timeout") * 1000;
	b->retries = (int)shim_number(b->in, "retries");
	for (size_t i = 0; r == 0 && i < ORCH_ARRAY_LEN(steps); i++)
		r = steps[i](b, err);
	if (r == 0)
		r = shim_build_make_env(b, b->cli->envp, err);
	return r;
}
