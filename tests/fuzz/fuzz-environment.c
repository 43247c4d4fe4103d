/* The environment of a task, made of the host's, a line each: only what the list allows comes in, once each,
 * with its value; and PATH has only folders that a sandbox shows. */
#include "core/strv.h"
#include "providers/environment.h"
#include "tests/lib/fuzz.h"

static void check_path(struct orch_strv *env)
{
	const char *p;

	fuzz_must(prv_environment_trim_path(env, "/github/workspace") == 0);
	p = orch_strv_get_env(env, "PATH");
	fuzz_must(p != NULL && *p);
	for (; *p; p += strcspn(p, ":"), p += *p == ':')
		fuzz_must(strncmp(p, "/usr", 4) == 0 || strncmp(p, "/bin", 4) == 0 ||
			  strncmp(p, "/sbin", 5) == 0 || strncmp(p, "/github/workspace", 17) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	orch_auto(strv) struct orch_strv host = ORCH_STRV_INIT, env = ORCH_STRV_INIT;
	struct fuzz_input in = {data, size};

	while (in.left > 0 && host.count < 256) {
		char *line = fuzz_word(&in, '\n');

		fuzz_must(orch_strv_add(&host, line) == 0);
		free(line);
	}
	fuzz_must(prv_environment_from_host((const char *const *)orch_strv_argv(&host), &env) == 0);
	for (size_t i = 0; i < env.count; i++) {
		size_t len = strcspn(env.v[i], "=");
		char *name = fuzz_text(env.v[i], len);

		fuzz_must(!strcasestr(name, "TOKEN") && !strcasestr(name, "SECRET") &&
			  !strcasestr(name, "PASSWORD"));
		fuzz_must(env.v[i][len] == '=' && prv_environment_allows(name));
		fuzz_must(orch_strv_get_env(&env, name) == env.v[i] + len + 1);
		free(name);
	}
	check_path(&env);
	return 0;
}
