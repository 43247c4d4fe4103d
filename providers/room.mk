noinst_LIBRARIES += %D%/libproviders.a
%C%_libproviders_a_SOURCES = \
	%D%/environment.c %D%/environment.h \
	%D%/fake.c %D%/fake.h \
	%D%/host.c %D%/host.h \
	%D%/host_other.c \
	%D%/host_priv.h \
	%D%/host_task.c \
	%D%/init_protocol.h \
	%D%/init_report.c %D%/init_report.h \
	%D%/local.c \
	%D%/provider.c %D%/provider.h \
	%D%/record.c %D%/record.h \
	%D%/sandbox.c
