/* Messages to a mount process: one request, one answer. */
#include "mount_client.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "core/clock.h"
#include "core/fd.h"
#include "core/freezer.h"

#define LATE_MS 2000 /* until who should have thawed by now is not waited for */

struct fsd_mount_client {
	int sock;
	uint32_t last_id;
	struct fsd_mount_hello hello;
	uint8_t answer[FMT_MSG_MAX]; /* of the last call; what fields point into */
};

/* One call: begin, add fields to buf, then call. */
struct call {
	struct orch_buf buf;
	uint16_t type;
	uint32_t id;
};

static int call_begin(struct fsd_mount_client *c, struct call *call, uint16_t type)
{
	orch_buf_init(&call->buf, FMT_MSG_MAX);
	call->type = type;
	call->id = ++c->last_id;
	return fmt_msg_begin(&call->buf, type, call->id, 0);
}

int fsd_mount_answer_error(const struct fmt_msg *m, struct orch_err *err)
{
	orch_auto(free) char *text = fmt_msg_get_str(m, FMT_TAG_ERROR);

	if (text && *text)
		return orch_err_set(err, -m->status, "%s", text);
	return orch_err_sys(err, -m->status, "mount process");
}

/* Takes answers until the one that belongs to the call; others are of calls that timed out. */
static int call_answer(struct fsd_mount_client *c, const struct call *call, uint64_t deadline_ns,
    struct fmt_msg *out, struct orch_err *err)
{
	for (;;) {
		int fds[ORCH_SOCK_FDS_MAX];
		size_t fd_count = 0;
		ssize_t n = orch_sock_recv(
		    c->sock, c->answer, sizeof(c->answer), fds, &fd_count, deadline_ns);
		int rc;

		if (n < 0)
			return orch_err_sys(err, (int)-n, "answer of the mount process");
		for (size_t i = 0; i < fd_count; i++)
			orch_fd_close(fds[i]);
		if (n == 0)
			return orch_err_set(err, EPIPE, "the mount process has gone");
		rc = fmt_msg_parse(c->answer, (size_t)n, out, err);
		if (rc < 0)
			return rc;
		if (out->id == call->id && out->type == (call->type | FMT_MSG_REPLY))
			return out->status < 0 ? fsd_mount_answer_error(out, err) : 0;
	}
}

/* rc: what the building of the message came to. Frees the call. */
static int call_send(struct fsd_mount_client *c, struct call *call, int rc, const int *fds,
    size_t fd_count, uint64_t deadline_ns, struct orch_err *err)
{
	if (rc == 0)
		rc = fmt_msg_end(&call->buf);
	if (rc == 0)
		rc = orch_sock_send(
		    c->sock, call->buf.data, call->buf.len, fds, fd_count, deadline_ns);
	if (rc < 0)
		orch_err_sys(err, -rc, "message to the mount process");
	orch_buf_fini(&call->buf);
	return rc < 0 ? rc : 0;
}

static int call_run(struct fsd_mount_client *c, struct call *call, int rc, int fd,
    uint64_t deadline_ns, struct fmt_msg *out, struct orch_err *err)
{
	rc = call_send(c, call, rc, &fd, fd >= 0, deadline_ns, err);
	return rc < 0 ? rc : call_answer(c, call, deadline_ns, out, err);
}

static int missing(const char *what, struct orch_err *err)
{
	return orch_err_set(err, EPROTO, "the mount process told no %s", what);
}

static bool get_digest(const struct fmt_msg *m, uint16_t tag, struct orch_digest *out)
{
	size_t n;
	const uint8_t *p = fmt_msg_get(m, tag, &n);

	if (!p || n != ORCH_DIGEST_BYTES)
		return false;
	memcpy(out->b, p, ORCH_DIGEST_BYTES);
	return true;
}

int fsd_mount_hello_parse(const struct fmt_msg *m, struct fsd_mount_hello *h, struct orch_err *err)
{
	orch_auto(free) char *name = fmt_msg_get_str(m, FMT_TAG_WORKSPACE);
	uint64_t pid;

	if (!name || strlen(name) >= sizeof(h->workspace))
		return missing("workspace", err);
	memcpy(h->workspace, name, strlen(name) + 1);
	if (!fmt_msg_get_u64(m, FMT_TAG_LAYER, &h->layer))
		return missing("layer", err);
	if (!fmt_msg_get_u64(m, FMT_TAG_SEQ, &h->seq))
		return missing("sequence", err);
	if (!get_digest(m, FMT_TAG_SNAPSHOT, &h->snapshot))
		return missing("snapshot", err);
	if (!fmt_msg_get_u64(m, FMT_TAG_PID, &pid) || pid == 0 || pid > INT32_MAX)
		return missing("pid", err);
	h->pid = (pid_t)pid;
	h->mountpoint = fmt_msg_get_str(m, FMT_TAG_MOUNTPOINT);
	return 0;
}

static int say_hello(struct fsd_mount_client *c, uint64_t deadline_ns, struct orch_err *err)
{
	struct call call;
	struct fmt_msg m;
	int rc = call_begin(c, &call, FMT_MSG_HELLO);

	rc = call_run(c, &call, rc, -1, deadline_ns, &m, err);
	return rc < 0 ? rc : fsd_mount_hello_parse(&m, &c->hello, err);
}

void fsd_mount_hello_fini(struct fsd_mount_hello *h)
{
	free(h->mountpoint);
	h->mountpoint = NULL;
}

int fsd_mount_client_open(const char *socket_path, uint64_t deadline_ns,
    struct fsd_mount_client **out, struct orch_err *err)
{
	struct fsd_mount_client *c = calloc(1, sizeof(*c));
	int rc;

	if (!c)
		return orch_err_set(err, ENOMEM, "no memory");
	c->sock = orch_sock_connect(socket_path, SOCK_SEQPACKET, deadline_ns, err);
	rc = c->sock < 0 ? c->sock : say_hello(c, deadline_ns, err);
	if (rc < 0) {
		fsd_mount_client_close(c);
		return rc;
	}
	*out = c;
	return 0;
}

void fsd_mount_client_close(struct fsd_mount_client *c)
{
	if (!c)
		return;
	orch_fd_close(c->sock);
	fsd_mount_hello_fini(&c->hello);
	free(c);
}

const struct fsd_mount_hello *fsd_mount_client_hello(const struct fsd_mount_client *c)
{
	return &c->hello;
}

static int get_json(const struct fmt_msg *m, struct orch_json **out, struct orch_err *err)
{
	size_t n;
	const uint8_t *p = fmt_msg_get(m, FMT_TAG_JSON, &n);

	if (!p)
		return missing("JSON", err);
	return orch_json_parse((const char *)p, n, out, err);
}

int fsd_mount_status(
    struct fsd_mount_client *c, uint64_t deadline_ns, struct orch_json **out, struct orch_err *err)
{
	struct call call;
	struct fmt_msg m;
	int rc = call_begin(c, &call, FMT_MSG_STATUS);

	rc = call_run(c, &call, rc, -1, deadline_ns, &m, err);
	return rc < 0 ? rc : get_json(&m, out, err);
}

void fsd_seal_fini(struct fsd_seal *s)
{
	orch_json_free(s->last_write_seen);
	s->last_write_seen = NULL;
}

int fsd_seal_parse(const struct fmt_msg *m, struct fsd_seal *out, struct orch_err *err)
{
	struct fsd_seal s = {0};
	uint64_t flags = 0;
	int rc;

	if (!fmt_msg_get_u64(m, FMT_TAG_SEALED, &s.sealed))
		return missing("sealed layer", err);
	if (!fmt_msg_get_u64(m, FMT_TAG_SEQ, &s.seq))
		return missing("sequence", err);
	(void)fmt_msg_get_u64(m, FMT_TAG_NEXT_INO, &s.next_ino);
	(void)fmt_msg_get_u64(m, FMT_TAG_LAYER, &s.layer);
	(void)fmt_msg_get_u64(m, FMT_TAG_LAYERS, &s.layers);
	(void)fmt_msg_get_u64(m, FMT_TAG_FLAGS, &flags);
	(void)fmt_msg_get_u64(m, FMT_TAG_PAUSED_NS, &s.paused_ns);
	(void)fmt_msg_get_u64(m, FMT_TAG_MORE, &s.last_write_seen_more);
	s.paused = flags & FMT_MSG_FLAG_PAUSED;
	rc = get_json(m, &s.last_write_seen, err);
	if (rc == 0 && !orch_json_is_array(s.last_write_seen)) {
		fsd_seal_fini(&s);
		rc = missing("list of files", err);
	}
	if (rc == 0)
		*out = s;
	return rc;
}

int fsd_seal_tell(struct fsd_seal *s, struct orch_json *answer)
{
	int rc = orch_json_set_json(answer, "last_write_seen", &s->last_write_seen);

	if (rc == 0)
		rc = orch_json_set_u64(answer, "last_write_seen_more", s->last_write_seen_more);
	if (rc == 0)
		rc = orch_json_set_bool(answer, "paused", s->paused);
	return rc < 0 ? rc : orch_json_set_u64(answer, "paused_us", s->paused_ns / 1000);
}

/* The mount process freezes and thaws. One that is stopped itself can't: then it is done here, a
 * little later than it would have. */
static int seal_answer(struct fsd_mount_client *c, const struct call *call,
    const struct fsd_mount_seal *ask, uint64_t deadline_ns, struct fmt_msg *out,
    struct orch_err *err)
{
	uint64_t late_ns = orch_deadline_in_ms(ask->pause_ms + LATE_MS);
	int rc = -ETIMEDOUT;

	if (ask->group_count > 0 && late_ns < deadline_ns) {
		rc = call_answer(c, call, late_ns, out, err);
		if (rc < 0)
			(void)orch_freezer_thaw(ask->groups, ask->group_count);
	}
	return rc == -ETIMEDOUT ? call_answer(c, call, deadline_ns, out, err) : rc;
}

int fsd_mount_seal(struct fsd_mount_client *c, const struct fsd_mount_seal *ask,
    uint64_t deadline_ns, struct fsd_seal *out, struct orch_err *err)
{
	struct call call;
	struct fmt_msg m;
	int rc = call_begin(c, &call, FMT_MSG_SEAL);

	if (rc == 0)
		rc = fmt_msg_add_u64(&call.buf, FMT_TAG_LAYER, ask->next_layer);
	if (rc == 0)
		rc = fmt_msg_add_u64(&call.buf, FMT_TAG_DEADLINE_MS, ask->pause_ms);
	if (rc == 0 && ask->share)
		rc = fmt_msg_add_u64(&call.buf, FMT_TAG_FLAGS, FMT_MSG_FLAG_SHARE);
	rc = call_send(c, &call, rc, ask->groups, ask->group_count, deadline_ns, err);
	if (rc == 0)
		rc = seal_answer(c, &call, ask, deadline_ns, &m, err);
	if (rc == 0)
		rc = fsd_seal_parse(&m, out, err);
	if (rc == 0 && out->layer == 0)
		out->layer = ask->next_layer; /* an older mount process */
	else if (rc < 0 && ask->group_count > 0)
		(void)orch_freezer_thaw(ask->groups, ask->group_count);
	return rc;
}

int fsd_mount_rebase(struct fsd_mount_client *c, const struct orch_digest *snapshot,
    uint64_t up_to_layer, uint64_t deadline_ns, struct orch_err *err)
{
	struct call call;
	struct fmt_msg m;
	int rc = call_begin(c, &call, FMT_MSG_REBASE);

	if (rc == 0)
		rc = fmt_msg_add(&call.buf, FMT_TAG_SNAPSHOT, snapshot->b, ORCH_DIGEST_BYTES);
	if (rc == 0)
		rc = fmt_msg_add_u64(&call.buf, FMT_TAG_LAYER, up_to_layer);
	return call_run(c, &call, rc, -1, deadline_ns, &m, err);
}

int fsd_mount_flatten(
    struct fsd_mount_client *c, uint64_t keep, uint64_t deadline_ns, struct orch_err *err)
{
	struct call call;
	struct fmt_msg m;
	int rc = call_begin(c, &call, FMT_MSG_FLATTEN);

	if (rc == 0)
		rc = fmt_msg_add_u64(&call.buf, FMT_TAG_LAYER, keep);
	return call_run(c, &call, rc, -1, deadline_ns, &m, err);
}

int fsd_mount_changes(struct fsd_mount_client *c, uint64_t since, int fd, uint64_t deadline_ns,
    uint64_t *out_seq, struct orch_err *err)
{
	struct call call;
	struct fmt_msg m;
	int rc = call_begin(c, &call, FMT_MSG_CHANGES);

	if (rc == 0)
		rc = fmt_msg_add_u64(&call.buf, FMT_TAG_SEQ, since);
	rc = call_run(c, &call, rc, fd, deadline_ns, &m, err);
	if (rc == 0 && !fmt_msg_get_u64(&m, FMT_TAG_SEQ, out_seq))
		rc = missing("sequence", err);
	return rc;
}

int fsd_mount_umount(struct fsd_mount_client *c, bool lazy, uint64_t deadline_ns, bool *out_yours,
    struct orch_err *err)
{
	struct call call;
	struct fmt_msg m;
	uint64_t flags = 0;
	int rc = call_begin(c, &call, FMT_MSG_UMOUNT);

	if (rc == 0)
		rc = fmt_msg_add_u64(&call.buf, FMT_TAG_FLAGS, lazy ? FMT_MSG_FLAG_LAZY : 0);
	rc = call_run(c, &call, rc, -1, deadline_ns, &m, err);
	if (rc == 0)
		(void)fmt_msg_get_u64(&m, FMT_TAG_FLAGS, &flags);
	*out_yours = flags & FMT_MSG_FLAG_YOURS;
	return rc;
}
