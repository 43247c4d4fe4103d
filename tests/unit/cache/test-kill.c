/* A process that works on a store is killed at random moments: what it had answered is there, the
 * store is whole, and the next one goes on. The seed is printed. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "cache/layer.h"
#include "cache/pack.h"
#include "cache/record.h"
#include "cache/snapshot.h"
#include "core/clock.h"

#define ROUNDS 25

enum kind { PUBLISHED, SET, RECORDED, LAYER_MADE };

struct answer { /* what the child says that it did */
	enum kind kind;
	uint64_t n;
	struct orch_digest id;
};

static void say(int out, enum kind kind, uint64_t n, const struct orch_digest *id)
{
	struct answer a = {.kind = kind, .n = n};

	if (id)
		a.id = *id;
	if (write(out, &a, sizeof(a)) != (ssize_t)sizeof(a))
		_exit(3);
}

static void put_record(struct fx *f, uint64_t n)
{
	struct orch_json *j = orch_json_object();
	char key[32];

	snprintf(key, sizeof(key), "%d", (int)n);
	FX_OK(orch_json_set_u64(j, "n", n), NULL);
	FX_OK(cas_record_put(f->s, "run", key, j, NULL), NULL);
	orch_json_free(j);
}

static uint64_t make_layer(struct fx *f, const struct orch_digest *snapshot)
{
	struct fmt_layer_head head = {
	    .workspace = "w", .snapshot = *snapshot, .next_ino = 2, .segment = 1, .seq = 1};
	struct orch_buf frame = ORCH_BUF_INIT;

	FX_OK(cas_layer_new_id(f->s, &head.layer, NULL), NULL);
	FX_OK(fmt_layer_head_frame(&head, &frame), NULL);
	FX_OK(cas_layer_create(f->s, head.layer, frame.data, frame.len, NULL), NULL);
	orch_buf_fini(&frame);
	return head.layer;
}

/* Numbers go on from round to round, so every publish is of something new. */
static void work(struct fx *f, uint64_t n, int out)
{
	fx_open(f);
	for (;; n++) {
		struct orch_digest id = fx_publish(f, 5, (unsigned)n, "published");

		say(out, PUBLISHED, n, &id);
		FX_OK(cas_ref_set(f->s, "set", &id, NULL, NULL, NULL), NULL);
		say(out, SET, n, &id);
		put_record(f, n);
		say(out, RECORDED, n, NULL);
		say(out, LAYER_MADE, make_layer(f, &id), NULL);
		if (n % 8 == 0)
			FX_OK(cas_pack_merge(f->s, 2, NULL, NULL), NULL);
	}
}

/* At most one change that was not answered may have come after it. */
static void check_ref(struct fx *f, const char *name, const struct answer *last)
{
	struct cas_ref ref;

	if (last->n == 0)
		return;
	FX_OK(cas_ref_get(f->s, name, &ref, NULL), NULL);
	assert_true(orch_digest_eq(&ref.id, &last->id) || orch_digest_eq(&ref.previous, &last->id));
}

static uint64_t check_answers(struct fx *f, int in)
{
	struct answer refs[2] = {{.n = 0}, {.n = 0}};
	uint64_t last_layer = 0;
	struct orch_json *j;
	struct cas_snapshot x;
	struct cas_layer layer;
	struct answer a;
	char key[32];

	while (read(in, &a, sizeof(a)) == (ssize_t)sizeof(a)) {
		switch (a.kind) {
		case PUBLISHED:
		case SET:
			FX_OK(cas_snapshot_get(f->s, &a.id, &x, NULL), NULL);
			cas_snapshot_fini(&x);
			refs[a.kind == SET] = a;
			break;
		case RECORDED:
			snprintf(key, sizeof(key), "%d", (int)a.n);
			FX_OK(cas_record_get(f->s, "run", key, &j, NULL), NULL);
			orch_json_free(j);
			break;
		case LAYER_MADE:
			assert_true(a.n > last_layer);
			last_layer = a.n;
			FX_OK(cas_layer_get(f->s, a.n, &layer, NULL), NULL);
			break;
		}
	}
	check_ref(f, "published", &refs[0]);
	check_ref(f, "set", &refs[1]);
	return refs[0].n;
}

static void wait_ms(unsigned ms)
{
	const struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};

	nanosleep(&t, NULL);
}

static uint64_t round_of(struct fx *f, uint64_t n, unsigned ms)
{
	int pipe_fds[2], status;
	uint64_t last;
	pid_t pid;

	assert_int_equal(pipe(pipe_fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(pipe_fds[0]);
		work(f, n, pipe_fds[1]);
	}
	close(pipe_fds[1]);
	wait_ms(ms);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	fx_open(f);
	last = check_answers(f, pipe_fds[0]);
	close(pipe_fds[0]);
	return last > n ? last : n;
}

static void test_kills(void **state)
{
	unsigned seed = (unsigned)orch_wall_ns();
	struct fx *f = *state;
	struct fx_bad bad;
	uint64_t n = 1;

	print_message("# seed %u\n", seed);
	for (int i = 0; i < ROUNDS; i++) {
		fx_close(f);
		n = round_of(f, n + 1, (unsigned)rand_r(&seed) % 120);
		fx_verify(f, false, &bad);
		if (bad.count)
			fail_msg("round %d: verify told:\n%s", i, bad.text);
	}
	assert_true(n > ROUNDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_kills, fx_setup, fx_teardown),
	};

	return tap_run(tests);
}
