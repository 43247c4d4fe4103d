/* Parsing of a task; see request.h. */
#include "fsd/worker/request.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "core/json.h"
#include "core/number.h"
#include "core/path.h"

typedef int read_fn(
    const struct orch_json *j, const char *key, struct worker_request *q, struct orch_err *err);

#define JOB(j)	 (1u << (j))
#define JOBS_ALL (JOB(WORKER_JOBS) - 1)
/* Those about a mirror of a Git repository; the others are about snapshots. */
#define JOBS_GIT       (JOBS_MIRROR | JOB(WORKER_GIT_FETCH))
#define JOBS_MIRROR    (JOB(WORKER_GIT_FIND) | JOB(WORKER_GIT_ADOPT) | JOB(WORKER_GIT_VERIFY))
#define JOBS_SNAPSHOT  (JOBS_ALL & ~JOBS_GIT)
#define JOBS_THAT_MAKE (JOBS_SNAPSHOT & ~JOB(WORKER_EXPORT))

static const char *const job_names[WORKER_JOBS] = {
    "import", "export", "apply", "commit", "git-import", "git-find", "git-fetch", "git-adopt",
    "git-verify"};
static const char *const fd_names[WORKER_FDS] = {
    "objects", "packs", "quarantine", "scan", "layers", "mirror"};
/* Which descriptors a job must have. */
static const unsigned fd_needed[WORKER_FDS] = {
    [WORKER_FD_OBJECTS] = JOBS_SNAPSHOT,
    [WORKER_FD_PACKS] = JOBS_SNAPSHOT,
    [WORKER_FD_QUARANTINE] = JOBS_THAT_MAKE | JOB(WORKER_GIT_FETCH),
    [WORKER_FD_LAYERS] = JOB(WORKER_COMMIT),
    [WORKER_FD_MIRROR] = JOBS_MIRROR | JOB(WORKER_GIT_IMPORT),
};

static int wrong(struct orch_err *err, const char *key, const char *what)
{
	return orch_err_set(err, EINVAL, "task: %s: %s", key, what);
}

static int find_word(const char *const *words, size_t count, const char *word)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(words[i], word) == 0)
			return (int)i;
	return -EINVAL;
}

static int read_u32(const struct orch_json *j, const char *key, uint32_t *out, struct orch_err *err)
{
	uint64_t v;
	int r = orch_json_get_u64(j, key, &v, err);

	if (r < 0)
		return r;
	if (v >= UINT32_MAX)
		return wrong(err, key, "out of range");
	*out = (uint32_t)v;
	return 0;
}

static int read_nothing(
    const struct orch_json *j, const char *key, struct worker_request *q, struct orch_err *err)
{
	return 0;
}

struct fd_reader {
	struct worker_request *request;
	struct orch_err *err;
};

static int read_fd(const char *key, const struct orch_json *v, void *priv)
{
	struct fd_reader *f = priv;
	int i = find_word(fd_names, WORKER_FDS, key);
	int64_t fd;

	if (i < 0)
		return wrong(f->err, key, "no such descriptor");
	if (!orch_json_int(v, &fd) || fd < 3 || fd > INT32_MAX)
		return wrong(f->err, key, "not a descriptor above 2");
	f->request->fds[i] = (int)fd;
	return 0;
}

static int read_fds(
    const struct orch_json *j, const char *key, struct worker_request *q, struct orch_err *err)
{
	struct fd_reader f = {.request = q, .err = err};
	const struct orch_json *v = orch_json_get(j, key);

	if (!orch_json_is_object(v))
		return wrong(err, key, "not an object");
	return orch_json_each(v, read_fd, &f);
}

static int read_groups(const struct orch_json *v, struct worker_ids *out, struct orch_err *err)
{
	const struct orch_json *a = orch_json_get(v, "groups");
	size_t n = a ? orch_json_len(a) : 0;

	if (!a)
		return 0;
	if (!orch_json_is_array(a) || n > WORKER_GROUPS_MAX)
		return wrong(err, "groups", "not a list of groups");
	out->groups = calloc(n + 1, sizeof(gid_t));
	if (!out->groups)
		return orch_err_sys(err, ENOMEM, "task");
	for (size_t i = 0; i < n; i++) {
		int64_t g;

		if (!orch_json_int(orch_json_at(a, i), &g) || g < 0 || g >= UINT32_MAX)
			return wrong(err, "groups", "not a list of groups");
		out->groups[i] = (gid_t)g;
	}
	out->group_count = n;
	return 0;
}

static int read_ids(
    const struct orch_json *j, const char *key, struct worker_ids *out, struct orch_err *err)
{
	const struct orch_json *v = orch_json_get(j, key);
	int r;

	if (!orch_json_is_object(v))
		return wrong(err, key, "not an object");
	r = read_u32(v, "uid", &out->uid, err);
	if (r == 0)
		r = read_u32(v, "gid", &out->gid, err);
	if (r == 0)
		r = read_groups(v, out, err);
	out->set = r == 0;
	return r;
}

static int read_user(
    const struct orch_json *j, const char *key, struct worker_request *q, struct orch_err *err)
{
	return read_ids(j, key, &q->user, err);
}

static int read_owner(
    const struct orch_json *j, const char *key, struct worker_request *q, struct orch_err *err)
{
	return read_ids(j, key, &q->owner, err);
}

static int read_seed(
    const struct orch_json *j, const char *key, struct worker_request *q, struct orch_err *err)
{
	const char *s;
	char *end;
	int r = orch_json_get_str(j, key, &s, err);

	if (r < 0)
		return r;
	if (strlen(s) != 16 || strspn(s, "0123456789abcdefABCDEF") != 16)
		return wrong(err, key, "not 16 hex digits");
	q->seed = strtoull(s, &end, 16);
	return 0;
}

static int read_threads(
    const struct orch_json *j, const char *key, struct worker_request *q, struct orch_err *err)
{
	uint32_t v = 0;
	int r = read_u32(j, key, &v, err);

	if (r < 0)
		return r;
	if (v > 1024)
		return wrong(err, key, "out of range");
	q->threads = v;
	return 0;
}

static int read_dir(
    const struct orch_json *j, const char *key, struct worker_request *q, struct orch_err *err)
{
	size_t len;
	int r;

	if (q->dir)
		return wrong(err, key, "given twice");
	r = orch_json_get_bytes(j, "dir", &q->dir, &len, err);
	if (r < 0)
		return r;
	if (q->dir[0] != '/' || strlen(q->dir) != len || len >= PATH_MAX)
		return wrong(err, key, "not an absolute path");
	return 0;
}

static int read_list(
    const struct orch_json *j, const char *key, struct orch_globs **out, struct orch_err *err)
{
	const struct orch_json *a = orch_json_get(j, key);

	if (!orch_json_is_array(a))
		return wrong(err, key, "not a list");
	*out = orch_globs_new();
	if (!*out)
		return orch_err_sys(err, ENOMEM, "task");
	for (size_t i = 0; i < orch_json_len(a); i++) {
		const char *s = orch_json_str(orch_json_at(a, i));
		int r = s ? orch_globs_add(*out, s) : -EINVAL;

		if (r < 0)
			return wrong(err, key, "not a list of globs");
	}
	return 0;
}

static int keep_string(const char *s, char **out, struct orch_err *err)
{
	free(*out);
	*out = strdup(s);
	return *out ? 0 : orch_err_sys(err, ENOMEM, "task");
}

/* What a memo depends on: each list as it was given, one behind the other. */
static int read_globs(
    const struct orch_json *j, const char *key, struct worker_request *q, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf text = ORCH_BUF_INIT;
	bool is_include = strcmp(key, "include") == 0;
	int r = read_list(j, key, is_include ? &q->include : &q->exclude, err);

	if (r < 0)
		return r;
	r = orch_buf_printf(&text, "%s%s", q->sparse ? q->sparse : "", key);
	if (r == 0)
		r = orch_json_format(orch_json_get(j, key), 0, &text);
	return r < 0 ? orch_err_sys(err, -r, "task")
		     : keep_string((char *)text.data, &q->sparse, err);
}

static int read_ignore_file(
    const struct orch_json *j, const char *key, struct worker_request *q, struct orch_err *err)
{
	const char *s;
	int r;

	if (orch_json_is_null(orch_json_get(j, key))) {
		free(orch_take(q->ignore_file));
		return 0;
	}
	r = orch_json_get_str(j, key, &s, err);
	if (r < 0)
		return r;
	if (!orch_name_valid(s, strlen(s)))
		return wrong(err, key, "not the name of a file");
	return keep_string(s, &q->ignore_file, err);
}

static int read_source(
    const struct orch_json *j, const char *key, struct worker_request *q, struct orch_err *err)
{
	const char *s;
	int r = orch_json_get_str(j, key, &s, err);

	if (r < 0)
		return r;
	if (strlen(s) > WORKER_SOURCE_MAX)
		return wrong(err, key, "too long");
	return keep_string(s, &q->source, err);
}

static int read_limit(
    const struct orch_json *j, const char *key, struct worker_request *q, struct orch_err *err)
{
	uint64_t *to = strcmp(key, "blob_max") == 0 ? &q->blob_max : &q->entries_max;

	return orch_json_get_u64(j, key, to, err);
}

static int read_digest(
    const struct orch_json *j, const char *key, struct orch_digest *out, struct orch_err *err)
{
	const char *s;
	int r = orch_json_get_str(j, key, &s, err);

	if (r < 0)
		return r;
	return orch_digest_parse(s, out) < 0 ? wrong(err, key, "not a snapshot id") : 0;
}

static int read_snapshot(
    const struct orch_json *j, const char *key, struct worker_request *q, struct orch_err *err)
{
	const struct {
		const char *key;
		struct orch_digest *to;
	} places[] = {{"parent", &q->parent}, {"snapshot", &q->snapshot}, {"base", &q->base},
	    {"incoming", &q->incoming}, {"mine", &q->mine}};

	for (size_t i = 0; i < ORCH_ARRAY_LEN(places); i++)
		if (strcmp(key, places[i].key) == 0) {
			q->has_parent |= i == 0;
			return read_digest(j, key, places[i].to, err);
		}
	return wrong(err, key, "unknown");
}

static int read_store(
    const struct orch_json *j, const char *key, struct worker_request *q, struct orch_err *err)
{
	const struct orch_json *v = orch_json_get(j, key);
	int r;

	if (!orch_json_is_object(v))
		return wrong(err, key, "not an object");
	r = orch_json_get_u64(v, "dev", &q->store_dev, err);
	return r < 0 ? r : orch_json_get_u64(v, "ino", &q->store_ino, err);
}

static int read_conflict(
    const struct orch_json *j, const char *key, struct worker_request *q, struct orch_err *err)
{
	static const char *const words[] = {"fail", "keep", "replace", "source"};
	const char *s;
	int r = orch_json_get_str(j, key, &s, err);

	if (r < 0)
		return r;
	r = find_word(words, ORCH_ARRAY_LEN(words), s);
	if (r < 0)
		return wrong(err, key, "not fail, keep, replace or source");
	q->conflict = (enum worker_conflict)r;
	return 0;
}

static int read_wall(
    const struct orch_json *j, const char *key, struct worker_request *q, struct orch_err *err)
{
	q->has_wall = true;
	return orch_json_get_int(j, key, &q->wall_ns, err);
}

static int parse_layer(const char *s, uint64_t *out)
{
	return !s || orch_number_parse(s, strlen(s), UINT64_MAX, out) < 0 || !*out ? -EINVAL : 0;
}

static int read_layers(
    const struct orch_json *j, const char *key, struct worker_request *q, struct orch_err *err)
{
	const struct orch_json *a = orch_json_get(j, key);
	size_t n = a ? orch_json_len(a) : 0;

	if (!orch_json_is_array(a) || n > WORKER_LAYERS_MAX)
		return wrong(err, key, "not a list of layers");
	q->layers = calloc(n + 1, sizeof(*q->layers));
	if (!q->layers)
		return orch_err_sys(err, ENOMEM, "task");
	for (size_t i = 0; i < n; i++)
		if (parse_layer(orch_json_str(orch_json_at(a, i)), &q->layers[i]) < 0)
			return wrong(err, key, "not a list of layers");
	q->layer_count = n;
	return 0;
}

static int read_text(
    const struct orch_json *j, const char *key, size_t max, char **out, struct orch_err *err)
{
	const char *s;
	int r = orch_json_get_str(j, key, &s, err);

	if (r < 0)
		return r;
	return strlen(s) > max ? wrong(err, key, "too long") : keep_string(s, out, err);
}

static int read_url(
    const struct orch_json *j, const char *key, struct worker_request *q, struct orch_err *err)
{
	return read_text(j, key, SYNC_GITURL_MAX, &q->git.url, err);
}

static int read_rev(
    const struct orch_json *j, const char *key, struct worker_request *q, struct orch_err *err)
{
	return read_text(j, key, WORKER_REV_MAX, &q->git.rev, err);
}

static int read_name(
    const struct orch_json *j, const char *key, struct worker_request *q, struct orch_err *err)
{
	return read_text(j, key, WORKER_REV_MAX, &q->git.name, err);
}

static int read_place(
    const struct orch_json *j, const char *key, struct worker_request *q, struct orch_err *err)
{
	int r = read_text(j, key, ORCH_PATH_MAX, &q->git.place, err);

	return r == 0 && q->git.place[0] != '/' ? wrong(err, key, "not an absolute path") : r;
}

static int read_word(const struct orch_json *j, const char *key, const char *const *words,
    size_t count, struct orch_err *err)
{
	const char *s;
	int r = orch_json_get_str(j, key, &s, err);

	if (r < 0)
		return r;
	r = find_word(words, count, s);
	return r < 0 ? wrong(err, key, "no such word") : r;
}

static int read_what(
    const struct orch_json *j, const char *key, struct worker_request *q, struct orch_err *err)
{
	static const char *const words[] = {"default", "all", "id"};
	int r = read_word(j, key, words, ORCH_ARRAY_LEN(words), err);

	if (r >= 0)
		q->git.what = (enum sync_gitfetch_what)r;
	return r < 0 ? r : 0;
}

static int read_auth(
    const struct orch_json *j, const char *key, struct worker_request *q, struct orch_err *err)
{
	static const char *const words[] = {"helper", "header"};
	int r = read_word(j, key, words, ORCH_ARRAY_LEN(words), err);

	if (r >= 0)
		q->git.auth = (enum sync_gitfetch_auth)r;
	return r < 0 ? r : 0;
}

static int read_variable(const char *key, const struct orch_json *v, void *priv)
{
	struct fd_reader *f = priv;
	const char *s = orch_json_str(v);

	if (!s || !sync_gitfetch_env_allowed(key))
		return wrong(f->err, "env", "a variable that may not be given");
	return orch_strv_set_env(&f->request->git.env, key, s) < 0
		   ? orch_err_sys(f->err, ENOMEM, "task")
		   : 0;
}

static int read_env(
    const struct orch_json *j, const char *key, struct worker_request *q, struct orch_err *err)
{
	struct fd_reader f = {.request = q, .err = err};
	const struct orch_json *v = orch_json_get(j, key);

	return orch_json_is_object(v) ? orch_json_each(v, read_variable, &f)
				      : wrong(err, key, "not an object");
}

static int read_stall(
    const struct orch_json *j, const char *key, struct worker_request *q, struct orch_err *err)
{
	return orch_json_get_u64(j, key, &q->git.stall_ms, err);
}

static int read_all(
    const struct orch_json *j, const char *key, struct worker_request *q, struct orch_err *err)
{
	return orch_json_get_bool(j, key, &q->git.all, err);
}

static int read_part(
    const struct orch_json *j, const char *key, struct worker_request *q, struct orch_err *err)
{
	return orch_json_get_bool(j, key, &q->git.part, err);
}

static int read_depth(
    const struct orch_json *j, const char *key, struct worker_request *q, struct orch_err *err)
{
	int r = orch_json_get_u64(j, key, &q->git.depth, err);

	return r == 0 && q->git.depth > INT32_MAX ? wrong(err, key, "out of range") : r;
}

/* Every member that a task may have: for which jobs, and for which it must be there. */
static const struct member {
	const char *key;
	unsigned jobs, needed;
	read_fn *read;
} members[] = {
    {"task", JOBS_ALL, JOBS_ALL, read_nothing},
    {"fds", JOBS_ALL, JOBS_ALL, read_fds},
    {"user", JOBS_ALL, 0, read_user},
    {"owner", JOBS_SNAPSHOT, 0, read_owner},
    {"seed", JOBS_SNAPSHOT, JOBS_THAT_MAKE, read_seed},
    {"threads", JOBS_ALL, 0, read_threads},
    {"dir", JOB(WORKER_IMPORT) | JOB(WORKER_EXPORT), 0, read_dir},
    {"dir_b64", JOB(WORKER_IMPORT) | JOB(WORKER_EXPORT), 0, read_dir},
    {"exclude", JOB(WORKER_IMPORT) | JOB(WORKER_GIT_IMPORT), 0, read_globs},
    {"include", JOB(WORKER_GIT_IMPORT), 0, read_globs},
    {"entries_max", JOB(WORKER_GIT_IMPORT), 0, read_limit},
    {"blob_max", JOB(WORKER_GIT_IMPORT), 0, read_limit},
    {"ignore_file", JOB(WORKER_IMPORT), 0, read_ignore_file},
    {"parent", JOB(WORKER_IMPORT) | JOB(WORKER_GIT_IMPORT), 0, read_snapshot},
    {"source", JOBS_THAT_MAKE & ~JOB(WORKER_GIT_IMPORT), 0, read_source},
    {"store", JOB(WORKER_IMPORT), 0, read_store},
    {"snapshot", JOB(WORKER_EXPORT) | JOB(WORKER_COMMIT), JOB(WORKER_EXPORT) | JOB(WORKER_COMMIT),
	read_snapshot},
    {"base", JOB(WORKER_APPLY), JOB(WORKER_APPLY), read_snapshot},
    {"incoming", JOB(WORKER_APPLY), JOB(WORKER_APPLY), read_snapshot},
    {"mine", JOB(WORKER_APPLY), JOB(WORKER_APPLY), read_snapshot},
    {"conflict", JOB(WORKER_APPLY), JOB(WORKER_APPLY), read_conflict},
    {"wall_ns", JOB(WORKER_APPLY) | JOB(WORKER_GIT_IMPORT), 0, read_wall},
    {"layers", JOB(WORKER_COMMIT), JOB(WORKER_COMMIT), read_layers},
    {"url", JOB(WORKER_GIT_FETCH) | JOB(WORKER_GIT_IMPORT),
	JOB(WORKER_GIT_FETCH) | JOB(WORKER_GIT_IMPORT), read_url},
    {"what", JOB(WORKER_GIT_FETCH), JOB(WORKER_GIT_FETCH), read_what},
    {"auth", JOB(WORKER_GIT_FETCH), 0, read_auth},
    {"env", JOB(WORKER_GIT_FETCH), 0, read_env},
    {"place", JOB(WORKER_GIT_FETCH), 0, read_place},
    {"stall_ms", JOB(WORKER_GIT_FETCH), 0, read_stall},
    {"depth", JOB(WORKER_GIT_FETCH), 0, read_depth},
    {"part", JOB(WORKER_GIT_ADOPT), 0, read_part},
    {"name", JOB(WORKER_GIT_FETCH) | JOB(WORKER_GIT_ADOPT), 0, read_name},
    {"all", JOB(WORKER_GIT_ADOPT), JOB(WORKER_GIT_ADOPT), read_all},
    {"rev", JOB(WORKER_GIT_FIND) | JOB(WORKER_GIT_ADOPT) | JOB(WORKER_GIT_IMPORT),
	JOB(WORKER_GIT_FIND) | JOB(WORKER_GIT_IMPORT), read_rev},
};

struct member_reader {
	const struct orch_json *task;
	struct worker_request *request;
	struct orch_err *err;
};

static int read_member(const char *key, const struct orch_json *v, void *priv)
{
	struct member_reader *m = priv;
	int r;

	for (size_t i = 0; i < ORCH_ARRAY_LEN(members); i++) {
		if (strcmp(key, members[i].key) != 0)
			continue;
		if (!(members[i].jobs & JOB(m->request->job)))
			break;
		r = members[i].read(m->task, key, m->request, m->err);
		return r < 0 ? -EINVAL : 0;
	}
	return wrong(m->err, key, "unknown member");
}

static int check_complete(
    const struct orch_json *j, const struct worker_request *q, struct orch_err *err)
{
	for (size_t i = 0; i < ORCH_ARRAY_LEN(members); i++)
		if ((members[i].needed & JOB(q->job)) && !orch_json_get(j, members[i].key))
			return wrong(err, members[i].key, "is missing");
	for (size_t i = 0; i < WORKER_FDS; i++)
		if ((fd_needed[i] & JOB(q->job)) && q->fds[i] < 0)
			return wrong(err, fd_names[i], "descriptor is missing");
	if ((q->job == WORKER_IMPORT || q->job == WORKER_EXPORT) && !q->dir)
		return wrong(err, "dir", "is missing");
	return 0;
}

static int read_task(const struct orch_json *j, struct worker_request *q, struct orch_err *err)
{
	struct member_reader m = {.task = j, .request = q, .err = err};
	const char *job;
	int r;

	if (!orch_json_is_object(j))
		return wrong(err, "task", "not an object");
	r = orch_json_get_str(j, "task", &job, err);
	if (r < 0)
		return r;
	r = find_word(job_names, WORKER_JOBS, job);
	if (r < 0)
		return wrong(err, "task", "unknown");
	q->job = (enum worker_job)r;
	r = orch_json_each(j, read_member, &m);
	return r < 0 ? r : check_complete(j, q, err);
}

int worker_request_parse(
    const char *text, size_t len, struct worker_request *out, struct orch_err *err)
{
	struct worker_request q = {.ignore_file = strdup(".orchignore")};
	orch_auto(json) struct orch_json *j = NULL;
	int r;

	for (size_t i = 0; i < WORKER_FDS; i++)
		q.fds[i] = -1;
	r = q.ignore_file ? orch_json_parse(text, len, &j, err) : -ENOMEM;
	if (r == 0)
		r = read_task(j, &q, err);
	if (r < 0) {
		worker_request_fini(&q);
		if (err && !err->code)
			orch_err_sys(err, EINVAL, "task");
		else if (err)
			err->code = EINVAL; /* whatever a getter called it */
		return -EINVAL;
	}
	*out = q;
	return 0;
}

void worker_request_fini(struct worker_request *q)
{
	free(q->user.groups);
	free(q->owner.groups);
	free(q->dir);
	orch_globs_free(q->include);
	orch_globs_free(q->exclude);
	free(q->sparse);
	free(q->ignore_file);
	free(q->source);
	free(q->layers);
	if (q->git.url)
		explicit_bzero(q->git.url, strlen(q->git.url)); /* it may hold a password */
	free(q->git.url);
	free(q->git.rev);
	free(q->git.name);
	free(q->git.place);
	orch_strv_fini(&q->git.env);
	*q = (struct worker_request){0};
}
