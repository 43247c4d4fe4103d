/* Sealed layers read back; see layers.h. */
#include "sync/layers.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include "core/fd.h"
#include "core/path.h"
#include "view/layer_log.h"

#define NAME_BYTES 64

static int replay(int layer_fd, uint64_t layer, struct fmt_overlay *o, struct orch_err *err)
{
	struct view_log log;
	int r = view_log_replay(layer_fd, o, &log, err);

	if (r < 0)
		return r;
	if (log.head.layer != layer)
		return orch_err_set(
		    err, ORCH_ECORRUPT, "its log is of layer %" PRIu64, log.head.layer);
	if (!log.sealed)
		return orch_err_set(err, ORCH_ECORRUPT, "it is not sealed: its end is missing");
	return 0;
}

int sync_layer_replay(int layers_fd, uint64_t layer, struct fmt_overlay *o, struct orch_err *err)
{
	orch_auto(fd) int fd = -1;
	char name[NAME_BYTES];
	int r;

	snprintf(name, sizeof(name), "%" PRIu64, layer);
	fd = openat(layers_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return orch_err_sys(err, errno, "layer %" PRIu64, layer);
	r = replay(fd, layer, o, err);
	if (r < 0)
		orch_err_wrap(err, "layer %" PRIu64, layer);
	return r;
}

int sync_layer_open_spool(int layers_fd, uint64_t layer, uint64_t spool)
{
	char name[NAME_BYTES];

	snprintf(name, sizeof(name), "%" PRIu64 "/spool/%" PRIu64, layer, spool);
	return orch_open_nolinks(layers_fd, name, O_RDONLY, 0);
}
