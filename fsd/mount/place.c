/* The mount calls of Linux 5.2. See place.h. */
#include "fsd/mount/place.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>
#include "core/fd.h"
#include "core/mounts.h"

#define MOUNTS_MAX 64 /* of one workspace: its own, its views, copies that somebody made */

static int option(int fs, const char *key, const char *value)
{
	unsigned command = value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;

	return fsconfig(fs, command, key, value, 0) < 0 ? -errno : 0;
}

static int number(int fs, const char *key, unsigned value)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", value);
	return option(fs, key, text);
}

static int set_options(int fs, const struct mnt_place_spec *s, int fuse_fd)
{
	int r = option(fs, "source", s->source);

	if (r == 0)
		r = option(fs, "subtype", "orch");
	if (r == 0)
		r = number(fs, "fd", (unsigned)fuse_fd);
	if (r == 0)
		r = option(fs, "rootmode", "40000" /* S_IFDIR */);
	if (r == 0)
		r = number(fs, "user_id", geteuid());
	if (r == 0)
		r = number(fs, "group_id", getegid());
	if (r == 0)
		r = option(fs, "default_permissions", NULL);
	if (r == 0 && s->allow_other)
		r = option(fs, "allow_other", NULL);
	if (r == 0 && s->read_only)
		r = option(fs, "ro", NULL);
	return r;
}

/* The file system, not yet to be seen anywhere. */
static int make(const struct mnt_place_spec *s, int fuse_fd)
{
	unsigned attr = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOATIME |
			(s->read_only ? MOUNT_ATTR_RDONLY : 0);
	orch_auto(fd) int fs = fsopen("fuse", FSOPEN_CLOEXEC);
	int r;

	if (fs < 0)
		return -errno;
	r = set_options(fs, s, fuse_fd);
	if (r == 0 && fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		r = -errno;
	if (r < 0)
		return r;
	r = fsmount(fs, FSMOUNT_CLOEXEC, attr);
	return r < 0 ? -errno : r;
}

int mnt_place_mount(
    const struct mnt_place_spec *s, int *out_fuse_fd, uint64_t *out_id, struct orch_err *err)
{
	orch_auto(fd) int fuse_fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	orch_auto(fd) int mount = -1;
	int r;

	if (fuse_fd < 0)
		return orch_err_sys(err, errno, "/dev/fuse");
	mount = make(s, fuse_fd);
	if (mount < 0)
		return orch_err_sys(err, -mount, "make the file system of the mount");
	r = orch_mount_id_of(mount, out_id);
	if (r == 0 && move_mount(mount, "", s->folder, "",
			  MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		r = -errno;
	if (r < 0)
		return orch_err_sys(err, -r, "mount");
	*out_fuse_fd = fuse_fd;
	fuse_fd = -1;
	return 0;
}

int mnt_place_detach_all(const char *source, struct orch_err *err)
{
	struct orch_mount m;
	int r = 0;

	for (int i = 0; i < MOUNTS_MAX && r == 0; i++) {
		r = orch_mounts_find_source("fuse.orch", source, &m, err);
		if (r <= 0)
			return r;
		r = orch_mount_detach(&m, true);
		if (r == -ESTALE) /* moved or gone meanwhile: look again */
			r = 0;
	}
	return r < 0 ? orch_err_sys(err, -r, "unmount %s", m.path) : 0;
}

int mnt_place_unmount(uint64_t id, const char *source, bool lazy, struct orch_err *err)
{
	return orch_mount_remove(id, "fuse.orch", source, lazy, err);
}
