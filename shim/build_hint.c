/* What to do about an error that ended a build: the errors that a retry alone does not mend. */
#include "shim/build_hint.h"

#include <stdio.h>
#include <string.h>
#include "shim/api.h"
#include "shim/doctor.h"
#include "shim/out.h"
#include "shim/socket.h"

#define HINT(b, ...) snprintf((b)->hint, sizeof((b)->hint), __VA_ARGS__)

static void hint_space(struct shim_build *b, const char *phase)
{
	orch_auto(json) struct orch_json *daemon = NULL;
	struct orch_err ignored = ORCH_ERR_INIT;
	struct shim_call call = {.method = "GET", .path = "/v1/daemon", .timeout_ms = 5000};
	bool known = shim_call(b->cli, &call, &daemon, &ignored) == 0;
	const char *store = known ? shim_get(daemon, "store") : "";

	HINT(b,
	    "Free space where the store is%s%s (orch-shim store stat), or drop workspaces "
	    "(orch-shim workspace drop)%s%s",
	    store[0] ? ": " : "", store, strcmp(phase, "collect") == 0 ? ", or below " : "",
	    strcmp(phase, "collect") == 0 ? b->output_dir : "");
}

/* The first of these checks (a list that NULL ends) that finds less than `least`. */
static const struct shim_check *find_lack(struct shim_build *b, const char *const *names,
    enum shim_health least, struct shim_finding *out)
{
	for (; *names; names++)
		for (const struct shim_check *c = shim_checks; c->name; c++) {
			if (strcmp(c->name, *names) != 0)
				continue;
			*out = (struct shim_finding){.health = SHIM_LACKS};
			c->look(b->cli, out);
			if (out->health >= least)
				return c;
		}
	return NULL;
}

static void hint_sandbox(struct shim_build *b)
{
	static const char *const names[] = {"user-namespaces", NULL};
	struct shim_finding found;
	const struct shim_check *check = find_lack(b, names, SHIM_LACKS, &found);

	if (check)
		HINT(b, "The sandbox needs user namespaces (%s): %s", found.found,
		    shim_mend_of(check, &found));
}

static void hint_fuse(struct shim_build *b)
{
	static const char *const names[] = {"fuse", "user-name", "mount-max", NULL};
	struct shim_finding found;
	const struct shim_check *check = find_lack(b, names, SHIM_NEEDS, &found);

	if (check)
		HINT(b,
		    "FUSE can't be used here (%s): %s; a container needs --device /dev/fuse and "
		    "--cap-add SYS_ADMIN",
		    found.found, shim_mend_of(check, &found));
}

static bool is_refusal(int code)
{
	return code == EACCES || code == EPERM;
}

void shim_build_hint(struct shim_build *b, const char *phase, const struct orch_err *err)
{
	b->hint[0] = '\0';
	if (err->code == ENOSPC || err->code == EDQUOT)
		hint_space(b, phase);
	else if (err->code == ORCH_ECORRUPT)
		HINT(b, "The store is damaged: orch-shim store verify --repair");
	else if (b->source_refused)
		HINT(b, "Make it readable for the user who builds, or leave it out (--exclude, "
			".orchignore)");
	else if (is_refusal(err->code) && shim_socket_is_closed(b->cli->socket))
		shim_socket_hint(b->cli->socket, b->hint, sizeof(b->hint));
	else if (is_refusal(err->code) || strstr(err->msg, "can't mount") ||
		 strcasestr(err->msg, "fuse"))
		hint_fuse(b);
	else if (strstr(err->msg, "bwrap"))
		hint_sandbox(b);
}
