noinst_LIBRARIES += %D%/libview.a
%C%_libview_a_SOURCES = \
	%D%/layer_log.c %D%/layer_log.h \
	%D%/object.c %D%/object.h \
	%D%/packset.c %D%/packset.h
