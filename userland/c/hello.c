/* Says hello and ends with the number of its arguments; or, by the first one, uses the statistics
 * call from C: `s`, whether its activity has used CPU time; `t`, the time since boot; `u`, how its
 * calls of what there is not are counted. */

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

/* The time since the kernel was entered. */
static int clock_since_boot(void)
{
	static uint64_t room[65536];
	const struct vortex_header *header = (const struct vortex_header *)room;
	if (vortex_snapshot(room, sizeof room, VORTEX_SCOPE_OWN) > (long)sizeof room ||
	    header->magic != VORTEX_SNAPSHOT_MAGIC) {
		fputs("hello: no statistics\n", stderr);
		return 1;
	}
	printf("%lu us since boot\n", (unsigned long)header->since_boot_ns / 1000);
	return 0;
}

/* Calls what there is not, and finds that counted. */
static int unknown_calls(void)
{
	static uint64_t room[65536];
	for (int times = 0; times < 3; times++)
		if (syscall(4999) != -1 || errno != ENOSYS)
			return 1;
	if (vortex_snapshot(room, sizeof room, VORTEX_SCOPE_OWN) > (long)sizeof room)
		return 1;
	const struct vortex_unknown_call *call;
	for (uint64_t number = 0;
	     (call = vortex_record(room, VORTEX_UNKNOWN_CALLS, number)); number++)
		if (call->process == (uint64_t)getpid() && call->number == 4999)
			printf("call 4999: %lu times\n", (unsigned long)call->count);
	return 0;
}

int main(int count, char **arguments)
{
	printf("hello from C, %d arguments\n", count - 1);
	if (count > 1 && arguments[1][0] == 's')
		return statistics();
	if (count > 1 && arguments[1][0] == 't')
		return clock_since_boot();
	if (count > 1 && arguments[1][0] == 'u')
		return unknown_calls();
	return count - 1;
}
