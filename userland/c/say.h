/* For programs that print what calls say, to be compared line by line. */
#ifndef SAY_H
#define SAY_H

#include <errno.h>
#include <stdio.h>

/* A call and what it says: its result, or the error's number. */
#define SAY(call)                                                              \
	do {                                                                   \
		errno = 0;                                                     \
		long result = (long)(call);                                    \
		if (result == -1)                                              \
			printf("%s: error %d\n", #call, errno);                \
		else                                                           \
			printf("%s: %ld\n", #call, result);                    \
	} while (0)

#endif
