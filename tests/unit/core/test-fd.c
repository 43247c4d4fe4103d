/* Descriptors: short transfers, durable replacement under faults, copies that keep holes. */
#include "tests/lib/tap.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "core/clock.h"
#include "core/fault.h"
#include "core/process.h"
#include "tests/unit/core/scratch.h"

static unsigned count_entries(int dir)
{
	DIR *d = fdopendir(openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static void assert_content(int dir, const char *name, const void *want, size_t n)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;

	assert_int_equal(orch_file_load(dir, name, &b, NULL), 0);
	assert_int_equal(b.len, n);
	if (n)
		assert_memory_equal(b.data, want, n);
}

struct trickle {
	int fd;
	pthread_t reader;
	atomic_bool stop;
};

static void on_alarm(int sig)
{
}

/* Interrupts the writer all the time while it takes the pipe's bytes in small pieces. */
static void *read_slowly(void *arg)
{
	struct trickle *t = arg;
	char block[777];
	size_t total = 0;
	ssize_t n;

	while ((n = read(t->fd, block, sizeof(block))) > 0)
		total += (size_t)n;
	return (void *)total;
}

static void *interrupt(void *arg)
{
	struct trickle *t = arg;

	while (!atomic_load(&t->stop)) {
		pthread_kill(t->reader, SIGUSR1);
		usleep(200);
	}
	return NULL;
}

static void interrupted_transfers_are_whole(void **state)
{
	struct sigaction sa = {.sa_handler = on_alarm}; /* no SA_RESTART */
	size_t n = 3 << 20;
	char *data = calloc(1, n), *got = malloc(n);
	struct trickle t = {.reader = pthread_self()};
	pthread_t reader, noise;
	void *total;
	int ends[2];

	sigaction(SIGUSR1, &sa, NULL);
	assert_int_equal(pipe(ends), 0);
	t.fd = ends[0];
	pthread_create(&reader, NULL, read_slowly, &t);
	pthread_create(&noise, NULL, interrupt, &t);
	assert_int_equal(orch_fd_write_all(ends[1], data, n), 0);
	close(ends[1]);
	pthread_join(reader, &total);
	assert_int_equal((size_t)total, n);
	atomic_store(&t.stop, true);
	pthread_join(noise, NULL);
	close(ends[0]);
	free(data);
	free(got);
}

static void the_end_too_early_is_told(void **state)
{
	struct scratch *s = *state;
	char text[8];
	int fd;

	assert_int_equal(orch_file_save(s->fd, "f", "abc", 3, 0644, NULL), 0);
	fd = openat(s->fd, "f", O_RDONLY | O_CLOEXEC);
	assert_int_equal(orch_fd_read_all(fd, text, 3), 0);
	assert_int_equal(orch_fd_read_all(fd, text, 1), -ENODATA);
	assert_int_equal(orch_fd_pread_all(fd, text, 4, 0), -ENODATA);
	assert_int_equal(orch_fd_pread_all(fd, text, 2, 1), 0);
	assert_memory_equal(text, "bc", 2);
	assert_int_equal(orch_fd_pread_all(fd, text, 2, -1), -EINVAL);
	assert_int_equal(orch_fd_write_all(fd, "x", 1), -EBADF);
	close(fd);
	assert_int_equal(orch_fd_read_all(-1, text, 1), -EBADF);
}

static void loading_is_bounded(void **state)
{
	struct scratch *s = *state;
	orch_auto(buf) struct orch_buf b;
	struct orch_err err = ORCH_ERR_INIT;
	char *big = malloc(300000);

	memset(big, 'x', 300000);
	assert_int_equal(orch_file_save(s->fd, "f", big, 300000, 0600, NULL), 0);
	orch_buf_init(&b, 300000);
	assert_int_equal(orch_file_load(s->fd, "f", &b, NULL), 0);
	assert_int_equal(b.len, 300000);
	orch_buf_fini(&b);
	orch_buf_init(&b, 299999);
	orch_buf_add_str(&b, "");
	assert_int_equal(orch_file_load(s->fd, "f", &b, &err), -EOVERFLOW);
	assert_int_equal(b.len, 0);
	assert_true(b.failed);
	orch_buf_reset(&b);
	assert_int_equal(
	    orch_file_load(AT_FDCWD, "/proc/self/status", &b, NULL), 0); /* size 0 in stat */
	assert_true(b.len > 100);
	assert_int_equal(orch_file_load(s->fd, "none", &b, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "none"));
	assert_int_equal(orch_file_load(s->fd, ".", &b, &err), -EISDIR);
	free(big);
}

static void saving_replaces_and_sets_the_mode(void **state)
{
	struct scratch *s = *state;
	mode_t old = umask(077);
	struct stat st;
	char path[128];

	assert_int_equal(orch_file_save(s->fd, "f", "one", 3, 0644, NULL), 0);
	assert_int_equal(orch_file_save(s->fd, "f", "", 0, 0640, NULL), 0);
	umask(old);
	assert_content(s->fd, "f", "", 0);
	assert_int_equal(fstatat(s->fd, "f", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(count_entries(s->fd), 1);
	snprintf(path, sizeof(path), "%s/g", s->path);
	assert_int_equal(orch_file_save(AT_FDCWD, path, "two", 3, 0600, NULL), 0);
	assert_content(s->fd, "g", "two", 3);
	assert_int_equal(orch_file_save(s->fd, "a/b", "x", 1, 0600, NULL), -EINVAL);
	assert_int_equal(orch_file_save(s->fd, "..", "x", 1, 0600, NULL), -EINVAL);
	assert_int_equal(orch_file_save(AT_FDCWD, "/no/where/f", "x", 1, 0600, NULL), -ENOENT);
	assert_int_equal(mkdirat(s->fd, "d", 0755), 0);
	assert_int_equal(orch_file_save(s->fd, "d", "x", 1, 0600, NULL), -EISDIR);
	assert_int_equal(count_entries(s->fd), 3);
}

#ifdef ORCH_FAULT_INJECTION
static void a_failed_save_changes_nothing(void **state)
{
	static const struct {
		const char *spec;
		int code;
	} faults[] = {{"write:1:ENOSPC", ENOSPC}, {"fsync:1", EIO}, {"rename:1:EROFS", EROFS}};
	struct scratch *s = *state;

	assert_int_equal(orch_file_save(s->fd, "f", "old", 3, 0644, NULL), 0);
	for (size_t i = 0; i < ORCH_ARRAY_LEN(faults); i++) {
		assert_int_equal(orch_fault_set(faults[i].spec), 0);
		assert_int_equal(orch_file_save(s->fd, "f", "new", 3, 0644, NULL), -faults[i].code);
		assert_int_equal(orch_fault_set(NULL), 0);
		assert_content(s->fd, "f", "old", 3);
		assert_int_equal(count_entries(s->fd), 1);
	}
}
#else
static void a_failed_save_changes_nothing(void **state)
{
	skip();
}
#endif

/* 16 MiB with two islands of data and a hole at the end. */
static int make_sparse(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(orch_fd_pwrite_all(fd, "head", 4, 0), 0);
	assert_int_equal(orch_fd_pwrite_all(fd, "middle", 6, (5 << 20) + 17), 0);
	assert_int_equal(ftruncate(fd, 16 << 20), 0);
	return fd;
}

static void assert_same_sparse(int from, int to)
{
	char a[65536], b[65536];
	struct stat sa, sb;

	fstat(from, &sa);
	fstat(to, &sb);
	assert_int_equal(sa.st_size, sb.st_size);
	assert_true(sb.st_blocks <= sa.st_blocks + 16);
	for (off_t at = 0; at < sa.st_size; at += (off_t)sizeof(a)) {
		assert_int_equal(orch_fd_pread_all(from, a, sizeof(a), at), 0);
		assert_int_equal(orch_fd_pread_all(to, b, sizeof(b), at), 0);
		assert_memory_equal(a, b, sizeof(a));
	}
}

static void copies_keep_holes(void **state)
{
	struct scratch *s = *state;
	enum orch_copy_how how = ORCH_COPY_REFLINKED;
	int from = make_sparse(s->fd, "from"), to;

	to = openat(s->fd, "to", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(orch_fd_clone_or_copy(from, to, NULL, &how, NULL), 0);
	assert_same_sparse(from, to);
	close(to);
	/* to another file system, where neither clone nor copy_file_range may help */
	to = openat(AT_FDCWD, "/dev/shm", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	assert_true(to >= 0);
	assert_int_equal(orch_fd_clone_or_copy(from, to, NULL, &how, NULL), 0);
	assert_int_equal(how, ORCH_COPY_COPIED);
	assert_same_sparse(from, to);
	close(to);
	close(from);
}

static void copies_of_small_and_empty_files(void **state)
{
	struct scratch *s = *state;

	for (int i = 0; i < 2; i++) {
		int from, to;

		assert_int_equal(orch_file_save(s->fd, "from", "data", i ? 4 : 0, 0600, NULL), 0);
		from = openat(s->fd, "from", O_RDONLY | O_CLOEXEC);
		to = openat(s->fd, "to", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		assert_int_equal(orch_fd_clone_or_copy(from, to, NULL, NULL, NULL), 0);
		assert_content(s->fd, "to", "data", i ? 4 : 0);
		close(from);
		close(to);
	}
	assert_int_equal(orch_fd_clone_or_copy(s->fd, s->fd, NULL, NULL, NULL), -EINVAL);
}

static void a_copy_can_be_cancelled(void **state)
{
	struct scratch *s = *state;
	atomic_bool cancel = true;
	int from = make_sparse(s->fd, "from");
	int to = openat(AT_FDCWD, "/dev/shm", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);

	assert_int_equal(orch_fd_clone_or_copy(from, to, &cancel, NULL, NULL), -ECANCELED);
	close(from);
	close(to);
}

static int tool(const char *const *argv)
{
	return orch_process_run(argv, NULL, orch_deadline_in_ms(60000), NULL);
}

/* On an xfs in a loop file, where the machine lets us. */
static void clones_share_extents(void **state)
{
	struct scratch *s = *state;
	enum orch_copy_how how = ORCH_COPY_COPIED;
	char image[128], mnt[128];
	int fd, from, to;

	snprintf(image, sizeof(image), "%s/image", s->path);
	snprintf(mnt, sizeof(mnt), "%s/mnt", s->path);
	fd = open(image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, 400 << 20), 0);
	close(fd);
	assert_int_equal(mkdir(mnt, 0755), 0);
	if (geteuid() != 0 ||
	    (tool((const char *const[]){"mkfs.xfs", "-q", image, NULL}) < 0 &&
		tool((const char *const[]){"mkfs.btrfs", "-q", image, NULL}) < 0) ||
	    tool((const char *const[]){"mount", "-o", "loop", image, mnt, NULL}) < 0) {
		print_message("# no file system with reflinks can be mounted here\n");
		skip();
	}
	fd = open(mnt, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	from = make_sparse(fd, "from");
	to = openat(fd, "to", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(orch_fd_clone_or_copy(from, to, NULL, &how, NULL), 0);
	assert_int_equal(how, ORCH_COPY_REFLINKED);
	assert_same_sparse(from, to);
	close(to);
	close(from);
	close(fd);
	assert_int_equal(tool((const char *const[]){"umount", mnt, NULL}), 0);
}

static void maps(void **state)
{
	struct scratch *s = *state;
	struct orch_map m = {.len = 7};
	struct orch_err err = ORCH_ERR_INIT;

	assert_int_equal(orch_file_save(s->fd, "empty", "", 0, 0600, NULL), 0);
	assert_int_equal(orch_map_open(s->fd, "empty", &m, &err), 0);
	assert_null(m.addr);
	assert_int_equal(m.len, 0);
	orch_map_close(&m);
	assert_int_equal(orch_file_save(s->fd, "f", "abc", 3, 0600, NULL), 0);
	assert_int_equal(orch_map_open(s->fd, "f", &m, &err), 0);
	assert_memory_equal(m.addr, "abc", 3);
	orch_map_close(&m);
	assert_null(m.addr);
	assert_int_equal(orch_map_open(s->fd, "none", &m, &err), -ENOENT);
	assert_int_equal(orch_map_open(s->fd, ".", &m, &err), -EISDIR);
}

static void renames_know_flags(void **state)
{
	struct scratch *s = *state;

	assert_int_equal(orch_file_save(s->fd, "a", "a", 1, 0600, NULL), 0);
	assert_int_equal(orch_file_save(s->fd, "b", "b", 1, 0600, NULL), 0);
	assert_int_equal(orch_rename(s->fd, "a", s->fd, "b", RENAME_NOREPLACE), -EEXIST);
	assert_int_equal(orch_rename(s->fd, "a", s->fd, "b", RENAME_EXCHANGE), 0);
	assert_content(s->fd, "a", "b", 1);
	assert_int_equal(orch_fd_sync_parent(s->fd, "a"), 0);
	assert_int_equal(orch_fd_sync_parent(AT_FDCWD, "/x"), 0);
	assert_int_equal(orch_fd_sync_parent(s->fd, "none/a"), -ENOENT);
}

static void folders_are_made_in_chains(void **state)
{
	struct scratch *s = *state;
	struct orch_err err = ORCH_ERR_INIT;
	char path[128];

	assert_int_equal(orch_mkdirs(s->fd, "a/b//c/", 0755, NULL), 0);
	assert_int_equal(orch_mkdirs(s->fd, "a/b/c", 0755, NULL), 0);
	snprintf(path, sizeof(path), "%s/x/y", s->path);
	assert_int_equal(orch_mkdirs(AT_FDCWD, path, 0755, NULL), 0);
	assert_int_equal(orch_mkdirs(AT_FDCWD, "/", 0755, NULL), 0);
	assert_int_equal(symlinkat("a", s->fd, "link"), 0);
	assert_int_equal(orch_mkdirs(s->fd, "link/d", 0755, NULL), 0);
	assert_int_equal(orch_file_save(s->fd, "f", "", 0, 0600, NULL), 0);
	assert_int_equal(orch_mkdirs(s->fd, "f", 0755, &err), -ENOTDIR);
	assert_int_equal(orch_mkdirs(s->fd, "f/g", 0755, &err), -ENOTDIR);
	assert_non_null(strstr(err.msg, "f/g"));
}

static void trees_are_removed_whole(void **state)
{
	struct scratch *s = *state;
	struct orch_err err = ORCH_ERR_INIT;
	char name[32];

	assert_int_equal(orch_mkdirs(s->fd, "t/a/b", 0755, NULL), 0);
	for (int i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "t/a/f%d", i);
		assert_int_equal(mknodat(s->fd, name, S_IFREG | 0400, 0), 0);
	}
	assert_int_equal(orch_mkdirs(s->fd, "kept", 0755, NULL), 0);
	assert_int_equal(mknodat(s->fd, "kept/x", S_IFREG | 0600, 0), 0);
	assert_int_equal(symlinkat("../../kept", s->fd, "t/a/link"), 0);
	assert_int_equal(fchmodat(s->fd, "t/a/b", 0, 0), 0);
	assert_int_equal(fchmodat(s->fd, "t/a", 0500, 0), 0);
	assert_int_equal(orch_remove_tree(s->fd, "t", &err), 0);
	assert_int_equal(orch_remove_tree(s->fd, "t", &err), 0);
	assert_int_equal(faccessat(s->fd, "kept/x", F_OK, 0), 0);
	/* a link itself, not where it leads */
	assert_int_equal(symlinkat("kept", s->fd, "link"), 0);
	assert_int_equal(orch_remove_tree(s->fd, "link", &err), 0);
	assert_int_equal(faccessat(s->fd, "kept/x", F_OK, 0), 0);
}

/* As somebody whom permissions hold up. */
static void locked_folders_are_removed_without_root(void **state)
{
	struct scratch *s = *state;
	int status;
	pid_t pid;

	if (geteuid() != 0) {
		print_message("# already no root: trees_are_removed_whole shows it\n");
		skip();
	}
	assert_int_equal(chmod(s->path, 0777), 0);
	pid = fork();
	if (pid == 0) {
		if (setgid(12345) < 0 || setuid(12345) < 0 ||
		    orch_mkdirs(s->fd, "t/a/b", 0755, NULL) < 0 ||
		    orch_file_save(s->fd, "t2", "", 0, 0600, NULL) < 0 ||
		    mknodat(s->fd, "t/a/f", S_IFREG | 0400, 0) < 0 ||
		    fchmodat(s->fd, "t/a/b", 0, 0) < 0 || fchmodat(s->fd, "t/a", 0500, 0) < 0 ||
		    fchmodat(s->fd, "t", 0, 0) < 0)
			_exit(1);
		_exit(orch_remove_tree(s->fd, "t", NULL) == 0 ? 0 : 2);
	}
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	assert_int_equal(count_entries(s->fd), 1);
}

static void deep_trees_need_few_descriptors(void **state)
{
	struct scratch *s = *state;
	int at = dup(s->fd);

	for (int i = 0; i < 2000; i++) {
		int sub;

		assert_int_equal(mkdirat(at, "d", 0755), 0);
		sub = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(sub >= 0);
		close(at);
		at = sub;
	}
	close(at);
	assert_int_equal(orch_remove_tree(s->fd, "d", NULL), 0);
	assert_int_equal(count_entries(s->fd), 0);
}

static void mounts_are_not_crossed(void **state)
{
	struct scratch *s = *state;
	char inner[128];

	assert_int_equal(orch_mkdirs(s->fd, "t/m", 0755, NULL), 0);
	assert_int_equal(orch_mkdirs(s->fd, "kept", 0755, NULL), 0);
	assert_int_equal(mknodat(s->fd, "kept/x", S_IFREG | 0600, 0), 0);
	snprintf(inner, sizeof(inner), "%s/t/m", s->path);
	{
		char kept[128];

		snprintf(kept, sizeof(kept), "%s/kept", s->path);
		/* a bind mount has the same device number: only the mount itself tells */
		if (mount(kept, inner, NULL, MS_BIND, NULL) < 0) {
			print_message("# mounts are not permitted here\n");
			skip();
		}
	}
	assert_int_equal(orch_remove_tree(s->fd, "t", NULL), -EXDEV);
	assert_int_equal(orch_remove_tree(s->fd, "t/m", NULL), -EBUSY);
	assert_int_equal(faccessat(s->fd, "kept/x", F_OK, 0), 0);
	assert_int_equal(umount(inner), 0);
	assert_int_equal(orch_remove_tree(s->fd, "t", NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(interrupted_transfers_are_whole),
	    scratch_test(the_end_too_early_is_told),
	    scratch_test(loading_is_bounded),
	    scratch_test(saving_replaces_and_sets_the_mode),
	    scratch_test(a_failed_save_changes_nothing),
	    scratch_test(copies_keep_holes),
	    scratch_test(copies_of_small_and_empty_files),
	    scratch_test(a_copy_can_be_cancelled),
	    scratch_test(clones_share_extents),
	    scratch_test(maps),
	    scratch_test(renames_know_flags),
	    scratch_test(folders_are_made_in_chains),
	    scratch_test(trees_are_removed_whole),
	    scratch_test(locked_folders_are_removed_without_root),
	    scratch_test(deep_trees_need_few_descriptors),
	    scratch_test(mounts_are_not_crossed),
	};

	return tap_run(tests);
}
