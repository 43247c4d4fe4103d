/* XXH3 with AVX2; nothing in here may be called where the processor lacks it. */
#ifdef __x86_64__
#pragma GCC target("avx2")
#define HASH_XXH_OPS orch_hash_xxh_avx2
#include "core/hash_xxh_body.h"
#else
/* ISO C wants one declaration in a file. */
typedef int orch_hash_xxh_has_no_avx2;
#endif
