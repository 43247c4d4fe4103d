/*
 * What orch-init reads. The first byte of the input tells which: 'o' its command line, a word a line; 'e' an
 * environment; 'r' a message of who started it; 's' a process's name in /proc, up to a newline, and its stat line.
 */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include "providers/init_protocol.h"
#include "shim/init_parse.h"
#include "tests/lib/fuzz.h"

enum { WORDS_MAX = 64 };

static bool is_one_of(const char *s, char **words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (words[i] == s)
			return true;
	return false;
}

/* What it accepts can be done as it stands: nobody stays root who asked not to. */
static void check_options(const struct shim_init_options *o, char **words, size_t count)
{
	fuzz_must(o->control >= -1 && o->env >= -1);
	fuzz_must((o->uid < 0) == (o->gid < 0));
	fuzz_must(o->uid >= -1 && o->uid < (long)UINT32_MAX);
	fuzz_must(o->gid >= -1 && o->gid < (long)UINT32_MAX);
	fuzz_must(o->own_count <= SHIM_INIT_OWN_MAX && o->freeze_count <= SHIM_INIT_FREEZE_MAX);
	fuzz_must(o->own_count == 0 || o->uid >= 0);
	for (size_t i = 0; i < o->own_count; i++)
		fuzz_must(is_one_of(o->own[i], words, count));
	for (size_t i = 0; i < o->freeze_count; i++)
		fuzz_must(is_one_of(o->freeze[i], words, count));
	fuzz_must(o->cwd == NULL || is_one_of(o->cwd, words, count));
	fuzz_must(o->command > words && o->command < words + count && *o->command != NULL);
	fuzz_must(strcmp(o->command[-1], "--") == 0);
}

static void options(struct fuzz_input *in)
{
	char *words[WORDS_MAX + 1] = {NULL};
	struct shim_init_options o;
	const char *wrong = NULL;
	size_t count = 0;

	while (in->left > 0 && count < WORDS_MAX)
		words[count++] = fuzz_word(in, '\n');
	if (shim_init_options_parse(words, &o, &wrong) < 0)
		fuzz_must(wrong != NULL && *wrong);
	else
		check_options(&o, words, count);
	for (size_t i = 0; i < count; i++)
		free(words[i]);
}

/* Joined again it is what it was. */
static void environment(const struct fuzz_input *in)
{
	char *text = calloc(in->left + 1, 1), **env;
	size_t at = 0;

	fuzz_must(text != NULL);
	memcpy(text, in->p, in->left);
	env = shim_init_environment_parse(text, in->left);
	fuzz_must(env != NULL);
	for (char **e = env; *e != NULL; e++) {
		fuzz_must(*e == text + at);
		at += strlen(*e) + 1;
	}
	fuzz_must(at == in->left || at == in->left + 1);
	free(env);
	free(text);
}

static void request(const struct fuzz_input *in)
{
	struct prv_init_message m = {.magic = PRV_INIT_MAGIC,
	    .version = PRV_INIT_VERSION,
	    .kind = PRV_INIT_SIGNAL,
	    .value = SIGTERM};
	int signal = shim_init_request_parse(in->p, in->left);

	fuzz_must(signal >= 0 && signal < NSIG);
	fuzz_must(signal == 0 || in->left == sizeof(m));
	fuzz_must(shim_init_request_parse(&m, sizeof(m)) == SIGTERM);
	memcpy(&m.value, in->p, in->left < sizeof(m.value) ? in->left : sizeof(m.value));
	signal = shim_init_request_parse(&m, sizeof(m));
	fuzz_must(signal == (m.value > 0 && m.value < NSIG ? m.value : 0));
}

/* A process may call itself anything of 15 bytes; that changes nothing of the rest. */
static void process(struct fuzz_input *in)
{
	char *name = fuzz_word(in, '\n'), *text = fuzz_text(in->p, in->left), again[32], line[64];
	pid_t pid = shim_init_pid_parse(name);
	struct shim_init_stat s = {.state = 0};

	fuzz_must(pid >= 0);
	snprintf(again, sizeof(again), "%d", (int)pid);
	fuzz_must(pid == 0 || strcmp(again, name + strspn(name, "0")) == 0);
	if (shim_init_stat_parse(text, &s))
		fuzz_must(s.state != 0 && strchr(text, ')') != NULL);
	snprintf(line, sizeof(line), "12 (%.15s) T -3 4 5 -1", text);
	fuzz_must(
	    shim_init_stat_parse(line, &s) && s.state == 'T' && s.parent == -3 && s.group == 4);
	free(name);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};

	switch (fuzz_u8(&in)) {
	case 'o':
		options(&in);
		break;
	case 'e':
		environment(&in);
		break;
	case 'r':
		request(&in);
		break;
	case 's':
		process(&in);
		break;
	default:
		break;
	}
	return 0;
}
