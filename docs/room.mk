EXTRA_DIST += docs/testing.md docs/worker.md
