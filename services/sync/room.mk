noinst_LIBRARIES += %D%/libsync.a
%C%_libsync_a_SOURCES = \
	%D%/apply.c %D%/apply.h %D%/apply_priv.h \
	%D%/apply_links.c \
	%D%/apply_take.c \
	%D%/commit.c %D%/commit.h %D%/commit_priv.h \
	%D%/commit_entry.c \
	%D%/commit_hash.c \
	%D%/commit_links.c \
	%D%/edit.c %D%/edit.h \
	%D%/export.c %D%/export.h %D%/export_priv.h \
	%D%/export_write.c \
	%D%/gitcred.c %D%/gitcred.h \
	%D%/gitadopt.c %D%/gitadopt.h %D%/gitadopt_priv.h \
	%D%/gitfetch.c %D%/gitfetch.h \
	%D%/gitfind.c %D%/gitfind.h \
	%D%/gitpacks.c \
	%D%/gitrev.c %D%/gitrev.h \
	%D%/gitrun.c %D%/gitrun.h \
	%D%/gitsay.c %D%/gitsay.h \
	%D%/gitsteps.c \
	%D%/giturl.c %D%/giturl.h \
	%D%/gitverify.c \
	%D%/import.c %D%/import.h %D%/import_priv.h \
	%D%/import_build.c \
	%D%/import_index.c \
	%D%/import_lineage.c \
	%D%/import_list.c \
	%D%/import_read.c \
	%D%/import_walk.c \
	%D%/inomap.c %D%/inomap.h \
	%D%/layers.c %D%/layers.h \
	%D%/maker.c %D%/maker.h \
	%D%/place.c %D%/place.h \
	%D%/task.c %D%/task.h \
	%D%/xattrs.c %D%/xattrs.h
