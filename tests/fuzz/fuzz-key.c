/* Cache keys: of any text comes a key that can be part of a ref's name; two texts give two keys. */
#include "core/path.h"
#include "core/strv.h"
#include "shim/key.h"
#include "tests/lib/fuzz.h"

static void is_ref(const char *key)
{
	orch_auto(strv) struct orch_strv refs = ORCH_STRV_INIT;

	fuzz_must(orch_strv_addf(&refs, "source/%s", key) == 0);
	fuzz_must(orch_ref_name_valid(refs.v[0]));
}

static char *key_of(const char *text)
{
	char *key = NULL;

	fuzz_must(shim_key_from_user(text, &key, NULL) == 0);
	is_ref(key);
	return key;
}

static void keys_differ(const char *a, const char *b)
{
	char *x, *y;

	if (!*a || !*b)
		return;
	x = key_of(a);
	y = key_of(b);
	fuzz_must((strcmp(a, b) == 0) == (strcmp(x, y) == 0));
	free(x);
	free(y);
}

static char *made_of(const struct shim_key_parts *parts)
{
	char *key = NULL;

	fuzz_must(shim_key_make(parts, &key, NULL) == 0);
	is_ref(key);
	return key;
}

/* Another branch is another key, as is another repository. */
static void parts_differ(char *const v[5])
{
	struct shim_key_parts a = {v[0], v[1], v[2], "generic", v[3], v[4]}, b = a, c = a;
	char *x, *y, *z;

	if (!*v[0] || !*v[1] || !*v[2])
		return;
	b.branch = "main";
	c.repository = "/r";
	x = made_of(&a);
	y = made_of(&b);
	z = made_of(&c);
	fuzz_must((strcmp(v[1], "main") == 0) == (strcmp(x, y) == 0));
	fuzz_must((strcmp(v[0], "/r") == 0) == (strcmp(x, z) == 0));
	free(x);
	free(y);
	free(z);
}

/* No credentials are left, and what is left stays as it is. */
static void repository(const char *url)
{
	char *once = shim_key_repository(url);

	fuzz_must(once != NULL && strlen(once) <= strlen(url));
	free(once);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	char *v[5];

	for (int i = 0; i < 5; i++)
		v[i] = fuzz_word(&in, '\n');
	keys_differ(v[0], v[1]);
	parts_differ(v);
	repository(v[0]);
	for (int i = 0; i < 5; i++)
		free(v[i]);
	return 0;
}
