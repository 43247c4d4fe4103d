/*
 * What a keeper is told when it starts, and what it tells who started it: LISTEN_PID and LISTEN_FDS, a line each,
 * and behind them the text of the pipe. Without a line's end: the variable is not set.
 */
#include <limits.h>
#include <stdio.h>
#include "fsd/keeper/background.h"
#include "fsd/keeper/listen.h"
#include "tests/lib/fuzz.h"

/* Written without the parser: "0*" and the number. */
static bool says(const char *text, const char *number)
{
	return text != NULL && *text && strcmp(text + strspn(text, "0"), number) == 0;
}

static char *variable(struct fuzz_input *in)
{
	return in->left && memchr(in->p, '\n', in->left) ? fuzz_word(in, '\n') : NULL;
}

static void handed_over(const char *pid, const char *fds)
{
	static const pid_t selves[] = {1, 4711, INT_MAX};

	for (size_t i = 0; i < 3; i++) {
		char number[16];
		bool given = fsd_listen_env_parse(pid, fds, selves[i]);

		snprintf(number, sizeof(number), "%d", (int)selves[i]);
		fuzz_must(given == (says(pid, number) && says(fds, "1")));
	}
}

/* Only one text means that it is up; any other is an error. */
static void verdict(const char *text)
{
	struct orch_err err = ORCH_ERR_INIT;
	int r = fsd_background_parse(text, &err);

	if (strcmp(text, "ready\n") == 0)
		fuzz_must(r == 0 && err.code == 0);
	else
		fuzz_must(r < 0 && err.code == -r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	char *pid = variable(&in), *fds = variable(&in), *text = fuzz_text(in.p, in.left);

	handed_over(pid, fds);
	verdict(text);
	free(pid);
	free(fds);
	free(text);
	return 0;
}
