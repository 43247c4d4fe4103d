EXTRA_DIST += scripts/bootstrap scripts/test
