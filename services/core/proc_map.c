/* See proc_map.h. */
#include "core/proc_map.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* "start-end rwxs offset major:minor inode path"; all before the path is shorter. */
#define HEAD_BYTES 128

int orch_proc_map_parse(const char **text, struct orch_proc_map *out)
{
	size_t len = strcspn(*text, "\n"), n = len < HEAD_BYTES - 1 ? len : HEAD_BYTES - 1;
	char head[HEAD_BYTES], mode[5];
	struct orch_proc_map m;

	memcpy(head, *text, n);
	head[n] = '\0';
	*text += len + ((*text)[len] == '\n');
	if (sscanf(head, "%*s %4s %*s %x:%x %" SCNu64, mode, &m.major, &m.minor, &m.ino) != 4)
		return -EIO;
	m.shared = strlen(mode) == 4 && mode[3] == 's';
	*out = m;
	return 0;
}
