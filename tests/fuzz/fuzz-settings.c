/*
 * The settings of orch-fsd: flags, a word a line up to an empty one, then the settings file. It is read from
 * memory, by its name in /proc.
 */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
#include "fsd/keeper/settings.h"
#include "tests/lib/fuzz.h"

enum { WORDS_MAX = 32 };

static int file_of(const struct fuzz_input *in)
{
	static int fd = -1;

	if (fd < 0)
		fd = memfd_create("fuzz-settings", MFD_CLOEXEC);
	fuzz_must(fd >= 0 && ftruncate(fd, 0) == 0);
	fuzz_must(pwrite(fd, in->p, in->left, 0) == (ssize_t)in->left);
	return fd;
}

static void check(const struct fsd_settings *s)
{
	fuzz_must(s->store[0] == '/' && s->socket[0] == '/' && s->mounts[0] == '/');
	fuzz_must(s->log_file == NULL || s->log_file[0] == '/');
	fuzz_must(s->group != NULL && s->config != NULL);
	fuzz_must(s->workers_max >= 1 && s->workers_max <= 256);
	fuzz_must(s->connections_max >= 4 && s->connections_max <= 4096);
	fuzz_must(s->mount_timeout_s >= 1 && s->client_timeout_s >= 1);
	fuzz_must(s->worker_timeout_s >= 10 && s->exit_idle_s <= 86400);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *argv[WORDS_MAX + 3] = {fuzz_text("orch-fsd", 8)}, config[64];
	struct fuzz_input in = {data, size};
	struct orch_err err = ORCH_ERR_INIT;
	struct fsd_settings s = {0};
	int argc = 2;

	while (in.left > 0 && argc <= WORDS_MAX + 1) {
		argv[argc] = fuzz_word(&in, '\n');
		if (!argv[argc++][0])
			break;
	}
	if (argc > 2 && !argv[argc - 1][0])
		free(argv[--argc]);
	snprintf(config, sizeof(config), "--config=/proc/self/fd/%d", file_of(&in));
	argv[1] = config;
	if (fsd_settings_load(&s, argc, argv, &err) < 0)
		fuzz_must(err.code != 0);
	else
		check(&s);
	fsd_settings_fini(&s);
	free(argv[0]);
	for (int i = 2; i < argc; i++)
		free(argv[i]);
	return 0;
}
