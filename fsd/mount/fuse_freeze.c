/* Freezing: requests that would change something are put aside as they were read. */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "fsd/mount/fuse_door_priv.h"

/* As it was read. */
struct mnt_fuse_parked {
	struct mnt_fuse_parked *next;
	struct fuse_buf buf;
};

/* Of struct fuse_in_header and struct fuse_open_in, the kernel's protocol. */
#define HEADER_BYTES 40
#define OPCODE_AT    4

static bool changes(const struct fuse_buf *b)
{
	/* SETATTR SYMLINK MKNOD MKDIR UNLINK RMDIR RENAME LINK WRITE SETXATTR REMOVEXATTR CREATE
	 * FALLOCATE RENAME2 COPY_FILE_RANGE TMPFILE */
	static const uint32_t codes[] = {
	    4, 6, 8, 9, 10, 11, 12, 13, 16, 21, 24, 35, 43, 45, 47, 51};
	const uint32_t open_code = 14;
	uint32_t code, flags;

	if (b->size < HEADER_BYTES || (b->flags & FUSE_BUF_IS_FD))
		return false;
	memcpy(&code, (const char *)b->mem + OPCODE_AT, sizeof(code));
	if (code == open_code && b->size >= HEADER_BYTES + sizeof(flags)) {
		memcpy(&flags, (const char *)b->mem + HEADER_BYTES, sizeof(flags));
		return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
	}
	for (size_t i = 0; i < ORCH_ARRAY_LEN(codes); i++)
		if (codes[i] == code)
			return true;
	return false;
}

bool mnt_fuse_park(struct mnt_door *d, struct fuse_buf *buf)
{
	struct mnt_fuse_parked *p = NULL;

	pthread_mutex_lock(&d->freeze_lock);
	if (d->frozen && changes(buf))
		p = calloc(1, sizeof(*p));
	if (p) {
		p->buf = *buf;
		*d->parked_last = p;
		d->parked_last = &p->next;
		*buf = (struct fuse_buf){0};
	}
	pthread_mutex_unlock(&d->freeze_lock);
	return p != NULL;
}

void mnt_door_freeze(struct mnt_door *d)
{
	pthread_mutex_lock(&d->freeze_lock);
	d->frozen = true;
	pthread_mutex_unlock(&d->freeze_lock);
}

bool mnt_door_frozen(struct mnt_door *d)
{
	bool frozen;

	pthread_mutex_lock(&d->freeze_lock);
	frozen = d->frozen;
	pthread_mutex_unlock(&d->freeze_lock);
	return frozen;
}

void mnt_door_thaw(struct mnt_door *d)
{
	struct mnt_fuse_parked *list;

	pthread_mutex_lock(&d->freeze_lock);
	d->frozen = false;
	list = d->parked;
	d->parked = NULL;
	d->parked_last = &d->parked;
	pthread_mutex_unlock(&d->freeze_lock);
	while (list) {
		struct mnt_fuse_parked *p = list;

		list = p->next;
		fuse_session_process_buf(d->session, &p->buf);
		free(p->buf.mem);
		free(p);
	}
}

void mnt_fuse_drop_parked(struct mnt_door *d)
{
	while (d->parked) {
		struct mnt_fuse_parked *p = d->parked;

		d->parked = p->next;
		free(p->buf.mem);
		free(p);
	}
}
