noinst_LIBRARIES += %D%/libmount.a
%C%_libmount_a_SOURCES = \
	%D%/attr.c \
	%D%/busy.c %D%/busy.h \
	%D%/caller.c %D%/caller.h \
	%D%/chain.c %D%/chain.h \
	%D%/change.c \
	%D%/changes.c \
	%D%/clean.c \
	%D%/confine.c %D%/confine.h \
	%D%/content.c %D%/content.h \
	%D%/control.c %D%/control.h \
	%D%/copyup.c \
	%D%/dir.c \
	%D%/door.h \
	%D%/file.c \
	%D%/fuse_attr.c \
	%D%/fuse_data.c \
	%D%/fuse_door.c %D%/fuse_door_priv.h \
	%D%/fuse_folder.c \
	%D%/fuse_freeze.c \
	%D%/fuse_loop.c \
	%D%/fuse_name.c \
	%D%/fuse_open.c \
	%D%/fuse_ops.c \
	%D%/fuse_request.c \
	%D%/greet.c %D%/greet.h \
	%D%/listing.c %D%/listing.h \
	%D%/log.c %D%/log.h \
	%D%/newtop.c %D%/newtop.h \
	%D%/node.c %D%/node.h \
	%D%/notify.c %D%/notify.h \
	%D%/ns.c %D%/ns.h %D%/ns_priv.h \
	%D%/options.c %D%/options.h \
	%D%/outlived.c \
	%D%/outside.c %D%/outside.h \
	%D%/pause.c %D%/pause.h \
	%D%/place.c %D%/place.h \
	%D%/place_user.c %D%/place_user.h \
	%D%/rebase.c \
	%D%/recover.c \
	%D%/remover.c %D%/remover.h \
	%D%/requests.c %D%/requests.h \
	%D%/seal.c \
	%D%/strata.c %D%/strata.h \
	%D%/tidy.c \
	%D%/txn.c \
	%D%/writers.c %D%/writers.h \
	%D%/xattr.c
%C%_libmount_a_CPPFLAGS = $(AM_CPPFLAGS) $(FUSE_CFLAGS)

pkglibexec_PROGRAMS += %D%/orch-mount
%C%_orch_mount_SOURCES = %D%/main.c
%C%_orch_mount_LDADD = $(MOUNT_LIBS)
