/* Mounting and unmounting of one workspace. */
#include "ws_mount.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cache/reserve.h"
#include "core/fd.h"
#include "core/log.h"
#include "core/path.h"
#include "jobs.h"
#include "mount_process.h"
#include "mountpoint.h"
#include "views.h"
#include "ws_mend.h"
#include "ws_view.h"

#define MODULE	      "keeper"
#define END_MS	      5000
#define LEAVE_MS      500
#define BUSY_TRIES    20
#define BUSY_PAUSE_MS 10
#define LONG_MS	      600000
#define SHORT_MS      3000

char *fsd_ws_default_path(const struct fsd_daemon *d, const char *name)
{
	return orch_path_join(d->mounts, name);
}

uint64_t fsd_ws_deadline(const struct fsd_daemon *d)
{
	return orch_deadline_in_ms(d->settings->mount_timeout_s * 1000);
}

uint64_t fsd_ws_short_deadline(const struct fsd_daemon *d)
{
	uint64_t usual = d->settings->mount_timeout_s * 1000;

	return orch_deadline_in_ms(usual < SHORT_MS ? usual : SHORT_MS);
}

uint64_t fsd_ws_long_deadline(const struct fsd_daemon *d)
{
	uint64_t usual = d->settings->mount_timeout_s * 1000;

	return orch_deadline_in_ms(usual > LONG_MS ? usual : LONG_MS);
}

/* Somebody took the file away, or put another in its place: the process can't be reached any more. */
static bool socket_is_lost(const struct fsd_ws_record *rec)
{
	struct stat st;

	return lstat(rec->control, &st) < 0 ? errno == ENOENT : !S_ISSOCK(st.st_mode);
}

int fsd_ws_connect_by(struct fsd_daemon *d, const struct fsd_ws_record *rec, uint64_t deadline_ns,
    struct fsd_mount_client **out, struct orch_err *err)
{
	int rc = fsd_mount_client_open(rec->control, deadline_ns, out, err);

	if (rc == 0 || !socket_is_lost(rec) || orch_proc_id_alive(&rec->process) != 1)
		return rc;
	return orch_err_set(err, ECONNREFUSED,
	    "the socket of its mount process (pid %d), %s, was removed or replaced; the mount goes "
	    "on, and `umount %s` ends it, then the workspace can be mounted again",
	    rec->process.pid, rec->control, rec->path);
}

int fsd_ws_connect(struct fsd_daemon *d, const struct fsd_ws_record *rec,
    struct fsd_mount_client **out, struct orch_err *err)
{
	return fsd_ws_connect_by(d, rec, fsd_ws_deadline(d), out, err);
}

bool fsd_ws_is_deaf(const struct fsd_ws_record *rec)
{
	return rec->state == FSD_WS_MOUNTED &&
	       strncmp(rec->error, FSD_WS_DEAF, sizeof(FSD_WS_DEAF) - 1) == 0;
}

static int unmount(const struct fsd_ws_record *rec, bool lazy, struct orch_err *err)
{
	char source[FSD_MOUNT_SOURCE_BYTES];

	fsd_mount_source(rec, source);
	return fsd_mountpoint_unmount(source, lazy, err);
}

int fsd_ws_detach(const struct fsd_ws_record *rec, struct orch_err *err)
{
	return unmount(rec, true, err);
}

/* ---- mount ---- */

static int prepare(
    struct fsd_daemon *d, struct fsd_ws *ws, const struct fsd_ws_record *rec, struct orch_err *err)
{
	int rc = fsd_registry_claim_place(d->registry, ws, rec->path);

	if (rc == -EBUSY)
		return orch_err_set(err, EBUSY, "another workspace is mounted on %s", rec->path);
	if (rc < 0)
		return orch_err_sys(err, -rc, "mount on %s", rec->path);
	if (rec->at_given)
		return 0; /* checked when it was given; ws->place_fd is that folder */
	do		  /* on a full disk that is mounted whose files are to be removed */
		rc = fsd_mountpoint_prepare(rec->path, &ws->place_fd, err);
	while (cas_reserve_give(cas_store_reserve(d->store), rc));
	return rc;
}

/* The mount is on the folder that was checked; but its owner may have moved that meanwhile. */
static int verify_place(const struct fsd_ws_record *rec, struct orch_err *err)
{
	char source[FSD_MOUNT_SOURCE_BYTES];
	int rc;

	fsd_mount_source(rec, source);
	rc = fsd_mountpoint_has(rec->path, source, err);

	if (rc == 0)
		return orch_err_set(
		    err, EBUSY, "%s was moved while it was being mounted", rec->path);
	return rc < 0 ? rc : 0;
}

/* A child of ours from before this program replaced another; 0 when it is nobody's child. */
static int reap_inherited(int pidfd)
{
	siginfo_t si = {0};

	if (waitid(P_PIDFD, (id_t)pidfd, &si, WEXITED | WNOHANG) < 0 || si.si_pid == 0)
		return 0;
	return si.si_code == CLD_EXITED ? W_EXITCODE(si.si_status, 0) : W_EXITCODE(0, si.si_status);
}

static void reap(struct fsd_ws *ws, int *out_status)
{
	int status = 0;

	if (!ws->process && ws->pidfd >= 0)
		status = reap_inherited(ws->pidfd);
	if (ws->process &&
	    orch_process_wait(ws->process, orch_deadline_in_ms(END_MS), -1, &status, NULL) < 0)
		status = 0;
	orch_process_free(ws->process);
	ws->process = NULL;
	orch_fd_close(ws->pidfd);
	ws->pidfd = -1;
	if (out_status)
		*out_status = status;
}

/* Of a process that has ended. What keeps the mount there is logged, and added to what is shown of the workspace. */
static void detach_dead(const struct fsd_ws_record *rec, char *why, size_t cap)
{
	struct orch_err err = ORCH_ERR_INIT;
	size_t n = strlen(why);

	if (fsd_ws_detach(rec, &err) >= 0)
		return;
	orch_log_err(MODULE, "detach", &err);
	snprintf(
	    why + n, cap - n, "%sits mount stays, without a process: %s", n ? "; " : "", err.msg);
}

static void end_process(struct fsd_ws *ws, const struct fsd_ws_record *rec, char *why, size_t cap)
{
	/* A child is known also when it could not be identified. */
	int pidfd = ws->process ? orch_process_pidfd(ws->process) : ws->pidfd;

	/* It knows best where its mount is, and takes it away. */
	if (pidfd >= 0)
		syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0);
	if (pidfd >= 0 && !fsd_pidfd_wait(pidfd, orch_deadline_in_ms(END_MS / 5)))
		syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	reap(ws, NULL);
	detach_dead(rec, why, cap);
}

static int identify(struct fsd_ws *ws, struct fsd_ws_record *rec, pid_t pid, struct orch_err *err)
{
	int rc = orch_proc_id_get(pid, &rec->process);

	if (rc == 0)
		rc = orch_boot_id(rec->boot);
	if (rc == 0) {
		ws->pidfd = fsd_pidfd_open(&rec->process);
		rc = ws->pidfd < 0 ? ws->pidfd : 0;
	}
	if (rc < 0)
		return orch_err_sys(err, -rc, "the mount process of '%s'", rec->name);
	return 0;
}

static int start(struct fsd_daemon *d, struct fsd_ws *ws, struct fsd_ws_record *rec,
    struct fsd_request *r, struct orch_err *err)
{
	struct fsd_mount_start m = {
	    .store = d->store,
	    .settings = d->settings,
	    .ws = rec,
	    .after_reboot = fsd_ws_booted_since(rec),
	    .place_fd = ws->place_fd,
	    .cancel_fd = r ? r->cancel_fd : -1,
	};

	if (fsd_mount_socket_path(
		d->store, d->run_dir, rec->layer, rec->control, sizeof(rec->control)) < 0)
		return orch_err_set(err, ENAMETOOLONG, "socket of the mount process");
	return fsd_mount_process_start(&m, &ws->process, err);
}

static int take_stray(struct fsd_daemon *d, struct fsd_ws *ws, struct fsd_ws_record *rec,
    const struct fsd_mount_hello *h, struct orch_err *err)
{
	orch_auto(free) char *usual = fsd_ws_default_path(d, rec->name);
	int rc;

	if (!usual || !h->mountpoint || strlen(h->mountpoint) >= sizeof(rec->path))
		return orch_err_set(err, EPROTO, "a mount process without a place");
	memcpy(rec->path, h->mountpoint, strlen(h->mountpoint) + 1);
	rec->at_given = strcmp(rec->path, usual) != 0;
	rec->layer = h->layer;
	rec->seq = h->seq;
	rec->state = FSD_WS_MOUNTED;
	rec->error[0] = '\0';
	rc = identify(ws, rec, h->pid, err);
	if (rc == 0)
		rc = fsd_ws_save(d->registry, ws, rec, err);
	if (rc < 0) { /* found again at the next look */
		orch_fd_close(ws->pidfd);
		ws->pidfd = -1;
	}
	return rc;
}

int fsd_ws_find_stray(struct fsd_daemon *d, struct fsd_ws *ws, struct orch_err *err)
{
	struct fsd_ws_record rec = ws->record;
	struct fsd_mount_client *c = NULL;
	struct orch_err ignored = ORCH_ERR_INIT;
	const struct fsd_mount_hello *h;
	int rc;

	if (rec.state != FSD_WS_CREATED ||
	    fsd_mount_socket_path(
		d->store, d->run_dir, rec.layer, rec.control, sizeof(rec.control)) < 0 ||
	    access(rec.control, F_OK) < 0 ||
	    fsd_ws_connect_by(d, &rec, fsd_ws_short_deadline(d), &c, &ignored) < 0)
		return 0;
	h = fsd_mount_client_hello(c);
	rc = strcmp(h->workspace, rec.name) == 0 ? take_stray(d, ws, &rec, h, err) : 0;
	fsd_mount_client_close(c);
	orch_log(ORCH_LOG_WARN, MODULE, "stray", "workspace=%s pid=%d taken=%d", rec.name,
	    rec.process.pid, rc == 0 && ws->record.state == FSD_WS_MOUNTED);
	return rc;
}

int fsd_ws_mount(struct fsd_daemon *d, struct fsd_ws *ws, struct fsd_ws_record *rec,
    struct fsd_request *r, struct orch_err *err)
{
	char why[sizeof(rec->error)] = "";
	uint64_t begin = orch_clock_ns();
	int rc = fsd_ending_check(&d->ending, err);

	if (rc == 0)
		rc = fsd_ws_check_end(d, rec, err);
	if (rc == 0)
		rc = prepare(d, ws, rec, err);
	if (rc == 0)
		rc = start(d, ws, rec, r, err);
	if (rc == -EADDRINUSE && fsd_ws_find_stray(d, ws, NULL) == 0 &&
	    ws->record.state == FSD_WS_MOUNTED) {
		*rec = ws->record;
		return 0;
	}
	if (rc < 0) {
		(void)!fsd_ws_detach(rec, NULL); /* it may have had to leave its mount */
		if (!rec->at_given)
			fsd_mountpoint_discard(rec->path);
		orch_err_wrap(err, "mount workspace '%s'", rec->name);
		return rc;
	}
	rec->state = FSD_WS_MOUNTED;
	rec->error[0] = '\0';
	rc = identify(ws, rec, orch_process_pid(ws->process), err);
	if (rc == 0)
		rc = verify_place(rec, err);
	if (rc == 0)
		rc = fsd_ws_save(d->registry, ws, rec, err);
	if (rc < 0) {
		end_process(ws, rec, why, sizeof(why));
		return rc;
	}
	if (ws->place_fd >= 0)
		fsd_mountpoint_tell_hidden(rec->path, ws->place_fd);
	orch_log(ORCH_LOG_INFO, MODULE, "mounted", "workspace=%s pid=%d path=%s layer=%llu us=%llu",
	    rec->name, rec->process.pid, rec->path, (unsigned long long)rec->layer,
	    (unsigned long long)((orch_clock_ns() - begin) / 1000));
	return 0;
}

/* ---- unmount ---- */

static int set_unmounted(
    struct fsd_daemon *d, struct fsd_ws *ws, const char *why, struct orch_err *err)
{
	struct fsd_ws_record rec = ws->record;

	rec.state = FSD_WS_CREATED;
	rec.process = (struct orch_proc_id){0};
	snprintf(rec.error, sizeof(rec.error), "%s", why);
	unlink(rec.control);
	if (!rec.at_given)
		fsd_mountpoint_discard(rec.path);
	fsd_views_discard(d, rec.name);
	return fsd_ws_save(d->registry, ws, &rec, err);
}

/* Of its own mount and its views. */
static void tell_users(const struct fsd_ws_record *rec, struct orch_buf *out)
{
	const char *paths[1 + FSD_VIEWS_MAX + 1] = {rec->path};
	struct fsd_views views = {0};

	(void)!fsd_views_load(rec, &views, NULL);
	for (size_t i = 0; i < views.count && i < FSD_VIEWS_MAX; i++)
		paths[1 + i] = views.v[i].path;
	fsd_mountpoint_users(paths, out);
	fsd_views_fini(&views);
}

/* Those that the mount process has found are in other mount namespaces, where paths are other ones. */
static int in_use(const struct fsd_ws_record *rec, const char *found, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf users = ORCH_BUF_INIT;

	if (!err)
		return -EBUSY; /* nobody asks by whom */
	tell_users(rec, &users);
	if (users.len)
		return orch_err_set(
		    err, EBUSY, "workspace '%s' is busy%s", rec->name, (const char *)users.data);
	return orch_err_set(err, EBUSY, "workspace '%s' is busy: %.300s", rec->name, found);
}

static bool has_users(const struct fsd_ws_record *rec)
{
	orch_auto(buf) struct orch_buf users = ORCH_BUF_INIT;

	tell_users(rec, &users);
	return users.len > 0;
}

/* Somebody who looks through /proc (another daemon's unmount) holds what he looks at for an instant: a refusal
 * that has no user behind it is tried again. */
static bool is_passing(const struct fsd_ws_record *rec, int rc, int tries)
{
	const struct timespec pause = {.tv_nsec = BUSY_PAUSE_MS * ORCH_NS_PER_MS};

	if (rc != -EBUSY || tries >= BUSY_TRIES || has_users(rec))
		return false;
	nanosleep(&pause, NULL);
	return true;
}

/* For a process that has not the right to. */
static int unmount_for_it(const struct fsd_ws_record *rec, bool lazy, struct orch_err *err)
{
	int tries = 1, rc = unmount(rec, lazy, err);

	while (is_passing(rec, rc, tries++))
		rc = unmount(rec, lazy, err);
	return rc;
}

static int remove_views(
    const struct fsd_ws_record *rec, bool lazy, struct fsd_views *out_taken, struct orch_err *err)
{
	int tries = 1, rc = fsd_views_remove(rec, lazy, out_taken, err);

	while (is_passing(rec, rc, tries++))
		rc = fsd_views_remove(rec, lazy, out_taken, err);
	return rc;
}

/* What asking it came to: it was asked before, and is on its way out? Its socket goes first. */
static bool is_leaving(int rc)
{
	return rc == -ENOENT || rc == -ECONNREFUSED || rc == -EPIPE || rc == -ECONNRESET;
}

/* Who has a view is in the workspace, so the views go first; they come back if that stays. */
static int unmount_all(struct fsd_daemon *d, const struct fsd_ws_record *rec,
    struct fsd_mount_client *c, bool lazy, struct orch_err *err)
{
	struct fsd_views taken = {0};
	bool ours = false;
	int rc = remove_views(rec, lazy, &taken, err);

	if (rc < 0)
		return rc;
	rc = fsd_mount_umount(c, lazy, fsd_ws_deadline(d), &ours, err);
	if (rc == 0 && ours)
		rc = unmount_for_it(rec, lazy, err);
	if (rc < 0 && !is_leaving(rc))
		fsd_views_put_back(rec, &taken);
	fsd_views_fini(&taken);
	return rc;
}

/* Asks the process to unmount. 0: it does; -EBUSY; 1: there is no process that could be asked. */
static int ask(struct fsd_daemon *d, struct fsd_ws *ws, bool lazy, struct orch_err *err)
{
	struct fsd_mount_client *c = NULL;
	struct orch_err why = ORCH_ERR_INIT;
	int rc = fsd_ws_connect(d, &ws->record, &c, &why);

	if (rc == 0) {
		struct fsd_ws_record rec = ws->record;

		rec.seq = fsd_mount_client_hello(c)->seq;
		fsd_ws_show(d->registry, ws, &rec);
		rc = unmount_all(d, &ws->record, c, lazy, &why);
	}
	fsd_mount_client_close(c);
	if (rc == -EBUSY)
		return in_use(&ws->record, why.msg, err);
	if (rc == 0)
		return 0;
	if (fsd_pidfd_wait(ws->pidfd, is_leaving(rc) ? orch_deadline_in_ms(END_MS) : 0))
		return 1;
	orch_err_wrap(&why, "unmount workspace '%s'", ws->record.name);
	if (err)
		*err = why;
	return -why.code;
}

/* Detached; the process lives until its last user has left. Until then it still writes the layer,
 * so the workspace stays MOUNTED and can't be mounted a second time; the watcher buries it. */
static int let_go(
    struct fsd_daemon *d, struct fsd_ws *ws, uint64_t deadline_ns, struct orch_err *err)
{
	struct fsd_ws_record rec = ws->record;

	if (fsd_pidfd_wait(ws->pidfd, deadline_ns)) {
		reap(ws, NULL);
		orch_log(ORCH_LOG_INFO, MODULE, "unmounted", "workspace=%s", rec.name);
		return set_unmounted(d, ws, "", err);
	}
	orch_log(ORCH_LOG_INFO, MODULE, "mount-process-stays", "workspace=%s pid=%d", rec.name,
	    rec.process.pid);
	snprintf(rec.error, sizeof(rec.error), FSD_WS_DETACHED);
	return fsd_ws_save(d->registry, ws, &rec, err);
}

static int force(struct fsd_daemon *d, struct fsd_ws *ws, struct orch_err *err)
{
	char why[sizeof(ws->record.error)] = "";
	struct orch_err ignored = ORCH_ERR_INIT;

	/* Asked first, so that it can bring its log to an end. */
	(void)!ask(d, ws, true, &ignored);
	end_process(ws, &ws->record, why, sizeof(why));
	orch_log(ORCH_LOG_INFO, MODULE, "unmounted", "workspace=%s how=force", ws->record.name);
	return set_unmounted(d, ws, why, err);
}

/* What runs in a sandbox may have nothing open just now. */
static int check_jobs(struct fsd_daemon *d, const char *name, struct orch_err *err)
{
	orch_auto(free) struct fsd_job *jobs = NULL;
	size_t n = 0;
	int rc = fsd_jobs_list(d->jobs, name, &jobs, &n);

	if (rc < 0)
		return orch_err_sys(err, -rc, "jobs of workspace '%s'", name);
	if (n == 0)
		return 0;
	return orch_err_set(err, EBUSY, "workspace '%s' is busy: in use by job %s (pid %d)", name,
	    jobs[0].id, (int)jobs[0].leader.pid);
}

int fsd_ws_umount(
    struct fsd_daemon *d, struct fsd_ws *ws, enum fsd_umount_how how, struct orch_err *err)
{
	bool lazy = how == FSD_UMOUNT_LAZY;
	int rc;

	if (ws->record.state != FSD_WS_MOUNTED)
		return 0;
	if (how == FSD_UMOUNT_FORCE)
		return force(d, ws, err);
	rc = lazy ? 0 : check_jobs(d, ws->record.name, err);
	if (rc == 0)
		rc = ask(d, ws, lazy, err);
	if (rc > 0)
		return fsd_ws_bury(d, ws, err);
	if (rc < 0)
		return rc;
	/* Somebody may have come between the look and the unmount: nothing is taken from him. */
	return let_go(d, ws, lazy ? orch_deadline_in_ms(LEAVE_MS) : fsd_ws_deadline(d), err);
}

static void tell_end(const struct fsd_ws_record *rec, bool child, int status, char *out, size_t cap)
{
	if (child && WIFSIGNALED(status))
		snprintf(out, cap, "the mount process (pid %d) was killed by signal %d",
		    rec->process.pid, WTERMSIG(status));
	else if (child)
		snprintf(out, cap, "the mount process (pid %d) ended with status %d",
		    rec->process.pid, WEXITSTATUS(status));
	else
		snprintf(out, cap, "the mount process (pid %d) ended", rec->process.pid);
}

int fsd_ws_bury(struct fsd_daemon *d, struct fsd_ws *ws, struct orch_err *err)
{
	bool child = ws->process != NULL;
	char why[sizeof(ws->record.error)] = "";
	int status;

	reap(ws, &status);
	if (strcmp(ws->record.error, FSD_WS_DETACHED) != 0)
		tell_end(&ws->record, child, status, why, sizeof(why));
	orch_log(*why ? ORCH_LOG_WARN : ORCH_LOG_INFO, MODULE, "mount-ended",
	    "workspace=%s reason=%s", ws->record.name, *why ? why : "last user left");
	detach_dead(&ws->record, why, sizeof(why));
	return set_unmounted(d, ws, why, err);
}
