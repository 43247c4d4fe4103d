#include "shim/journal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core/clock.h"
#include "core/fd.h"
#include "core/json.h"
#include "core/path.h"
#include "shim/journal_text.h"

struct shim_journal {
	int dir, fd;
	char *name;  /* of the file */
	size_t left; /* resources not struck out */
	uint64_t sum;
};

static int write_line(struct shim_journal *j, const struct orch_json *o, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	int r = shim_run_line(&b, o, &j->sum);

	if (r == 0)
		r = orch_fd_write_all(j->fd, b.data, b.len);
	if (r == 0)
		r = orch_fd_sync(j->fd);
	return r < 0 ? orch_err_sys(err, -r, "write the run's journal") : 0;
}

static int write_head(
    struct shim_journal *j, const char *run, const char *socket_path, struct orch_err *err)
{
	orch_auto(json) struct orch_json *o = orch_json_object();
	struct orch_proc_id id = {0};
	char boot[37] = "", now[ORCH_RFC3339_BYTES];
	int r = orch_proc_id_get(getpid(), &id);

	orch_wall_format(orch_wall_ns(), now);
	if (r == 0)
		r = orch_boot_id(boot);
	if (r < 0)
		return orch_err_sys(err, -r, "tell who owns the run");
	if (!o || orch_json_set_str(o, "run", run) < 0 || orch_json_set_int(o, "pid", id.pid) < 0 ||
	    orch_json_set_u64(o, "start", id.start_ticks) < 0 ||
	    orch_json_set_str(o, "boot", boot) < 0 ||
	    orch_json_set_bytes(o, "socket", socket_path, strlen(socket_path)) < 0 ||
	    orch_json_set_str(o, "time", now) < 0)
		return orch_err_sys(err, ENOMEM, "write the run's journal");
	return write_line(j, o, err);
}

/* Locked before it has its name, so that nobody takes it for a dead owner's. */
static int create_file(
    struct shim_journal *j, const char *run, const char *socket_path, struct orch_err *err)
{
	orch_auto(free) char *temporary = NULL;
	int r;

	if (asprintf(&j->name, "%s.run", run) < 0)
		j->name = NULL;
	if (asprintf(&temporary, ".%s.new", run) < 0)
		temporary = NULL;
	if (!j->name || !temporary)
		return orch_err_sys(err, ENOMEM, "begin the run's journal");
	j->fd = openat(j->dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (j->fd < 0 || flock(j->fd, LOCK_EX | LOCK_NB) < 0)
		return orch_err_sys(err, errno, "begin the run's journal %s", temporary);
	r = write_head(j, run, socket_path, err);
	if (r == 0 && renameat(j->dir, temporary, j->dir, j->name) < 0)
		r = orch_err_sys(err, errno, "begin the run's journal %s", j->name);
	if (r == 0 && (r = orch_fd_sync(j->dir)) < 0)
		orch_err_sys(err, -r, "begin the run's journal %s", j->name);
	if (r < 0)
		unlinkat(j->dir, temporary, 0);
	return r;
}

int shim_journal_begin(const char *folder, const char *run, const char *socket_path,
    struct shim_journal **out, struct orch_err *err)
{
	struct shim_journal *j = calloc(1, sizeof(*j));
	int r = j ? orch_mkdirs(AT_FDCWD, folder, 0700, err)
		  : orch_err_sys(err, ENOMEM, "begin a journal");

	if (!j)
		return r;
	j->fd = j->dir = -1;
	if (r == 0 && (j->dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		r = orch_err_sys(err, errno, "open the folder of runs %s", folder);
	if (r == 0)
		r = create_file(j, run, socket_path, err);
	if (r < 0) {
		shim_journal_end(j);
		return r;
	}
	*out = j;
	return 0;
}

static int write_event(struct shim_journal *j, const char *event, const char *kind,
    const char *name, struct orch_err *err)
{
	orch_auto(json) struct orch_json *o = orch_json_object();

	if (!o || orch_json_set_str(o, event, kind) < 0 ||
	    orch_json_set_bytes(o, "name", name, strlen(name)) < 0)
		return orch_err_sys(err, ENOMEM, "write the run's journal");
	return write_line(j, o, err);
}

int shim_journal_make(
    struct shim_journal *j, const char *kind, const char *name, struct orch_err *err)
{
	int r = write_event(j, "make", kind, name, err);

	if (r == 0)
		j->left++;
	return r;
}

int shim_journal_gone(
    struct shim_journal *j, const char *kind, const char *name, struct orch_err *err)
{
	if (j->left)
		j->left--;
	return write_event(j, "gone", kind, name, err);
}

void shim_journal_end(struct shim_journal *j)
{
	if (!j)
		return;
	if (j->fd >= 0 && j->name && j->left == 0)
		unlinkat(j->dir, j->name, 0);
	orch_fd_close(j->fd);
	orch_fd_close(j->dir);
	free(j->name);
	free(j);
}

/* ---- what dead owners left */

static int read_run(int fd, struct shim_run *run)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	int r = orch_fd_slurp(fd, &b);

	return r < 0 ? r : shim_run_parse(b.data ? (const char *)b.data : "", b.len, run);
}

/* Whose life can't be told now is taken for alive: its run is left alone. */
static bool owner_lives(const struct shim_run *run)
{
	char boot[37];

	return orch_boot_id(boot) < 0 ||
	       (strcmp(boot, run->boot) == 0 && orch_proc_id_alive(&run->owner) != 0);
}

struct recovery {
	bool dry_run;
	int (*undo)(void *priv, const struct shim_leftover *what);
	void (*damaged)(void *priv, const char *file, const char *why);
	void *priv;
	const char *folder;
};

static int undo_run(const struct recovery *rec, const struct shim_run *run, bool *out_all)
{
	int count = 0;

	*out_all = true;
	for (size_t i = run->kinds.count; i-- > 0;) {
		struct shim_leftover what = {.run = run->id,
		    .socket = run->socket,
		    .pid = run->owner.pid,
		    .kind = run->kinds.v[i],
		    .name = run->names.v[i]};

		if (!what.kind[0])
			continue;
		count++;
		if (rec->undo(rec->priv, &what) < 0)
			*out_all = false;
	}
	return count;
}

static int is_damaged(const struct recovery *rec, const char *name, const char *why)
{
	orch_auto(free) char *path = orch_path_join(rec->folder, name);

	rec->damaged(rec->priv, path ? path : name, why);
	return 1;
}

static int recover_read(int dir, int fd, const char *name, const struct recovery *rec)
{
	struct shim_run run = {.id = NULL};
	bool all = false;
	int r = read_run(fd, &run), count = 0;

	if (r == -ORCH_ECORRUPT && !(run.id && owner_lives(&run)))
		count = is_damaged(rec, name, "a line is not as it was written");
	else if (r == -EINVAL)
		count = is_damaged(rec, name, "nothing in it says whose it is");
	else if (r < 0 && r != -ORCH_ECORRUPT)
		count = is_damaged(rec, name, strerrordesc_np(-r));
	else if (r == 0 && !owner_lives(&run)) {
		count = undo_run(rec, &run, &all);
		if (all && !rec->dry_run)
			unlinkat(dir, name, 0);
	}
	shim_run_fini(&run);
	return count;
}

static int recover_one(int dir, const char *name, const struct recovery *rec)
{
	/* a pipe must not be waited for */
	orch_auto(fd) int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;

	if (fd < 0 && errno == ENOENT) /* its owner has ended */
		return 0;
	if (fd < 0)
		return is_damaged(
		    rec, name, errno == ELOOP ? "it is a symbolic link" : strerrordesc_np(errno));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return is_damaged(rec, name, "it is not a regular file");
	if (flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &st) < 0 || st.st_nlink == 0)
		return 0;
	return recover_read(dir, fd, name, rec);
}

static bool is_journal(const char *name)
{
	size_t n = strlen(name);

	return name[0] != '.' && n > 4 && strcmp(name + n - 4, ".run") == 0;
}

/* One that got no name before its owner died; an hour is more than anybody needs for that. */
static void remove_unnamed(int dir, const char *name)
{
	size_t n = strlen(name);
	struct stat st;

	if (name[0] != '.' || n < 6 || strcmp(name + n - 4, ".new") != 0)
		return;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    orch_timespec_ns(&st.st_mtim) < orch_wall_ns() - (int64_t)(3600 * ORCH_NS_PER_S))
		unlinkat(dir, name, 0);
}

int shim_journal_recover(const char *folder, bool dry_run,
    int (*undo)(void *priv, const struct shim_leftover *what),
    void (*damaged)(void *priv, const char *file, const char *why), void *priv,
    struct orch_err *err)
{
	const struct recovery rec = {
	    .dry_run = dry_run, .undo = undo, .damaged = damaged, .priv = priv, .folder = folder};
	DIR *d = opendir(folder);
	const struct dirent *e;
	int count = 0;

	if (!d)
		return errno == ENOENT
			   ? 0
			   : orch_err_sys(err, errno, "open the folder of runs %s", folder);
	while ((e = readdir(d)))
		if (is_journal(e->d_name))
			count += recover_one(dirfd(d), e->d_name, &rec);
		else if (!dry_run)
			remove_unnamed(dirfd(d), e->d_name);
	closedir(d);
	return count;
}
