/*
 * The command line and environment of a command: arguments up to an empty line, then the environment, a
 * line each. What was accepted is accepted again when it is given as flags.
 */
#include "shim/build_options.h"
#include "shim/cli.h"
#include "tests/lib/fuzz.h"

enum { WORDS_MAX = 64 };

struct words {
	char *v[WORDS_MAX + 1]; /* the last is NULL */
	int count;
};

/* Lines up to an empty one. */
static void take_words(struct fuzz_input *in, struct words *out)
{
	out->count = 0;
	while (in->left > 0 && out->count < WORDS_MAX) {
		char *word = fuzz_word(in, '\n');

		if (*word == '\0') {
			free(word);
			break;
		}
		out->v[out->count++] = word;
	}
	out->v[out->count] = NULL;
}

static void free_words(struct words *w)
{
	for (int i = 0; i < w->count; i++)
		free(w->v[i]);
}

static void warn(void *priv, const struct shim_value *v)
{
	(void)priv;
	fuzz_must(v->text != NULL && v->ambient);
}

static void check_value(const struct shim_value *v)
{
	fuzz_must((v->text == NULL) == (v->origin == SHIM_FROM_NOWHERE));
	fuzz_must(v->text == NULL || v->from != NULL);
	if (v->option->type == SHIM_NUMBER && v->text && v->text[0] &&
	    v->option->min != v->option->max)
		fuzz_must(strtoll(v->text, NULL, 10) >= v->option->min &&
			  strtoll(v->text, NULL, 10) <= v->option->max);
}

/* Every value that came from outside, as a flag of its own. */
static void same_as_flags(
    const struct shim_values *s, const struct shim_options *const *tables, size_t n)
{
	orch_auto(strv) struct orch_strv argv = ORCH_STRV_INIT;
	static const char *const none[] = {NULL};
	struct shim_values again;

	for (size_t i = 0; i < s->count; i++) {
		const struct shim_value *v = &s->v[i];

		for (size_t k = 0; v->origin > SHIM_FROM_DEFAULT && k < v->all.count; k++)
			if ((v->option->flags & SHIM_REPEATS) || k + 1 == v->all.count)
				fuzz_must(orch_strv_addf(
					      &argv, "--%s=%s", v->option->name, v->all.v[k]) == 0);
	}
	fuzz_must(shim_values_init(&again, tables, n) == 0);
	fuzz_must(shim_parse_flags(&again, (int)argv.count,
		      (const char *const *)orch_strv_argv(&argv), NULL) == 0);
	fuzz_must(shim_parse_env(&again, none, NULL) == 0 && shim_check(&again, NULL) == 0);
	for (size_t i = 0; i < s->count; i++) {
		const char *a = s->v[i].text, *b = again.v[i].text;

		if (!(s->v[i].option->flags & SHIM_REPEATS))
			fuzz_must(a && b ? strcmp(a, b) == 0 : a == b);
	}
	shim_values_fini(&again);
}

static void find_command(const struct words *w)
{
	const struct shim_command *c = NULL;
	struct orch_err err = ORCH_ERR_INIT;
	int used = 0;

	if (w->count == 0)
		return;
	if (shim_find_command(w->count, (const char *const *)w->v, &c, &used, &err) < 0)
		fuzz_must(err.code != 0);
	else
		fuzz_must(c != NULL && used <= w->count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct shim_options *tables[16] = {&shim_common_options};
	struct fuzz_input in = {data, size};
	struct orch_err err = ORCH_ERR_INIT;
	struct words args, env;
	struct shim_values s;
	size_t n = 1;
	int r;

	for (const struct shim_options *const *t = shim_build_options; *t && n < 16; t++)
		tables[n++] = *t;
	take_words(&in, &args);
	take_words(&in, &env);
	find_command(&args);
	fuzz_must(shim_values_init(&s, tables, n) == 0);
	r = shim_parse_flags(&s, args.count, (const char *const *)args.v, &err);
	if (r == 0)
		r = shim_parse_env(&s, (const char *const *)env.v, &err);
	if (r == 0)
		r = shim_check(&s, &err);
	if (r == 0) {
		for (size_t i = 0; i < s.count; i++)
			check_value(&s.v[i]);
		same_as_flags(&s, tables, n);
		r = shim_check_works(&s, warn, NULL, &err);
	}
	fuzz_must(r == 0 || (r == -EINVAL && err.code == EINVAL));
	shim_values_fini(&s);
	free_words(&args);
	free_words(&env);
	return 0;
}
