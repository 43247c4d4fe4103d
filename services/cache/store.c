/* Opening and closing a store: the folder's checks, LOCK, FORMAT, the folders, the database. */
#include "cache/store_priv.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "cache/ref_copy.h"
#include "cache/reserve.h"
#include "core/fd.h"
#include "core/log.h"
#include "core/number.h"
#include "core/path.h"

#define OWNER_LOOKS   50
#define OWNER_LOOK_MS 10
#define DB_SMALL_MAX  (1 << 20)

static const struct {
	const char *name;
	mode_t mode;
	size_t fd_at; /* offset of the descriptor in struct cas_store */
} folders[] = {
    {"objects", 0755, offsetof(struct cas_store, objects_fd)},
    {"packs", 0755, offsetof(struct cas_store, packs_fd)},
    {"layers", 0755, offsetof(struct cas_store, layers_fd)},
    {"scan", 0711, offsetof(struct cas_store, scan_fd)},
    {"tmp", 0711, offsetof(struct cas_store, tmp_fd)},
};

static int *folder_fd(struct cas_store *s, size_t i)
{
	return (int *)((char *)s + folders[i].fd_at);
}

static bool is_remote(const struct statfs *fs)
{
	switch ((unsigned long)fs->f_type & 0xffffffffUL) {
	case NFS_SUPER_MAGIC:
	case SMB_SUPER_MAGIC:
	case SMB2_SUPER_MAGIC:
	case CIFS_SUPER_MAGIC:
	case V9FS_MAGIC:
	case AFS_SUPER_MAGIC:
	case CEPH_SUPER_MAGIC:
		return true;
	default:
		return false;
	}
}

static int check_root(struct cas_store *s, struct orch_err *err)
{
	struct statfs fs;
	struct stat st;

	if (fstatfs(s->root_fd, &fs) < 0 || fstat(s->root_fd, &st) < 0)
		return orch_err_sys(err, errno, "stat");
	if (is_remote(&fs))
		return orch_err_set(err, EOPNOTSUPP,
		    "it is on a network file system; a store must be on a local one");
	if (st.st_uid != geteuid())
		return orch_err_set(err, EACCES, "it belongs to uid %u, orch runs as uid %u",
		    (unsigned)st.st_uid, (unsigned)geteuid());
	if (faccessat(s->root_fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
		return orch_err_sys(err, errno, "it can't be written");
	return 0;
}

static int open_root(struct cas_store *s, unsigned flags, struct orch_err *err)
{
	int r;

	if (flags & CAS_STORE_CREATE) {
		r = orch_mkdirs(AT_FDCWD, s->path, 0700, err);
		if (r < 0)
			return r;
	}
	s->root_fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->root_fd < 0)
		return orch_err_sys(err, errno, "open");
	return check_root(s, err);
}

/* Of a living process; 0: the file does not tell. */
static pid_t read_owner(const struct cas_store *s)
{
	char text[24] = "";
	uint64_t pid;

	if (pread(s->lock_fd, text, sizeof(text) - 1, 0) <= 0 ||
	    orch_number_parse(text, strcspn(text, "\n"), INT32_MAX, &pid) < 0 || pid == 0 ||
	    (kill((pid_t)pid, 0) < 0 && errno == ESRCH))
		return 0;
	return (pid_t)pid;
}

/* Who has just got the lock writes his number a moment later; until then an earlier one's is there. */
static int lock_is_taken(struct cas_store *s, struct orch_err *err)
{
	pid_t pid = read_owner(s);

	for (int i = 0; !pid && i < OWNER_LOOKS; i++) {
		(void)poll(NULL, 0, OWNER_LOOK_MS);
		pid = read_owner(s);
	}
	if (!pid)
		return orch_err_set(err, EBUSY, "another keeper has it: pid unknown");
	return orch_err_set(err, EBUSY, "another keeper has it: pid %d", (int)pid);
}

/* The lock lasts as long as lock_fd, which no other program inherits. */
static int take_lock(struct cas_store *s, struct orch_err *err)
{
	char pid[24];
	int n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());

	s->lock_fd = openat(s->root_fd, "LOCK", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (s->lock_fd < 0)
		return orch_err_sys(err, errno, "LOCK");
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? lock_is_taken(s, err)
					    : orch_err_sys(err, errno, "LOCK");
	/* the pid is for people: a full disk must not keep a store closed, but has a place for it where the
	 * last one was */
	if (pwrite(s->lock_fd, pid, (size_t)n, 0) != n || ftruncate(s->lock_fd, n) < 0)
		orch_log(ORCH_LOG_WARN, "cache", "no pid in LOCK", "store=%s", s->path);
	return 0;
}

static bool is_own_name(const char *name)
{
	for (size_t i = 0; i < ORCH_ARRAY_LEN(folders); i++)
		if (strcmp(name, folders[i].name) == 0)
			return true;
	return strcmp(name, "LOCK") == 0 || strcmp(name, CAS_RESERVE_NAME) == 0 ||
	       strcmp(name, "db") == 0 || strcmp(name, "git") == 0;
}

struct find_foreign {
	struct orch_err *err;
	bool has_content;
};

static int saw_content(void *priv, int dirfd, const char *name)
{
	struct find_foreign *f = priv;

	(void)dirfd;
	(void)name;
	f->has_content = true;
	return 0;
}

static int see_foreign(void *priv, int dirfd, const char *name)
{
	struct find_foreign *f = priv;

	if (strcmp(name, "lost+found") == 0 || strcmp(name, "LOCK") == 0 ||
	    strcmp(name, CAS_RESERVE_NAME) == 0)
		return 0;
	if (strcmp(name, "refs") == 0) /* made after FORMAT */
		return saw_content(f, dirfd, name);
	if (!is_own_name(name))
		return orch_err_set(f->err, ORCH_EFORMAT,
		    "it is not an orch store: it has no FORMAT, but holds %s", name);
	return cas_dir_each(dirfd, name, saw_content, f, f->err);
}

/* Without FORMAT: empty, or an earlier creation that was cut off, or something else. */
static int check_creatable(struct cas_store *s, struct orch_err *err)
{
	struct find_foreign f = {.err = err};
	int r = cas_dir_each(s->root_fd, ".", see_foreign, &f, err);

	if (r == 0 && f.has_content)
		return orch_err_set(err, ORCH_ECORRUPT, "FORMAT is missing");
	return r;
}

static int open_folder(struct cas_store *s, size_t i, struct orch_err *err)
{
	const char *name = folders[i].name;
	int fd;

	fd = openat(s->root_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		if (mkdirat(s->root_fd, name, folders[i].mode) < 0)
			return orch_err_sys(err, errno, "mkdir %s", name);
		fd = openat(s->root_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		/* whatever the umask is */
		if (fd >= 0 && fchmod(fd, folders[i].mode) < 0) {
			orch_fd_close(fd);
			fd = -1;
		}
	}
	if (fd < 0)
		return orch_err_sys(err, errno, "folder %s", name);
	*folder_fd(s, i) = fd;
	return 0;
}

static int open_folders(struct cas_store *s, struct orch_err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ORCH_ARRAY_LEN(folders); i++)
		r = open_folder(s, i, err);
	return r;
}

static int create(struct cas_store *s, struct cas_format *f, struct orch_err *err)
{
	int r = check_creatable(s, err);

	if (r == 0 && fchmod(s->root_fd, 0700) < 0)
		r = orch_err_sys(err, errno, "chmod");
	if (r == 0)
		r = open_folders(s, err);
	if (r == 0)
		r = cas_format_make(f, err);
	if (r == 0)
		r = cas_format_save(s->root_fd, f, err);
	if (r == 0 && (r = orch_fd_sync_parent(AT_FDCWD, s->path)) < 0)
		r = orch_err_sys(err, -r, "sync of the folder above");
	return r;
}

static int check_mode(struct cas_store *s, struct orch_err *err)
{
	struct stat st;

	if (fstat(s->root_fd, &st) < 0)
		return orch_err_sys(err, errno, "stat");
	if (st.st_mode & 022)
		return orch_err_set(err, EACCES,
		    "others may write into it (mode %04o): chmod 700 it",
		    (unsigned)st.st_mode & 07777);
	if (!(st.st_mode & 055))
		return 0;
	/* Everybody's files are in there, and readable: only this folder keeps others out. */
	if (fchmod(s->root_fd, 0700) < 0)
		return orch_err_sys(err, errno, "chmod");
	orch_log(ORCH_LOG_WARN, "cache", "store-was-open", "store=%s mode=%04o", s->path,
	    (unsigned)st.st_mode & 07777);
	return 0;
}

static int missing_format(struct cas_store *s, struct orch_err *err)
{
	int r = check_creatable(s, err);

	return r < 0 ? r : orch_err_set(err, ENOENT, "there is no store");
}

static bool has_database(struct cas_store *s)
{
	orch_auto(free) char *current = orch_path_join(s->db_name, "CURRENT");

	return current && faccessat(s->root_fd, current, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int cas_store_has_content(struct cas_store *s, struct orch_err *err)
{
	static const char *const all[] = {"layers", "packs", "objects"};
	struct find_foreign f = {.err = err};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ORCH_ARRAY_LEN(all); i++)
		r = cas_dir_each(s->root_fd, all[i], saw_content, &f, err);
	return r < 0 ? r : f.has_content;
}

static bool is_repaired(const struct cas_store *s)
{
	return strcmp(s->db_name, CAS_DB_NAME) != 0;
}

/* Those that RocksDB takes into memory whole are some dozens of bytes, a few thousand the last. */
static bool is_too_large(const char *name, const struct stat *st)
{
	bool small = strcmp(name, "CURRENT") == 0 || strcmp(name, "IDENTITY") == 0 ||
		     strncmp(name, "OPTIONS-", 8) == 0;

	return small && st->st_size > DB_SMALL_MAX;
}

/* RocksDB would wait for the other end of a pipe, and follow a link. Its own folders are two. */
static int see_db_file(void *priv, int dirfd, const char *name)
{
	struct orch_err *err = priv;
	struct stat st;

	if (strcmp(name, "lost") == 0 || strcmp(name, "archive") == 0 ||
	    fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	if (!S_ISREG(st.st_mode))
		return orch_err_set(
		    err, ORCH_ECORRUPT, "database: " CAS_DB_NAME "/%s is not a regular file", name);
	if (is_too_large(name, &st))
		return orch_err_set(err, ORCH_ECORRUPT,
		    "database: " CAS_DB_NAME "/%s is damaged: it is %lld bytes long", name,
		    (long long)st.st_size);
	return 0;
}

/* A database made anew would know nothing of what is there, and the layers would be swept. */
static int check_database(struct cas_store *s, struct orch_err *err)
{
	struct stat st;
	int r;

	if (is_repaired(s))
		return 0;
	if (fstatat(s->root_fd, s->db_name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		if (!S_ISDIR(st.st_mode))
			return orch_err_set(
			    err, ORCH_ECORRUPT, "database: %s is not a folder", s->db_name);
		r = cas_dir_each(s->root_fd, s->db_name, see_db_file, err, err);
		if (r < 0)
			return r;
	}
	r = has_database(s) ? 0 : cas_store_has_content(s, err);
	return r > 0
		   ? orch_err_set(err, ORCH_ECORRUPT, "database: %s/CURRENT is missing", s->db_name)
		   : r;
}

/* From the copy in the database. */
static int restore_format(struct cas_store *s, struct cas_format *out)
{
	orch_auto(free) char *path = orch_path_join(s->path, s->db_name);
	struct orch_err err = ORCH_ERR_INIT;
	struct cas_db *db;
	int r;

	if (!path || !has_database(s) || check_database(s, &err) < 0)
		return -ENOENT;
	r = cas_db_open(path, s->reserve, &db, &err);
	if (r < 0)
		return r;
	r = cas_format_recall(db, out, &err);
	cas_db_close(db);
	if (r == 0)
		r = cas_format_save(s->root_fd, out, &err);
	if (r == 0)
		orch_log(ORCH_LOG_WARN, "cache", "format-restored", "store=%s reason=%s", s->path,
		    "FORMAT was damaged or missing");
	return r;
}

static int open_format(struct cas_store *s, unsigned flags, struct orch_err *err)
{
	struct orch_err ignored = ORCH_ERR_INIT;
	struct cas_format f;
	int r = cas_format_load(s->root_fd, &f, &ignored);

	if ((r == -ENOENT || r == -ORCH_ECORRUPT) && restore_format(s, &f) == 0)
		r = 0;
	if (r == -ENOENT)
		r = flags & CAS_STORE_CREATE ? create(s, &f, err) : missing_format(s, err);
	else if (r < 0)
		r = orch_err_set(err, -r, "%s", ignored.msg);
	else
		r = check_mode(s, err);
	if (r < 0)
		return r;
	memcpy(s->id, f.id, sizeof(s->id));
	s->seed = f.seed;
	return 0;
}

struct clean {
	struct orch_err *err;
};

static int clean_one(void *priv, int dirfd, const char *name)
{
	struct clean *c = priv;

	return orch_remove_tree(dirfd, name, c->err);
}

/* Without it the store is as good; the next open tries again. */
static void remember_format(struct cas_store *s)
{
	struct orch_err why = ORCH_ERR_INIT;
	struct cas_format f = {.seed = s->seed};

	memcpy(f.id, s->id, sizeof(f.id));
	if (cas_format_remember(s->db, &f, &why) < 0)
		orch_log(ORCH_LOG_WARN, "cache", "format-not-copied", "error=%s", why.msg);
}

static int open_database(struct cas_store *s, struct orch_err *err)
{
	orch_auto(free) char *path = orch_path_join(s->path, s->db_name);
	struct orch_err why = ORCH_ERR_INIT;
	int r = path ? check_database(s, &why) : orch_err_set(&why, ENOMEM, "out of memory");

	if (r == 0)
		r = cas_db_open(path, s->reserve, &s->db, &why);
	if (r == 0 && is_repaired(s))
		r = cas_db_set_gap(s->db, true, &why);
	if (r == -ENOSPC)
		return orch_err_set(err, ENOSPC,
		    "%s; the reserve for a full disk is used up: make some room there (%llu KiB)",
		    why.msg, (unsigned long long)CAS_RESERVE_ROOM >> 10);
	if (r == -ORCH_ECORRUPT)
		return orch_err_set(err, ORCH_ECORRUPT,
		    "%s; `orch-fsd --repair-database --store %s` makes it anew", why.msg, s->path);
	return r < 0 ? orch_err_set(err, -r, "%s", why.msg) : 0;
}

static int open_content(struct cas_store *s, struct orch_err *err)
{
	struct clean c = {.err = err};
	int r = open_folders(s, err);

	if (r == 0)
		r = open_database(s, err);
	if (r == 0)
		r = view_packset_new(s->packs_fd, &s->packset, err);
	if (r == 0)
		remember_format(s);
	if (r == 0 && !is_repaired(s))
		cas_ref_copy_begin(s);
	if (r == 0)
		r = cas_counters_load(s, err);
	if (r == 0)
		r = cas_publish_recover(s, err);
	if (r == 0)
		r = cas_dir_each(s->root_fd, "tmp", clean_one, &c, err);
	if (r == 0)
		cas_reserve_fill(s->reserve);
	return r;
}

int cas_move_away(
    struct cas_store *s, int dirfd, const char *name, const char *as, struct orch_err *err)
{
	orch_auto(fd) int away = -1;
	int r = 0;

	if (mkdirat(s->root_fd, CAS_AWAY, 0700) < 0 && errno != EEXIST)
		return orch_err_sys(err, errno, "mkdir %s", CAS_AWAY);
	away = openat(s->root_fd, CAS_AWAY, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (away < 0)
		return orch_err_sys(err, errno, "%s", CAS_AWAY);
	r = orch_rename(dirfd, name, away, as, 0);
	if (r == 0)
		r = orch_fd_sync(away);
	if (r == 0)
		r = orch_fd_sync_parent(dirfd, name);
	return r < 0 ? orch_err_sys(err, -r, "move %s to %s", name, CAS_AWAY) : 0;
}

static struct cas_store *store_new(const char *path)
{
	struct cas_store *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->root_fd = s->lock_fd = -1;
	for (size_t i = 0; i < ORCH_ARRAY_LEN(folders); i++)
		*folder_fd(s, i) = -1;
	pthread_mutex_init(&s->pack_lock, NULL);
	pthread_mutex_init(&s->change_lock, NULL);
	s->path = orch_path_absolute(path);
	if (!s->path) {
		cas_store_close(s);
		return NULL;
	}
	return s;
}

int cas_store_lock(const char *path, unsigned flags, struct cas_store **out, struct orch_err *err)
{
	struct cas_store *s = store_new(path);
	int r;

	if (!s)
		return orch_err_set(err, ENOMEM, "out of memory");
	r = open_root(s, flags, err);
	if (r == 0)
		r = take_lock(s, err);
	if (r == 0 && !(s->reserve = cas_reserve_new(s->root_fd)))
		r = orch_err_set(err, ENOMEM, "out of memory");
	if (r == 0)
		*out = s;
	else
		cas_store_close(s);
	return r;
}

int cas_store_fill(struct cas_store *s, unsigned flags, const char *db, struct orch_err *err)
{
	int r;

	snprintf(s->db_name, sizeof(s->db_name), "%s", db);
	r = open_format(s, flags, err);
	return r == 0 ? open_content(s, err) : r;
}

int cas_store_open(const char *path, unsigned flags, struct cas_store **out, struct orch_err *err)
{
	struct cas_store *s = NULL;
	int r = cas_store_lock(path, flags, &s, err);

	if (r == 0)
		r = cas_store_fill(s, flags, CAS_DB_NAME, err);
	if (r < 0) {
		cas_store_close(s);
		orch_err_wrap(err, "store %s", path);
		return r;
	}
	*out = s;
	return 0;
}

void cas_store_close(struct cas_store *s)
{
	if (!s)
		return;
	cas_db_close(s->db);
	cas_reserve_free(s->reserve);
	view_packset_free(s->packset);
	for (size_t i = 0; i < ORCH_ARRAY_LEN(folders); i++)
		orch_fd_close(*folder_fd(s, i));
	orch_fd_close(s->lock_fd);
	orch_fd_close(s->root_fd);
	pthread_mutex_destroy(&s->change_lock);
	pthread_mutex_destroy(&s->pack_lock);
	free(s->pins);
	free(s->path);
	free(s);
}

const char *cas_store_path(const struct cas_store *s)
{
	return s->path;
}

const char *cas_store_id(const struct cas_store *s)
{
	return s->id;
}

uint64_t cas_store_seed(const struct cas_store *s)
{
	return s->seed;
}

int cas_store_root_fd(const struct cas_store *s)
{
	return s->root_fd;
}

int cas_store_objects_fd(const struct cas_store *s)
{
	return s->objects_fd;
}

int cas_store_packs_fd(const struct cas_store *s)
{
	return s->packs_fd;
}

int cas_store_layers_fd(const struct cas_store *s)
{
	return s->layers_fd;
}

int cas_store_scan_fd(const struct cas_store *s)
{
	return s->scan_fd;
}

int cas_store_tmp_fd(const struct cas_store *s)
{
	return s->tmp_fd;
}

struct cas_reserve *cas_store_reserve(const struct cas_store *s)
{
	return s->reserve;
}

struct view_packset *cas_store_packset(const struct cas_store *s)
{
	return s->packset;
}
