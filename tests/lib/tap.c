/* The wrapper of cmocka that every unit test is linked with. */
#include "tests/lib/tap.h"

#include <stdio.h>

void tap_use(void)
{
	cmocka_set_message_output(CM_OUTPUT_TAP);
	setvbuf(stdout, NULL, _IOLBF, 0);
}
