/*
 * Texts of /proc, in which others' names stand: the line of a process (the input begins with '!'), else where a
 * control group lies (or, behind '@', the mappings of a process): controller, /proc/self/cgroup and /proc/self/mountinfo, each up to a NUL.
 */
#include <stdio.h>
#include "core/cgroup_place.h"
#include "core/proc_map.h"
#include "core/proc_stat.h"
#include "tests/lib/fuzz.h"

/* A process may call itself anything of 15 bytes; that changes nothing of the rest. */
static void process(const uint8_t *data, size_t size)
{
	char *name = fuzz_text(data, size < 15 ? size : 15), *text = fuzz_text(data, size);
	struct orch_proc_stat s = {.state = 0};
	char line[256];

	if (orch_proc_stat_parse(text, &s) == 0)
		fuzz_must(s.state != 0);
	snprintf(line, sizeof(line),
	    "12 (%s) S 3 4 5 -1 0 6 7 8 9 10 11 12 13 -14 15 16 17 18 18446744073709551615 0 0",
	    name);
	fuzz_must(orch_proc_stat_parse(line, &s) == 0);
	fuzz_must(s.state == 'S' && s.parent == 3 && s.group == 4 && s.session == 5);
	fuzz_must(s.start_ticks == UINT64_MAX && s.flags == 6);
	free(name);
	free(text);
}

static void group(struct fuzz_input *in)
{
	char *controller = fuzz_word(in, '\0'), *groups = fuzz_word(in, '\0');
	char *mounts = fuzz_word(in, '\0');
	char *place = orch_cgroup_place(groups, mounts, controller);

	fuzz_must(place == NULL || *place);
	free(place);
	free(controller);
	free(groups);
	free(mounts);
}

/* A line at a time, to the end; what a file is called changes nothing of the rest. */
static void mappings(const uint8_t *data, size_t size)
{
	char *name = fuzz_text(data, size), *text = NULL;
	struct orch_proc_map m = {.ino = 0};
	const char *p = name;

	for (const char *before = p; *p; before = p) {
		if (orch_proc_map_parse(&p, &m) == 0)
			fuzz_must(strcspn(before, "\n") >= 11);
		fuzz_must(p > before && (*p == '\0' || p[-1] == '\n'));
		fuzz_must(memchr(before, '\n', (size_t)(p - before - 1)) == NULL);
	}
	fuzz_must(asprintf(&text, "1-2 r--s 0 fe:1f 18446744073709551615 %s", name) > 0);
	p = text;
	fuzz_must(orch_proc_map_parse(&p, &m) == 0);
	fuzz_must(m.shared && m.major == 0xfe && m.minor == 0x1f && m.ino == UINT64_MAX);
	free(name);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};

	if (size > 0 && data[0] == '!')
		process(data + 1, size - 1);
	else if (size > 0 && data[0] == '@')
		mappings(data + 1, size - 1);
	else
		group(&in);
	return 0;
}
