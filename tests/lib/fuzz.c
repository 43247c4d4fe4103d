/*
 * The plain main of a fuzz target: replays its corpus, each input also cut short at every length and
 * damaged in many reproducible ways, and says so in TAP. A crash, a hang or a sanitizer's report ends
 * the program, which is the failure. With arguments it runs those files, once each: what a fuzzer
 * found goes into the corpus. (For a real fuzzer, link the target with that fuzzer's main instead:
 * docs/testing.md.) Single-threaded.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/fuzz.h"

enum { INPUT_MAX_BYTES = 1 << 20, CUTS_MAX = 4096, DAMAGES_MAX = 2000, SECONDS_MAX = 60 };
enum {
	RUNS_MAX = 5000
}; /* of cuts, and of damages, of a whole corpus: a large one takes no longer */

struct input {
	uint8_t *data;
	size_t size;
};

/* xorshift64*: the same sequence everywhere, so that a failure can be repeated. */
static uint64_t next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545F4914F6CDD1DULL;
}

/* The parser gets memory of exactly this size, so that a sanitizer sees one byte too many. */
static void run_exact(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy)
		abort();
	memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

static int read_input(int dirfd, const char *name, struct input *out)
{
	struct stat st;
	ssize_t got;
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size > INPUT_MAX_BYTES) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	out->data = malloc((size_t)st.st_size + 1);
	got = out->data ? read(fd, out->data, (size_t)st.st_size) : -1;
	close(fd);
	if (got < 0) {
		free(out->data);
		return -1;
	}
	out->size = (size_t)got;
	return 0;
}

static int smaller(int a, int b)
{
	return a < b ? a : b;
}

static void cut(const struct input *in, int most)
{
	size_t step = in->size / (size_t)most + 1;

	for (size_t n = 0; n < in->size; n += step)
		run_exact(in->data, n);
}

static void damage(const struct input *in, int times, uint64_t seed)
{
	static const uint8_t edges[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
	uint8_t *copy = malloc(in->size);
	uint64_t state = seed | 1;

	if (!copy)
		abort();
	for (int i = 0; i < times; i++) {
		unsigned changes = 1 + (unsigned)(next_random(&state) % 4);

		memcpy(copy, in->data, in->size);
		for (unsigned k = 0; k < changes; k++) {
			uint64_t r = next_random(&state);
			size_t at = (size_t)(r >> 16) % in->size;

			if (r & 1)
				copy[at] ^= (uint8_t)(1U << ((r >> 1) & 7));
			else
				copy[at] = edges[(r >> 1) % sizeof(edges)];
		}
		run_exact(copy, in->size);
	}
	free(copy);
}

static int replay(int dirfd, const char *name, int number, int count)
{
	struct input in;

	if (read_input(dirfd, name, &in)) {
		printf("not ok %d - %s: can't be read\n", number, name);
		return 1;
	}
	alarm(SECONDS_MAX);
	run_exact(in.data, in.size);
	cut(&in, smaller(CUTS_MAX, RUNS_MAX / count + 1));
	if (in.size)
		damage(&in, smaller(DAMAGES_MAX, RUNS_MAX / count + 1),
		    in.size * 0x9E3779B97F4A7C15ULL);
	alarm(0);
	free(in.data);
	printf("ok %d - %s\n", number, name);
	return 0;
}

static int is_input(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

static int replay_corpus(const char *program)
{
	const char *slash = strrchr(program, '/');
	const char *top = getenv("top_srcdir");
	struct dirent **entries;
	char folder[4096];
	int failed = 0, dirfd, count;

	snprintf(folder, sizeof(folder), "%s/tests/fuzz/corpus/%s", top ? top : ".",
	    slash ? slash + 1 : program);
	dirfd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	count = scandir(folder, &entries, is_input, alphasort);
	if (dirfd < 0 || count <= 0) {
		printf("1..1\nnot ok 1 - no corpus in %s\n", folder);
		return 1;
	}
	printf("1..%d\n", count);
	for (int i = 0; i < count; i++) {
		failed |= replay(dirfd, entries[i]->d_name, i + 1, count);
		free(entries[i]);
	}
	free(entries);
	close(dirfd);
	return failed;
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 2)
		return replay_corpus(argv[0]);
	for (int i = 1; i < argc; i++) {
		struct input in;

		if (read_input(AT_FDCWD, argv[i], &in)) {
			fprintf(stderr, "%s: can't be read\n", argv[i]);
			return 2;
		}
		run_exact(in.data, in.size);
		free(in.data);
	}
	return 0;
}
