noinst_LIBRARIES += %D%/libformat.a
%C%_libformat_a_SOURCES =
