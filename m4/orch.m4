# What configure asks and decides, one macro a question. configure.ac is the table of contents.

# ORCH_TRY_CFLAG(VARIABLE, FLAG): append FLAG to VARIABLE if the compiler takes it.
AC_DEFUN([ORCH_TRY_CFLAG], [
	orch_save_CFLAGS=$CFLAGS
	CFLAGS="$CFLAGS -Werror $2"
	AC_MSG_CHECKING([whether the compiler takes $2])
	AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])],
		[AC_MSG_RESULT([yes]); $1="$$1 $2"], [AC_MSG_RESULT([no])])
	CFLAGS=$orch_save_CFLAGS
])

# ORCH_TRY_LDFLAG(VARIABLE, FLAG): the same for the linker.
AC_DEFUN([ORCH_TRY_LDFLAG], [
	orch_save_LDFLAGS=$LDFLAGS
	LDFLAGS="$LDFLAGS $2"
	AC_MSG_CHECKING([whether the linker takes $2])
	AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
		[AC_MSG_RESULT([yes]); $1="$$1 $2"], [AC_MSG_RESULT([no])])
	LDFLAGS=$orch_save_LDFLAGS
])

AC_DEFUN([ORCH_ARG_SWITCHES], [
	AC_ARG_ENABLE([werror],
		[AS_HELP_STRING([--enable-werror], [a warning ends the build (what the tests use)])],
		[], [enable_werror=no])
	AC_ARG_ENABLE([sanitizers],
		[AS_HELP_STRING([--enable-sanitizers=LIST],
			[build with these sanitizers, for example address,undefined or thread])],
		[], [enable_sanitizers=no])
	AS_CASE([$enable_sanitizers], [yes], [enable_sanitizers=address,undefined])
	AC_ARG_ENABLE([fault-injection],
		[AS_HELP_STRING([--enable-fault-injection],
			[compile the named points at which tests make things fail])],
		[], [enable_fault_injection=no])
	AC_ARG_ENABLE([tests],
		[AS_HELP_STRING([--disable-tests], [don't look for cmocka and Python, make check does nothing])],
		[], [enable_tests=yes])
	AC_ARG_WITH([fuse],
		[AS_HELP_STRING([--with-fuse=PATH|bundled|system],
			[libfuse 3: installed below PATH; the static one that scripts/bootstrap built; the system's @<:@bundled if it is there, else system@:>@])],
		[], [with_fuse=auto])

	AC_ARG_WITH([systemdsystemunitdir],
		[AS_HELP_STRING([--with-systemdsystemunitdir=DIR],
			[where the units of systemd are installed, no: nowhere @<:@PREFIX/lib/systemd/system@:>@])],
		[], [with_systemdsystemunitdir='${prefix}/lib/systemd/system'])
	AC_ARG_WITH([sysusersdir],
		[AS_HELP_STRING([--with-sysusersdir=DIR],
			[where the group of the socket is declared @<:@PREFIX/lib/sysusers.d@:>@])],
		[], [with_sysusersdir='${prefix}/lib/sysusers.d'])
	AC_SUBST([systemdsystemunitdir], [$with_systemdsystemunitdir])
	AC_SUBST([sysusersdir], [$with_sysusersdir])
	AM_CONDITIONAL([SYSTEMD_UNITS_WANTED], [test "x$with_systemdsystemunitdir" != xno])

	AS_IF([test "x$enable_fault_injection" = xyes],
		[AC_DEFINE([ORCH_FAULT_INJECTION], [1], [Compile the named points of failure.])])
	AM_CONDITIONAL([FAULT_INJECTION], [test "x$enable_fault_injection" = xyes])
	AM_CONDITIONAL([SANITIZERS], [test "x$enable_sanitizers" != xno])
])

AC_DEFUN([ORCH_COMPILER_FLAGS], [
	orch_cflags="-std=gnu11 -fvisibility=hidden -ffunction-sections -fdata-sections -fno-common"
	m4_foreach_w([flag], [
		-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
		-Wvla -Wpointer-arith -Wcast-qual -Wformat=2 -Wundef -Wwrite-strings
		-Wimplicit-fallthrough -Wnull-dereference -Wdouble-promotion -Wredundant-decls
		-Wnested-externs -Wduplicated-cond -Wduplicated-branches -Wlogical-op -Wjump-misses-init
		-Wdate-time -Wtrampolines -Wstrict-overflow=2 -Walloca -Wswitch-enum
		-Wno-unused-parameter -Wno-missing-field-initializers -Wno-switch-enum -Wno-null-dereference
		-Wno-jump-misses-init -Wno-strict-overflow],
		[ORCH_TRY_CFLAG([orch_cflags], flag)])
	dnl gcc asks only where a format has no attribute; clang everywhere.
	AS_CASE([`$CC --version`], [*clang*], [orch_cflags="$orch_cflags -Wno-format-nonliteral"])
	AS_IF([test "x$enable_werror" = xyes], [orch_cflags="$orch_cflags -Werror"])

	orch_ldflags=
	m4_foreach_w([flag], [-Wl,--as-needed -Wl,--gc-sections -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack],
		[ORCH_TRY_LDFLAG([orch_ldflags], flag)])

	orch_hard_cflags=
	AS_IF([test "x$enable_sanitizers" = xno], [
		AS_CASE([" $CPPFLAGS $CFLAGS "],
			[*_FORTIFY_SOURCE*], [],
			[*" -O"@<:@123s@:>@*], [orch_hard_cflags="-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2"])
		ORCH_TRY_CFLAG([orch_hard_cflags], [-fstack-protector-strong])
		ORCH_TRY_CFLAG([orch_hard_cflags], [-fstack-clash-protection])
	], [
		orch_hard_cflags="-fsanitize=$enable_sanitizers -fno-omit-frame-pointer -fno-sanitize-recover=all"
		orch_ldflags="$orch_ldflags -fsanitize=$enable_sanitizers"
	])
	AC_SUBST([ORCH_CFLAGS], [$orch_cflags])
	AC_SUBST([ORCH_HARD_CFLAGS], [$orch_hard_cflags])
	AC_SUBST([ORCH_LDFLAGS], [$orch_ldflags])
])

AC_DEFUN([ORCH_LIBRARIES], [
	AX_ORCH_THREADS
	PKG_CHECK_MODULES([CRYPTO], [libcrypto >= 3.0])
	PKG_CHECK_MODULES([JANSSON], [jansson >= 2.13])
	PKG_CHECK_MODULES([CURL], [libcurl >= 7.80])
	PKG_CHECK_MODULES([ROCKSDB], [rocksdb >= 7.0])
	PKG_CHECK_MODULES([MHD], [libmicrohttpd >= 0.9.71])
	PKG_CHECK_MODULES([SECCOMP], [libseccomp >= 2.5])
	PKG_CHECK_MODULES([XXHASH], [libxxhash >= 0.8.0])
	PKG_CHECK_MODULES([GIT2], [libgit2 >= 1.1])
	dnl RocksDB's pkg-config file names what the static library needs; the C interface of the shared one needs no more.
	ROCKSDB_LIBS=-lrocksdb
	have_cmocka=no
	AS_IF([test "x$enable_tests" = xyes], [
		PKG_CHECK_MODULES([CMOCKA], [cmocka >= 1.1.5], [have_cmocka=yes], [have_cmocka=no])
	])
	AM_CONDITIONAL([TESTS_ENABLED], [test "x$enable_tests" = xyes])
	AM_CONDITIONAL([HAVE_CMOCKA], [test "x$have_cmocka" = xyes])
])

AC_DEFUN([AX_ORCH_THREADS], [
	AC_SEARCH_LIBS([pthread_create], [pthread], [], [AC_MSG_ERROR([POSIX threads are needed])])
	AC_CHECK_FUNCS([close_range copy_file_range statx])
])

# ORCH_FUSE: the libfuse that orch-mount is linked with.
# The bundled one lies in build-deps/fuse3 of the source tree (scripts/bootstrap), always reached by a
# relative path: make can't have spaces in a file name, the path of a clone may hold some.
AC_DEFUN([ORCH_FUSE], [
	AC_MSG_CHECKING([for libfuse])
	orch_fuse_dir=
	AS_CASE([$with_fuse],
		[auto], [AS_IF([test -f "$srcdir/build-deps/fuse3/lib/libfuse3.a"], [orch_fuse_dir=bundled])],
		[yes|bundled], [orch_fuse_dir=bundled],
		[system], [],
		[no], [AC_MSG_ERROR([orch-mount can't be built without libfuse])],
		[orch_fuse_dir=$with_fuse])
	AS_CASE([$orch_fuse_dir],
		[bundled], [
			orch_fuse_real=$srcdir/build-deps/fuse3
			orch_fuse_make='$(top_srcdir)/build-deps/fuse3'
			orch_fuse_kind="static, from build-deps/fuse3"],
		[""], [orch_fuse_real=],
		[*" "*], [AC_MSG_ERROR([--with-fuse: a path with a space can't be used with make])],
		[
			orch_fuse_real=$orch_fuse_dir
			orch_fuse_make=$orch_fuse_dir
			orch_fuse_kind="static, from $orch_fuse_dir"])
	AS_IF([test -n "$orch_fuse_real"], [
		orch_fuse_pc=
		for pc in "$orch_fuse_real"/lib/pkgconfig/fuse3.pc "$orch_fuse_real"/lib/*/pkgconfig/fuse3.pc; do
			AS_IF([test -f "$pc"], [orch_fuse_pc=$pc])
		done
		AS_IF([test -z "$orch_fuse_pc"],
			[AC_MSG_ERROR([no fuse3.pc below $orch_fuse_real])])
		orch_fuse_version=`sed -n 's/^Version: *//p' "$orch_fuse_pc"`
		orch_fuse_lib=`dirname "$orch_fuse_pc" | sed 's,/pkgconfig$,,'`
		orch_fuse_sub=`AS_ECHO(["$orch_fuse_lib"]) | sed "s,^.*/lib,lib,"`
		AS_IF([test ! -f "$orch_fuse_lib/libfuse3.a"], [AC_MSG_ERROR([no libfuse3.a in $orch_fuse_lib])])
		orch_fuse_extra=`sed -n 's/^Libs\.private: *//p' "$orch_fuse_pc"`
		FUSE_CFLAGS="-isystem $orch_fuse_make/include/fuse3"
		FUSE_LIBS="$orch_fuse_make/$orch_fuse_sub/libfuse3.a $orch_fuse_extra -lpthread -ldl"
		dnl Say what a static library needs even where its .pc file doesn't.
		AS_IF([nm "$orch_fuse_lib/libfuse3.a" 2>/dev/null | grep -q 'U io_uring_'],
			[FUSE_LIBS="$FUSE_LIBS -luring"])
		AS_IF([nm "$orch_fuse_lib/libfuse3.a" 2>/dev/null | grep -q 'U numa_'],
			[FUSE_LIBS="$FUSE_LIBS -lnuma"])
		AC_MSG_RESULT([$orch_fuse_version ($orch_fuse_kind)])
	], [
		AC_MSG_RESULT([the system's])
		PKG_CHECK_MODULES([FUSE], [fuse3 >= 3.14])
		orch_fuse_version=`$PKG_CONFIG --modversion fuse3`
		orch_fuse_kind="the system's"
	])
	AC_SUBST([FUSE_CFLAGS])
	AC_SUBST([FUSE_LIBS])
	orch_fuse_uring=no
	AS_VERSION_COMPARE([$orch_fuse_version], [3.18], [],
		[orch_fuse_uring=yes], [orch_fuse_uring=yes])
	AS_IF([test "x$orch_fuse_uring" = xyes],
		[AC_DEFINE([ORCH_FUSE_URING], [1], [libfuse has FUSE over io_uring (3.18).])])
	orch_fuse_passthrough=no
	AS_VERSION_COMPARE([$orch_fuse_version], [3.17], [],
		[orch_fuse_passthrough=yes], [orch_fuse_passthrough=yes])
	AS_IF([test "x$orch_fuse_passthrough" = xyes],
		[AC_DEFINE([ORCH_FUSE_PASSTHROUGH], [1], [libfuse has passthrough (3.17).])])
	AC_DEFINE_UNQUOTED([ORCH_FUSE_VERSION], ["$orch_fuse_version"], [The libfuse that this was configured with.])
])

AC_DEFUN([ORCH_SUMMARY], [
	AS_IF([test "x$enable_tests" != xyes], [orch_tests=no],
		[test "x$have_cmocka" != xyes], [orch_tests="without the unit tests (no cmocka)"],
		[orch_tests=yes])
	AC_MSG_NOTICE([

  orch $PACKAGE_VERSION
    prefix             $prefix
    store              $localstatedir/lib/orch
    socket             $runstatedir/orch/fsd.sock
    settings           $sysconfdir/orch-fsd.conf
    libfuse            $orch_fuse_version, $orch_fuse_kind
      io_uring         $orch_fuse_uring
      passthrough      $orch_fuse_passthrough
    compiler           $CC $CFLAGS
    warnings are errors  $enable_werror
    sanitizers         $enable_sanitizers
    fault injection    $enable_fault_injection
    tests              $orch_tests
])
	AS_IF([test "x$orch_fuse_uring" != xyes],
		[AC_MSG_WARN([libfuse $orch_fuse_version: no FUSE over io_uring (a compile costs up to a fifth more); scripts/bootstrap builds a newer one])])
])
