/* Unix sockets: messages with descriptors, deadlines, stale files, long paths. */
#include "tests/lib/tap.h"

#include <errno.h>
#include <sys/socket.h>

#include "core/clock.h"
#include "tests/unit/core/scratch.h"

static void pair(int out[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, out), 0);
}

static void descriptors_come_along(void **state)
{
	int s[2], ends[2], got[ORCH_SOCK_FDS_MAX];
	size_t count = 9;
	char text[16];

	pair(s);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(orch_sock_send(s[0], "hello", 5, ends, 2, ORCH_FOREVER), 0);
	assert_int_equal(orch_sock_recv(s[1], text, sizeof(text), got, &count, ORCH_FOREVER), 5);
	assert_memory_equal(text, "hello", 5);
	assert_int_equal(count, 2);
	assert_int_equal(fcntl(got[0], F_GETFD), FD_CLOEXEC);
	assert_int_equal(write(got[1], "x", 1), 1);
	assert_int_equal(read(ends[0], text, 1), 1);
	for (int i = 0; i < 2; i++) {
		close(s[i]);
		close(ends[i]);
		close(got[i]);
	}
}

static int lowest_free(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

static void unwanted_descriptors_are_closed(void **state)
{
	int s[2], fds[ORCH_SOCK_FDS_MAX], got[ORCH_SOCK_FDS_MAX], before;
	size_t count;
	char text[4];

	pair(s);
	for (size_t i = 0; i < ORCH_SOCK_FDS_MAX; i++)
		fds[i] = s[0];
	before = lowest_free();
	assert_int_equal(orch_sock_send(s[0], "ab", 2, fds, 3, ORCH_FOREVER), 0);
	assert_int_equal(orch_sock_recv(s[1], text, sizeof(text), NULL, NULL, ORCH_FOREVER), 2);
	assert_int_equal(lowest_free(), before);
	/* a message that is too long is dropped with its descriptors */
	assert_int_equal(
	    orch_sock_send(s[0], "abcdef", 6, fds, ORCH_SOCK_FDS_MAX, ORCH_FOREVER), 0);
	assert_int_equal(
	    orch_sock_recv(s[1], text, sizeof(text), got, &count, ORCH_FOREVER), -EMSGSIZE);
	assert_int_equal(lowest_free(), before);
	assert_int_equal(
	    orch_sock_send(s[0], "x", 1, fds, ORCH_SOCK_FDS_MAX + 1, ORCH_FOREVER), -EINVAL);
	assert_int_equal(orch_sock_send(s[0], "", 0, NULL, 0, ORCH_FOREVER), -EINVAL);
	close(s[0]);
	close(s[1]);
}

static void deadlines_hold(void **state)
{
	static char block[60000];
	uint64_t begin = orch_clock_ns();
	int s[2], r;
	char text[4];

	pair(s);
	assert_int_equal(orch_sock_recv(s[1], text, 4, NULL, NULL, 0), -ETIMEDOUT);
	assert_int_equal(
	    orch_sock_recv(s[1], text, 4, NULL, NULL, orch_deadline_in_ms(50)), -ETIMEDOUT);
	assert_true(orch_clock_ns() - begin >= 50 * ORCH_NS_PER_MS);
	do
		r = orch_sock_send(s[0], block, sizeof(block), NULL, 0, orch_deadline_in_ms(50));
	while (r == 0);
	assert_int_equal(r, -ETIMEDOUT);
	assert_true(orch_clock_ns() - begin < 5 * ORCH_NS_PER_S);
	close(s[0]);
	close(s[1]);
}

static void the_peers_end_is_seen(void **state)
{
	int s[2];
	char text[4];

	pair(s);
	/* unread bytes at the peer's end would make it a reset */
	assert_int_equal(orch_sock_send(s[1], "x", 1, NULL, 0, 0), 0);
	close(s[0]);
	assert_int_equal(orch_sock_recv(s[1], text, 4, NULL, NULL, ORCH_FOREVER), 0);
	assert_int_equal(orch_sock_send(s[1], "x", 1, NULL, 0, ORCH_FOREVER), -EPIPE);
	close(s[1]);
}

static void listening_replaces_stale_files_only(void **state)
{
	struct scratch *s = *state;
	struct orch_err err = ORCH_ERR_INIT;
	mode_t old = umask(077);
	char path[128], file[128];
	struct stat st;
	int a, b;

	snprintf(path, sizeof(path), "%s/sock", s->path);
	snprintf(file, sizeof(file), "%s/file", s->path);
	a = orch_sock_listen(path, SOCK_SEQPACKET, 0660, &err);
	umask(old);
	assert_true(a >= 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	assert_int_equal(orch_sock_listen(path, SOCK_SEQPACKET, 0660, &err), -EADDRINUSE);
	assert_int_equal(orch_sock_listen(path, SOCK_STREAM, 0660, &err), -EADDRINUSE);
	b = orch_sock_connect(path, SOCK_SEQPACKET, ORCH_FOREVER, &err);
	assert_true(b >= 0);
	close(b);
	close(a); /* the file stays, as after a kill */
	assert_int_equal(
	    orch_sock_connect(path, SOCK_SEQPACKET, ORCH_FOREVER, &err), -ECONNREFUSED);
	assert_non_null(strstr(err.msg, path));
	a = orch_sock_listen(path, SOCK_STREAM, 0600, &err);
	assert_true(a >= 0);
	close(a);
	assert_int_equal(orch_file_save(s->fd, "file", "precious", 8, 0600, NULL), 0);
	assert_int_equal(orch_sock_listen(file, SOCK_STREAM, 0600, &err), -EADDRINUSE);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_size, 8);
}

/* Who listens accepts nobody (it is stopped, or busy): its queue is finite. */
static void a_full_queue_is_not_waited_for_without_end(void **state)
{
	struct scratch *s = *state;
	struct orch_err err = ORCH_ERR_INIT;
	int a, v[300], n = 0, r = 0;
	char path[128];
	uint64_t begin;

	snprintf(path, sizeof(path), "%s/full", s->path);
	a = orch_sock_listen(path, SOCK_SEQPACKET, 0600, &err);
	assert_true(a >= 0);
	while (n < 300 && (r = orch_sock_connect(path, SOCK_SEQPACKET, 0, &err)) >= 0)
		v[n++] = r;
	assert_int_equal(r, -ETIMEDOUT);
	assert_non_null(strstr(err.msg, path));
	begin = orch_clock_ns();
	assert_int_equal(
	    orch_sock_connect(path, SOCK_SEQPACKET, orch_deadline_in_ms(50), &err), -ETIMEDOUT);
	assert_true(orch_clock_ns() - begin >= 50 * ORCH_NS_PER_MS);
	while (n > 0)
		close(v[--n]);
	close(a);
}

static void long_paths_are_refused_with_words(void **state)
{
	struct orch_err err = ORCH_ERR_INIT;
	char path[109];

	memset(path, 'a', sizeof(path));
	path[0] = '/';
	path[108] = '\0';
	assert_int_equal(orch_sock_connect(path, SOCK_STREAM, ORCH_FOREVER, &err), -ENAMETOOLONG);
	assert_non_null(strstr(err.msg, "107"));
	assert_int_equal(orch_sock_listen(path, SOCK_STREAM, 0600, &err), -ENAMETOOLONG);
	path[107] = '\0';
	assert_int_equal(orch_sock_connect(path, SOCK_STREAM, ORCH_FOREVER, &err), -ENOENT);
	assert_int_equal(orch_sock_connect("", SOCK_STREAM, ORCH_FOREVER, &err), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(descriptors_come_along),
	    cmocka_unit_test(unwanted_descriptors_are_closed),
	    cmocka_unit_test(deadlines_hold),
	    cmocka_unit_test(the_peers_end_is_seen),
	    scratch_test(listening_replaces_stale_files_only),
	    scratch_test(a_full_queue_is_not_waited_for_without_end),
	    cmocka_unit_test(long_paths_are_refused_with_words),
	};

	return tap_run(tests);
}
