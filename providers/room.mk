noinst_LIBRARIES += %D%/libproviders.a
%C%_libproviders_a_SOURCES = \
	%D%/provider.h
