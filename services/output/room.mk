noinst_LIBRARIES += %D%/liboutput.a
%C%_liboutput_a_SOURCES = \
	%D%/build_log.h \
	%D%/changes.c \
	%D%/collect.c %D%/collect.h \
	%D%/result.h \
	%D%/spec.c %D%/spec.h
