#include "core/proc_stat.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int orch_proc_stat_parse(const char *text, struct orch_proc_stat *out)
{
	const char *p = strrchr(text, ')');
	struct orch_proc_stat s;

	if (!p || sscanf(p + 1,
		      " %c %" SCNd32 " %" SCNd32 " %" SCNd32 " %*d %*d %" SCNu32
		      " %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %" SCNu64,
		      &s.state, &s.parent, &s.group, &s.session, &s.flags, &s.start_ticks) != 6)
		return -EIO;
	*out = s;
	return 0;
}
