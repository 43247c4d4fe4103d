/* Each call of publishing, refs, layers, reading and verifying fails once: told, the store is sound, the next try works. */
#include "fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include "cache/layer.h"
#include "cache/ref.h"
#include "cache/snapshot.h"
#include "cache/verify.h"
#include "core/log.h"
#include "tests/lib/torture.h"

struct job {
	struct fx *f;
	unsigned count;
	struct orch_digest first, second;
	struct fx_quarantine q;
	struct cas_publish p;
	struct orch_err err;
};

static void expect_sound(struct job *j, const char *failed)
{
	struct fx_bad bad;

	fx_verify(j->f, false, &bad);
	if (bad.count != 0)
		fail_msg("%s: %s", failed, bad.text);
}

static void told(struct job *j, int r, const char *failed)
{
	if (r < 0 && !j->err.msg[0])
		fail_msg("%s: %d, and no word of it", failed, r);
}

/* ---- publish ---- */

static void prepare_publish(void *priv)
{
	struct job *j = priv;

	j->first = fx_publish(j->f, 3, ++j->count, "main");
	j->second = fx_prepare(j->f, 3, ++j->count, &j->q, &j->p);
	j->p.ref = "main";
	j->err = (struct orch_err)ORCH_ERR_INIT;
}

static int publish(void *priv)
{
	struct job *j = priv;
	struct cas_published done;

	return cas_publish(j->f->s, &j->p, &done, &j->err);
}

static void check_publish(void *priv, int r, const char *failed)
{
	struct job *j = priv;
	struct orch_digest now;

	told(j, r, failed);
	(void)!cas_publish_drop(j->f->s, j->q.id, NULL);
	FX_OK(cas_snapshot_resolve(j->f->s, "main", &now, NULL), NULL);
	assert_true(orch_digest_eq(&now, r < 0 ? &j->first : &j->second));
	expect_sound(j, failed);
}

static void test_publish(void **state)
{
	struct job j = {.f = *state};
	struct torture t = {
	    .prepare = prepare_publish, .step = publish, .check = check_publish, .priv = &j};

	assert_true(torture(&t) > 50);
}

/* ---- layers ---- */

static void forget(void *priv)
{
	struct job *j = priv;

	j->err = (struct orch_err)ORCH_ERR_INIT;
}

static int layer(void *priv)
{
	struct job *j = priv;
	struct cas_layer *list;
	size_t n;
	uint64_t id;
	int r = cas_layer_new_id(j->f->s, &id, &j->err);

	if (r == 0)
		r = cas_layer_create(j->f->s, id, "x", 1, &j->err);
	if (r == 0)
		r = cas_layer_list(j->f->s, CAS_LAYER_BYTES, &list, &n, &j->err);
	if (r == 0)
		free(list);
	if (r == 0)
		r = cas_layer_remove(j->f->s, id, &j->err);
	return r;
}

static void check_layer(void *priv, int r, const char *failed)
{
	struct job *j = priv;
	struct cas_layer *list;
	size_t n;

	told(j, r, failed);
	FX_OK(cas_layer_list(j->f->s, 0, &list, &n, NULL), NULL);
	for (size_t i = 0; i < n; i++)
		FX_OK(cas_layer_remove(j->f->s, list[i].id, &j->err), &j->err);
	free(list);
	expect_sound(j, failed);
}

static void test_layers(void **state)
{
	struct job j = {.f = *state};
	struct torture t = {.prepare = forget, .step = layer, .check = check_layer, .priv = &j};

	assert_true(torture(&t) > 20);
}

/* ---- verify ---- */

static int no_bad(void *priv, const struct cas_bad *bad)
{
	(void)priv;
	(void)bad;
	return 0;
}

/* What can't be read is called bad or ends the run, and never is repaired away. */
static int verify(void *priv)
{
	struct job *j = priv;
	struct cas_verify_spec spec = {.repair = true, .threads = 2, .on_bad = no_bad};
	struct cas_verified done;

	return cas_verify(j->f->s, &spec, &done, &j->err);
}

static void check_verify(void *priv, int r, const char *failed)
{
	struct job *j = priv;
	struct orch_digest now;

	told(j, r, failed);
	expect_sound(j, failed);
	if (cas_snapshot_resolve(j->f->s, "main", &now, NULL) < 0)
		fail_msg("%s: a ref is gone", failed);
	assert_true(orch_digest_eq(&now, &j->first));
}

static void test_verify(void **state)
{
	struct job j = {.f = *state};
	/* what the disk refuses to read (EIO) is put out of the way by design: test-verify.c */
	struct torture t = {.prepare = forget,
	    .step = verify,
	    .check = check_verify,
	    .priv = &j,
	    .without = "read"};

	j.first = fx_publish(j.f, 5, 1, "main");
	assert_true(torture(&t) > 50);
}

int main(void)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_publish, fx_setup, fx_teardown),
	    cmocka_unit_test_setup_teardown(test_layers, fx_setup, fx_teardown),
	    cmocka_unit_test_setup_teardown(test_verify, fx_setup, fx_teardown),
	};

	orch_log_setup(null, ORCH_LOG_ERROR, ORCH_LOG_TEXT);
	return tap_run(tests);
}
