/* Scan indexes: as they are, and with a right checksum; and one that is made of the input's lines, in which each
 * is found. */
#include "format/scan.h"
#include "tests/lib/fuzz.h"

static void read_all(const uint8_t *data, size_t size)
{
	static const char *const paths[] = {"a", "a-b", "a/b", "\xff", "", "zzzzzzzzzz"};
	struct fmt_scan_entry e;
	struct fmt_scan s;

	if (fmt_scan_open(data, size, &s, NULL) < 0)
		return;
	for (size_t i = 0; i < ORCH_ARRAY_LEN(paths); i++) {
		size_t len = strlen(paths[i]);

		if (fmt_scan_find(&s, paths[i], len, &e) == 0 &&
		    (e.path_len != len || memcmp(e.path, paths[i], len) != 0))
			abort();
	}
}

static int line_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static struct fmt_scan_entry entry_of(const char *path)
{
	struct fmt_scan_entry e = {.path = path, .path_len = strlen(path)};

	e.size = e.path_len;
	e.ino = orch_xxh64(path, e.path_len, 1);
	e.mtime_ns = -(int64_t)(e.ino >> 2);
	e.mode = (uint32_t)e.ino;
	e.has_xattrs = e.ino & 1;
	memset(e.object.b, path[0], sizeof(e.object.b));
	return e;
}

static void is_found(const struct fmt_scan *s, const char *path)
{
	struct fmt_scan_entry want = entry_of(path), e;

	fuzz_must(fmt_scan_find(s, path, want.path_len, &e) == 0);
	fuzz_must(e.path_len == want.path_len && memcmp(e.path, path, e.path_len) == 0);
	fuzz_must(e.size == want.size && e.ino == want.ino && e.mtime_ns == want.mtime_ns);
	fuzz_must(e.mode == want.mode && e.has_xattrs == want.has_xattrs);
	fuzz_must(orch_digest_eq(&e.object, &want.object));
}

static void write_lines(char **lines, size_t count, struct orch_buf *out)
{
	struct fmt_scan_head head = {.started_wall_ns = -5, .seed_check = 7};
	struct fmt_scan_writer *w = fmt_scan_writer_new(&head);

	fuzz_must(w != NULL);
	for (size_t i = 0; i < count; i++) {
		struct fmt_scan_entry e = entry_of(lines[i]);
		bool good = e.path_len > 0 && e.path_len <= 4095 &&
			    (i == 0 || strcmp(lines[i - 1], lines[i]) < 0);

		fuzz_must((fmt_scan_writer_add(w, &e, out) == 0) == good);
	}
	fuzz_must(fmt_scan_writer_end(w, out) == 0);
	fmt_scan_writer_free(w);
}

static void make_one(struct fuzz_input in)
{
	orch_auto(buf) struct orch_buf out = ORCH_BUF_INIT;
	struct fmt_scan s;
	char *lines[64];
	size_t count = 0;

	while (in.left > 0 && count < ORCH_ARRAY_LEN(lines))
		lines[count++] = fuzz_word(&in, '\n');
	qsort(lines, count, sizeof(lines[0]), line_cmp);
	write_lines(lines, count, &out);
	fuzz_must(fmt_scan_open(out.data, out.len, &s, NULL) == 0);
	fuzz_must(s.head.started_wall_ns == -5 && s.head.seed_check == 7);
	for (size_t i = 0; i < count; i++) {
		if (lines[i][0] != '\0' && strlen(lines[i]) <= 4095)
			is_found(&s, lines[i]);
		free(lines[i]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct orch_xxh128 *x;
	struct orch_fingerprint sum;
	uint8_t *p;

	read_all(data, size);
	make_one((struct fuzz_input){data, size});
	if (size < 16)
		return 0;
	p = malloc(size);
	x = orch_xxh128_new();
	if (p != NULL && x != NULL) {
		memcpy(p, data, size);
		orch_xxh128_reset(x, 0);
		orch_xxh128_add(x, p, size - 16);
		orch_xxh128_end(x, &sum);
		memcpy(p + size - 16, &sum.lo, 8);
		memcpy(p + size - 8, &sum.hi, 8);
		read_all(p, size);
	}
	free(p);
	orch_xxh128_free(x);
	return 0;
}
