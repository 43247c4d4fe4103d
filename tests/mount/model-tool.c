/*
 * A worker of the model test, and its comparison of whole trees.
 *
 *   model-tool table FILE passthrough|process      makes what the workers of one model share
 *   model-tool compare|plain TABLE MOUNT NATIVE    exit 1 and a line when they differ; plain: but for what
 *                                                  snapshots do not hold
 *   model-tool settle|forget TABLE MOUNT NATIVE    times that stores through mappings moved are made new,
 *                                                  doubtful set-id bits taken away;
 *                                                  forget: and may be compared from now on
 *   model-tool work TABLE MOUNT NATIVE PART SEED   does what its standard input says, a line each:
 *       run N      N steps; each is one or more operations on both sides
 *       flush      what was stored through mappings reaches the files
 *       compare    its own part (part 0: the shared one too, so nobody else may run)
 *       close      closes everything, so that the mount can go; the next "run" goes on
 *     and answers each with "ok <steps so far>", or with "FAIL ..." and ends with 1.
 *
 * With MODEL_LOG=FILE in its environment every operation is written there.
 *
 * Each worker has the folder part<N> for itself; in the folder "shared" it holds a lock over each step,
 * so that both sides see all workers' operations in one order. One seed is one sequence of choices;
 * with one worker, one run.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include <grp.h>
#include "tests/mount/model.h"

#define USER_PERCENT   25
#define SHARED_PERCENT 35
#define RESCAN_STEPS   48
#define DEPTH_MAX      9

uint64_t model_random(struct model *m)
{
	uint64_t z = m->random += UINT64_C(0x9E3779B97F4A7C15);

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

unsigned model_below(struct model *m, unsigned n)
{
	return (unsigned)(model_random(m) % n);
}

bool model_chance(struct model *m, unsigned percent)
{
	return model_below(m, 100) < percent;
}

uint64_t model_hash(uint64_t h, const void *p, size_t n)
{
	const uint8_t *b = p;

	h ^= UINT64_C(0xCBF29CE484222325);
	for (; n >= 8; n -= 8, b += 8) {
		uint64_t x;

		memcpy(&x, b, 8);
		h = (h ^ x) * UINT64_C(0x9E3779B97F4A7C15);
		h ^= h >> 29;
	}
	while (n-- > 0)
		h = (h ^ *b++) * UINT64_C(0x100000001B3);
	return h ^ (h >> 32);
}

void model_fail(struct model *m, const char *format, ...)
{
	va_list args;

	printf("FAIL part %d seed %llu step %llu: ", m->part, (unsigned long long)m->seed,
	    (unsigned long long)m->steps);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\nlast operations, newest first:\n");
	if (m->log)
		fflush(m->log);
	for (unsigned i = 0; i < TRACE; i++)
		printf("  %s\n", m->trace[(m->steps + TRACE - i) % TRACE]);
	fflush(stdout);
	_exit(1);
}

/* ---- one operation on both sides */

void model_say(struct result *r, const char *format, ...)
{
	size_t len = strlen(r->steps);
	va_list args;

	if (len + 2 >= sizeof(r->steps))
		return;
	r->steps[len++] = ' ';
	va_start(args, format);
	vsnprintf(r->steps + len, sizeof(r->steps) - len, format, args);
	va_end(args);
}

long model_step(struct result *r, long value)
{
	int e = value < 0 ? errno : 0;

	r->hash = model_hash(r->hash, &e, sizeof(e));
	model_say(r, "%s", e ? strerrorname_np(e) : "ok");
	return value;
}

/* FUSE's number of the node behind a descriptor: two of one file should be one node. */
static unsigned long node_of(const struct handle *h)
{
	struct {
		struct file_handle head;
		uint32_t words[32];
	} x = {.head = {.handle_bytes = sizeof(x.words)}};
	int mount_id;

	if (!h || name_to_handle_at(h->fd[0], "", &x.head, &mount_id, AT_EMPTY_PATH) < 0)
		return 0;
	return (unsigned long)x.words[0] << 32 | x.words[1];
}

static void trace(struct model *m, const char *what, const struct args *a)
{
	char *t = m->trace[++m->steps % TRACE];

	snprintf(t, sizeof(m->trace[0]),
	    "%d:%llu %s%s [%d]%.90s [%d]%.60s h%d fd %d,%d ino %lu/%lu h%d flags %#x mode %o ids "
	    "%d:%d "
	    "at %ld,%ld "
	    "n %zu %.20s uid %u",
	    m->part, (unsigned long long)m->steps, m->shared ? "shared " : "", what, a->a.at,
	    a->a.path, a->b.at, a->b.path, a->h ? (int)(a->h - m->handles) : -1,
	    a->h ? a->h->fd[0] : -1, a->h ? a->h->fd[1] : -1, a->h ? (unsigned long)a->h->ino : 0,
	    node_of(a->h), a->h2 ? (int)(a->h2 - m->handles) : -1, (unsigned)a->flags, a->mode,
	    a->uid, a->gid, (long)a->at, (long)a->at2, a->n, a->name ? a->name : "", m->uid);
	if (m->log)
		fprintf(m->log, "%s\n", t);
}

static const char *differ(struct model *m, const struct result r[2])
{
	static char text[2000];
	const char *bad = NULL;

	if (r[0].value != r[1].value || r[0].error != r[1].error || r[0].hash != r[1].hash) {
		snprintf(text, sizeof(text), "mount: %ld %s %016llx%s; native: %ld %s %016llx%s",
		    r[0].value, r[0].error ? strerrorname_np(r[0].error) : "ok",
		    (unsigned long long)r[0].hash, r[0].steps, r[1].value,
		    r[1].error ? strerrorname_np(r[1].error) : "ok", (unsigned long long)r[1].hash,
		    r[1].steps);
		return text;
	}
	if (r[0].has_stat && r[1].has_stat)
		bad = model_stat_compare(m->table, &r[0].st, &r[1].st);
	return bad;
}

struct result model_both(struct model *m, const char *what, op_fn *fn, struct args *a)
{
	struct result r[2] = {{.value = 0}, {.value = 0}};
	const char *bad;

	trace(m, what, a);
	for (int side = 0; side < 2; side++) {
		a->fds[side] = -1;
		fn(m, side, a, &r[side]);
	}
	bad = differ(m, r);
	if (bad)
		model_fail(m, "%s", bad);
	return r[1];
}

void model_become(struct model *m, uid_t uid)
{
	int r = 0;

	if (m->uid == uid)
		return;
	if (uid == 0)
		r = setresuid((uid_t)-1, 0, (uid_t)-1) | setresgid((gid_t)-1, 0, (gid_t)-1);
	else
		r = setresgid((gid_t)-1, uid, (gid_t)-1) | setresuid((uid_t)-1, uid, (uid_t)-1);
	if (r < 0)
		model_fail(m, "can't become %u: %s", uid, strerror(errno));
	m->uid = uid;
}

/* ---- what there is */

static const char *domain(const struct model *m, char out[16])
{
	if (m->shared)
		snprintf(out, 16, "shared");
	else
		snprintf(out, 16, "part%d", m->part);
	return out;
}

static void walk(struct model *m, struct known *k, const char *path, unsigned depth)
{
	int fd = openat(m->root_fd[1], path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d)
		return;
	while (k->count < KNOWN_MAX && (e = readdir(d))) {
		char *name;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
		    asprintf(&name, "%s/%s", path, e->d_name) < 0)
			continue;
		k->folder[k->count] = e->d_type == DT_DIR;
		k->path[k->count++] = name;
		if (e->d_type == DT_DIR && depth < DEPTH_MAX * 2)
			walk(m, k, name, depth + 1);
	}
	closedir(d);
}

static int path_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void forget_known(struct known *k)
{
	for (unsigned i = 0; i < k->count; i++)
		free(k->path[i]);
	k->count = 0;
}

void model_rescan(struct model *m, bool shared)
{
	struct known *k = &m->known[shared];
	char prefix[16];

	forget_known(k);
	walk(m, k, domain(m, prefix), 0);
	qsort(k->path, k->count, sizeof(k->path[0]),
	    path_cmp); /* the order of readdir is not the seed's */
	for (unsigned i = 0; i < k->count; i++) {
		struct stat st;

		k->folder[i] = fstatat(m->root_fd[1], k->path[i], &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			       S_ISDIR(st.st_mode);
	}
}

static void new_name(struct model *m, char *out, size_t size)
{
	unsigned long_name = model_below(m, 60);

	if (long_name < 2 && size > 260) {
		memset(out, 'n', 255 + long_name);
		out[255 + long_name] = 0;
		return;
	}
	snprintf(
	    out, size, "%c%s", "abcdefghij" [model_below(m, 10)],
	    (const char *[]) { "", "", "1", "2", "\xc3\xa4", " x" }[model_below(m, 6)]);
}

void model_pick_folder(struct model *m, struct place *out)
{
	struct known *k = &m->known[m->shared];

	out->at = -1;
	domain(m, out->path);
	for (int i = 0; i < 6 && k->count; i++) {
		unsigned n = model_below(m, k->count);

		if (k->folder[n] && strlen(k->path[n]) < PATH_BYTES - 600) {
			snprintf(out->path, sizeof(out->path), "%s", k->path[n]);
			return;
		}
	}
}

static bool pick_by_handle(struct model *m, struct place *out)
{
	struct handle *h = model_handle(m, true);

	if (!h)
		return false;
	out->at = (int)(h - m->handles);
	new_name(m, out->path, sizeof(out->path));
	if (model_chance(m, 20)) {
		strcat(out->path, "/");
		new_name(m, out->path + strlen(out->path), 8);
	}
	return true;
}

/* The same place by a path of about that many bytes: about as long as one may be. */
static void stretch(char *path, size_t bytes)
{
	size_t len = strlen(path), more = len < bytes ? (bytes - len) & ~(size_t)1 : 0;

	memmove(path + more, path, len + 1);
	for (size_t i = 0; i < more; i += 2)
		memcpy(path + i, "./", 2);
}

void model_pick(struct model *m, struct place *out, unsigned exists)
{
	struct known *k = &m->known[m->shared];
	size_t len;

	if (model_chance(m, 12) && pick_by_handle(m, out))
		return;
	if (k->count && model_chance(m, exists)) {
		out->at = -1;
		snprintf(out->path, sizeof(out->path), "%s", k->path[model_below(m, k->count)]);
	} else {
		model_pick_folder(m, out);
		len = strlen(out->path);
		out->path[len] = '/';
		new_name(m, out->path + len + 1, sizeof(out->path) - len - 1);
	}
	if (model_chance(m, 3))
		strcat(out->path, model_chance(m, 50) ? "/" : "/.");
	else if (model_below(m, 400) == 0) /* longer than any path may be */
		for (len = strlen(out->path); len < PATH_BYTES - 3; len += 2)
			memcpy(out->path + len, "/x", 3);
	else if (model_below(m, 200) == 0)
		stretch(out->path, PATH_MAX - 6 + model_below(m, 8));
}

int model_at(struct model *m, int side, const struct place *p)
{
	return p->at >= 0 ? m->handles[p->at].fd[side] : m->root_fd[side];
}

int model_enter(struct model *m, int side, const struct place *p)
{
	return fchdir(model_at(m, side, p));
}

void model_leave(struct model *m)
{
	int e = errno;

	if (chdir("/") < 0)
		model_fail(m, "chdir");
	errno = e;
}

void model_mark(uint8_t marks[FUZZY], ino_t native)
{
	marks[native % FUZZY] = 1;
}

void model_unmark(uint8_t marks[FUZZY], ino_t native)
{
	marks[native % FUZZY] = 0;
}

struct handle *model_handle(struct model *m, bool folder)
{
	unsigned from = model_below(m, HANDLES);

	for (unsigned i = 0; i < HANDLES; i++) {
		struct handle *h = &m->handles[(from + i) % HANDLES];

		if (h->used && h->shared == m->shared && h->folder == folder)
			return h;
	}
	return NULL;
}

const uint8_t *model_data(struct model *m, size_t n)
{
	uint64_t x = model_random(m);

	for (size_t i = 0; i < n; i += 8) {
		x += UINT64_C(0x9E3779B97F4A7C15);
		memcpy(m->data + i, &x, n - i < 8 ? n - i : 8);
	}
	return m->data;
}

/* ---- commands */

static void close_everything(struct model *m)
{
	for (unsigned i = 0; i < MAPPINGS; i++)
		if (m->mappings[i].used)
			model_unmap(m, &m->mappings[i]);
	for (unsigned i = 0; i < HANDLES; i++)
		if (m->handles[i].used)
			model_handle_close(m, &m->handles[i]);
	for (int side = 0; side < 2; side++) {
		if (m->root_fd[side] >= 0)
			close(m->root_fd[side]);
		m->root_fd[side] = -1;
	}
	if (chdir("/") < 0)
		model_fail(m, "chdir");
}

/* As root: whoever may not write the folder gets another error. */
static bool has_tmpfile(const struct model *m)
{
	int fd = openat(m->root_fd[0], ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);

	if (fd >= 0)
		close(fd);
	return fd >= 0 || errno != EOPNOTSUPP;
}

static void open_roots(struct model *m)
{
	model_become(m, 0);
	for (int side = 0; side < 2; side++) {
		if (m->root_fd[side] >= 0)
			continue;
		m->root_fd[side] = open(m->root[side], O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (m->root_fd[side] < 0)
			model_fail(m, "%s: %s", m->root[side], strerror(errno));
		if (side == 0)
			m->has_tmpfile = has_tmpfile(m);
	}
}

static void step(struct model *m)
{
	unsigned kind;

	m->shared = model_chance(m, SHARED_PERCENT);
	if (m->shared && pthread_mutex_lock(&m->table->shared_lock) != 0)
		_exit(3); /* its owner failed and has told why */
	if (model_below(m, RESCAN_STEPS) == 0 || m->known[m->shared].count == 0)
		model_rescan(m, m->shared);
	model_become(m, model_chance(m, USER_PERCENT) ? USER : 0);
	kind = model_below(m, 100);
	if (kind < 46)
		model_names_step(m);
	else if (kind < 82)
		model_handles_step(m);
	else if (kind < 90)
		model_attributes_step(m);
	else
		model_several_step(m);
	model_become(m, 0);
	if (m->shared)
		pthread_mutex_unlock(&m->table->shared_lock);
}

static void compare_part(struct model *m, const char *part)
{
	char a[PATH_BYTES], b[PATH_BYTES];
	const char *bad;

	snprintf(a, sizeof(a), "%s/%s", m->root[0], part);
	snprintf(b, sizeof(b), "%s/%s", m->root[1], part);
	bad = model_tree_compare(m->table, false, a, b);
	if (bad)
		model_fail(m, "%s: %s", part, bad);
}

static void compare(struct model *m)
{
	char name[16];

	m->shared = false;
	compare_part(m, domain(m, name));
	if (m->part == 0)
		compare_part(m, "shared");
}

static void obey(struct model *m, const char *line)
{
	char *end;
	uint64_t until = m->steps;

	if (strncmp(line, "run ", 4) == 0) {
		until += strtoull(line + 4, &end, 10);
		open_roots(m);
		while (m->steps < until)
			step(m);
	} else if (strcmp(line, "flush\n") == 0) {
		model_flush(m);
	} else if (strcmp(line, "compare\n") == 0) {
		compare(m);
	} else if (strcmp(line, "close\n") == 0) {
		close_everything(m);
	} else {
		model_fail(m, "no such command: %s", line);
	}
	printf("ok %llu\n", (unsigned long long)m->steps);
	fflush(stdout);
}

static struct model_table *table_map(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct model_table *t =
	    fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (t == MAP_FAILED) {
		perror(path);
		exit(2);
	}
	close(fd);
	return t;
}

static int table_make(const char *path, bool passthrough)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	pthread_mutexattr_t attr;
	struct model_table *t;

	if (fd < 0 || ftruncate(fd, sizeof(*t)) < 0) {
		perror(path);
		return 2;
	}
	close(fd);
	t = table_map(path);
	t->passthrough = passthrough;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	return pthread_mutex_init(&t->shared_lock, &attr);
}

static int work(char **argv)
{
	struct model *m = calloc(1, sizeof(*m));
	struct rlimit no_core = {0, 0};
	char line[100];

	if (!m)
		return 2;
	m->table = table_map(argv[2]);
	m->root[0] = argv[3];
	m->root[1] = argv[4];
	m->part = atoi(argv[5]);
	m->random = m->seed = strtoull(argv[6], NULL, 10);
	m->root_fd[0] = m->root_fd[1] = -1;
	(void)setrlimit(RLIMIT_CORE, &no_core);
	if (getenv("MODEL_LOG"))
		m->log = fopen(getenv("MODEL_LOG"), "ae");
	umask(m->seed % 3 == 0 ? 077 : 022);
	if (setgroups(0, NULL) < 0)
		perror("setgroups");
	while (fgets(line, sizeof(line), stdin))
		obey(m, line);
	close_everything(m);
	for (int shared = 0; shared < 2; shared++)
		forget_known(&m->known[shared]);
	if (m->log)
		fclose(m->log);
	free(m);
	return 0;
}

int main(int argc, char **argv)
{
	struct model_table *table;
	const char *bad;

	if (argc == 4 && strcmp(argv[1], "table") == 0)
		return table_make(argv[2], strcmp(argv[3], "passthrough") == 0);
	if (argc == 7 && strcmp(argv[1], "work") == 0)
		return work(argv);
	if (argc != 5)
		return 2;
	table = table_map(argv[2]);
	if (strcmp(argv[1], "settle") == 0 || strcmp(argv[1], "forget") == 0) {
		model_tree_settle(table, argv[3], argv[4]);
		if (argv[1][0] == 'f')
			memset(table->fuzzy, 0, sizeof(table->fuzzy));
		return 0;
	}
	bad = model_tree_compare(table, strcmp(argv[1], "plain") == 0, argv[3], argv[4]);
	if (bad)
		printf("%s\n", bad);
	return bad != NULL;
}
