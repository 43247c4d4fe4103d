#include "shim/journal_text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/hash.h"
#include "core/json.h"

void shim_run_fini(struct shim_run *run)
{
	orch_strv_fini(&run->kinds);
	orch_strv_fini(&run->names);
	free(run->id);
	free(run->socket);
}

static int read_head(struct shim_run *run, const struct orch_json *o)
{
	orch_auto(free) char *socket = NULL;
	const char *id, *boot;
	uint64_t start;
	int64_t pid;
	size_t len;

	if (orch_json_get_str(o, "run", &id, NULL) < 0 ||
	    orch_json_get_str(o, "boot", &boot, NULL) < 0 ||
	    orch_json_get_int(o, "pid", &pid, NULL) < 0 || pid <= 0 || pid > INT32_MAX ||
	    orch_json_get_u64(o, "start", &start, NULL) < 0 ||
	    orch_json_get_bytes(o, "socket", &socket, &len, NULL) < 0 || strlen(socket) != len)
		return 0;
	run->id = strdup(id);
	if (!run->id)
		return -ENOMEM;
	run->socket = orch_take(socket);
	run->owner = (struct orch_proc_id){.pid = (int32_t)pid, .start_ticks = start};
	snprintf(run->boot, sizeof(run->boot), "%s", boot);
	return 0;
}

static int read_event(struct shim_run *run, const struct orch_json *o)
{
	orch_auto(free) char *name = NULL;
	const char *kind;
	size_t len;

	if (orch_json_get_bytes(o, "name", &name, &len, NULL) < 0 || strlen(name) != len)
		return 0;
	if (orch_json_get_str(o, "make", &kind, NULL) == 0) {
		if (orch_strv_add(&run->kinds, kind) < 0 || orch_strv_add(&run->names, name) < 0)
			return -ENOMEM;
		return 0;
	}
	if (orch_json_get_str(o, "gone", &kind, NULL) < 0)
		return 0;
	for (size_t i = 0; i < run->kinds.count; i++)
		if (strcmp(run->kinds.v[i], kind) == 0 && strcmp(run->names.v[i], name) == 0)
			run->kinds.v[i][0] = '\0';
	return 0;
}

#define SUM_HEX 16

int shim_run_line(struct orch_buf *out, const struct orch_json *o, uint64_t *sum)
{
	size_t at = out->len;
	uint64_t now;
	int r = orch_json_format(o, 0, out);

	if (r < 0)
		return r;
	now = orch_xxh64(out->data + at, out->len - at, *sum);
	r = orch_buf_printf(out, " %016" PRIx64 "\n", now);
	if (r == 0)
		*sum = now;
	return r;
}

/* The length of its object, or -ORCH_ECORRUPT. */
static ptrdiff_t check_line(const char *line, size_t len, uint64_t *sum)
{
	char text[SUM_HEX + 2];

	if (len < sizeof(text))
		return -ORCH_ECORRUPT;
	len -= SUM_HEX + 1;
	*sum = orch_xxh64(line, len, *sum);
	snprintf(text, sizeof(text), " %016" PRIx64, *sum);
	return memcmp(text, line + len, SUM_HEX + 1) == 0 ? (ptrdiff_t)len : -ORCH_ECORRUPT;
}

int shim_run_parse(const char *text, size_t len, struct shim_run *out)
{
	const char *end = text + len, *nl;
	uint64_t sum = 0;
	int r = 0;

	*out = (struct shim_run){.kinds = ORCH_STRV_INIT, .names = ORCH_STRV_INIT};
	for (; r == 0 && (nl = memchr(text, '\n', (size_t)(end - text))); text = nl + 1) {
		orch_auto(json) struct orch_json *o = NULL;
		ptrdiff_t n = check_line(text, (size_t)(nl - text), &sum);

		if (n < 0)
			return -ORCH_ECORRUPT;
		if (orch_json_parse(text, (size_t)n, &o, NULL) < 0)
			continue;
		r = out->id ? read_event(out, o) : read_head(out, o);
	}
	if (r == 0 && !out->id)
		return -EINVAL;
	return r;
}
