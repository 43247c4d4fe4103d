/* A store in a folder of its own, and quarantines filled with made-up trees. */
#ifndef ORCH_TESTS_UNIT_CACHE_FIXTURE_H
#define ORCH_TESTS_UNIT_CACHE_FIXTURE_H

#include "tests/lib/tap.h"

#include "cache/publish.h"
#include "cache/store.h"
#include "cache/store_priv.h"

struct fx {
	char root[256];	 /* removed by teardown */
	char store[300]; /* root/store */
	struct cas_store *s;
};

/* For cmocka_unit_test_setup_teardown: an open, empty store. */
int fx_setup(void **state);
int fx_teardown(void **state);
void fx_close(struct fx *f);
void fx_open(struct fx *f);
/* 0 or -errno, for opens that must fail. */
int fx_try_open(struct fx *f, struct orch_err *err);

/* Fails the test with the message of err when r < 0. */
void fx_ok(int r, const struct orch_err *err, const char *what);
#define FX_OK(call, err) fx_ok((call), (err), #call)

struct fx_quarantine {
	struct cas_store *s;
	char id[CAS_QUARANTINE_ID_BYTES];
	int fd;
	struct cas_quarantine *q;
	uint64_t next_ino;
};
void fx_quarantine(struct fx *f, struct fx_quarantine *out);
void fx_quarantine_finish(struct fx_quarantine *q); /* finishes, closes */
void fx_quarantine_abandon(struct fx_quarantine *q);

/* One entry of a folder to be made: a file with text, a link, or a folder that was made before. */
struct fx_made {
	struct orch_digest tree, stamps;
	uint64_t size, count;
};
struct fx_entry {
	const char *name;
	const char *text;	   /* file */
	const char *target;	   /* link */
	const struct fx_made *dir; /* folder */
	uint32_t mode;		   /* 0: 0644 or 0755 */
	int64_t mtime_ns;
	uint64_t ino; /* 0: the next one */
};
struct fx_made fx_folder(struct fx_quarantine *q, const struct fx_entry *e, size_t count);
struct orch_digest fx_snapshot(struct fx_quarantine *q, const struct fx_made *root);

/* A whole publish: a snapshot of `count` files whose content depends on seed; ref may be NULL. */
struct orch_digest fx_publish(struct fx *f, unsigned count, unsigned seed, const char *ref);
/* The same without publishing: fills a publish request. */
struct orch_digest fx_prepare(
    struct fx *f, unsigned count, unsigned seed, struct fx_quarantine *q, struct cas_publish *out);

void fx_object_of(const char *text, struct orch_digest *out);
/* XORs one byte of a file below the store. */
void fx_flip(struct fx *f, const char *path, long at);
/* The path of some object, "objects/ab/cd/..." */
void fx_object_path(const struct orch_digest *d, char out[100]);
bool fx_exists(struct fx *f, const char *path);

struct fx_bad { /* what verify told */
	unsigned count, repaired;
	char text[8192]; /* "kind name: error\n"... */
};
void fx_verify(struct fx *f, bool repair, struct fx_bad *out);

#endif
