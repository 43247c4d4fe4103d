/*
 * The log of a build, see build_log.h. The file is the buffer between the two sides: the live thread
 * reads it where it has come to, in pieces that a pipe takes without blocking once it is writable.
 * Lock: `lock` guards the numbers; the writer holds it while it writes the file (so that bytes of two threads
 * do not mix), the live thread never while it reads, polls or writes.
 */
#include "output/build_log.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include "core/clock.h"
#include "core/fd.h"

#define PIECE_BYTES 65536 /* read at once */
#define PIPE_BYTES  4096  /* written at once: what poll promises of a pipe */
#define POLL_MS	    100	  /* how late an abandoned live side notices */

struct out_log {
	pthread_mutex_t lock;
	pthread_cond_t more; /* written grew, or stop */
	pthread_cond_t shown_more;
	int fd; /* read and write */
	int live_fd;
	uint64_t written, shown; /* bytes; lock */
	int failed;		 /* -errno of the first failed write; lock */
	bool stop, abandon;	 /* finish; finish now; lock */
	bool gone;		 /* nobody reads the live side; lock */
	bool threaded;
	pthread_t thread;
};

static bool is_abandoned(struct out_log *l)
{
	bool yes;

	pthread_mutex_lock(&l->lock);
	yes = l->abandon;
	pthread_mutex_unlock(&l->lock);
	return yes;
}

/* Writes one piece to the live side. False: nobody reads, or nobody waits any more. */
static bool show(struct out_log *l, const uint8_t *p, size_t n)
{
	while (n > 0) {
		struct pollfd pfd = {.fd = l->live_fd, .events = POLLOUT};
		ssize_t done;

		if (is_abandoned(l))
			return false;
		if (poll(&pfd, 1, POLL_MS) == 0)
			continue;
		if (pfd.revents & (POLLERR | POLLNVAL))
			return false;
		done = write(l->live_fd, p, n < PIPE_BYTES ? n : PIPE_BYTES);
		if (done < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (done > 0) {
			p += done;
			n -= (size_t)done;
			pthread_mutex_lock(&l->lock);
			l->shown += (uint64_t)done;
			pthread_cond_broadcast(&l->shown_more);
			pthread_mutex_unlock(&l->lock);
		}
	}
	return true;
}

/* The next bytes to show; 0: no more will come. */
static size_t wait_for_bytes(struct out_log *l, uint64_t *out_at)
{
	uint64_t n;

	pthread_mutex_lock(&l->lock);
	while (l->shown == l->written && !l->stop)
		pthread_cond_wait(&l->more, &l->lock);
	*out_at = l->shown;
	n = l->written - l->shown;
	pthread_mutex_unlock(&l->lock);
	return n < PIECE_BYTES ? (size_t)n : PIECE_BYTES;
}

static void *live_main(void *arg)
{
	struct out_log *l = arg;
	uint8_t piece[PIECE_BYTES];
	uint64_t at;
	size_t n;

	while ((n = wait_for_bytes(l, &at)) > 0) {
		if (orch_fd_pread_all(l->fd, piece, n, (off_t)at) < 0 || !show(l, piece, n))
			break;
	}
	pthread_mutex_lock(&l->lock);
	l->gone = l->shown != l->written || !l->stop;
	pthread_cond_broadcast(&l->shown_more);
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

/* All signals stay with the other threads; SIGPIPE becomes EPIPE. */
static int live_start(struct out_log *l)
{
	sigset_t all, was;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &was);
	r = pthread_create(&l->thread, NULL, live_main, l);
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	l->threaded = r == 0;
	return -r;
}

static void log_free(struct out_log *l)
{
	orch_fd_close(l->fd);
	pthread_cond_destroy(&l->more);
	pthread_cond_destroy(&l->shown_more);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

static struct out_log *log_new(int fd, int live_fd)
{
	struct out_log *l = calloc(1, sizeof(*l));
	pthread_condattr_t monotonic;

	if (l == NULL)
		return NULL;
	l->fd = fd;
	l->live_fd = live_fd;
	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&l->more, &monotonic);
	pthread_cond_init(&l->shown_more, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return l;
}

int out_log_open(
    int dirfd, const char *name, int live_fd, struct out_log **out, struct orch_err *err)
{
	struct out_log *l;
	int fd, r;

	fd = openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return orch_err_sys(err, errno, "create %s", name);
	l = log_new(fd, live_fd);
	if (l == NULL) {
		orch_fd_close(fd);
		return orch_err_set(err, ENOMEM, "no memory for %s", name);
	}
	if (live_fd >= 0) {
		r = live_start(l);
		if (r < 0) {
			log_free(l);
			return orch_err_sys(err, -r, "thread for %s", name);
		}
	}
	*out = l;
	return 0;
}

int out_log_write(struct out_log *l, const void *p, size_t n)
{
	int r;

	pthread_mutex_lock(&l->lock);
	r = l->failed;
	if (r == 0) {
		r = orch_fd_pwrite_all(l->fd, p, n, (off_t)l->written);
		if (r < 0)
			l->failed = r;
		else
			l->written += n;
		pthread_cond_signal(&l->more);
	}
	pthread_mutex_unlock(&l->lock);
	return r;
}

uint64_t out_log_bytes(struct out_log *l)
{
	uint64_t n;

	pthread_mutex_lock(&l->lock);
	n = l->written;
	pthread_mutex_unlock(&l->lock);
	return n;
}

bool out_log_live_gone(struct out_log *l)
{
	bool gone;

	pthread_mutex_lock(&l->lock);
	gone = l->gone;
	pthread_mutex_unlock(&l->lock);
	return gone;
}

int out_log_flush(struct out_log *l, uint64_t deadline_ns)
{
	struct timespec until = {.tv_sec = (time_t)(deadline_ns / ORCH_NS_PER_S),
	    .tv_nsec = (long)(deadline_ns % ORCH_NS_PER_S)};
	uint64_t target;
	int r = 0;

	if (!l->threaded)
		return 0;
	pthread_mutex_lock(&l->lock);
	target = l->written;
	while (l->shown < target && !l->gone && r == 0) {
		if (deadline_ns == ORCH_FOREVER)
			pthread_cond_wait(&l->shown_more, &l->lock);
		else
			r = pthread_cond_timedwait(&l->shown_more, &l->lock, &until);
	}
	r = l->shown < target && !l->gone ? -ETIMEDOUT : 0;
	pthread_mutex_unlock(&l->lock);
	return r;
}

int out_log_close(struct out_log *l, uint64_t deadline_ns)
{
	bool shown;
	int r;

	if (l == NULL)
		return 0;
	shown = out_log_flush(l, deadline_ns) == 0;
	pthread_mutex_lock(&l->lock);
	l->stop = true;
	l->abandon = !shown;
	r = l->failed;
	pthread_cond_signal(&l->more);
	pthread_mutex_unlock(&l->lock);
	if (l->threaded)
		pthread_join(l->thread, NULL);
	if (r == 0)
		r = orch_fd_sync(l->fd);
	log_free(l);
	return r;
}
