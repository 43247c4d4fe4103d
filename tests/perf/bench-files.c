/*
 * The client of the small-file figures: COUNT files of BYTES each in DIR, one phase after the other
 * (create+write+close, stat, open+read+close, rename, unlink), by CLIENTS processes in folders of
 * their own. Prints one line of JSON: operations a second of each phase. One thread a process.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "core/clock.h"

#define CLIENTS_MAX 16
#define BYTES_MAX   65536

static char payload[BYTES_MAX];

struct job {
	int dirfd;
	unsigned count;
	size_t bytes;
};

static int create_one(const struct job *j, const char *name, const char *other)
{
	int fd = openat(j->dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	(void)other;
	if (fd < 0)
		return -1;
	if (write(fd, payload, j->bytes) != (ssize_t)j->bytes) {
		close(fd);
		return -1;
	}
	return close(fd);
}

static int stat_one(const struct job *j, const char *name, const char *other)
{
	struct stat st;

	(void)other;
	return fstatat(j->dirfd, name, &st, 0);
}

static int read_one(const struct job *j, const char *name, const char *other)
{
	char buf[BYTES_MAX];
	int fd = openat(j->dirfd, name, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	(void)other;
	if (fd < 0)
		return -1;
	n = read(fd, buf, j->bytes);
	close(fd);
	return n == (ssize_t)j->bytes ? 0 : -1;
}

static int rename_one(const struct job *j, const char *name, const char *other)
{
	return renameat(j->dirfd, name, j->dirfd, other);
}

static int unlink_one(const struct job *j, const char *name, const char *other)
{
	(void)name;
	return unlinkat(j->dirfd, other, 0);
}

static const struct phase {
	const char *name;
	int (*one)(const struct job *j, const char *name, const char *other);
} phases[] = {
    {"create", create_one},
    {"stat", stat_one},
    {"read", read_one},
    {"rename", rename_one},
    {"unlink", unlink_one},
};

static int run_phase(const struct job *j, const struct phase *p)
{
	for (unsigned i = 0; i < j->count; i++) {
		char name[32], other[32];

		snprintf(name, sizeof(name), "f%u", i);
		snprintf(other, sizeof(other), "r%u", i);
		if (p->one(j, name, other) != 0) {
			fprintf(stderr, "bench-files: %s %s: %s\n", p->name, name, strerror(errno));
			return -1;
		}
	}
	return 0;
}

/* One client's folder, made by the parent so that making it is not measured. */
static int client(
    const char *dir, unsigned number, const struct phase *p, unsigned count, size_t bytes)
{
	struct job j = {.count = count, .bytes = bytes};
	char name[4096];

	snprintf(name, sizeof(name), "%s/client%u", dir, number);
	j.dirfd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (j.dirfd < 0)
		return -1;
	return run_phase(&j, p);
}

static double phase_rate(
    const char *dir, const struct phase *p, unsigned clients, unsigned count, size_t bytes)
{
	uint64_t begin = orch_clock_ns();
	bool bad = false;

	for (unsigned c = 0; c < clients; c++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(client(dir, c, p, count, bytes) == 0 ? 0 : 1);
		bad |= pid < 0;
	}
	for (unsigned c = 0; c < clients; c++) {
		int status = 1;

		bad |= wait(&status) < 0 || status != 0;
	}
	return bad ? -1 : (double)clients * count * 1e9 / (double)(orch_clock_ns() - begin);
}

static bool number(const char *s, unsigned long max, unsigned long *out)
{
	char *end;

	errno = 0;
	*out = strtoul(s, &end, 10);
	return errno == 0 && *end == '\0' && *out > 0 && *out <= max;
}

int main(int argc, char **argv)
{
	unsigned long clients, count, bytes;

	if (argc != 5 || !number(argv[2], CLIENTS_MAX, &clients) ||
	    !number(argv[3], 10000000, &count) || !number(argv[4], BYTES_MAX, &bytes)) {
		fprintf(stderr, "usage: bench-files DIR CLIENTS COUNT BYTES\n");
		return 2;
	}
	for (unsigned c = 0; c < clients; c++) {
		char name[4096];

		snprintf(name, sizeof(name), "%s/client%u", argv[1], c);
		if (mkdir(name, 0755) != 0 && errno != EEXIST)
			return 1;
	}
	for (size_t i = 0; i < ORCH_ARRAY_LEN(phases); i++) {
		double rate =
		    phase_rate(argv[1], &phases[i], (unsigned)clients, (unsigned)count, bytes);

		if (rate < 0)
			return 1;
		printf("%s\"%s\":%.0f", i ? "," : "{", phases[i].name, rate);
		fflush(stdout); /* the next clients have nothing of it to write */
	}
	puts("}");
	return 0;
}
