noinst_LIBRARIES += %D%/libcache.a
%C%_libcache_a_SOURCES = \
	%D%/adopt.c \
	%D%/adopt_pack.c \
	%D%/db.c \
	%D%/db.h \
	%D%/diff.c \
	%D%/diff.h \
	%D%/folder.c \
	%D%/folder.h \
	%D%/layer.c \
	%D%/layer.h \
	%D%/manifest.c \
	%D%/manifest.h \
	%D%/object.c \
	%D%/pack.c \
	%D%/pack.h \
	%D%/publish.c \
	%D%/publish.h \
	%D%/quarantine.c \
	%D%/quarantine.h \
	%D%/record.c \
	%D%/record.h \
	%D%/ref.c \
	%D%/ref.h \
	%D%/snapshot.c \
	%D%/snapshot.h \
	%D%/stat.c \
	%D%/stat.h \
	%D%/store.c \
	%D%/store.h \
	%D%/store_format.c \
	%D%/store_priv.h \
	%D%/txn.c \
	%D%/txn.h \
	%D%/verify.h \
	%D%/walk.c \
	%D%/walk.h
