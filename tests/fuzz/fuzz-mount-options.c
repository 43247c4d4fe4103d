/* The command line of orch-mount, a word a line. */
#include "fsd/mount/options.h"
#include "tests/lib/fuzz.h"

enum { WORDS_MAX = 32 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *argv[WORDS_MAX + 2] = {fuzz_text("orch-mount", 10)}, *words[WORDS_MAX + 1];
	struct fuzz_input in = {data, size};
	struct orch_err err = ORCH_ERR_INIT;
	struct mnt_options o;
	int argc = 1;

	while (in.left > 0 && argc <= WORDS_MAX)
		argv[argc++] = fuzz_word(&in, '\n');
	memcpy(words, argv, sizeof(words)); /* it may move them */
	if (mnt_options_parse(argc, argv, &o, &err) < 0)
		fuzz_must(err.code == ORCH_EUSAGE);
	else
		fuzz_must(o.objects_fd >= 0 && o.packs_fd >= 0 && o.layers_fd >= 0 &&
			  o.layer != 0 && o.ready_fd >= -1 && o.mountpoint[0] == '/' &&
			  o.control[0] == '/');
	for (int i = 0; i < argc; i++)
		free(words[i]);
	return 0;
}
