noinst_LIBRARIES += %D%/libsync.a
%C%_libsync_a_SOURCES = \
	%D%/import.c %D%/import.h %D%/import_priv.h \
	%D%/import_build.c \
	%D%/import_index.c \
	%D%/import_lineage.c \
	%D%/import_list.c \
	%D%/import_read.c \
	%D%/import_walk.c \
	%D%/inomap.c %D%/inomap.h \
	%D%/maker.c %D%/maker.h \
	%D%/place.c %D%/place.h \
	%D%/task.c %D%/task.h \
	%D%/xattrs.c %D%/xattrs.h
