/* The control API as a table; docs/api.md describes each line. */
#ifndef FSD_KEEPER_ROUTES_H
#define FSD_KEEPER_ROUTES_H

#include "request.h"

extern const struct fsd_route fsd_routes[]; /* ends with method NULL */

#endif
