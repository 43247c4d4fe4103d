noinst_LIBRARIES += %D%/liboutput.a
%C%_liboutput_a_SOURCES =
