/*
 * What the lookups of services/format cost: trees, the state of a layer, packs, the scan index. Prints
 * figures; the best of several rounds each, since others use the machine too. `make tests/perf/bench-format`
 * builds it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "format/overlay.h"
#include "format/pack.h"
#include "format/scan.h"
#include "format/tree.h"

#define ROUNDS 15
#define BATCH  20000

static uint64_t random_state = 88172645463325252u;

static uint64_t rnd(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void must(bool ok)
{
	if (!ok) {
		fprintf(stderr, "bench-format: a call failed\n");
		exit(1);
	}
}

struct query {
	char name[40];
	size_t len;
	uint64_t n;
};

static struct query queries[BATCH];

static void make_queries(uint64_t count, const char *suffix)
{
	for (size_t i = 0; i < BATCH; i++) {
		queries[i].n = rnd() % count;
		queries[i].len = (size_t)snprintf(queries[i].name, sizeof(queries[i].name),
		    "asset_%07llu.%s", (unsigned long long)queries[i].n, suffix);
	}
}

/* Nanoseconds of one call in the best round. */
static double best(void (*fn)(const void *arg), const void *arg)
{
	double least = 1e18;

	for (int i = 0; i < ROUNDS; i++) {
		double begin = now_ns();

		fn(arg);
		if (now_ns() - begin < least)
			least = now_ns() - begin;
	}
	return least / BATCH;
}

static void tree_find(const void *arg)
{
	uint32_t at;

	for (size_t i = 0; i < BATCH; i++)
		must(fmt_tree_find(arg, queries[i].name, queries[i].len, &at, NULL) == 0);
}

static void tree_miss(const void *arg)
{
	uint32_t at;

	for (size_t i = 0; i < BATCH; i++)
		must(fmt_tree_find(arg, queries[i].name, queries[i].len - 1, &at, NULL) < 0);
}

static void tree_entry(const void *arg)
{
	const struct fmt_tree *t = arg;
	struct fmt_entry e;

	for (uint32_t i = 0; i < BATCH; i++)
		must(fmt_tree_entry(t, (uint32_t)queries[i].n, &e, NULL) == 0);
}

static void bench_tree(uint32_t count)
{
	struct fmt_tree_builder *b = fmt_tree_builder_new();
	struct fmt_entry e = {
	    .type = FMT_REG, .mode = 0644, .uid = FMT_ID_OWNER, .gid = FMT_ID_OWNER};
	struct orch_buf out;
	struct fmt_tree t;
	double begin, build, check;
	char name[40];

	orch_buf_init(&out, (size_t)1 << 30);
	begin = now_ns();
	for (uint32_t i = 0; i < count; i++) {
		e.name = name;
		e.name_len = (size_t)snprintf(name, sizeof(name), "asset_%07u.mat", i);
		must(fmt_tree_builder_add(b, &e, NULL) == 0);
	}
	must(fmt_tree_builder_end(b, &out, NULL) == 0);
	build = now_ns() - begin;
	must(fmt_tree_open(out.data, out.len, &t, NULL) == 0);
	begin = now_ns();
	must(fmt_tree_check(out.data, out.len, NULL) == 0);
	check = now_ns() - begin;
	make_queries(count, "mat");
	printf(
	    "tree     %8u entries: find %5.0f ns, miss %5.0f ns, entry %3.0f ns, build %4.0f ns, "
	    "check %3.0f ns, %zu bytes each\n",
	    count, best(tree_find, &t), best(tree_miss, &t), best(tree_entry, &t), build / count,
	    check / count, out.len / count);
	orch_buf_fini(&out);
	fmt_tree_builder_free(b);
}

static void overlay_node(const void *arg)
{
	for (size_t i = 0; i < BATCH; i++)
		must(fmt_overlay_node(arg, queries[i].n + 2) != NULL);
}

static void overlay_no_node(const void *arg)
{
	for (size_t i = 0; i < BATCH; i++)
		must(fmt_overlay_node(arg, queries[i].n + 100000000) == NULL);
}

static void overlay_link(const void *arg)
{
	for (size_t i = 0; i < BATCH; i++)
		must(fmt_overlay_link(
			 arg, 1 + queries[i].n % 1000, queries[i].name, queries[i].len) != NULL);
}

static void overlay_no_link(const void *arg)
{
	for (size_t i = 0; i < BATCH; i++)
		must(fmt_overlay_link(arg, 1 + queries[i].n % 1000, queries[i].name,
			 queries[i].len - 1) == NULL);
}

static void bench_overlay(uint32_t count)
{
	struct fmt_overlay *o = fmt_overlay_new();
	double begin = now_ns(), fill;
	char name[40];

	for (uint32_t i = 0; i < count; i++) {
		struct fmt_layer_record n = {.kind = FMT_LAYER_NODE,
		    .node = {.ino = i + 2,
			.type = FMT_REG,
			.content = FMT_CONTENT_SPOOL,
			.uid = FMT_ID_OWNER,
			.gid = FMT_ID_OWNER,
			.mode = 0644,
			.spool_id = i}};
		struct fmt_layer_record l = {.kind = FMT_LAYER_LINK,
		    .link = {.parent = 1 + i % 1000, .ino = i + 2, .type = FMT_REG, .name = name}};

		l.link.name_len = (uint16_t)snprintf(name, sizeof(name), "asset_%07u.mat", i);
		must(fmt_overlay_apply(o, &n, i + 1) == 0 && fmt_overlay_apply(o, &l, i + 1) == 0);
	}
	fill = now_ns() - begin;
	make_queries(count, "mat");
	printf("overlay  %8u files:   node %5.0f ns, none %4.0f ns, link %4.0f ns, none %4.0f ns, "
	       "record %4.0f ns, %zu bytes each\n",
	    count, best(overlay_node, o), best(overlay_no_node, o), best(overlay_link, o),
	    best(overlay_no_link, o), fill / count, fmt_overlay_bytes(o) / count);
	fmt_overlay_free(o);
}

struct pack_case {
	struct fmt_pack pack;
	struct orch_digest *digests;
};

static void pack_find(const void *arg)
{
	const struct pack_case *c = arg;
	struct fmt_pack_record r;

	for (size_t i = 0; i < BATCH; i++)
		must(fmt_pack_find(&c->pack, FMT_PACK_TREE, &c->digests[queries[i].n], &r, NULL) ==
		     0);
}

static void pack_miss(const void *arg)
{
	const struct pack_case *c = arg;

	for (size_t i = 0; i < BATCH; i++)
		must(!fmt_pack_has(&c->pack, FMT_PACK_STAMPS, &c->digests[queries[i].n]));
}

static void bench_pack(uint32_t count)
{
	struct fmt_pack_writer *w = fmt_pack_writer_new();
	struct pack_case c = {.digests = calloc(count, sizeof(struct orch_digest))};
	static const uint8_t payload[200];
	struct orch_buf out;
	double begin, write, open;

	orch_buf_init(&out, (size_t)1 << 31);
	must(c.digests != NULL);
	for (uint32_t i = 0; i < count; i++)
		orch_sha256(&i, sizeof(i), &c.digests[i]);
	begin = now_ns();
	must(fmt_pack_writer_begin(w, &out) == 0);
	for (uint32_t i = 0; i < count; i++)
		must(fmt_pack_writer_add(
			 w, FMT_PACK_TREE, &c.digests[i], payload, sizeof(payload), &out) == 0);
	must(fmt_pack_writer_end(w, &out) == 0);
	write = now_ns() - begin;
	begin = now_ns();
	must(fmt_pack_open(out.data, out.len, &c.pack, NULL) == 0);
	open = now_ns() - begin;
	make_queries(count, "mat");
	printf(
	    "pack     %8u records: find %5.0f ns (with the checksum of 200 bytes), miss %4.0f ns, "
	    "write %4.0f ns, open %.1f ms\n",
	    count, best(pack_find, &c), best(pack_miss, &c), write / count, open / 1e6);
	orch_buf_fini(&out);
	fmt_pack_writer_free(w);
	free(c.digests);
}

static void scan_find(const void *arg)
{
	struct fmt_scan_entry e;

	for (size_t i = 0; i < BATCH; i++)
		must(fmt_scan_find(arg, queries[i].name, queries[i].len, &e) == 0);
}

static void bench_scan(uint32_t count)
{
	struct fmt_scan_head head = {0};
	struct fmt_scan_writer *w = fmt_scan_writer_new(&head);
	struct orch_buf out;
	struct fmt_scan s;
	double begin, open;
	char name[40];

	orch_buf_init(&out, (size_t)1 << 31);
	for (uint32_t i = 0; i < count; i++) {
		struct fmt_scan_entry e = {.path = name};

		e.path_len = (size_t)snprintf(name, sizeof(name), "asset_%07u.mat", i);
		must(fmt_scan_writer_add(w, &e, &out) == 0);
	}
	must(fmt_scan_writer_end(w, &out) == 0);
	begin = now_ns();
	must(fmt_scan_open(out.data, out.len, &s, NULL) == 0);
	open = now_ns() - begin;
	make_queries(count, "mat");
	printf("scan     %8u paths:   find %5.0f ns, open %.1f ms, %zu bytes each\n", count,
	    best(scan_find, &s), open / 1e6, out.len / count);
	orch_buf_fini(&out);
	fmt_scan_writer_free(w);
}

int main(void)
{
	for (uint32_t n = 100; n <= 1000000; n *= 10)
		bench_tree(n);
	for (uint32_t n = 1000; n <= 1000000; n *= 10)
		bench_overlay(n);
	for (uint32_t n = 1000; n <= 1000000; n *= 10)
		bench_pack(n);
	bench_scan(500000);
	return 0;
}
