/* Says hello, and with an argument how much CPU time its own activity has used: the statistics call
 * from C. Ends with the number of its further arguments. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "vortex.h"

static int statistics(void)
{
	long length = vortex_snapshot(NULL, 0, VORTEX_SCOPE_OWN);
	if (length < 0) {
		perror("hello: no statistics");
		return 1;
	}
	/* Room for what comes meanwhile. */
	length += 65536;
	void *snapshot = malloc((size_t)length);
	if (!snapshot || vortex_snapshot(snapshot, (size_t)length, VORTEX_SCOPE_OWN) > length) {
		fputs("hello: the statistics do not fit\n", stderr);
		return 1;
	}
	unsigned long cycles = 0;
	const struct vortex_account *account;
	for (uint64_t number = 0;
	     (account = vortex_record(snapshot, VORTEX_ACCOUNTS, number)); number++)
		cycles += account->cycles;
	printf("cycles used: %s\n", cycles > 0 ? "some" : "none");
	free(snapshot);
	return cycles == 0;
}

int main(int count, char **arguments)
{
	printf("hello from C, %d arguments\n", count - 1);
	if (count > 1 && arguments[1][0] == 's')
		return statistics();
	return count - 1;
}
