/* The allow-list of environment variables. Pure. */
#include "providers/environment.h"

#include <errno.h>
#include <string.h>

#include "core/buf.h"

/*
 * Sorted by what they are. A name that ends with '*' allows all that begin so. Names of secrets
 * (tokens, passwords, keys) are never passed on, whatever the list says.
 */
static const char *const allowed[] = {
    /* how a program talks */
    "PATH",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TERM",
    "COLORTERM",
    "NO_COLOR",
    "FORCE_COLOR",
    "TZ",
    /* that it is in CI, and where */
    "CI",
    "BUILD_NUMBER",
    "BUILD_ID",
    "GITHUB_*",
    "RUNNER_OS",
    "RUNNER_ARCH",
    "RUNNER_NAME",
    "RUNNER_DEBUG",
    "GITLAB_CI",
    "CI_*",
    "BITBUCKET_*",
    "TEAMCITY_VERSION",
    "JENKINS_URL",
    "SOURCE_DATE_EPOCH",
    /* the way out */
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
};

/* Paths of the host that mean nothing inside, and files through which a job talks to its runner. */
static const char *const refused[] = {
    "GITHUB_ENV",
    "GITHUB_PATH",
    "GITHUB_OUTPUT",
    "GITHUB_STATE",
    "GITHUB_STEP_SUMMARY",
    "GITHUB_WORKSPACE",
    "GITHUB_ACTION_PATH",
    "GITHUB_EVENT_PATH",
    "CI_PROJECT_DIR",
    "CI_BUILDS_DIR",
};

static const char *const secret_parts[] = {
    "TOKEN", "PASSWORD", "PASSWD", "SECRET", "CREDENTIAL", "PRIVATE", "_KEY", "_JWT"};

static bool is_secret(const char *name)
{
	for (size_t i = 0; i < ORCH_ARRAY_LEN(secret_parts); i++)
		if (strcasestr(name, secret_parts[i]))
			return true;
	return false;
}

static bool matches(const char *pattern, const char *name)
{
	size_t len = strlen(pattern);

	if (pattern[len - 1] == '*')
		return strncmp(pattern, name, len - 1) == 0;
	return strcmp(pattern, name) == 0;
}

bool prv_environment_allows(const char *name)
{
	if (is_secret(name))
		return false;
	for (size_t i = 0; i < ORCH_ARRAY_LEN(refused); i++)
		if (strcmp(refused[i], name) == 0)
			return false;
	for (size_t i = 0; i < ORCH_ARRAY_LEN(allowed); i++)
		if (matches(allowed[i], name))
			return true;
	return false;
}

int prv_environment_from_host(const char *const *host, struct orch_strv *out)
{
	for (; *host; host++) {
		orch_auto(free) char *name = strndup(*host, strcspn(*host, "="));

		if (!name)
			return -ENOMEM;
		if ((*host)[strlen(name)] == '=' && prv_environment_allows(name) &&
		    orch_strv_set_env(out, name, *host + strlen(name) + 1) < 0)
			return -ENOMEM;
	}
	if (!orch_strv_get_env(out, "PATH") && orch_strv_set_env(out, "PATH", PRV_PATH_DEFAULT) < 0)
		return -ENOMEM;
	if (!orch_strv_get_env(out, "LANG") && orch_strv_set_env(out, "LANG", "C.UTF-8") < 0)
		return -ENOMEM;
	return 0;
}

static bool is_below(const char *path, size_t len, const char *folder)
{
	size_t n = strlen(folder);

	return len >= n && strncmp(path, folder, n) == 0 && (len == n || path[n] == '/');
}

int prv_environment_trim_path(struct orch_strv *env, const char *workspace_inside)
{
	const char *const seen[] = {"/usr", "/bin", "/sbin", workspace_inside};
	orch_auto(buf) struct orch_buf kept = ORCH_BUF_INIT;
	const char *p = orch_strv_get_env(env, "PATH");
	size_t len;

	for (; p && *p; p += len + (p[len] == ':')) {
		bool is_seen = false;

		len = strcspn(p, ":");
		for (size_t i = 0; i < ORCH_ARRAY_LEN(seen); i++)
			is_seen = is_seen || is_below(p, len, seen[i]);
		if (is_seen)
			orch_buf_printf(&kept, "%s%.*s", kept.len ? ":" : "", (int)len, p);
	}
	if (kept.failed)
		return -ENOMEM;
	return orch_strv_set_env(
	    env, "PATH", kept.len ? (const char *)kept.data : PRV_PATH_DEFAULT);
}
