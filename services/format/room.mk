noinst_LIBRARIES += %D%/libformat.a
%C%_libformat_a_SOURCES = \
	%D%/entry.c %D%/entry.h %D%/format_priv.h \
	%D%/layer.c %D%/layer.h \
	%D%/memo.c %D%/memo.h \
	%D%/msg.c %D%/msg.h \
	%D%/overlay.c %D%/overlay.h \
	%D%/overlay_mem.c %D%/overlay_mem.h \
	%D%/pack.c %D%/pack.h \
	%D%/scan.c %D%/scan.h \
	%D%/snapshot.c %D%/snapshot.h \
	%D%/stamps.c %D%/stamps.h \
	%D%/tree.c %D%/tree.h
