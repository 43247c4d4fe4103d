/* The folder of a task. Its files outlive the process that wrote them, not the boot: no fsync. */
#include "providers/record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/cgroup.h"
#include "core/fd.h"
#include "core/json.h"

#define READ_BYTES  ((size_t)64 << 10)
#define SIGNALS_MAX 127 /* what a wait status has room for */

static char *folder_of(const char *state_dir, const char *run)
{
	char *path = NULL;

	return asprintf(&path, "%s/tasks/%s", state_dir, run) < 0 ? NULL : path;
}

int prv_record_create(
    const char *state_dir, const char *run, struct prv_record *out, struct orch_err *err)
{
	orch_auto(free) char *path = folder_of(state_dir, run);
	orch_auto(free) char *parent = folder_of(state_dir, "");
	struct prv_record r = PRV_RECORD_NONE;
	int code;

	if (!path || !parent)
		return orch_err_sys(err, ENOMEM, "cannot record the task %s", run);
	code = orch_mkdirs(AT_FDCWD, parent, 0700, err);
	if (code < 0)
		return code;
	if (mkdir(path, 0700) < 0 && errno == EEXIST)
		return orch_err_set(err, EEXIST, "there is a task %s already (%s)", run, path);
	r.dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r.dir >= 0)
		r.log =
		    openat(r.dir, "log", O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
	if (r.log < 0) {
		code = orch_err_sys(err, errno, "cannot record the task %s in %s", run, path);
		prv_record_close(&r);
		return code;
	}
	*out = r;
	return 0;
}

int prv_record_open(
    const char *state_dir, const char *run, struct prv_record *out, struct orch_err *err)
{
	orch_auto(free) char *path = folder_of(state_dir, run);
	int dir;

	if (!path)
		return orch_err_sys(err, ENOMEM, "cannot look for the task %s", run);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 && errno == ENOENT)
		return orch_err_set(err, ENOENT, "there is no task %s", run);
	if (dir < 0)
		return orch_err_sys(err, errno, "cannot read the task %s", run);
	*out = (struct prv_record){.dir = dir, .log = -1};
	return 0;
}

void prv_record_close(struct prv_record *r)
{
	orch_fd_close(r->dir);
	orch_fd_close(r->log);
	*r = (struct prv_record)PRV_RECORD_NONE;
}

int prv_record_remove(const char *state_dir, const char *run, struct orch_err *err)
{
	orch_auto(free) char *path = folder_of(state_dir, run);

	if (!path)
		return orch_err_sys(err, ENOMEM, "cannot remove the task %s", run);
	return orch_remove_tree(AT_FDCWD, path, err);
}

/* Whole or not at all, for a reader at the same moment. */
static int save_json(
    const struct prv_record *r, const char *name, const struct orch_json *j, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf text = ORCH_BUF_INIT;
	orch_auto(fd) int fd = -1;
	char temporary[64];
	int code = orch_json_format(j, 2, &text);

	snprintf(temporary, sizeof(temporary), "%s.new", name);
	if (code == 0) {
		fd = openat(r->dir, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		code = fd < 0 ? -errno : orch_fd_write_all(fd, text.data, text.len);
	}
	if (code == 0)
		code = orch_rename(r->dir, temporary, r->dir, name, 0);
	return code < 0 ? orch_err_sys(err, -code, "cannot record a task in %s", name) : 0;
}

static int load_json(
    const struct prv_record *r, const char *name, struct orch_json **out, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf text = ORCH_BUF_INIT;
	int code = orch_file_load(r->dir, name, &text, err);

	if (code < 0)
		return code;
	code = orch_json_parse(text.data ? (char *)text.data : "", text.len, out, err);
	if (code < 0)
		orch_err_wrap(err, "%s", name);
	return code;
}

static void set_proc(struct orch_json *j, const char *key, const struct orch_proc_id *id)
{
	struct orch_json *o = orch_json_object();

	orch_json_set_int(o, "pid", id->pid);
	orch_json_set_u64(o, "start", id->start_ticks);
	orch_json_set_json(j, key, &o);
}

static void get_proc(const struct orch_json *j, const char *key, struct orch_proc_id *out)
{
	const struct orch_json *o = orch_json_get(j, key);
	int64_t pid = 0;

	*out = (struct orch_proc_id){.pid = 0};
	if (orch_json_get_int(o, "pid", &pid, NULL) == 0 && pid > 0 && pid <= INT32_MAX &&
	    orch_json_get_u64(o, "start", &out->start_ticks, NULL) == 0)
		out->pid = (int32_t)pid;
}

static void set_group(struct orch_json *j, const struct orch_cgroup *group)
{
	const char *paths[ORCH_CGROUP_JOIN_MAX];
	struct orch_json *a = orch_json_array();
	size_t n = group ? orch_cgroup_paths(group, paths) : 0;

	for (size_t i = 0; i < n; i++)
		orch_json_push_str(a, paths[i]);
	orch_json_set_json(j, "group", &a);
}

int prv_record_save_task(const struct prv_record *r, const char *provider,
    const struct orch_proc_id *first, const struct orch_cgroup *group, struct orch_err *err)
{
	orch_auto(json) struct orch_json *j = orch_json_object();
	struct orch_proc_id self;
	char boot[37];
	int code;

	if (r->dir < 0)
		return 0;
	code = orch_proc_id_get(getpid(), &self);
	if (code == 0)
		code = orch_boot_id(boot);
	if (code < 0)
		return orch_err_sys(err, -code, "cannot record a task");
	orch_json_set_str(j, "provider", provider);
	orch_json_set_str(j, "boot", boot);
	set_proc(j, "submitter", &self);
	if (first)
		set_proc(j, "first", first);
	set_group(j, group);
	return save_json(r, "task.json", j, err);
}

int prv_record_task_parse(const struct orch_json *j, const char *boot_now,
    struct prv_record_task *out, struct orch_err *err)
{
	const char *provider = NULL, *boot = NULL;
	int code = orch_json_get_str(j, "provider", &provider, err);

	if (code == 0)
		code = orch_json_get_str(j, "boot", &boot, err);
	if (code < 0)
		return code;
	snprintf(out->provider, sizeof(out->provider), "%s", provider);
	out->this_boot = boot_now[0] && strcmp(boot_now, boot) == 0;
	get_proc(j, "submitter", &out->submitter);
	get_proc(j, "first", &out->first);
	return 0;
}

int prv_record_load_task(
    const struct prv_record *r, struct prv_record_task *out, struct orch_err *err)
{
	orch_auto(json) struct orch_json *j = NULL;
	char boot_now[37];
	int code = load_json(r, "task.json", &j, err);

	if (code < 0)
		return code;
	if (orch_boot_id(boot_now) < 0)
		boot_now[0] = '\0';
	return prv_record_task_parse(j, boot_now, out, err);
}

struct orch_json *prv_record_result_format(const struct prv_result *result)
{
	struct orch_json *j = orch_json_object();

	orch_json_set_str(j, "outcome", prv_outcome_name(result->outcome));
	orch_json_set_int(j, "exit_code", result->exit_code);
	orch_json_set_int(j, "signal", result->signal);
	orch_json_set_bool(j, "core_dumped", result->core_dumped);
	orch_json_set_int(j, "started", result->wall_started_ns);
	orch_json_set_int(j, "ended", result->wall_ended_ns);
	orch_json_set_u64(j, "cpu_ns", result->cpu_ns);
	orch_json_set_u64(j, "memory_peak_bytes", result->memory_peak_bytes);
	orch_json_set_u64(j, "log_bytes", result->log_bytes);
	orch_json_set_bytes(j, "message", result->message, strlen(result->message));
	return j;
}

int prv_record_save_result(
    const struct prv_record *r, const struct prv_result *result, struct orch_err *err)
{
	orch_auto(json) struct orch_json *j = NULL;

	if (r->dir < 0)
		return 0;
	j = prv_record_result_format(result);
	return save_json(r, "result.json", j, err);
}

void prv_record_remove_group(const struct prv_record *r)
{
	orch_auto(json) struct orch_json *j = NULL;
	const struct orch_json *paths;

	if (load_json(r, "task.json", &j, NULL) < 0)
		return;
	paths = orch_json_get(j, "group");
	for (size_t i = 0; i < orch_json_len(paths); i++) {
		const char *path = orch_json_str(orch_json_at(paths, i));

		if (path)
			orch_cgroup_remove_left(path);
	}
}

int prv_record_result_parse(const struct orch_json *j, struct prv_result *out, struct orch_err *err)
{
	struct prv_result r = {.state = PRV_ENDED};
	orch_auto(free) char *message = NULL;
	const char *outcome = NULL;
	int64_t exit_code = -1, sig = 0;
	size_t len;

	if (orch_json_get_str(j, "outcome", &outcome, err) < 0 ||
	    orch_json_get_int(j, "exit_code", &exit_code, err) < 0 ||
	    orch_json_get_int(j, "signal", &sig, err) < 0 ||
	    orch_json_get_int(j, "started", &r.wall_started_ns, err) < 0 ||
	    orch_json_get_int(j, "ended", &r.wall_ended_ns, err) < 0 ||
	    orch_json_get_u64(j, "cpu_ns", &r.cpu_ns, err) < 0 ||
	    orch_json_get_u64(j, "memory_peak_bytes", &r.memory_peak_bytes, err) < 0 ||
	    orch_json_get_u64(j, "log_bytes", &r.log_bytes, err) < 0 ||
	    orch_json_get_bool(j, "core_dumped", &r.core_dumped, err) < 0 ||
	    orch_json_get_bytes(j, "message", &message, &len, err) < 0)
		return orch_err_set(err, ORCH_EFORMAT, "the result of a task cannot be understood");
	if (prv_outcome_parse(outcome, &r.outcome) < 0)
		return orch_err_set(
		    err, ORCH_EFORMAT, "the result of a task: unknown outcome %s", outcome);
	if (exit_code < -1 || exit_code > 255 || sig < 0 || sig > SIGNALS_MAX)
		return orch_err_set(err, ORCH_EFORMAT,
		    "the result of a task: no process ends with code %lld, signal %lld",
		    (long long)exit_code, (long long)sig);
	r.exit_code = (int)exit_code;
	r.signal = (int)sig;
	snprintf(r.message, sizeof(r.message), "%s", message);
	*out = r;
	return 0;
}

static int load_result(const struct prv_record *r, struct prv_result *out, struct orch_err *err)
{
	orch_auto(json) struct orch_json *j = NULL;
	int code = load_json(r, "result.json", &j, err);

	if (code == 0)
		code = prv_record_result_parse(j, out, err);
	if (code == 0 && faccessat(r->dir, "cancelled", F_OK, 0) == 0)
		out->outcome = PRV_CANCELLED;
	return code;
}

int prv_record_state(const struct prv_record *r, struct prv_result *out, struct orch_err *err)
{
	struct prv_record_task task;
	int code = load_result(r, out, err);
	bool alive;

	if (code != -ENOENT)
		return code;
	/* Not written down completely yet, or never: the process that was about to is gone. */
	alive = prv_record_load_task(r, &task, NULL) == 0 && task.this_boot &&
		(orch_proc_id_alive(&task.submitter) || orch_proc_id_alive(&task.first));
	/* It may have ended between the two looks. */
	code = load_result(r, out, err);
	if (code != -ENOENT)
		return code;
	*out = (struct prv_result){
	    .state = alive ? PRV_RUNNING : PRV_ENDED,
	    .outcome = PRV_LOST,
	    .exit_code = -1,
	};
	if (!alive)
		snprintf(
		    out->message, sizeof(out->message), "the process that ran the task is gone");
	return 0;
}

int prv_record_mark_cancelled(const struct prv_record *r, struct orch_err *err)
{
	orch_auto(fd) int fd = openat(r->dir, "cancelled", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	return fd < 0 ? orch_err_sys(err, errno, "cannot note that a task is cancelled") : 0;
}

int64_t prv_record_read_log(
    const struct prv_record *r, uint64_t offset, uint64_t max_bytes, const struct prv_sink *sink)
{
	orch_auto(fd) int fd = openat(r->dir, "log", O_RDONLY | O_CLOEXEC);
	orch_auto(free) char *block = malloc(READ_BYTES);
	uint64_t done = 0;

	if (fd < 0 || !block)
		return fd < 0 ? -errno : -ENOMEM;
	while (done < max_bytes) {
		size_t want =
		    max_bytes - done < READ_BYTES ? (size_t)(max_bytes - done) : READ_BYTES;
		ssize_t n = pread(fd, block, want, (off_t)(offset + done));
		int code;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : (int64_t)done;
		code = sink->write ? sink->write(sink->priv, block, (size_t)n) : 0;
		if (code < 0)
			return code;
		done += (uint64_t)n;
	}
	return (int64_t)done;
}

int prv_record_each(const char *state_dir, int (*fn)(void *priv, const char *run), void *priv)
{
	orch_auto(free) char *path = folder_of(state_dir, "");
	struct dirent *d;
	int r = 0;
	DIR *dir;

	if (!path)
		return -ENOMEM;
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while (r == 0 && (d = readdir(dir)))
		if (prv_run_name_valid(d->d_name))
			r = fn(priv, d->d_name);
	closedir(dir);
	return r;
}
