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

/* What is needed for a mount, and lacks. */
static const struct shim_check *find_need(struct shim_build *b, struct shim_finding *out)
{
	static const char *const names[] = {"fuse", "user-name", "mount-max"};

	for (const struct shim_check *c = shim_checks; c->name; c++)
		for (size_t i = 0; i < ORCH_ARRAY_LEN(names); i++) {
			*out = (struct shim_finding){.health = SHIM_LACKS};
			if (strcmp(c->name, names[i]) != 0)
				continue;
			c->look(b->cli, out);
			if (out->health == SHIM_NEEDS)
				return c;
		}
	return NULL;
}

static void hint_fuse(struct shim_build *b)
{
	struct shim_finding found;
	const struct shim_check *check = find_need(b, &found);

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
}
