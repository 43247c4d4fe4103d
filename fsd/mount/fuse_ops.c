/* The table of operations, what the kernel can do, and what we want of it. */
#include <linux/capability.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "core/log.h"
#include "fsd/mount/fuse_door_priv.h"

#define MAX_WRITE (1u << 20)

/* struct fuse_backing_map and its ioctls, of the kernel's header since Linux 6.9 */
struct backing_map {
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};
#define BACKING_OPEN  _IOW(229, 1, struct backing_map)
#define BACKING_CLOSE _IOW(229, 2, uint32_t)

/* PROC_USER_INIT_INO of the kernel, which does not change */
#define INITIAL_USERNS_INO 0xEFFFFFFDU

static uint64_t capable(const struct fuse_conn_info *conn)
{
#if MNT_FUSE_MODERN
	return conn->capable_ext;
#else
	return conn->capable;
#endif
}

static void want(struct fuse_conn_info *conn, uint64_t flag, bool on)
{
	if (!(capable(conn) & flag))
		return;
#if MNT_FUSE_MODERN
	if (on)
		fuse_set_feature_flag(conn, flag);
	else
		fuse_unset_feature_flag(conn, flag);
#else
	if (on)
		conn->want |= (unsigned)flag;
	else
		conn->want &= ~(unsigned)flag;
#endif
}

#if MNT_FUSE_MODERN
static int backing_open(void *priv, int fd)
{
	struct mnt_door *d = priv;
	struct backing_map map = {.fd = fd};

	return ioctl(fuse_session_fd(d->session), BACKING_OPEN, &map);
}

static void backing_close(void *priv, int backing)
{
	struct mnt_door *d = priv;
	uint32_t id = (uint32_t)backing;

	(void)ioctl(fuse_session_fd(d->session), BACKING_CLOSE, &id);
}

/* Not one that some user has made for himself. */
static bool is_initial_userns(void)
{
	struct stat st;

	return stat("/proc/self/ns/user", &st) == 0 && st.st_ino == INITIAL_USERNS_INO;
}

/* Registering a file takes CAP_SYS_ADMIN on the whole machine, which the kernel's offer does not mean that we have. */
static bool may_register(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	return is_initial_userns() && syscall(SYS_capget, &head, data) == 0 &&
	       (data[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective & CAP_TO_MASK(CAP_SYS_ADMIN));
}
#endif

void mnt_fuse_use_passthrough(struct mnt_door *d)
{
#if MNT_FUSE_MODERN
	mnt_contents_set_backing(d->contents,
	    &(struct mnt_backing_ops){.open = backing_open, .close = backing_close, .priv = d});
#endif
}

static void want_passthrough(struct mnt_door *d, struct fuse_conn_info *conn)
{
#if MNT_FUSE_MODERN
	if (!d->config.passthrough || !(capable(conn) & FUSE_CAP_PASSTHROUGH) || !may_register())
		return;
	want(conn, FUSE_CAP_PASSTHROUGH, true);
	conn->max_backing_stack_depth = 1;
	d->passthrough = true;
	if (d->contents) /* else they are not there yet */
		mnt_fuse_use_passthrough(d);
#endif
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	static const uint64_t wanted[] = {FUSE_CAP_PARALLEL_DIROPS, FUSE_CAP_CACHE_SYMLINKS,
	    FUSE_CAP_ATOMIC_O_TRUNC, FUSE_CAP_READDIRPLUS, FUSE_CAP_READDIRPLUS_AUTO,
	    FUSE_CAP_ASYNC_READ, FUSE_CAP_SPLICE_WRITE, FUSE_CAP_SPLICE_MOVE,
	    FUSE_CAP_NO_OPENDIR_SUPPORT};
	/* ASYNC_DIO: the kernel leaves pages that were read during such a write in its cache, stale */
	static const uint64_t unwanted[] = {FUSE_CAP_WRITEBACK_CACHE, FUSE_CAP_AUTO_INVAL_DATA,
	    FUSE_CAP_HANDLE_KILLPRIV, FUSE_CAP_NO_OPEN_SUPPORT, FUSE_CAP_POSIX_LOCKS,
	    FUSE_CAP_FLOCK_LOCKS, FUSE_CAP_SPLICE_READ, FUSE_CAP_POSIX_ACL, FUSE_CAP_EXPORT_SUPPORT,
	    FUSE_CAP_ASYNC_DIO};
	struct mnt_door *d = userdata;

	for (size_t i = 0; i < ORCH_ARRAY_LEN(wanted); i++)
		want(conn, wanted[i], true);
	for (size_t i = 0; i < ORCH_ARRAY_LEN(unwanted); i++)
		want(conn, unwanted[i], false);
#ifdef FUSE_CAP_HANDLE_KILLPRIV_V2
	/* Without it the kernel asks for security.capability before each write, passthrough too:
	 * 50 us a write. With it set-id bits are ours to drop, see drop_set_ids in fuse_open.c. */
	want(conn, FUSE_CAP_HANDLE_KILLPRIV_V2, true);
#endif
	conn->max_write = MAX_WRITE;
	conn->time_gran = 1;
#if MNT_FUSE_MODERN
	conn->no_interrupt = 1;
#endif
	want_passthrough(d, conn);
	orch_log(ORCH_LOG_INFO, "mount", "connected", "data=%s protocol=%u.%u",
	    mnt_door_data_path(d), conn->proto_major, conn->proto_minor);
	pthread_mutex_lock(&d->freeze_lock);
	d->hello = true;
	pthread_cond_broadcast(&d->greeted);
	pthread_mutex_unlock(&d->freeze_lock);
}

const struct fuse_lowlevel_ops mnt_fuse_ops = {
    .init = op_init,
    .lookup = mnt_fuse_lookup,
    .forget = mnt_fuse_forget,
    .forget_multi = mnt_fuse_forget_multi,
    .getattr = mnt_fuse_getattr,
    .setattr = mnt_fuse_setattr,
    .readlink = mnt_fuse_readlink,
    .mknod = mnt_fuse_mknod,
    .mkdir = mnt_fuse_mkdir,
    .unlink = mnt_fuse_unlink,
    .rmdir = mnt_fuse_rmdir,
    .symlink = mnt_fuse_symlink,
    .rename = mnt_fuse_rename,
    .link = mnt_fuse_link,
    .open = mnt_fuse_open,
    .create = mnt_fuse_create,
    .read = mnt_fuse_read,
    .write_buf = mnt_fuse_write_buf,
    .release = mnt_fuse_release,
    .fsync = mnt_fuse_fsync,
    .opendir = mnt_fuse_opendir,
    .readdir = mnt_fuse_readdir,
    .readdirplus = mnt_fuse_readdirplus,
    .fsyncdir = mnt_fuse_fsyncdir,
    .statfs = mnt_fuse_statfs,
    .getxattr = mnt_fuse_getxattr,
    .listxattr = mnt_fuse_listxattr,
    .setxattr = mnt_fuse_setxattr,
    .removexattr = mnt_fuse_removexattr,
    .fallocate = mnt_fuse_fallocate,
    .lseek = mnt_fuse_lseek,
    .copy_file_range = mnt_fuse_copy_file_range,
#if MNT_FUSE_MODERN
    .tmpfile = mnt_fuse_tmpfile,
#endif
};
