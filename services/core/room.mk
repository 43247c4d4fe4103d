noinst_LIBRARIES += %D%/libcore.a
%C%_libcore_a_SOURCES = \
	%D%/buf.c %D%/buf.h \
	%D%/cgroup.c %D%/cgroup.h \
	%D%/cgroup_place.c %D%/cgroup_place.h \
	%D%/clock.c %D%/clock.h \
	%D%/compiler.c %D%/compiler.h \
	%D%/cursor.c %D%/cursor.h \
	%D%/err.c %D%/err.h \
	%D%/fault.c %D%/fault.h %D%/fault_calls.c \
	%D%/fd.c %D%/fd.h %D%/sock.c %D%/tree.c \
	%D%/freezer.c %D%/freezer.h \
	%D%/fuse_conf.c %D%/fuse_conf.h \
	%D%/glob.c %D%/glob.h \
	%D%/grow.c %D%/grow.h \
	%D%/guard.c %D%/guard.h \
	%D%/hash.c %D%/hash.h \
	%D%/hash_xxh.h %D%/hash_xxh_body.h \
	%D%/hash_xxh_avx2.c %D%/hash_xxh_base.c \
	%D%/http_answer.c %D%/http_answer.h \
	%D%/http_client.c %D%/http_client.h \
	%D%/json.c %D%/json.h \
	%D%/log.c %D%/log.h \
	%D%/mounts.c %D%/mounts.h \
	%D%/nearest.c %D%/nearest.h \
	%D%/number.h \
	%D%/path.c %D%/path.h \
	%D%/pool.c %D%/pool.h \
	%D%/proc_map.c %D%/proc_map.h \
	%D%/proc_stat.c %D%/proc_stat.h \
	%D%/process.c %D%/process.h \
	%D%/proctree.c %D%/proctree.h \
	%D%/size.h \
	%D%/strv.c %D%/strv.h \
	%D%/utf8.c %D%/utf8.h

# The functions of fault_calls.c: every call of them is a point of failure.
if FAULT_INJECTION
FAULT_WRAPS = \
	-Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=realloc -Wl,--wrap=reallocarray \
	-Wl,--wrap=aligned_alloc -Wl,--wrap=strdup -Wl,--wrap=strndup -Wl,--wrap=vasprintf \
	-Wl,--wrap=__vasprintf_chk -Wl,--wrap=asprintf -Wl,--wrap=__asprintf_chk -Wl,--wrap=mmap \
	-Wl,--wrap=read -Wl,--wrap=pread -Wl,--wrap=write -Wl,--wrap=pwrite -Wl,--wrap=copy_file_range \
	-Wl,--wrap=ftruncate -Wl,--wrap=fallocate -Wl,--wrap=posix_fallocate -Wl,--wrap=fsync \
	-Wl,--wrap=fdatasync -Wl,--wrap=syncfs -Wl,--wrap=rename -Wl,--wrap=renameat -Wl,--wrap=renameat2 \
	-Wl,--wrap=linkat -Wl,--wrap=unlink -Wl,--wrap=unlinkat -Wl,--wrap=rmdir -Wl,--wrap=open \
	-Wl,--wrap=openat -Wl,--wrap=opendir -Wl,--wrap=fdopendir -Wl,--wrap=mkdir -Wl,--wrap=mkdirat \
	-Wl,--wrap=symlinkat -Wl,--wrap=pipe2 -Wl,--wrap=eventfd -Wl,--wrap=epoll_create1 \
	-Wl,--wrap=signalfd -Wl,--wrap=timerfd_create -Wl,--wrap=memfd_create -Wl,--wrap=socket \
	-Wl,--wrap=socketpair -Wl,--wrap=accept4 -Wl,--wrap=connect -Wl,--wrap=bind -Wl,--wrap=listen \
	-Wl,--wrap=sendmsg -Wl,--wrap=recvmsg -Wl,--wrap=pthread_create -Wl,--wrap=fork
endif
