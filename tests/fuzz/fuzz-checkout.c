/* A Git checkout, as anybody may have written it: HEAD, packed-refs, config, divided by empty lines. */
#include "core/path.h"
#include "shim/checkout.h"
#include "shim/key.h"
#include "tests/lib/fuzz.h"

static bool is_commit(const char *s)
{
	size_t n = strspn(s, "0123456789abcdef");

	return (n == 40 || n == 64) && s[n] == '\0';
}

/* Up to the first empty line. */
static char *paragraph(struct fuzz_input *in)
{
	const uint8_t *end = in->left ? memmem(in->p, in->left, "\n\n", 2) : NULL;
	size_t n = end ? (size_t)(end - in->p) : in->left;
	char *text = fuzz_text(in->p, n);

	n += end ? 2 : 0;
	in->p += n;
	in->left -= n;
	return text;
}

static void check_packed(const char *packed, const char *ref)
{
	char *commit = shim_checkout_packed(packed, ref);

	fuzz_must(commit == NULL || (is_commit(commit) && strstr(packed, commit) != NULL));
	free(commit);
}

static void check_remote(const char *config)
{
	char *url = shim_checkout_remote(config), *repository;

	if (url == NULL)
		return;
	fuzz_must(*url && strpbrk(url, "\n") == NULL && strstr(config, url) != NULL);
	repository = shim_key_repository(url);
	fuzz_must(repository != NULL && strlen(repository) <= strlen(url));
	free(repository);
	free(url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	char *head = paragraph(&in), *packed = paragraph(&in), *config = paragraph(&in), *said;
	bool is_ref = shim_checkout_head(head, &said);

	if (said != NULL && is_ref) {
		fuzz_must(strncmp(said, "refs/", 5) == 0 && orch_ref_name_valid(said));
		check_packed(packed, said);
	}
	fuzz_must(said == NULL || is_ref || is_commit(said));
	check_packed(packed, "refs/heads/main");
	check_remote(config);
	free(said);
	free(head);
	free(packed);
	free(config);
	return 0;
}
