/* build.log: every byte in the file, and live, whatever the reader does. */
#include <pthread.h>
#include <sys/socket.h>
#include "output/build_log.h"
#include "tests/unit/output/place.h"

static uint64_t in_ms(unsigned ms)
{
	return orch_deadline_in_ms(ms);
}

struct reader {
	int fd;
	struct orch_buf got;
	bool slow;
};

static void *read_all(void *arg)
{
	struct reader *r = arg;
	char piece[30000];
	ssize_t n;

	while ((n = read(r->fd, piece, sizeof(piece))) > 0) {
		if (orch_buf_add(&r->got, piece, (size_t)n) < 0)
			break;
		if (r->slow)
			usleep(1000);
	}
	return NULL;
}

static void line_of(unsigned i, char out[64])
{
	snprintf(out, 64, "line %u \033[31m\xff\r\n", i);
}

/* Two hundred thousand lines, odd bytes, a reader that is slower than the writer. */
static void test_everything_in_order(void **state)
{
	struct place p = place_new();
	struct orch_buf want, file;
	struct reader r = {.slow = true};
	struct orch_err err = ORCH_ERR_INIT;
	struct out_log *l;
	pthread_t t;
	char line[64];
	int fds[2];

	orch_buf_init(&want, (size_t)1 << 30);
	orch_buf_init(&file, (size_t)1 << 30);
	orch_buf_init(&r.got, (size_t)1 << 30);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	r.fd = fds[0];
	assert_int_equal(pthread_create(&t, NULL, read_all, &r), 0);
	if (out_log_open(p.fd, "build.log", fds[1], &l, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(out_log_open(p.fd, "build.log", -1, &l, &err), -EEXIST);
	for (unsigned i = 0; i < 200000; i++) {
		line_of(i, line);
		assert_int_equal(out_log_write(l, line, strlen(line)), 0);
		assert_int_equal(orch_buf_add(&want, line, strlen(line)), 0);
	}
	assert_int_equal(out_log_bytes(l), want.len);
	assert_int_equal(out_log_flush(l, in_ms(60000)), 0);
	assert_false(out_log_live_gone(l));
	assert_int_equal(out_log_close(l, in_ms(60000)), 0);
	close(fds[1]);
	pthread_join(t, NULL);
	close(fds[0]);
	assert_int_equal(orch_file_load(p.fd, "build.log", &file, NULL), 0);
	assert_int_equal(file.len, want.len);
	assert_memory_equal(file.data, want.data, want.len);
	assert_int_equal(r.got.len, want.len);
	assert_memory_equal(r.got.data, want.data, want.len);
	orch_buf_fini(&want);
	orch_buf_fini(&file);
	orch_buf_fini(&r.got);
	place_free(&p);
}

/* Nobody reads: the build goes on at full speed, the close does not wait longer than it was told. */
static void test_reader_stops(void **state)
{
	static char block[65536];
	struct place p = place_new();
	struct out_log *l;
	struct stat st;
	uint64_t begin;
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(out_log_open(p.fd, "build.log", fds[1], &l, NULL), 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(out_log_write(l, block, sizeof(block)), 0);
	assert_int_equal(out_log_flush(l, in_ms(50)), -ETIMEDOUT);
	begin = orch_clock_ns();
	assert_int_equal(out_log_close(l, in_ms(50)), 0);
	assert_true(orch_clock_ns() - begin < 10 * ORCH_NS_PER_S);
	assert_int_equal(fstatat(p.fd, "build.log", &st, 0), 0);
	assert_int_equal(st.st_size, 100 * sizeof(block));
	close(fds[0]);
	close(fds[1]);
	place_free(&p);
}

/* The reader has gone: EPIPE, no signal, the file is whole. */
static void test_reader_goes(void **state)
{
	static char block[65536];
	struct place p = place_new();
	struct out_log *l;
	struct stat st;
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(out_log_open(p.fd, "build.log", fds[1], &l, NULL), 0);
	close(fds[0]);
	for (int i = 0; i < 10; i++)
		assert_int_equal(out_log_write(l, block, sizeof(block)), 0);
	assert_int_equal(out_log_flush(l, in_ms(60000)), 0);
	assert_true(out_log_live_gone(l));
	assert_int_equal(out_log_close(l, ORCH_FOREVER), 0);
	assert_int_equal(fstatat(p.fd, "build.log", &st, 0), 0);
	assert_int_equal(st.st_size, 10 * sizeof(block));
	close(fds[1]);
	place_free(&p);
}

static void test_no_live_side(void **state)
{
	struct place p = place_new();
	struct out_log *l;
	char *text;

	assert_int_equal(out_log_open(p.fd, "build.log", -1, &l, NULL), 0);
	assert_int_equal(out_log_write(l, "abc", 3), 0);
	assert_int_equal(out_log_write(l, "", 0), 0);
	assert_int_equal(out_log_flush(l, 0), 0);
	assert_int_equal(out_log_close(l, 0), 0);
	assert_int_equal(out_log_close(NULL, 0), 0);
	text = get_file(p.fd, "build.log");
	assert_string_equal(text, "abc");
	free(text);
	place_free(&p);
}

/* A non-blocking descriptor, and lines from several threads that must not mix. */
static void *write_lines(void *arg)
{
	for (int i = 0; i < 2000; i++) {
		if (out_log_write(arg, "0123456789abcdef\n", 17) < 0)
			break;
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct place p = place_new();
	struct reader r = {.slow = false};
	struct out_log *l;
	pthread_t t[3], reader;
	int fds[2];

	orch_buf_init(&r.got, (size_t)1 << 30);
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(fcntl(fds[0], F_SETFL, 0), 0);
	r.fd = fds[0];
	assert_int_equal(pthread_create(&reader, NULL, read_all, &r), 0);
	assert_int_equal(out_log_open(p.fd, "build.log", fds[1], &l, NULL), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&t[i], NULL, write_lines, l), 0);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(out_log_close(l, in_ms(60000)), 0);
	close(fds[1]);
	pthread_join(reader, NULL);
	close(fds[0]);
	assert_int_equal(r.got.len, 3 * 2000 * 17);
	for (size_t i = 0; i < r.got.len; i += 17)
		assert_memory_equal(r.got.data + i, "0123456789abcdef\n", 17);
	orch_buf_fini(&r.got);
	place_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_everything_in_order),
	    cmocka_unit_test(test_reader_stops),
	    cmocka_unit_test(test_reader_goes),
	    cmocka_unit_test(test_no_live_side),
	    cmocka_unit_test(test_threads),
	};

	return tap_run(tests);
}
