/*
 * Attributes and the cleanup helper; the lowest header of the tree. It includes nothing of orch.
 */
#ifndef ORCH_CORE_COMPILER_H
#define ORCH_CORE_COMPILER_H

#define ORCH_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define ORCH_WUR		__attribute__((warn_unused_result))
#define ORCH_NONNULL(...)	__attribute__((nonnull(__VA_ARGS__)))
#define ORCH_NORETURN		__attribute__((noreturn))
#define ORCH_UNUSED		__attribute__((unused))

/*
 * `orch_auto(fd) int fd = -1;` closes at the end of the scope. A header that defines a resource
 * defines `orch_auto_<kind>(T *)` for it: fd (fd.h), free (here), buf (buf.h), json (json.h), ...
 */
#define orch_auto(kind) __attribute__((cleanup(orch_auto_##kind)))

/* Hands the pointer out of an orch_auto variable and leaves NULL behind. */
#define orch_take(p)                             \
	({                                       \
		__typeof__(p) orch_take_v = (p); \
		(p) = NULL;                      \
		orch_take_v;                     \
	})

#define ORCH_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* Our own mistake, never input, I/O or memory: says where and aborts. Always on, so keep it cheap. */
ORCH_NORETURN void orch_bug(const char *file, int line, const char *what);
#define ORCH_BUG_ON(cond)                                    \
	do {                                                 \
		if (__builtin_expect(!!(cond), 0))           \
			orch_bug(__FILE__, __LINE__, #cond); \
	} while (0)

/* cleanup for malloc'd memory */
void orch_auto_free(void *pp);

#endif
