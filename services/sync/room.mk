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
	%D%/git_attr.c %D%/git_attr.h %D%/git_attr_priv.h \
	%D%/git_attr_file.c \
	%D%/git_convert.c %D%/git_convert.h \
	%D%/git_import.c %D%/git_import.h %D%/git_import_priv.h \
	%D%/git_import_blob.c \
	%D%/git_import_build.c \
	%D%/git_import_list.c \
	%D%/git_import_table.c \
	%D%/git_memo.c %D%/git_memo.h \
	%D%/git_name.c %D%/git_name.h \
	%D%/git_odb.c %D%/git_odb.h \
	%D%/git_parse.c %D%/git_parse.h \
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
	%D%/restamp.c %D%/restamp.h \
	%D%/task.c %D%/task.h \
	%D%/xattrs.c %D%/xattrs.h
