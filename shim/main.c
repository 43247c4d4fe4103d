/* orch-shim: the command line. Everything is in the tables behind shim_main. */
#include "shim/cli.h"

extern char **environ;

int main(int argc, char **argv)
{
	return shim_main(argc, argv, environ);
}
