noinst_LIBRARIES += %D%/libcore.a
%C%_libcore_a_SOURCES = \
	%D%/buf.c %D%/buf.h \
	%D%/compiler.c %D%/compiler.h \
	%D%/cursor.c %D%/cursor.h \
	%D%/err.c %D%/err.h \
	%D%/fault.c %D%/fault.h \
	%D%/hash.c %D%/hash.h \
	%D%/size.h
