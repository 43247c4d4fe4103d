/*
 * What a build finds in its environment: the names that hooks and scripts of game-ci are written
 * against, orch's own, some of the CI system's, and --env. Nothing else of orch-shim's environment.
 */
#include <stdio.h>
#include <string.h>
#include "providers/environment.h"
#include "shim/build.h"
#include "shim/socket.h"

static int add(struct shim_build *b, const char *name, const char *value)
{
	return value && value[0] ? orch_strv_set_env(&b->env, name, value) : 0;
}

/* Options that the build itself may want, when somebody gave them. */
static int add_inputs(struct shim_build *b)
{
	char name[2 * SHIM_NAME_MAX];
	int r = 0;

	for (size_t i = 0; r == 0 && i < b->in->count; i++) {
		const struct shim_value *v = &b->in->v[i];

		if (!(v->option->flags & SHIM_INFO) || v->origin <= SHIM_FROM_DEFAULT)
			continue;
		shim_name_env(v->option->name, name);
		r = add(b, name, v->text);
	}
	return r;
}

static int add_contract(struct shim_build *b)
{
	const struct {
		const char *name, *value;
	} names[] = {
	    {"BUILD_TARGET", b->platform},
	    {"TARGET_PLATFORM", b->platform},
	    {"PROJECT_PATH", shim_text(b->in, "projectPath")},
	    {"BUILD_GUID", b->run},
	    {"CACHE_KEY", b->key},
	    {"BRANCH", b->branch},
	    {"GIT_SHA", b->commit},
	    {"LOCKED_WORKSPACE", b->retained ? b->workspace : NULL},
	    {"ORCH_RUN", b->run},
	    {"ORCH_CACHE_KEY", b->key},
	    {"ORCH_WORKSPACE", b->workspace},
	    {"ORCH_PLATFORM", b->platform},
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ORCH_ARRAY_LEN(names); i++)
		r = add(b, names[i].name, names[i].value);
	return r;
}

static int add_given(struct shim_build *b, const char *const *envp)
{
	const struct orch_strv *given = shim_list(b->in, "env");
	int r = 0;

	for (size_t i = 0; r == 0 && i < given->count; i++) {
		const char *s = given->v[i];
		size_t n = strcspn(s, "=");
		char name[256];

		if (n >= sizeof(name))
			return -ENAMETOOLONG;
		snprintf(name, sizeof(name), "%.*s", (int)n, s);
		if (s[n])
			r = orch_strv_set_env(&b->env, name, s + n + 1);
		else if (shim_getenv(envp, name))
			r = orch_strv_set_env(&b->env, name, shim_getenv(envp, name));
	}
	return r;
}

int shim_build_make_env(struct shim_build *b, const char *const *envp, struct orch_err *err)
{
	int r = prv_environment_from_host(envp, &b->env);

	if (r == 0 && strcmp(b->provider, "local") != 0)
		r = prv_environment_trim_path(&b->env, shim_text(b->in, "dockerWorkspacePath"));
	if (r == 0)
		r = add_inputs(b);
	if (r == 0)
		r = add_contract(b);
	if (r == 0)
		r = add_given(b, envp);
	return r < 0 ? orch_err_sys(err, -r, "make the environment of the build") : 0;
}
