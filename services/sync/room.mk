noinst_LIBRARIES += %D%/libsync.a
%C%_libsync_a_SOURCES =
