/* XXH3 with the vectors that every processor has. */
#define HASH_XXH_OPS orch_hash_xxh_base
#include "core/hash_xxh_body.h"
