/*
 * The run's folder. One that --output-dir names may be there already: an earlier run's results in it
 * are replaced, anything else that would be in the way is somebody's, and is left alone.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include "core/fd.h"
#include "shim/build.h"
#include "shim/build_folder.h"
#include "shim/out.h"

/* While a run is on; its lines name the outputs. Behind it the manifest says that. */
#define MARK	 ".orch-run"
#define MARK_MAX ((size_t)1 << 20)

static const char *const documents[] = {"result.json", "manifest.json", "report.html", "build.log"};

/* What earlier runs have made here. */
struct earlier {
	bool ours;
	struct orch_strv outputs;
};

static int wrong(
    const struct shim_build *b, const char *name, const char *why, struct orch_err *err)
{
	return orch_err_set(err, EINVAL, "%s/%s: %s", b->output_dir, name, why);
}

static int read_mark(const struct shim_build *b, struct earlier *e)
{
	struct orch_buf text;
	char *save = NULL;
	int r = 0;

	orch_buf_init(&text, MARK_MAX);
	if (orch_file_load(b->folder, MARK, &text, NULL) == 0) {
		e->ours = true;
		for (char *line = text.data ? strtok_r((char *)text.data, "\n", &save) : NULL;
		     r == 0 && line; line = strtok_r(NULL, "\n", &save))
			r = orch_strv_add(&e->outputs, line);
	}
	orch_buf_fini(&text);
	return r;
}

static int read_manifest(const struct shim_build *b, struct earlier *e)
{
	orch_auto(buf) struct orch_buf text = ORCH_BUF_INIT;
	orch_auto(json) struct orch_json *j = NULL;
	const struct orch_json *outputs;
	int r = 0;

	if (orch_file_load(b->folder, "manifest.json", &text, NULL) < 0 ||
	    orch_json_parse((const char *)text.data, text.len, &j, NULL) < 0 ||
	    !shim_get(j, "buildGuid")[0])
		return 0;
	e->ours = true;
	outputs = orch_json_get(j, "outputs");
	for (size_t i = 0; r == 0 && outputs && i < orch_json_len(outputs); i++)
		r = orch_strv_add(&e->outputs, shim_get(orch_json_at(outputs, i), "type"));
	return r;
}

static bool made_earlier(const struct earlier *e, const char *output)
{
	for (size_t i = 0; i < e->outputs.count; i++)
		if (strcmp(e->outputs.v[i], output) == 0)
			return true;
	return false;
}

static bool exists(const struct shim_build *b, const char *name)
{
	return faccessat(b->folder, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int check_room(const struct shim_build *b, const struct earlier *e, struct orch_err *err)
{
	static const char why[] = "is there, and no run has made it; name another --output-dir";

	for (size_t i = 0; i < ORCH_ARRAY_LEN(documents); i++)
		if (!e->ours && exists(b, documents[i]))
			return wrong(b, documents[i], why, err);
	for (size_t i = 0; i < out_specs_count(b->specs); i++) {
		const char *name = out_specs_name(b->specs, i);

		if (exists(b, name) && !made_earlier(e, name))
			return wrong(b, name, why, err);
	}
	return 0;
}

static int remove_earlier(struct shim_build *b, struct orch_err *err)
{
	for (size_t i = 0; i < ORCH_ARRAY_LEN(documents); i++)
		if (unlinkat(b->folder, documents[i], 0) < 0 && errno != ENOENT)
			return wrong(b, documents[i], strerrordesc_np(errno), err);
	for (size_t i = 0; i < out_specs_count(b->specs); i++) {
		int r = orch_remove_tree(b->folder, out_specs_name(b->specs, i), err);

		if (r < 0)
			return wrong(b, out_specs_name(b->specs, i), strerrordesc_np(-r), err);
	}
	return 0;
}

/* Names what earlier runs left too: their folders stay known. */
static int write_mark(struct shim_build *b, const struct earlier *e, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf text = ORCH_BUF_INIT;

	for (size_t i = 0; i < e->outputs.count; i++)
		orch_buf_printf(&text, "%s\n", e->outputs.v[i]);
	for (size_t i = 0; i < out_specs_count(b->specs); i++)
		orch_buf_printf(&text, "%s\n", out_specs_name(b->specs, i));
	if (text.failed)
		return orch_err_sys(err, ENOMEM, "mark the run's folder");
	return orch_file_save(
	    b->folder, MARK, text.data ? (const void *)text.data : "", text.len, 0644, err);
}

static int open_folder(struct shim_build *b, struct orch_err *err)
{
	int r = orch_mkdirs(AT_FDCWD, b->output_dir, 0755, err);

	if (r == 0) {
		b->folder = open(b->output_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = b->folder < 0 ? -errno : 0;
	}
	/* nothing was started: a folder that can't be made is a wrong argument */
	if (r < 0)
		return orch_err_set(err, EINVAL, "the run's folder %s can't be made: %s",
		    b->output_dir, strerrordesc_np(-r));
	return 0;
}

/* Held as long as the folder is open. A file system without such locks is no reason to build nothing. */
static int lock_folder(const struct shim_build *b, struct orch_err *err)
{
	if (flock(b->folder, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
		return 0;
	return orch_err_set(err, EINVAL,
	    "the run's folder %s: another build is writing to it; name another --output-dir",
	    b->output_dir);
}

int shim_build_folder(struct shim_build *b, struct orch_err *err)
{
	struct earlier e = {.outputs = ORCH_STRV_INIT};
	int r = open_folder(b, err);

	if (r == 0)
		r = lock_folder(b, err);
	if (r == 0 && (read_mark(b, &e) < 0 || read_manifest(b, &e) < 0))
		r = orch_err_sys(err, ENOMEM, "look at the run's folder");
	if (r == 0)
		r = check_room(b, &e, err);
	if (r == 0)
		r = write_mark(b, &e, err);
	if (r == 0)
		r = remove_earlier(b, err);
	orch_strv_fini(&e.outputs);
	return r;
}

int shim_build_folder_check(const struct shim_build *b, struct orch_err *err)
{
	if (strcmp(b->output_dir, b->source_dir) == 0)
		return orch_err_set(err, EINVAL,
		    "--output-dir %s is the source itself; name a folder in it, or elsewhere",
		    b->output_dir);
	for (size_t i = 0; i < out_specs_count(b->specs); i++)
		for (size_t j = 0; j < ORCH_ARRAY_LEN(documents); j++)
			if (strcmp(out_specs_name(b->specs, i), documents[j]) == 0)
				return orch_err_set(err, EINVAL,
				    "--output: the run's folder has a %s of its own", documents[j]);
	return 0;
}

void shim_build_folder_done(struct shim_build *b)
{
	if (b->folder >= 0 && exists(b, "manifest.json"))
		unlinkat(b->folder, MARK, 0);
}
