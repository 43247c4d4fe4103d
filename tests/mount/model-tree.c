/* Two trees, compared whole. See model.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "tests/mount/model.h"

#define NAMES_MAX  8192
#define XATTRS_MAX 65536

static char problem[PATH_BYTES + 600];

struct both { /* two open folders and where they are */
	struct model_table *table;
	bool plain; /* the first one has no fifos, sockets, devices: it was made from a snapshot */
	int fd[2];
	const char *where;
};

static const char *say(const struct both *b, const char *name, const char *what)
{
	snprintf(problem, sizeof(problem), "%s: %.4000s/%.255s", what, b->where, name);
	return problem;
}

bool model_ino_same(struct model_table *table, uint64_t key, uint64_t ino)
{
	uint64_t zero = 0, at = key % INOS;

	for (unsigned i = 0; i < 64; i++, at = (at + 1) % INOS) {
		if (__atomic_compare_exchange_n(&table->inos[at].key, &zero, key, false,
			__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
			__atomic_store_n(&table->inos[at].ino, ino, __ATOMIC_SEQ_CST);
			return true;
		}
		if (zero == key) {
			uint64_t had = __atomic_load_n(&table->inos[at].ino, __ATOMIC_SEQ_CST);

			return had == ino || had == 0; /* 0: another worker is writing it */
		}
		zero = 0;
	}
	return true;
}

uint64_t model_ino_key(int dirfd, const char *path, int flags)
{
	struct statx x;

	if (statx(dirfd, path, flags, STATX_INO | STATX_BTIME, &x) < 0)
		return 0;
	return model_hash(x.stx_ino, &x.stx_btime,
		   sizeof(x.stx_btime.tv_sec) + sizeof(x.stx_btime.tv_nsec)) |
	       1;
}

const char *model_stat_compare(
    struct model_table *table, const struct stat *a, const struct stat *b)
{
	static char text[300];
	bool open_to_users = !table || table->set_ids[b->st_ino % FUZZY];
	mode_t mask = S_ISREG(a->st_mode) && open_to_users ? ~(mode_t)06000 : ~(mode_t)0;
	bool sized = S_ISREG(a->st_mode) || S_ISLNK(a->st_mode);
	bool device = S_ISCHR(a->st_mode) || S_ISBLK(a->st_mode);
	bool timed = (a->st_mtim.tv_sec < OLD_S || b->st_mtim.tv_sec < OLD_S) &&
		     !(table && table->fuzzy[b->st_ino % FUZZY]);

	if ((a->st_mode & mask) == (b->st_mode & mask) && a->st_nlink == b->st_nlink &&
	    a->st_uid == b->st_uid && a->st_gid == b->st_gid &&
	    (!sized || a->st_size == b->st_size) && (!device || a->st_rdev == b->st_rdev) &&
	    (!timed || (a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
			   a->st_mtim.tv_nsec == b->st_mtim.tv_nsec)))
		return NULL;
	snprintf(text, sizeof(text),
	    "mount: mode %o nlink %lu ids %u:%u size %ld mtime %ld.%09ld ino %lu; native: mode %o "
	    "nlink %lu ids %u:%u size %ld mtime %ld.%09ld ino %lu",
	    a->st_mode, (unsigned long)a->st_nlink, a->st_uid, a->st_gid, (long)a->st_size,
	    (long)a->st_mtim.tv_sec, a->st_mtim.tv_nsec, (unsigned long)a->st_ino, b->st_mode,
	    (unsigned long)b->st_nlink, b->st_uid, b->st_gid, (long)b->st_size,
	    (long)b->st_mtim.tv_sec, b->st_mtim.tv_nsec, (unsigned long)b->st_ino);
	return text;
}

static int name_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_plain(int fd, const char *name)
{
	struct stat st;

	return fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISREG(st.st_mode) ||
	       S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode);
}

static size_t names_load(int fd, bool plain, char **out)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;
	size_t n = 0;

	if (!d) {
		fprintf(stderr, "opendir: %s\n", strerror(errno));
		return 0;
	}
	while (n < NAMES_MAX && (errno = 0, e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
		    (!plain || is_plain(fd, e->d_name)))
			out[n++] = strdup(e->d_name);
	if (errno != 0)
		fprintf(stderr, "readdir: %s\n", strerror(errno));
	closedir(d);
	qsort(out, n, sizeof(*out), name_cmp);
	return n;
}

static const char *content_compare(const struct both *b, const char *name)
{
	static uint8_t buf[2][1 << 16];
	const char *bad = NULL;
	int fd[2];
	off_t at = 0;

	for (int i = 0; i < 2; i++)
		fd[i] = openat(b->fd[i], name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	while (!bad && fd[0] >= 0 && fd[1] >= 0) {
		ssize_t n[2] = {read(fd[0], buf[0], sizeof(buf[0]))};
		int e = n[0] < 0 ? errno : 0;
		char text[100];

		n[1] = read(fd[1], buf[1], sizeof(buf[1]));

		if (n[0] == n[1] && n[0] > 0 && memcmp(buf[0], buf[1], (size_t)n[0]) == 0) {
			at += n[0];
			continue;
		}
		if (n[0] == 0 && n[1] == 0)
			break;
		snprintf(text, sizeof(text), "bytes differ behind %ld (read %zd, %s, and %zd)",
		    (long)at, n[0], e ? strerrorname_np(e) : "ok", n[1]);
		bad = say(b, name, text);
	}
	if (!bad && (fd[0] < 0 || fd[1] < 0))
		bad = say(
		    b, name, fd[0] < 0 ? "the mount does not open it" : "native does not open it");
	for (int i = 0; i < 2; i++)
		if (fd[i] >= 0)
			close(fd[i]);
	return bad;
}

static uint64_t xattrs_hash(int dirfd, const char *name)
{
	static char list[XATTRS_MAX], value[XATTRS_MAX], path[400];
	uint64_t sum = 0;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dirfd, name);
	n = llistxattr(path, list, sizeof(list));
	for (char *p = list; n > 0 && p < list + n; p += strlen(p) + 1) {
		ssize_t len;

		if (strncmp(p, "user.", 5) != 0)
			continue;
		len = lgetxattr(path, p, value, sizeof(value));
		sum += model_hash(model_hash(1, p, strlen(p)), value, len < 0 ? 0 : (size_t)len);
	}
	return sum;
}

static const char *link_compare(const struct both *b, const char *name)
{
	char text[2][4200];

	for (int i = 0; i < 2; i++) {
		ssize_t n = readlinkat(b->fd[i], name, text[i], sizeof(text[i]) - 1);

		text[i][n < 0 ? 0 : n] = 0;
	}
	return strcmp(text[0], text[1]) == 0 ? NULL : say(b, name, "another target");
}

static const char *folder_compare(struct both *b);

static const char *entry_compare(const struct both *b, const char *name)
{
	struct stat st[2];
	const char *bad;
	uint64_t key;

	for (int i = 0; i < 2; i++)
		if (fstatat(b->fd[i], name, &st[i], AT_SYMLINK_NOFOLLOW) < 0)
			return say(
			    b, name, i ? "native does not stat it" : "the mount does not stat it");
	bad = model_stat_compare(b->table, &st[0], &st[1]);
	if (bad)
		return say(b, name, bad);
	key = b->table ? model_ino_key(b->fd[1], name, AT_SYMLINK_NOFOLLOW) : 0;
	if (key && !model_ino_same(b->table, key, st[0].st_ino))
		return say(b, name, "another inode number than before");
	if (!S_ISLNK(st[0].st_mode) && xattrs_hash(b->fd[0], name) != xattrs_hash(b->fd[1], name))
		return say(b, name, "other attributes");
	if (S_ISREG(st[0].st_mode))
		return content_compare(b, name);
	if (S_ISLNK(st[0].st_mode))
		return link_compare(b, name);
	if (S_ISDIR(st[0].st_mode)) {
		char where[PATH_BYTES];
		struct both below = {.table = b->table, .plain = b->plain, .where = where};

		snprintf(where, sizeof(where), "%.4000s/%.255s", b->where, name);
		for (int i = 0; i < 2; i++)
			below.fd[i] = openat(b->fd[i], name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		bad = folder_compare(&below);
		for (int i = 0; i < 2; i++)
			if (below.fd[i] >= 0)
				close(below.fd[i]);
		return bad;
	}
	return NULL;
}

static const char *missing(const struct both *b, const char *name)
{
	struct stat st;

	return fstatat(b->fd[0], name, &st, AT_SYMLINK_NOFOLLOW) == 0
		   ? "not listed on the mount, but there"
		   : "is missing on the mount";
}

static const char *folder_compare(struct both *b)
{
	char **names[2] = {calloc(NAMES_MAX, sizeof(char *)), calloc(NAMES_MAX, sizeof(char *))};
	size_t n[2] = {
	    names_load(b->fd[0], false, names[0]), names_load(b->fd[1], b->plain, names[1])};
	const char *bad = NULL;

	for (size_t i = 0; !bad && (i < n[0] || i < n[1]); i++) {
		int c = i >= n[0] ? 1 : i >= n[1] ? -1 : strcmp(names[0][i], names[1][i]);

		if (c != 0)
			bad = c < 0 ? say(b, names[0][i], "is on the mount only")
				    : say(b, names[1][i], missing(b, names[1][i]));
		else
			bad = entry_compare(b, names[0][i]);
	}
	for (int k = 0; k < 2; k++) {
		for (size_t i = 0; i < n[k]; i++)
			free(names[k][i]);
		free(names[k]);
	}
	return bad;
}

const char *model_tree_compare(struct model_table *table, bool plain, const char *a, const char *b)
{
	struct both x = {.table = table, .plain = plain, .where = ""};
	const char *bad;
	struct stat st[2];

	x.fd[0] = open(a, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	x.fd[1] = open(b, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (x.fd[0] < 0 || x.fd[1] < 0)
		return say(&x, "", "can't be opened");
	bad = fstat(x.fd[0], &st[0]) < 0 || fstat(x.fd[1], &st[1]) < 0
		  ? "no attributes"
		  : model_stat_compare(table, &st[0], &st[1]);
	bad = bad ? say(&x, "", bad) : folder_compare(&x);
	close(x.fd[0]);
	close(x.fd[1]);
	return bad;
}

/* ---- times and set-id bits that are nobody's */

static void settle_folder(struct model_table *table, int mount, int native)
{
	char **names = calloc(NAMES_MAX, sizeof(char *));
	size_t n = names_load(native, false, names);
	static const struct timespec now[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};

	for (size_t i = 0; i < n; i++) {
		struct stat st = {0};
		int below[2];

		if (fstatat(native, names[i], &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISDIR(st.st_mode)) {
			below[0] = openat(mount, names[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			below[1] = openat(native, names[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			settle_folder(table, below[0], below[1]);
			close(below[0]);
			close(below[1]);
		} else if (S_ISREG(st.st_mode) && table->fuzzy[st.st_ino % FUZZY]) {
			if (utimensat(mount, names[i], now, 0) < 0 ||
			    utimensat(native, names[i], now, 0) < 0)
				perror(names[i]);
		}
		if (S_ISREG(st.st_mode) && table->set_ids[st.st_ino % FUZZY] &&
		    (fchmodat(mount, names[i], st.st_mode & 01777, 0) < 0 ||
			fchmodat(native, names[i], st.st_mode & 01777, 0) < 0))
			perror(names[i]);
		free(names[i]);
	}
	free(names);
}

void model_tree_settle(struct model_table *table, const char *mount, const char *native)
{
	int fd[2] = {open(mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
	    open(native, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};

	settle_folder(table, fd[0], fd[1]);
	close(fd[0]);
	close(fd[1]);
}
