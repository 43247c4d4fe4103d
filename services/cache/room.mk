noinst_LIBRARIES += %D%/libcache.a
%C%_libcache_a_SOURCES = \
	%D%/db.h \
	%D%/diff.h \
	%D%/layer.h \
	%D%/manifest.h \
	%D%/pack.h \
	%D%/publish.h \
	%D%/quarantine.h \
	%D%/record.h \
	%D%/ref.h \
	%D%/snapshot.h \
	%D%/stat.h \
	%D%/store.h \
	%D%/txn.h \
	%D%/verify.h \
	%D%/walk.h
