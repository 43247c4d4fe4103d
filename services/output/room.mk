noinst_LIBRARIES += %D%/liboutput.a
%C%_liboutput_a_SOURCES = \
	%D%/build_log.c %D%/build_log.h \
	%D%/changes.c \
	%D%/collect.c %D%/collect.h \
	%D%/collect_list.c %D%/collect_list.h \
	%D%/html.c %D%/html.h \
	%D%/report.c \
	%D%/result.c %D%/result.h \
	%D%/result_check.c \
	%D%/spec.c %D%/spec.h
