/* Each call of an import, an export, an application fails once: it is told, the store is sound, the next try works. */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cache/verify.h"
#include "core/fd.h"
#include "core/log.h"
#include "tests/lib/torture.h"

/* What a keeper and its worker do together, every step of which may fail. */
struct job {
	struct rig *g;
	int (*work)(struct job *j, struct sync_task *t, struct cas_quarantine *q);
	char dir[1200];
	struct orch_digest base, incoming, mine, made;
	unsigned count;
	struct orch_err err;
};

static int in_quarantine(struct job *j, struct sync_task *t, int fd)
{
	struct cas_quarantine_spec spec = {.dirfd = fd,
	    .objects_fd = cas_store_objects_fd(j->g->s),
	    .packset = cas_store_packset(j->g->s),
	    .seed = cas_store_seed(j->g->s),
	    .cancel = &j->g->cancel};
	struct cas_quarantine *q = NULL;
	int r = cas_quarantine_open(&spec, &q, &j->err);

	if (r == 0)
		r = j->work(j, t, q);
	if (r == 0)
		r = cas_quarantine_finish(q, &j->err);
	cas_quarantine_free(q);
	return r;
}

static int transfer(void *priv)
{
	struct job *j = priv;
	char id[CAS_QUARANTINE_ID_BYTES];
	struct cas_publish p = {.quarantine = id};
	struct cas_published done;
	struct sync_task t;
	int fd, r;

	j->err = (struct orch_err)ORCH_ERR_INIT;
	r = cas_publish_prepare(j->g->s, geteuid(), getegid(), id, &fd, &j->err);
	if (r < 0)
		return r;
	sync_task_init(&t, &j->g->cancel, &j->g->listener);
	r = in_quarantine(j, &t, fd);
	sync_task_fini(&t);
	orch_fd_close(fd);
	p.snapshot = j->made;
	if (r == 0)
		r = cas_publish(j->g->s, &p, &done, &j->err);
	if (r < 0)
		(void)!cas_publish_drop(j->g->s, id, NULL);
	return r;
}

static int note_bad(void *priv, const struct cas_bad *bad)
{
	struct orch_buf *told = priv;

	return orch_buf_printf(
	    told, "%s %s: %s\n", cas_bad_kind_name(bad->kind), bad->name, bad->error);
}

static void check(void *priv, int r, const char *failed)
{
	struct job *j = priv;
	orch_auto(buf) struct orch_buf bad = ORCH_BUF_INIT;
	struct cas_verify_spec spec = {.threads = 1, .on_bad = note_bad, .priv = &bad};
	struct orch_err err = ORCH_ERR_INIT;
	struct cas_verified done;

	if (r < 0 && !j->err.msg[0])
		fail_msg("%s: %d, and no word of it", failed, r);
	RIG_OK(cas_verify(j->g->s, &spec, &done, &err), &err);
	if (done.bad != 0)
		fail_msg("%s: %s", failed, (const char *)bad.data);
	orch_buf_reset(&j->g->told);
}

static struct job job_of(void **state)
{
	struct job j = {.g = *state};

	snprintf(j.dir, sizeof(j.dir), "%s", rig_folder(j.g, true));
	return j;
}

/* ---- import ---- */

static void new_content(void *priv)
{
	struct job *j = priv;
	char text[256];

	snprintf(text, sizeof(text), "a=before %u\n", j->count);
	(void)rig_make(j->g, text, NULL); /* its publish merges what the last one could not */
	snprintf(text, sizeof(text), "a=one %u\nd/b=two %u\nd/c==a\nl->a\nmany!0755=%040u\n",
	    j->count, j->count, j->count);
	j->count++;
	RIG_OK(orch_remove_tree(AT_FDCWD, j->dir, NULL), NULL);
	assert_int_equal(mkdir(j->dir, 0755), 0);
	rig_fill(j->dir, text);
}

static void merge(void *priv)
{
	struct job *j = priv;
	char text[32];

	snprintf(text, sizeof(text), "n=%u\n", j->count++);
	(void)rig_make(j->g, text, NULL);
}

static int import(struct job *j, struct sync_task *t, struct cas_quarantine *q)
{
	struct sync_imported done;
	struct sync_import_spec spec = {.root_fd = open(j->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
	    .path = j->dir,
	    .quarantine = q,
	    .packs = cas_store_packset(j->g->s),
	    .objects_fd = cas_store_objects_fd(j->g->s),
	    .seed = cas_store_seed(j->g->s),
	    .scan_fd = cas_store_scan_fd(j->g->s),
	    .ignore_file = ".orchignore",
	    .uid = geteuid(),
	    .gid = getegid()};
	int r = spec.root_fd < 0 ? orch_err_sys(&j->err, errno, "open") : 0;

	if (r == 0)
		r = sync_import(t, &spec, &done, &j->err);
	orch_fd_close(spec.root_fd);
	if (r == 0)
		j->made = done.snapshot;
	return r;
}

static void test_import(void **state)
{
	struct job j = job_of(state);
	struct torture t = {.prepare = new_content, .step = transfer, .check = check, .priv = &j};

	j.work = import;
	assert_true(torture(&t) > 100);
}

/* ---- apply ---- */

static int apply(struct job *j, struct sync_task *t, struct cas_quarantine *q)
{
	struct sync_applied done;
	struct sync_apply_spec spec = {.packs = cas_store_packset(j->g->s),
	    .quarantine = q,
	    .base = &j->base,
	    .incoming = &j->incoming,
	    .mine = &j->mine,
	    .wall_ns = 2000000000000000000};
	int r = sync_apply(t, &spec, &done, &j->err);

	if (r == 0)
		j->made = done.snapshot;
	return r;
}

static void test_apply(void **state)
{
	struct job j = job_of(state);
	struct torture t = {.prepare = merge, .step = transfer, .check = check, .priv = &j};

	j.work = apply;
	j.base = rig_make(j.g, "a=1\nd/b=2\nd/c==a\nx/y/z=3\n", NULL);
	j.incoming = rig_make(j.g, "a=1\nd/b=changed\nd/c==a\nnew/n=4\n", &j.base);
	j.mine = rig_make(j.g, "a=1\nd/b=2\nd/c==a\nx/y/z=3\no/own=5\n", &j.base);
	assert_true(torture(&t) > 50);
	rig_expect(j.g, &j.made, "a=1\nd/\nd/b=changed\nd/c==a\nnew/\nnew/n=4\no/\no/own=5\n");
}

/* ---- export ---- */

static void empty_folder(void *priv)
{
	struct job *j = priv;

	RIG_OK(orch_remove_tree(AT_FDCWD, j->dir, NULL), NULL);
	assert_int_equal(mkdir(j->dir, 0755), 0);
	j->err = (struct orch_err)ORCH_ERR_INIT;
}

static int export(void *priv)
{
	struct job *j = priv;
	struct sync_export_spec spec = {.packs = cas_store_packset(j->g->s),
	    .objects_fd = cas_store_objects_fd(j->g->s),
	    .snapshot = &j->base,
	    .root_fd = open(j->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
	    .uid = geteuid(),
	    .gid = getegid()};
	int r = spec.root_fd < 0 ? orch_err_sys(&j->err, errno, "open") : 0;
	struct sync_exported done;
	struct sync_task t;

	sync_task_init(&t, &j->g->cancel, &j->g->listener);
	if (r == 0)
		r = sync_export(&t, &spec, &done, &j->err);
	orch_fd_close(spec.root_fd);
	sync_task_fini(&t);
	return r;
}

static void check_export(void *priv, int r, const char *failed)
{
	struct job *j = priv;

	check(priv, r, failed);
	if (r == 0) { /* whatever failed on the way: it says that all of it is there */
		struct orch_digest again = rig_import(j->g, j->dir, NULL);

		rig_expect(j->g, &again, "a=1\nd/\nd/b=2\nd/c==a\nl->a\nro!0444=3\n");
	}
}

static void test_export(void **state)
{
	struct job j = job_of(state);
	struct torture t = {
	    .prepare = empty_folder, .step = export, .check = check_export, .priv = &j};

	j.base = rig_make(j.g, "a=1\nd/b=2\nd/c==a\nl->a\nro!0444=3\n", NULL);
	assert_true(torture(&t) > 10);
}

int main(void)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	const struct CMUnitTest tests[] = {
	    rig_quick_test(test_import),
	    rig_quick_test(test_apply),
	    rig_quick_test(test_export),
	};

	orch_log_setup(null, ORCH_LOG_ERROR, ORCH_LOG_TEXT);
	return tap_run(tests);
}
