noinst_LIBRARIES += %D%/libcore.a
%C%_libcore_a_SOURCES = \
	%D%/buf.c %D%/buf.h \
	%D%/cgroup.c %D%/cgroup.h \
	%D%/clock.c %D%/clock.h \
	%D%/compiler.c %D%/compiler.h \
	%D%/cursor.c %D%/cursor.h \
	%D%/err.c %D%/err.h \
	%D%/fault.c %D%/fault.h \
	%D%/fd.c %D%/fd.h %D%/sock.c %D%/tree.c \
	%D%/glob.c %D%/glob.h \
	%D%/hash.c %D%/hash.h \
	%D%/hash_xxh.h %D%/hash_xxh_body.h \
	%D%/hash_xxh_avx2.c %D%/hash_xxh_base.c \
	%D%/http_client.c %D%/http_client.h \
	%D%/json.c %D%/json.h \
	%D%/log.c %D%/log.h \
	%D%/nearest.c %D%/nearest.h \
	%D%/path.c %D%/path.h \
	%D%/pool.c %D%/pool.h \
	%D%/process.c %D%/process.h \
	%D%/proctree.c %D%/proctree.h \
	%D%/size.h \
	%D%/strv.c %D%/strv.h \
	%D%/utf8.c %D%/utf8.h
