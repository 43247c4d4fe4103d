/* Phase: collect what the build was asked to leave, and say which of it this build made. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/fd.h"
#include "shim/api.h"
#include "shim/build.h"
#include "shim/cancel.h"
#include "shim/out.h"
#include "shim/say.h"

static int on_change(void *priv, const struct orch_json *line)
{
	struct out_changes *changes = priv;
	const char *change = shim_get(line, "change");
	orch_auto(free) char *path = NULL;
	size_t len;
	int r;

	if (strcmp(change, "removed") == 0)
		return 0;
	r = orch_json_get_bytes(line, "path", &path, &len, NULL);
	return r < 0 ? r : out_changes_add(changes, path, len, strcmp(change, "created") == 0);
}

static int read_changes(struct shim_build *b, struct out_changes *changes, struct orch_err *err)
{
	char since[24];
	struct shim_call call = {.method = "GET",
	    .path = "/v1/workspaces/%/changes?since=%",
	    .parts = {b->workspace, since},
	    .timeout_ms = UINT64_MAX,
	    .on_line = on_change,
	    .priv = changes};

	snprintf(since, sizeof(since), "%" PRIu64, b->start_seq);
	return shim_call(b->cli, &call, NULL, err);
}

static void progress(void *priv, size_t files, uint64_t bytes)
{
	char line[160], a[SHIM_SHORT], s[SHIM_SHORT];

	snprintf(line, sizeof(line), "collecting: %s files, %s", shim_human_count(files, a),
	    shim_human_bytes(bytes, s));
	shim_say_progress(line);
}

static void tell_missing(struct shim_build *b)
{
	orch_auto(buf) struct orch_buf names = ORCH_BUF_INIT;
	const char *name;

	for (size_t i = 0; (name = out_missing(&b->collected, i)); i++)
		orch_buf_printf(&names, "%s%s", i ? ", " : "", name);
	if (names.len)
		shim_build_end(
		    b, OUT_FAILED, "required output missing: %s", (const char *)names.data);
}

static int collect(struct shim_build *b, const struct out_changes *changes, struct orch_err *err)
{
	orch_auto(fd) int tree = open(b->mount_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct out_collect_options options = {
	    .changes = changes, .progress = progress, .cancel = shim_cancel_flag()};
	int r;

	if (tree < 0)
		return orch_err_sys(err, errno, "open the workspace %s", b->mount_path);
	r = out_collect(tree, b->specs, b->folder, &options, &b->collected, err);
	shim_say_progress(NULL);
	b->has_collected = r == 0;
	return r;
}

static void tell_collected(struct shim_build *b)
{
	char a[SHIM_SHORT], s[SHIM_SHORT];

	for (size_t i = 0; i < b->collected.skipped_count; i++)
		shim_build_warn(b, "collect",
		    "output %s can't be kept: it is no file, folder or symlink",
		    b->collected.skipped[i]);
	shim_build_detail(b, "%s files, %s", shim_human_count(b->collected.files, a),
	    shim_human_bytes(b->collected.bytes, s));
}

int shim_build_collect(struct shim_build *b, struct orch_err *err)
{
	const struct shim_mount mount = shim_build_mount(b);
	struct out_changes *changes;
	int r;

	if (out_specs_count(b->specs) == 0)
		return 0;
	changes = out_changes_new();
	r = changes ? read_changes(b, changes, err)
		    : orch_err_sys(err, ENOMEM, "collect the outputs");
	if (r == 0)
		r = collect(b, changes, err);
	out_changes_free(changes);
	if (r < 0)
		return !shim_cancelled() && shim_mount_lost(&mount) ? shim_mount_error(&mount, err)
								    : r;
	tell_collected(b);
	tell_missing(b);
	return 0;
}
