/*
 * A fuzz target is one function, by the name that every fuzzer knows. It gives the bytes to a parser
 * and checks what must hold of the result (a round trip, say) with fuzz_must(); it returns 0.
 */
#ifndef ORCH_TESTS_LIB_FUZZ_H
#define ORCH_TESTS_LIB_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

__attribute__((visibility("default"))) int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold whatever the input is; memory is there. */
static inline void fuzz_must(bool holds)
{
	if (!holds)
		abort();
}

/* The bytes as a C string (up to the first NUL), in memory of just that size. free() it. */
static inline char *fuzz_text(const void *p, size_t n)
{
	char *text = n ? strndup((const char *)p, n) : strdup("");

	fuzz_must(text != NULL);
	return text;
}

/* Input that is read from its begin; beyond its end there are zeros. */
struct fuzz_input {
	const uint8_t *p;
	size_t left;
};

static inline uint8_t fuzz_u8(struct fuzz_input *in)
{
	if (in->left == 0)
		return 0;
	in->left--;
	return *in->p++;
}

/* The bytes up to the next `end`, which goes with them, or all that are left. */
static inline struct fuzz_input fuzz_part(struct fuzz_input *in, char end)
{
	const uint8_t *at = in->left ? memchr(in->p, end, in->left) : NULL;
	struct fuzz_input part = {in->p, at ? (size_t)(at - in->p) : in->left};
	size_t used = part.left + (at != NULL);

	in->p += used;
	in->left -= used;
	return part;
}

/* As fuzz_part, as a C string. free() it. */
static inline char *fuzz_word(struct fuzz_input *in, char end)
{
	struct fuzz_input part = fuzz_part(in, end);

	return fuzz_text(part.p, part.left);
}

#endif
