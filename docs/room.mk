# Pages and man pages.
EXTRA_DIST += docs
