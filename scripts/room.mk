EXTRA_DIST += scripts/bootstrap scripts/test scripts/quickstart scripts/format scripts/own-root scripts/bench scripts/fuzz scripts/test-programs
