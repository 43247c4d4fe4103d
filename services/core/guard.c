/* Guarded ranges. See guard.h. */
#include "core/guard.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CHUNK_SLOTS 256

struct
    orch_guard { /* a slot; its memory is never freed, so the handler may look at it at any time */
	atomic_uintptr_t begin; /* 0: free. Set last, cleared first */
	atomic_size_t len;
	atomic_int prot;
	atomic_bool broken;
};

struct chunk {
	_Atomic(struct chunk *) next;
	struct orch_guard slots[CHUNK_SLOTS];
};

static struct chunk first;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* finding a free slot, making a chunk */
static atomic_uint_least64_t hits;
static struct sigaction before;
static uintptr_t page_bytes;

static struct orch_guard *find(uintptr_t addr)
{
	for (struct chunk *c = &first; c; c = atomic_load(&c->next)) {
		for (size_t i = 0; i < CHUNK_SLOTS; i++) {
			struct orch_guard *g = &c->slots[i];
			uintptr_t begin = atomic_load(&g->begin);

			if (begin != 0 && addr >= begin && addr - begin < atomic_load(&g->len))
				return g;
		}
	}
	return NULL;
}

/* What it would have done without us; a fault comes again when we return, a sent signal does not. */
static void pass_on(int sig, const siginfo_t *info)
{
	sigaction(sig, &before, NULL);
	if (info->si_code <= 0)
		raise(sig);
}

/* The call itself: mmap() may not be called in a handler, and a thread sanitizer takes it for a write. */
static bool map_zeros(void *page, int prot)
{
	return syscall(SYS_mmap, page, page_bytes, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		   -1, 0L) != -1;
}

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	int saved = errno;
	union {
		uintptr_t number;
		void *addr;
	} page = {.addr = info->si_addr};
	struct orch_guard *g = info->si_code > 0 ? find(page.number) : NULL;

	(void)context;
	page.number &= ~(page_bytes - 1);
	if (g) { /* told first: who sees a zero must be able to see why */
		atomic_store(&g->broken, true);
		atomic_fetch_add(&hits, 1);
	}
	if (!g || !map_zeros(page.addr, atomic_load(&g->prot)))
		pass_on(sig, info);
	errno = saved;
}

int orch_guard_install(void)
{
	struct sigaction sa = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_RESTART};

	page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
	sigemptyset(&sa.sa_mask);
	return sigaction(SIGBUS, &sa, &before) < 0 ? -errno : 0;
}

/* With the lock held. */
static struct orch_guard *free_slot(void)
{
	struct chunk *c = &first, *next;

	for (;;) {
		for (size_t i = 0; i < CHUNK_SLOTS; i++)
			if (atomic_load(&c->slots[i].begin) == 0)
				return &c->slots[i];
		next = atomic_load(&c->next);
		if (!next) {
			next = calloc(1, sizeof(*next));
			if (!next)
				return NULL;
			atomic_store(&c->next, next);
		}
		c = next;
	}
}

struct orch_guard *orch_guard_add(const void *addr, size_t len, int prot)
{
	struct orch_guard *g;

	pthread_mutex_lock(&lock);
	g = free_slot();
	if (g) {
		atomic_store(&g->broken, false);
		atomic_store(&g->prot, prot);
		atomic_store(&g->len, len);
		atomic_store(&g->begin, (uintptr_t)addr);
	}
	pthread_mutex_unlock(&lock);
	return g;
}

void orch_guard_remove(struct orch_guard *g)
{
	if (!g)
		return;
	pthread_mutex_lock(&lock);
	atomic_store(&g->begin, 0);
	pthread_mutex_unlock(&lock);
}

bool orch_guard_broken(const struct orch_guard *g)
{
	return atomic_load(&g->broken);
}

uint64_t orch_guard_hits(void)
{
	return atomic_load(&hits);
}
