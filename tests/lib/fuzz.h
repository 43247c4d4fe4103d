/*
 * A fuzz target is one function, by the name that every fuzzer knows. It gives the bytes to a parser
 * and checks what must hold of the result (a round trip, say) with abort(); it returns 0.
 */
#ifndef ORCH_TESTS_LIB_FUZZ_H
#define ORCH_TESTS_LIB_FUZZ_H

#include <stddef.h>
#include <stdint.h>

__attribute__((visibility("default"))) int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
