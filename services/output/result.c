/* result.json and manifest.json, made from what a run says of itself. Pure but for the writing at the
 * end. docs/output.md has the fields. */
#include "output/result.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "core/clock.h"
#include "core/fd.h"
#include "core/utf8.h"

#define DOCUMENT_VERSION 1

static const char *const state_names[OUT_STATES] = {
    [OUT_SUCCEEDED] = "succeeded",
    [OUT_FAILED] = "failed",
    [OUT_KILLED] = "killed",
    [OUT_OUT_OF_MEMORY] = "out-of-memory",
    [OUT_TIMED_OUT] = "timed-out",
    [OUT_CANCELLED] = "cancelled",
    [OUT_EVICTED] = "evicted",
    [OUT_LOST] = "lost",
    [OUT_INFRASTRUCTURE_ERROR] = "infrastructure-error",
};

const char *out_state_name(enum out_state s)
{
	ORCH_BUG_ON((unsigned)s >= OUT_STATES);
	return state_names[s];
}

int out_state_parse(const char *name, enum out_state *out)
{
	for (unsigned i = 0; i < OUT_STATES; i++) {
		if (strcmp(name, state_names[i]) == 0) {
			*out = (enum out_state)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* The setters mark the object when they fail; the root is looked at once, at the end. */

static void set_text(struct orch_json *o, const char *key, const char *v)
{
	if (v == NULL || v[0] == '\0')
		(void)orch_json_set_null(o, key);
	else
		(void)orch_json_set_bytes(o, key, v, strlen(v));
}

static void set_time(struct orch_json *o, const char *key, int64_t wall_ns)
{
	char text[ORCH_RFC3339_BYTES];

	orch_wall_format(wall_ns, text);
	(void)orch_json_set_str(o, key, text);
}

static void set_ms(struct orch_json *o, const char *key, uint64_t ns)
{
	(void)orch_json_set_u64(o, key, ns / ORCH_NS_PER_MS);
}

static void set_child(struct orch_json *o, const char *key, struct orch_json *child)
{
	(void)orch_json_set_json(o, key, &child);
}

static void push_child(struct orch_json *a, struct orch_json *child)
{
	(void)orch_json_push(a, &child);
}

/* An element of a list of strings; one that is not text is an object with its bytes. */
static void push_text(struct orch_json *a, const char *v)
{
	struct orch_json *o;

	if (orch_utf8_valid(v, strlen(v))) {
		(void)orch_json_push_str(a, v);
		return;
	}
	o = orch_json_object();
	(void)orch_json_set_bytes(o, "value", v, strlen(v));
	push_child(a, o);
}

/* ---- outputs ---- */

static const char *type_name(enum out_type t)
{
	switch (t) {
	case OUT_FILE:
		return "file";
	case OUT_SYMLINK:
		return "symlink";
	case OUT_FOLDER:
		break;
	}
	return "folder";
}

static struct orch_json *file_json(const struct out_file *f)
{
	struct orch_json *o = orch_json_object();
	char hex[ORCH_DIGEST_HEX + 1], mode[12];

	set_text(o, "path", f->path);
	(void)orch_json_set_str(o, "type", type_name(f->type));
	(void)orch_json_set_str(o, "change", f->produced ? "produced" : "unchanged");
	snprintf(mode, sizeof(mode), "%04o", f->mode);
	(void)orch_json_set_str(o, "mode", mode);
	set_time(o, "mtime", f->mtime_ns);
	if (f->type == OUT_FOLDER)
		return o;
	(void)orch_json_set_u64(o, "size", f->size);
	orch_digest_format(&f->digest, hex);
	(void)orch_json_set_str(o, "sha256", hex);
	if (f->target != NULL)
		set_text(o, "target", f->target);
	return o;
}

static struct orch_json *files_json(const struct out_output *out, size_t most)
{
	struct orch_json *a = orch_json_array();

	for (size_t i = 0; i < out->count && i < most; i++)
		push_child(a, file_json(&out->files[i]));
	return a;
}

/* One word for a whole output. */
static const char *output_change(const struct out_output *out)
{
	if (out->count == 0)
		return "missing";
	return out->produced > 0 ? "produced" : "unchanged";
}

static struct orch_json *missing_json(const struct out_result *r)
{
	struct orch_json *a = orch_json_array();
	const char *name;

	for (size_t i = 0; r->outputs != NULL && (name = out_missing(r->outputs, i)) != NULL; i++)
		(void)orch_json_push_str(a, name);
	return a;
}

static struct orch_json *skipped_json(const struct out_result *r)
{
	struct orch_json *a = orch_json_array();

	for (size_t i = 0; r->outputs != NULL && i < r->outputs->skipped_count; i++)
		push_text(a, r->outputs->skipped[i]);
	return a;
}

static struct orch_json *outputs_json(const struct out_result *r)
{
	struct orch_json *a = orch_json_array(), *o;

	for (size_t i = 0; r->outputs != NULL && i < r->outputs->count; i++) {
		const struct out_output *out = &r->outputs->v[i];

		o = orch_json_object();
		(void)orch_json_set_str(o, "name", out->name);
		(void)orch_json_set_bool(o, "required", out->required);
		(void)orch_json_set_str(o, "change", output_change(out));
		(void)orch_json_set_u64(o, "count", out->count);
		(void)orch_json_set_u64(o, "produced", out->produced);
		(void)orch_json_set_u64(o, "size", out->bytes);
		set_child(o, "files", files_json(out, OUT_RESULT_FILES));
		(void)orch_json_set_u64(o, "omitted",
		    out->count > OUT_RESULT_FILES ? out->count - OUT_RESULT_FILES : 0);
		push_child(a, o);
	}
	return a;
}

/* ---- result.json ---- */

static struct orch_json *phases_json(const struct out_result *r)
{
	static const char *const names[] = {"done", "failed", "skipped"};
	struct orch_json *a = orch_json_array(), *o;

	for (size_t i = 0; i < r->phase_count; i++) {
		const struct out_phase *p = &r->phases[i];

		o = orch_json_object();
		set_text(o, "name", p->name);
		(void)orch_json_set_str(o, "state", names[p->state]);
		set_ms(o, "begin_ms", p->begin_ns);
		set_ms(o, "duration_ms", p->end_ns > p->begin_ns ? p->end_ns - p->begin_ns : 0);
		set_text(o, "detail", p->detail);
		push_child(a, o);
	}
	return a;
}

static struct orch_json *pairs_json(const struct out_pair *v, size_t n)
{
	struct orch_json *a = orch_json_array(), *o;

	for (size_t i = 0; i < n; i++) {
		o = orch_json_object();
		set_text(o, "name", v[i].name);
		set_text(o, "value", v[i].value);
		push_child(a, o);
	}
	return a;
}

static struct orch_json *cache_json(const struct out_cache *c)
{
	struct orch_json *o = orch_json_object();

	set_text(o, "key", c->key);
	(void)orch_json_set_bool(o, "hit", c->hit);
	set_text(o, "from", c->from);
	set_text(o, "why", c->why);
	(void)orch_json_set_u64(o, "source_files", c->source_files);
	(void)orch_json_set_u64(o, "source_read", c->source_read);
	(void)orch_json_set_u64(o, "source_changed", c->source_changed);
	(void)orch_json_set_u64(o, "source_bytes", c->source_bytes);
	return o;
}

static void set_resources(struct orch_json *root, const struct out_resources *r)
{
	struct orch_json *o;

	if (!r->known) {
		(void)orch_json_set_null(root, "resources");
		return;
	}
	o = orch_json_object();
	set_ms(o, "user_ms", r->user_ns);
	set_ms(o, "system_ms", r->system_ns);
	(void)orch_json_set_u64(o, "peak_bytes", r->peak_bytes);
	(void)orch_json_set_u64(o, "read_bytes", r->read_bytes);
	(void)orch_json_set_u64(o, "written_bytes", r->written_bytes);
	set_child(root, "resources", o);
}

static void set_tests(struct orch_json *root, const struct out_tests *t)
{
	struct orch_json *o;

	if (!t->known) {
		(void)orch_json_set_null(root, "tests");
		return;
	}
	o = orch_json_object();
	(void)orch_json_set_u64(o, "files", t->files);
	(void)orch_json_set_u64(o, "total", t->total);
	(void)orch_json_set_u64(o, "passed", t->passed);
	(void)orch_json_set_u64(o, "failed", t->failed);
	(void)orch_json_set_u64(o, "skipped", t->skipped);
	set_child(root, "tests", o);
}

static void set_end(struct orch_json *root, const struct out_result *r)
{
	(void)orch_json_set_str(root, "state", out_state_name(r->state));
	if (r->exit_code >= 0)
		(void)orch_json_set_int(root, "exit_code", r->exit_code);
	else
		(void)orch_json_set_null(root, "exit_code");
	if (r->signal > 0)
		(void)orch_json_set_int(root, "signal", r->signal);
	else
		(void)orch_json_set_null(root, "signal");
	set_text(root, "reason", r->reason);
	set_text(root, "next_step", r->next_step);
	set_time(root, "begin", r->wall_begin_ns);
	set_time(root, "end", r->wall_begin_ns + (int64_t)r->duration_ns);
	set_ms(root, "duration_ms", r->duration_ns);
	(void)orch_json_set_u64(root, "attempts", r->attempts);
}

static void set_input(struct orch_json *root, const struct out_result *r)
{
	struct orch_json *argv = orch_json_array(), *ids = orch_json_object(),
			 *workspace = orch_json_object();

	for (size_t i = 0; r->argv != NULL && r->argv[i] != NULL; i++)
		push_text(argv, r->argv[i]);
	set_child(root, "command", argv);
	set_text(root, "reproduce", r->reproduce);
	set_text(root, "engine", r->engine);
	set_text(root, "provider", r->provider);
	set_text(root, "platform", r->platform);
	set_text(root, "source", r->source);
	set_text(root, "branch", r->branch);
	set_text(root, "commit", r->commit);
	set_text(ids, "source", r->source_snapshot);
	set_text(ids, "start", r->start_snapshot);
	set_text(ids, "result", r->result_snapshot);
	set_child(root, "snapshots", ids);
	set_text(workspace, "name", r->workspace);
	(void)orch_json_set_bool(workspace, "retained", r->retained);
	set_child(root, "workspace", workspace);
}

/* root, or NULL when any of it is missing. */
static struct orch_json *whole(struct orch_json *root)
{
	if (!orch_json_failed(root))
		return root;
	orch_json_free(root);
	return NULL;
}

struct orch_json *out_result_json(const struct out_result *r)
{
	struct orch_json *root = orch_json_object(), *log;

	(void)orch_json_set_int(root, "version", DOCUMENT_VERSION);
	set_text(root, "run", r->run);
	set_end(root, r);
	set_input(root, r);
	set_child(root, "cache", cache_json(&r->cache));
	set_resources(root, &r->resources);
	set_tests(root, &r->tests);
	set_child(root, "phases", phases_json(r));
	set_child(root, "outputs", outputs_json(r));
	set_child(root, "missing", missing_json(r));
	set_child(root, "skipped", skipped_json(r));
	log = orch_json_object();
	set_text(log, "name", r->log_name);
	(void)orch_json_set_u64(log, "bytes", r->log_bytes);
	set_child(root, "log", log);
	set_child(root, "warnings", pairs_json(r->warnings, r->warning_count));
	set_child(root, "facts", pairs_json(r->facts, r->fact_count));
	return whole(root);
}

/* ---- manifest.json ---- */

/* Without its files. */
static struct orch_json *manifest_output(const struct out_output *out)
{
	struct orch_json *o = orch_json_object();
	char path[OUT_NAME_MAX + 2];

	snprintf(path, sizeof(path), "%s/", out->name);
	(void)orch_json_set_str(o, "type", out->name);
	(void)orch_json_set_str(o, "path", path);
	(void)orch_json_set_bool(o, "required", out->required);
	(void)orch_json_set_str(o, "change", output_change(out));
	(void)orch_json_set_u64(o, "size", out->bytes);
	(void)orch_json_set_u64(o, "count", out->count);
	return o;
}

/* Without its outputs. */
static struct orch_json *manifest_root(const struct out_result *r)
{
	struct orch_json *root = orch_json_object();

	(void)orch_json_set_int(root, "version", DOCUMENT_VERSION);
	set_text(root, "buildGuid", r->run);
	set_time(root, "timestamp", r->wall_begin_ns + (int64_t)r->duration_ns);
	(void)orch_json_set_str(root, "state", out_state_name(r->state));
	set_child(root, "missing", missing_json(r));
	set_child(root, "skipped", skipped_json(r));
	return root;
}

struct orch_json *out_manifest_json(const struct out_result *r)
{
	struct orch_json *root = manifest_root(r), *outputs = orch_json_array(), *o;

	for (size_t i = 0; r->outputs != NULL && i < r->outputs->count; i++) {
		o = manifest_output(&r->outputs->v[i]);
		set_child(o, "files", files_json(&r->outputs->v[i], SIZE_MAX));
		push_child(outputs, o);
	}
	set_child(root, "outputs", outputs);
	return whole(root);
}

/* ---- files ---- */

static int document_write(int dirfd, const char *name, struct orch_json *doc, struct orch_err *err)
{
	struct orch_buf text;
	int r;

	if (doc == NULL)
		return orch_err_set(err, ENOMEM, "no memory for %s", name);
	orch_buf_init(&text, (size_t)2 << 30);
	r = orch_json_format(doc, 2, &text);
	if (r == 0)
		r = orch_buf_add_str(&text, "\n");
	if (r < 0)
		r = orch_err_sys(err, -r, "%s", name);
	else
		r = orch_file_save(dirfd, name, text.data, text.len, 0644, err);
	orch_buf_fini(&text);
	orch_json_free(doc);
	return r;
}

int out_result_write(int dirfd, const struct out_result *r, struct orch_err *err)
{
	return document_write(dirfd, "result.json", out_result_json(r), err);
}

/*
 * A manifest may name a million files, so it is not made as one document in memory: its parts are, one
 * file at a time, and joined. What was joined goes to the file whenever it is a megabyte.
 */
struct stream {
	int fd;
	struct orch_buf text;
	int failed; /* -errno */
};

#define STREAM_BYTES ((size_t)1 << 20)

static void stream_flush(struct stream *s)
{
	if (s->failed == 0 && s->text.failed)
		s->failed = -ENOMEM;
	if (s->failed == 0 && s->text.len > 0)
		s->failed = orch_fd_write_all(s->fd, s->text.data, s->text.len);
	orch_buf_reset(&s->text);
}

/* A part that is whole, or, when open, an object without its last brace. Takes part over. */
static void stream_add(struct stream *s, struct orch_json *part, bool open)
{
	if (s->failed == 0 && orch_json_failed(part))
		s->failed = -ENOMEM;
	if (s->failed == 0)
		s->failed = orch_json_format(part, 0, &s->text);
	if (s->failed == 0 && open)
		s->text.len--;
	orch_json_free(part);
	if (s->text.len >= STREAM_BYTES)
		stream_flush(s);
}

static void stream_manifest(struct stream *s, const struct out_result *r)
{
	size_t count = r->outputs == NULL ? 0 : r->outputs->count;

	stream_add(s, manifest_root(r), true);
	(void)orch_buf_add_str(&s->text, ",\n\"outputs\":[");
	for (size_t i = 0; s->failed == 0 && i < count; i++) {
		const struct out_output *o = &r->outputs->v[i];

		(void)orch_buf_add_str(&s->text, i == 0 ? "\n" : ",\n");
		stream_add(s, manifest_output(o), true);
		(void)orch_buf_add_str(&s->text, ",\"files\":[");
		for (size_t k = 0; s->failed == 0 && k < o->count; k++) {
			(void)orch_buf_add_str(&s->text, k == 0 ? "\n" : ",\n");
			stream_add(s, file_json(&o->files[k]), false);
		}
		(void)orch_buf_add_str(&s->text, "]}");
	}
	(void)orch_buf_add_str(&s->text, "]}\n");
	stream_flush(s);
}

int out_manifest_write(int dirfd, const struct out_result *r, struct orch_err *err)
{
	static const char temp[] = ".manifest.json.tmp";
	struct stream s = {.fd = -1};

	(void)unlinkat(dirfd, temp, 0); /* of a run that was killed */
	s.fd = openat(dirfd, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (s.fd < 0)
		return orch_err_sys(err, errno, "manifest.json");
	orch_buf_init(&s.text, 16 * STREAM_BYTES);
	stream_manifest(&s, r);
	orch_buf_fini(&s.text);
	if (s.failed == 0)
		s.failed = orch_fd_sync(s.fd);
	orch_fd_close(s.fd);
	if (s.failed == 0)
		s.failed = orch_rename(dirfd, temp, dirfd, "manifest.json", 0);
	if (s.failed == 0)
		s.failed = orch_fd_sync(dirfd);
	if (s.failed == 0)
		return 0;
	(void)unlinkat(dirfd, temp, 0);
	return orch_err_sys(err, -s.failed, "manifest.json");
}
