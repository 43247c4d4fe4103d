/* The threads of the door: those that read requests, and the one that tells the kernel what changed. */
#include <pthread.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "core/log.h"
#include "fsd/mount/fuse_door_priv.h"
#include "fsd/mount/notify.h"

#define HELLO_S		 30
#define RECEIVE_TRIES	 100 /* in a row */
#define RECEIVE_PAUSE_NS 10000000

static void notify_one(struct mnt_door *d, const struct mnt_note *n)
{
	if (n->name_len > 0)
		(void)fuse_lowlevel_notify_inval_entry(d->session, n->id, n->name, n->name_len);
	else
		(void)fuse_lowlevel_notify_inval_inode(d->session, n->id, -1, 0);
}

static void *notifier(void *arg)
{
	struct mnt_door *d = arg;
	struct mnt_note *n;

	prctl(PR_SET_NAME, "orch-notifier");
	while ((n = mnt_queue_take(d->queue))) {
		notify_one(d, n);
		free(n);
	}
	return NULL;
}

/* The next request into `buf`: its size; 0: the mount is gone. What fails (no memory, a failed read) has
 * taken no request away, so it is tried again: users wait a little instead of losing their mount. */
static int receive(struct mnt_door *d, struct fuse_buf *buf)
{
	const struct timespec pause = {.tv_nsec = RECEIVE_PAUSE_NS};
	int r = 0;

	for (int i = 0; i < RECEIVE_TRIES && !fuse_session_exited(d->session);) {
		r = fuse_session_receive_buf(d->session, buf);
		if (r >= 0)
			return r;
		if (r == -EINTR)
			continue;
		orch_log(ORCH_LOG_WARN, "mount", "receive-failed", "mountpoint=%s error=%s",
		    d->mountpoint, orch_err_name(-r));
		nanosleep(&pause, NULL);
		i++;
	}
	return r;
}

static void *serve(void *arg)
{
	struct mnt_door *d = arg;
	struct fuse_buf buf = {0};
	uint64_t one = 1;

	while (receive(d, &buf) > 0) {
		mnt_requests_note(&d->requests, buf.mem, buf.flags & FUSE_BUF_IS_FD ? 0 : buf.size);
		if (!mnt_fuse_park(d, &buf))
			fuse_session_process_buf(d->session, &buf);
	}
	free(buf.mem);
	fuse_session_exit(d->session);
	pthread_mutex_lock(&d->freeze_lock);
	d->gone = true;
	pthread_cond_broadcast(&d->greeted);
	pthread_mutex_unlock(&d->freeze_lock);
	(void)!write(d->ended_fd, &one, sizeof(one));
	return NULL;
}

/* The kernel's first request decides how data goes; it is sent at the mount. */
static int wait_hello(struct mnt_door *d, struct orch_err *err)
{
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += HELLO_S;
	pthread_mutex_lock(&d->freeze_lock);
	while (r == 0 && !d->hello && !d->gone)
		r = pthread_cond_timedwait(&d->greeted, &d->freeze_lock, &until);
	if (!d->hello && r == 0)
		r = ENOTCONN;
	pthread_mutex_unlock(&d->freeze_lock);
	return r == 0 ? 0 : orch_err_sys(err, r, "the kernel does not connect");
}

int mnt_door_start(struct mnt_door *d, const struct mnt_door_parts *parts, struct orch_err *err)
{
	int r;

	d->ns = parts->ns;
	d->contents = parts->contents;
	d->pool = parts->pool;
	d->ended_fd = parts->ended_fd;
	if (d->passthrough) /* agreed at the mount (greet.h) */
		mnt_fuse_use_passthrough(d);
	r = pthread_create(&d->notifier, NULL, notifier, d);
	if (r != 0)
		return orch_err_sys(err, r, "thread");
	d->notifying = true;
	while (d->thread_count < MNT_FUSE_THREADS) {
		r = pthread_create(&d->threads[d->thread_count], NULL, serve, d);
		if (r != 0)
			break;
		d->thread_count++;
	}
	return d->thread_count > 0 ? wait_hello(d, err) : orch_err_sys(err, r, "thread");
}

void mnt_door_join(struct mnt_door *d)
{
	for (unsigned i = 0; i < d->thread_count; i++)
		pthread_join(d->threads[i], NULL);
	d->thread_count = 0;
	if (d->pool)
		orch_pool_drain(d->pool);
	if (d->notifying) {
		mnt_queue_stop(d->queue);
		pthread_join(d->notifier, NULL);
	}
	d->notifying = false;
}

void mnt_door_let_go(struct mnt_door *d)
{
	for (unsigned i = 0; i < d->thread_count; i++)
		pthread_detach(d->threads[i]);
	if (d->notifying)
		pthread_detach(d->notifier);
}
