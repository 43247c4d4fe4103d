# Tests of this folder, see docs/testing.md.
