/* Filling a quarantine: what is taken, what is skipped, sources that change, threads; manifests. */
#include "fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core/fd.h"
#include "view/object.h"

/* ---- manifests ---- */

static void test_manifest_round_trip(void **state)
{
	struct cas_object v[50], o;
	struct orch_buf b = ORCH_BUF_INIT;
	struct cas_manifest m;

	for (unsigned i = 0; i < 50; i++) {
		memset(&v[i], 0, sizeof(v[i]));
		orch_sha256(&i, sizeof(i), &v[i].digest);
		v[i].size = i;
		v[i].fingerprint.hi = i + 1000;
	}
	FX_OK(cas_manifest_format(v, 50, &b), NULL);
	FX_OK(cas_manifest_open(b.data, b.len, &m, NULL), NULL);
	assert_int_equal(m.count, 50);
	for (unsigned i = 0; i < 50; i++) {
		struct orch_digest d;

		orch_sha256(&i, sizeof(i), &d);
		FX_OK(cas_manifest_find(&m, &d, &o), NULL);
		assert_int_equal(o.size, i);
		assert_int_equal(o.fingerprint.hi, i + 1000);
		d.b[5] ^= 1;
		assert_int_equal(cas_manifest_find(&m, &d, &o), -ENOENT);
	}
	for (size_t at = 0; at < b.len; at++) {
		b.data[at] ^= 0x20;
		assert_true(cas_manifest_open(b.data, b.len, &m, NULL) < 0);
		b.data[at] ^= 0x20;
	}
	for (size_t len = 0; len < b.len; len++)
		assert_true(cas_manifest_open(b.data, len, &m, NULL) < 0);
	orch_buf_fini(&b);
}

/* ---- files ---- */

static int source(struct fx *f, const char *name)
{
	char path[600];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", f->root, name);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	return fd;
}

static void fill(int fd, size_t bytes, unsigned seed)
{
	uint32_t *block = malloc(65536);

	for (size_t done = 0; done < bytes; done += 65536) {
		for (size_t i = 0; i < 65536 / 4; i++) {
			seed = seed * 1664525u + 1013904223u;
			block[i] = seed;
		}
		assert_int_equal(
		    orch_fd_write_all(fd, block, bytes - done < 65536 ? bytes - done : 65536), 0);
	}
	free(block);
}

static void check_taken(int fd, const struct cas_added *a, uint64_t seed)
{
	struct orch_fingerprint fp;
	struct orch_digest d;
	uint64_t bytes;
	struct stat st;

	FX_OK(orch_hash_fd(fd, seed, &d, &fp, &bytes, NULL), NULL);
	assert_true(orch_digest_eq(&d, &a->object.digest));
	assert_int_equal(fp.lo, a->object.fingerprint.lo);
	assert_int_equal(fp.hi, a->object.fingerprint.hi);
	assert_int_equal(bytes, a->object.size);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mtim.tv_nsec, a->st.st_mtim.tv_nsec);
}

static void test_files_of_every_size(void **state)
{
	static const size_t sizes[] = {0, 1, 100, (256 << 10), (256 << 10) + 1, (1 << 20), 3500000};
	struct fx *f = *state;
	struct orch_err err = ORCH_ERR_INIT;
	struct cas_published done;
	struct fx_quarantine q;
	struct cas_publish p;
	struct cas_added a[7], again;

	fx_quarantine(f, &q);
	for (size_t i = 0; i < 7; i++) {
		int fd = source(f, "file");

		fill(fd, sizes[i], (unsigned)i);
		FX_OK(cas_quarantine_add_fd(q.q, fd, "file", &a[i], &err), &err);
		assert_true(a[i].is_new);
		check_taken(fd, &a[i], cas_store_seed(f->s));
		FX_OK(cas_quarantine_add_fd(q.q, fd, "file", &again, &err), &err);
		assert_false(again.is_new);
		assert_true(orch_digest_eq(&a[i].object.digest, &again.object.digest));
		close(fd);
	}
	fx_quarantine_finish(&q);
	p = (struct cas_publish){.quarantine = q.id, .flags = CAS_PUBLISH_CHECK_DIGESTS};
	FX_OK(cas_publish(f->s, &p, &done, &err), &err);
	assert_int_equal(done.objects, 7);
	for (size_t i = 0; i < 7; i++) {
		int fd;

		FX_OK(view_object_open(
			  cas_store_objects_fd(f->s), &a[i].object.digest, sizes[i], &fd, &err),
		    &err);
		close(fd);
	}
	/* and now the store has them */
	fx_quarantine(f, &q);
	{
		int fd = source(f, "file");

		fill(fd, 3500000, 6);
		FX_OK(cas_quarantine_add_fd(q.q, fd, "file", &again, &err), &err);
		assert_false(again.is_new);
		close(fd);
	}
	fx_quarantine_abandon(&q);
}

static void test_holes_stay_holes(void **state)
{
	struct fx *f = *state;
	struct orch_err err = ORCH_ERR_INIT;
	struct cas_published done;
	struct fx_quarantine q;
	struct cas_publish p;
	struct cas_added a;
	struct stat st;
	int fd = source(f, "sparse"), object;

	assert_int_equal(pwrite(fd, "begin", 5, 0), 5);
	assert_int_equal(pwrite(fd, "middle", 6, 20 << 20), 6);
	assert_int_equal(ftruncate(fd, 40 << 20), 0);
	assert_int_equal(fstat(fd, &st), 0);
	if (st.st_blocks * 512 > (1 << 20))
		skip(); /* this file system has no holes */
	fx_quarantine(f, &q);
	FX_OK(cas_quarantine_add_fd(q.q, fd, "sparse", &a, &err), &err);
	check_taken(fd, &a, cas_store_seed(f->s));
	close(fd);
	fx_quarantine_finish(&q);
	p = (struct cas_publish){.quarantine = q.id, .flags = CAS_PUBLISH_CHECK_DIGESTS};
	FX_OK(cas_publish(f->s, &p, &done, &err), &err);
	FX_OK(
	    view_object_open(cas_store_objects_fd(f->s), &a.object.digest, 40 << 20, &object, &err),
	    &err);
	assert_int_equal(fstat(object, &st), 0);
	assert_true(st.st_blocks * 512 <= (1 << 20));
	close(object);
}

/* ---- sources that change ---- */

struct writer {
	int fd;
	atomic_bool stop;
	atomic_uint writes;
};

static void *keep_writing(void *arg)
{
	struct writer *w = arg;

	for (unsigned i = 0; !atomic_load(&w->stop); i++) {
		struct timespec t[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = i, .tv_nsec = i}};

		if (pwrite(w->fd, &i, sizeof(i), 0) == (ssize_t)sizeof(i))
			atomic_fetch_add(&w->writes, 1u);
		futimens(w->fd, t); /* a clock whose ticks are finer than any */
	}
	return NULL;
}

static void test_changing_file_is_named(void **state)
{
	struct fx *f = *state;
	struct orch_err err = ORCH_ERR_INIT;
	struct fx_quarantine q;
	struct cas_added a;
	struct writer w = {.fd = source(f, "busy")};
	struct cas_quarantine_stats stats;
	pthread_t t;
	int r;

	fill(w.fd, 8 << 20, 1);
	fx_quarantine(f, &q);
	assert_int_equal(pthread_create(&t, NULL, keep_writing, &w), 0);
	while (atomic_load(&w.writes) == 0)
		sched_yield();
	r = cas_quarantine_add_fd(q.q, w.fd, "some/busy.log", &a, &err);
	atomic_store(&w.stop, true);
	pthread_join(t, NULL);
	cas_quarantine_stats(q.q, &stats);
	if (r ==
	    0) { /* an instant between two writes: a clone, or a writer that had no CPU meanwhile */
		assert_int_equal(a.st.st_size, a.object.size);
	} else {
		assert_int_equal(r, -EAGAIN);
		assert_non_null(strstr(err.msg, "some/busy.log"));
	}
	/* at rest it is taken, and nothing is left of the tries */
	FX_OK(cas_quarantine_add_fd(q.q, w.fd, "some/busy.log", &a, &err), &err);
	check_taken(w.fd, &a, cas_store_seed(f->s));
	close(w.fd);
	fx_quarantine_finish(&q);
}

static void test_not_a_file(void **state)
{
	struct fx *f = *state;
	struct fx_quarantine q;
	struct cas_added a;
	int fd = open(f->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	fx_quarantine(f, &q);
	assert_int_equal(cas_quarantine_add_fd(q.q, fd, "dir", &a, NULL), -EINVAL);
	close(fd);
	fx_quarantine_abandon(&q);
}

/* ---- threads ---- */

struct hasher {
	struct fx_quarantine *q;
	unsigned first;
	unsigned news;
};

static void *add_many(void *arg)
{
	struct hasher *h = arg;
	struct cas_added a;
	struct orch_digest d;
	char text[400];

	for (unsigned i = 0; i < 400; i++) {
		int n = snprintf(text, sizeof(text), "%u", (i + h->first) % 400);

		if (cas_quarantine_add_bytes(h->q->q, text, (size_t)n, &a, NULL) < 0)
			abort();
		h->news += a.is_new;
	}
	if (cas_quarantine_add_record(h->q->q, FMT_PACK_SNAPSHOT, "x", 1, &d, NULL) < 0)
		abort();
	return NULL;
}

static void test_threads_share_one(void **state)
{
	struct fx *f = *state;
	struct cas_quarantine_stats stats;
	struct fx_quarantine q;
	struct hasher h[4];
	pthread_t t[4];
	unsigned news = 0;

	fx_quarantine(f, &q);
	for (unsigned i = 0; i < 4; i++) {
		h[i] = (struct hasher){&q, i * 50, 0};
		assert_int_equal(pthread_create(&t[i], NULL, add_many, &h[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		news += h[i].news;
	}
	assert_int_equal(news, 400);
	cas_quarantine_stats(q.q, &stats);
	assert_int_equal(stats.objects, 400);
	assert_int_equal(stats.records, 1);
	assert_int_equal(stats.hashed_bytes, 4 * (10 + 90 * 2 + 300 * 3));
	fx_quarantine_finish(&q);
}

static void test_folder_must_be_empty(void **state)
{
	struct fx *f = *state;
	struct orch_err err = ORCH_ERR_INIT;
	struct fx_quarantine q;
	struct cas_quarantine *other = NULL;
	struct cas_quarantine_spec spec;

	fx_quarantine(f, &q);
	assert_int_equal(mkdirat(q.fd, "00", 0700), 0);
	spec = (struct cas_quarantine_spec){.dirfd = q.fd,
	    .objects_fd = cas_store_objects_fd(f->s),
	    .packset = cas_store_packset(f->s)};
	assert_int_equal(cas_quarantine_open(&spec, &other, &err), -ENOTEMPTY);
	fx_quarantine_abandon(&q);
}

#ifdef ORCH_FAULT_INJECTION
#include "core/fault.h"

static void test_failed_write_spoils_it(void **state)
{
	struct fx *f = *state;
	struct fx_quarantine q;
	struct cas_added a;

	fx_quarantine(f, &q);
	assert_int_equal(orch_fault_set("write:1:ENOSPC"), 0);
	assert_int_equal(cas_quarantine_add_bytes(q.q, "abc", 3, &a, NULL), -ENOSPC);
	assert_int_equal(orch_fault_set(NULL), 0);
	assert_int_equal(cas_quarantine_finish(q.q, NULL), -ENOSPC);
	fx_quarantine_abandon(&q);
}

static void test_failed_reading_can_be_repeated(void **state)
{
	struct fx *f = *state;
	struct fx_quarantine q;
	struct cas_added a;
	int fd = source(f, "file");

	fill(fd, 600000, 1);
	fx_quarantine(f, &q);
	assert_int_equal(orch_fault_set("read:1:EIO"), 0);
	assert_int_equal(cas_quarantine_add_fd(q.q, fd, "file", &a, NULL), -EIO);
	assert_int_equal(orch_fault_set(NULL), 0);
	FX_OK(cas_quarantine_add_fd(q.q, fd, "file", &a, NULL), NULL);
	fx_quarantine_finish(&q);
	close(fd);
}
#endif

#define T(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_manifest_round_trip),
	    T(test_files_of_every_size),
	    T(test_holes_stay_holes),
	    T(test_changing_file_is_named),
	    T(test_not_a_file),
	    T(test_threads_share_one),
	    T(test_folder_must_be_empty),
#ifdef ORCH_FAULT_INJECTION
	    T(test_failed_write_spoils_it),
	    T(test_failed_reading_can_be_repeated),
#endif
	};

	return tap_run(tests);
}
