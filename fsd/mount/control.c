/* Commands of the keeper. See control.h. */
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "core/clock.h"
#include "core/fd.h"
#include "core/json.h"
#include "core/log.h"
#include "format/msg.h"
#include "fsd/mount/busy.h"
#include "fsd/mount/control.h"
#include "fsd/mount/requests.h"

#define CLIENTS_MAX	 32
#define SILENT_MS	 30000 /* who says nothing for so long gives way when there are too many */
#define REPLY_MS	 5000
#define LAST_MS		 50
#define END_MS		 2000 /* after an unmount; then copies of the mount elsewhere are looked at */
#define BUSY_TRIES	 20
#define BUSY_PAUSE_MS	 10
#define CHANGES_STALL_MS 30000
#define FREEZE_MS	 30000
#define FREEZE_MS_MAX	 600000
#define PAUSE_MS	 10000
#define PAUSE_MS_MAX	 600000

struct client {
	int sock;
	uint64_t heard_ns;
};

struct state {
	const struct mnt_control *c;
	struct client clients[CLIENTS_MAX]; /* who spoke last is behind the others */
	size_t client_count;
	uint64_t thaw_at_ns; /* ORCH_FOREVER: not frozen */
	uint64_t end_at_ns;  /* unmounted, but not ended yet; ORCH_FOREVER: not so */
	dev_t dev;	     /* of the mount; 0: not known */
};

/* One command: what came, and where the answer is put together. */
struct call {
	struct state *s;
	const struct fmt_msg *msg;
	const int *fds; /* that came along */
	size_t fd_count;
	struct orch_buf *reply;
	struct orch_err err;
};

static int add_json(struct call *call, struct orch_json *j)
{
	orch_auto(buf) struct orch_buf text = ORCH_BUF_INIT;
	int r = orch_json_format(j, 0, &text);

	if (r == 0)
		r = fmt_msg_add(call->reply, FMT_TAG_JSON, text.data, text.len);
	return r;
}

static int status_json(struct call *call, const struct mnt_ns_status *st)
{
	orch_auto(json) struct orch_json *j = orch_json_object();
	orch_auto(json) struct orch_json *requests =
	    mnt_requests_show(mnt_door_requests(call->s->c->door));

	if (!j || !requests)
		return -ENOMEM;
	orch_json_set_u64(j, "layer", st->layer);
	orch_json_set_u64(j, "parent", st->parent);
	orch_json_set_u64(j, "seq", st->seq);
	orch_json_set_u64(j, "nodes", st->nodes);
	orch_json_set_u64(j, "layers", st->layers);
	orch_json_set_u64(j, "strata", st->strata);
	orch_json_set_u64(j, "open_handles", st->open_handles);
	orch_json_set_u64(j, "open_files", st->open_files);
	orch_json_set_u64(j, "log_bytes", st->log_bytes);
	orch_json_set_bool(j, "read_only", st->read_only);
	orch_json_set_bool(j, "frozen", mnt_door_frozen(call->s->c->door));
	orch_json_set_str(j, "data", mnt_door_data_path(call->s->c->door));
	orch_json_set_json(j, "requests", &requests);
	return add_json(call, j);
}

static int do_status(struct call *call)
{
	const struct mnt_control *c = call->s->c;
	struct mnt_ns_status st;
	struct orch_buf *b = call->reply;
	char boot[37];
	int r;

	mnt_ns_status(c->ns, &st);
	r = fmt_msg_add_str(b, FMT_TAG_WORKSPACE, mnt_ns_workspace(c->ns));
	r = r < 0 ? r : fmt_msg_add_u64(b, FMT_TAG_LAYER, st.layer);
	r = r < 0 ? r : fmt_msg_add_u64(b, FMT_TAG_SEQ, st.seq);
	r = r < 0 ? r : fmt_msg_add(b, FMT_TAG_SNAPSHOT, st.snapshot.b, ORCH_DIGEST_BYTES);
	r = r < 0 ? r : fmt_msg_add_u64(b, FMT_TAG_NEXT_INO, st.next_ino);
	r = r < 0 ? r : fmt_msg_add_u64(b, FMT_TAG_PID, (uint64_t)getpid());
	r = r < 0 ? r : fmt_msg_add(b, FMT_TAG_MOUNTPOINT, c->mountpoint, strlen(c->mountpoint));
	if (r == 0 && orch_boot_id(boot) == 0)
		r = fmt_msg_add_str(b, FMT_TAG_BOOT, boot);
	return r < 0 ? r : status_json(call, &st);
}

/* Lists may be longer than a message: what does not fit is counted. */
struct seen {
	struct orch_json *list;
	size_t bytes, left_out;
};

#define SEEN_BYTES_MAX (FMT_MSG_MAX / 2)

static void on_seen(void *arg, const char *path)
{
	struct seen *s = arg;

	s->bytes += path ? 6 * strlen(path) + 8 : 0; /* JSON may write a byte as six */
	if (!path || s->bytes > SEEN_BYTES_MAX || orch_json_push_str(s->list, path) < 0)
		s->left_out++;
}

static int sealed_add(struct call *call, const struct mnt_sealed *s)
{
	int r = fmt_msg_add_u64(call->reply, FMT_TAG_SEALED, s->sealed);

	r = r < 0 ? r : fmt_msg_add_u64(call->reply, FMT_TAG_LAYER, s->layer);
	r = r < 0 ? r : fmt_msg_add_u64(call->reply, FMT_TAG_LAYERS, s->layers);
	r = r < 0 ? r : fmt_msg_add_u64(call->reply, FMT_TAG_SEQ, s->seq);
	r = r < 0 ? r : fmt_msg_add_u64(call->reply, FMT_TAG_NEXT_INO, s->next_ino);
	r = r < 0
		? r
		: fmt_msg_add_u64(call->reply, FMT_TAG_FLAGS, s->paused ? FMT_MSG_FLAG_PAUSED : 0);
	return r < 0 ? r : fmt_msg_add_u64(call->reply, FMT_TAG_PAUSED_NS, s->paused_ns);
}

static int do_seal(struct call *call)
{
	orch_auto(json) struct orch_json *list = orch_json_array();
	struct seen seen = {.list = list};
	struct mnt_seal ask = {.groups = call->fds,
	    /* what they wait for is held back while the mount is frozen: they would not stand still */
	    .group_count = mnt_door_frozen(call->s->c->door) ? 0 : call->fd_count,
	    .pause_ms = PAUSE_MS,
	    .dev = call->s->dev,
	    .seen = on_seen,
	    .arg = &seen};
	struct mnt_sealed sealed;
	uint64_t flags = 0;
	int r;

	(void)fmt_msg_get_u64(call->msg, FMT_TAG_FLAGS, &flags);
	ask.share = flags & FMT_MSG_FLAG_SHARE;
	if (!fmt_msg_get_u64(call->msg, FMT_TAG_LAYER, &ask.layer))
		return orch_err_set(&call->err, EINVAL, "seal: no layer");
	(void)fmt_msg_get_u64(call->msg, FMT_TAG_DEADLINE_MS, &ask.pause_ms);
	if (ask.pause_ms > PAUSE_MS_MAX)
		ask.pause_ms = PAUSE_MS_MAX;
	if (!list)
		return orch_err_set(&call->err, ENOMEM, "no memory");
	r = mnt_ns_seal(call->s->c->ns, &ask, &sealed, &call->err);
	if (r < 0)
		return r;
	if (seen.left_out > 0)
		orch_log(ORCH_LOG_WARN, "mount", "writers-not-listed", "count=%zu", seen.left_out);
	r = sealed_add(call, &sealed);
	r = r < 0 ? r : fmt_msg_add_u64(call->reply, FMT_TAG_MORE, seen.left_out);
	return r < 0 ? r : add_json(call, list);
}

static int do_rebase(struct call *call)
{
	struct orch_digest snapshot;
	uint64_t layer = 0;
	size_t len;
	const uint8_t *p = fmt_msg_get(call->msg, FMT_TAG_SNAPSHOT, &len);

	if (!p || len != ORCH_DIGEST_BYTES || !fmt_msg_get_u64(call->msg, FMT_TAG_LAYER, &layer))
		return orch_err_set(&call->err, EINVAL, "rebase: no snapshot or layer");
	memcpy(snapshot.b, p, sizeof(snapshot.b));
	return mnt_ns_rebase(call->s->c->ns, &snapshot, layer, &call->err);
}

static int do_flatten(struct call *call)
{
	uint64_t keep = 0;

	(void)fmt_msg_get_u64(call->msg, FMT_TAG_LAYER, &keep);
	return mnt_ns_flatten(call->s->c->ns, keep, &call->err);
}

/* A pipe takes PIPE_BUF bytes without blocking when it says that it is ready. */
static int write_slowly(int fd, const struct orch_buf *b)
{
	for (size_t at = 0; at < b->len;) {
		size_t n = b->len - at < PIPE_BUF ? b->len - at : PIPE_BUF;
		struct pollfd p = {.fd = fd, .events = POLLOUT};
		ssize_t done;
		int ready = poll(&p, 1, CHANGES_STALL_MS);

		if (ready == 0)
			return -ETIMEDOUT;
		done = ready < 0 ? -1 : write(fd, b->data + at, n);
		if (done < 0 && errno != EINTR && errno != EAGAIN)
			return -errno;
		at += done > 0 ? (size_t)done : 0;
	}
	return 0;
}

static int do_changes(struct call *call)
{
	orch_auto(buf) struct orch_buf lines = ORCH_BUF_INIT;
	uint64_t since = 0, seq;
	int r;

	lines.max = (size_t)1 << 30;
	(void)fmt_msg_get_u64(call->msg, FMT_TAG_SEQ, &since);
	if (call->fd_count == 0)
		return orch_err_set(&call->err, EINVAL, "changes: no descriptor came along");
	r = mnt_ns_changes(call->s->c->ns, since, &lines, &seq, &call->err);
	if (r < 0)
		return r;
	r = write_slowly(call->fds[0], &lines);
	if (r < 0)
		return orch_err_sys(&call->err, -r, "write the list of changes");
	return fmt_msg_add_u64(call->reply, FMT_TAG_SEQ, seq);
}

/* Somebody who looks through /proc (another daemon's unmount) holds what he looks at for an instant: a
 * refusal that has no user behind it is tried again. */
static int unmount(struct call *call, bool lazy)
{
	const struct timespec pause = {.tv_nsec = BUSY_PAUSE_MS * ORCH_NS_PER_MS};
	const struct mnt_control *c = call->s->c;
	char who[128];
	int r;

	for (int i = 0; i < BUSY_TRIES; i++) {
		r = mnt_door_unmount(c->door, lazy, &call->err);
		if (r != -EBUSY)
			return r;
		if (mnt_busy_find(c->mountpoint, who, sizeof(who)))
			return orch_err_set(
			    &call->err, EBUSY, "%s is in use by %s", c->mountpoint, who);
		nanosleep(&pause, NULL);
	}
	return r;
}

static int do_unmount(struct call *call)
{
	const struct mnt_control *c = call->s->c;
	uint64_t flags = 0;
	char who[128];
	bool lazy;
	int r;

	(void)fmt_msg_get_u64(call->msg, FMT_TAG_FLAGS, &flags);
	lazy = flags & FMT_MSG_FLAG_LAZY;
	/* Before: a mount that was taken away can't be given back to them. */
	if (!lazy && mnt_busy_elsewhere(call->s->dev, c->mountpoint, who, sizeof(who)))
		return orch_err_set(&call->err, EBUSY, "%s is in use by %s", c->mountpoint, who);
	r = unmount(call, lazy);
	if (r == -EPERM)
		r = fmt_msg_add_u64(call->reply, FMT_TAG_FLAGS, FMT_MSG_FLAG_YOURS);
	if (r == 0 && !lazy)
		call->s->end_at_ns = orch_deadline_in_ms(END_MS);
	return r;
}

static int do_freeze(struct call *call)
{
	uint64_t ms = FREEZE_MS;

	(void)fmt_msg_get_u64(call->msg, FMT_TAG_DEADLINE_MS, &ms);
	call->s->thaw_at_ns = orch_deadline_in_ms(ms < FREEZE_MS_MAX ? ms : FREEZE_MS_MAX);
	mnt_door_freeze(call->s->c->door);
	return 0;
}

static void thaw(struct state *s)
{
	s->thaw_at_ns = ORCH_FOREVER;
	mnt_door_thaw(s->c->door);
}

static int do_thaw(struct call *call)
{
	thaw(call->s);
	return 0;
}

static int do_sync(struct call *call)
{
	int r = mnt_ns_sync(call->s->c->ns);

	return r < 0 ? orch_err_sys(&call->err, -r, "sync") : 0;
}

static int do_ping(struct call *call)
{
	return 0;
}

static const struct {
	uint16_t type;
	int (*run)(struct call *call);
} commands[] = {
    {FMT_MSG_HELLO, do_status},
    {FMT_MSG_STATUS, do_status},
    {FMT_MSG_SEAL, do_seal},
    {FMT_MSG_REBASE, do_rebase},
    {FMT_MSG_CHANGES, do_changes},
    {FMT_MSG_UMOUNT, do_unmount},
    {FMT_MSG_FREEZE, do_freeze},
    {FMT_MSG_THAW, do_thaw},
    {FMT_MSG_SYNC, do_sync},
    {FMT_MSG_PING, do_ping},
    {FMT_MSG_FLATTEN, do_flatten},
};

static int run(struct call *call)
{
	for (size_t i = 0; i < ORCH_ARRAY_LEN(commands); i++)
		if (commands[i].type == call->msg->type)
			return commands[i].run(call);
	return orch_err_set(&call->err, ENOSYS, "unknown command %u", call->msg->type);
}

/* The fields that a command added are behind a status that is known only afterwards, so a failed one
 * begins its answer again. */
static int answer(struct call *call)
{
	uint16_t type = call->msg->type | FMT_MSG_REPLY;
	int r = fmt_msg_begin(call->reply, type, call->msg->id, 0);

	if (r == 0)
		r = run(call);
	if (r >= 0)
		return fmt_msg_end(call->reply);
	orch_buf_reset(call->reply);
	if (fmt_msg_begin(call->reply, type, call->msg->id, r) < 0 ||
	    fmt_msg_add_str(
		call->reply, FMT_TAG_ERROR, call->err.code ? call->err.msg : orch_err_name(-r)) < 0)
		return -ENOMEM;
	return fmt_msg_end(call->reply);
}

/* One message of one client; false: the connection is over. */
static bool serve(struct state *s, int sock)
{
	static uint8_t bytes[FMT_MSG_MAX]; /* the control thread is the only one */
	orch_auto(buf) struct orch_buf reply = ORCH_BUF_INIT;
	int fds[ORCH_SOCK_FDS_MAX];
	size_t fd_count = 0;
	struct fmt_msg msg;
	struct call call = {.s = s, .msg = &msg, .fds = fds, .reply = &reply, .err = ORCH_ERR_INIT};
	ssize_t n = orch_sock_recv(
	    sock, bytes, sizeof(bytes), fds, &fd_count, orch_deadline_in_ms(REPLY_MS));
	bool ok = false;

	if (n > 0 && fmt_msg_parse(bytes, (size_t)n, &msg, &call.err) == 0) {
		call.fd_count = fd_count;
		ok = answer(&call) == 0 && orch_sock_send(sock, reply.data, reply.len, NULL, 0,
					       orch_deadline_in_ms(REPLY_MS)) >= 0;
	}
	for (size_t i = 0; n >= 0 && i < fd_count; i++)
		orch_fd_close(fds[i]);
	mnt_ns_tidy(s->c->ns); /* the answer is on its way */
	return ok;
}

static void drop_client(struct state *s, size_t i)
{
	orch_fd_close(s->clients[i].sock);
	memmove(
	    s->clients + i, s->clients + i + 1, (s->client_count - i - 1) * sizeof(*s->clients));
	s->client_count--;
}

static void client_add(struct state *s, int sock)
{
	s->clients[s->client_count++] = (struct client){sock, orch_clock_ns()};
}

static void serve_client(struct state *s, size_t i)
{
	int sock = s->clients[i].sock;

	if (!serve(s, sock)) {
		drop_client(s, i);
		return;
	}
	memmove(
	    s->clients + i, s->clients + i + 1, (s->client_count - i - 1) * sizeof(*s->clients));
	s->client_count--;
	client_add(s, sock);
}

/* When the next one may be let in: others wait in the socket's queue, and nobody loses his connection to
 * them between two messages, but who has been silent for long. */
static uint64_t room_at(const struct state *s)
{
	return s->client_count < CLIENTS_MAX ? 0
					     : s->clients[0].heard_ns + SILENT_MS * ORCH_NS_PER_MS;
}

static void accept_client(struct state *s)
{
	int fd = orch_clock_ns() < room_at(s)
		     ? -1
		     : accept4(s->c->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	if (s->client_count == CLIENTS_MAX)
		drop_client(s, 0);
	client_add(s, fd);
}

/* False: told to end, and not allowed to unmount; whoever started us takes away what is left. */
static bool on_signal(struct state *s)
{
	struct signalfd_siginfo info;
	struct orch_err err = ORCH_ERR_INIT;
	int r;

	if (read(s->c->signal_fd, &info, sizeof(info)) != sizeof(info))
		return true;
	orch_log(ORCH_LOG_INFO, "mount", "signal", "number=%u", info.ssi_signo);
	r = mnt_door_unmount(s->c->door, true, &err);
	if (r < 0 && r != -EPERM)
		orch_log_err("mount", "unmount", &err);
	return r != -EPERM;
}

/* It is unmounted here, but another mount namespace has a copy of the mount (a sandbox that was being
 * made, for example). True: nobody is in it, so it may end under that copy. */
static bool may_abandon(struct state *s)
{
	struct mnt_ns_status st;
	char who[128];

	mnt_ns_status(s->c->ns, &st);
	s->end_at_ns = orch_deadline_in_ms(END_MS);
	if (mnt_busy_is_here(s->dev)) { /* who was to unmount it could not: it goes on */
		s->end_at_ns = ORCH_FOREVER;
		return false;
	}
	if (st.open_handles > 0 || mnt_busy_elsewhere(s->dev, s->c->mountpoint, who, sizeof(who)))
		return false;
	orch_log(ORCH_LOG_INFO, "mount", "copy-abandoned", "mountpoint=%s", s->c->mountpoint);
	return true;
}

/* The look held the copies for a moment; they may go when it is over. */
static bool has_ended(const struct state *s)
{
	struct pollfd p = {.fd = s->c->ended_fd, .events = POLLIN};

	return poll(&p, 1, LAST_MS) > 0;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* One round of waiting. */
static enum mnt_control_end turn(struct state *s)
{
	struct pollfd p[3 + CLIENTS_MAX] = {{.fd = s->c->ended_fd, .events = POLLIN},
	    {.fd = s->c->signal_fd, .events = POLLIN}, {.fd = s->c->listen_fd, .events = POLLIN}};
	size_t clients = s->client_count;
	uint64_t until_ns = earlier(s->thaw_at_ns, s->end_at_ns);

	for (size_t i = 0; i < clients; i++)
		p[3 + i] = (struct pollfd){.fd = s->clients[i].sock, .events = POLLIN};
	if (orch_clock_ns() < room_at(s)) {
		p[2].fd = -1;
		until_ns = earlier(until_ns, room_at(s));
	}
	if (poll(p, 3 + clients, orch_deadline_poll_ms(until_ns)) < 0)
		return errno == EINTR ? MNT_GOES_ON : MNT_ENDED;
	if (s->thaw_at_ns != ORCH_FOREVER && orch_clock_ns() >= s->thaw_at_ns) {
		orch_log(ORCH_LOG_WARN, "mount", "thawed-by-deadline", "mountpoint=%s",
		    s->c->mountpoint);
		thaw(s);
	}
	if (p[0].revents)
		return MNT_ENDED;
	if (orch_clock_ns() >= s->end_at_ns && may_abandon(s)) /* a long look */
		return has_ended(s) ? MNT_ENDED : MNT_ABANDONED;
	if (p[1].revents && !on_signal(s))
		return MNT_ABANDONED;
	for (size_t i = clients; i-- > 0;)
		if (p[3 + i].revents)
			serve_client(s, i);
	if (p[2].revents)
		accept_client(s);
	return MNT_GOES_ON;
}

/* The kernel knows it: no request is made of it. */
static dev_t dev_of(const char *mountpoint)
{
	struct statx st;

	if (statx(AT_FDCWD, mountpoint, AT_STATX_DONT_SYNC, 0, &st) < 0)
		return 0;
	return makedev(st.stx_dev_major, st.stx_dev_minor);
}

enum mnt_control_end mnt_control_run(const struct mnt_control *c)
{
	struct state s = {.c = c,
	    .thaw_at_ns = ORCH_FOREVER,
	    .end_at_ns = ORCH_FOREVER,
	    .dev = dev_of(c->mountpoint)};
	enum mnt_control_end end;

	do
		end = turn(&s);
	while (end == MNT_GOES_ON);
	if (s.thaw_at_ns != ORCH_FOREVER)
		thaw(&s);
	while (s.client_count > 0)
		drop_client(&s, 0);
	return end;
}
