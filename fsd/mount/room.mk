noinst_LIBRARIES += %D%/libmount.a
%C%_libmount_a_SOURCES =
%C%_libmount_a_CPPFLAGS = $(AM_CPPFLAGS) $(FUSE_CFLAGS)

pkglibexec_PROGRAMS += %D%/orch-mount
%C%_orch_mount_SOURCES = %D%/main.c
%C%_orch_mount_LDADD = $(MOUNT_LIBS)
