/* The native system calls of Vortex, for C. The Rust crate `vortex` is the same for Rust; what each
 * call does and how it fails is told in `abi/src/calls.rs`, the layout of the statistics in
 * `abi/src/snapshot.rs`. Every function returns -1 and sets errno when it fails; on another kernel
 * errno is ENOSYS. */

#ifndef VORTEX_H
#define VORTEX_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VORTEX_SNAPSHOT 0x5600
#define VORTEX_NOP 0x5601
#define VORTEX_ACTIVITY_CREATE 0x5602
#define VORTEX_ACTIVITY_FIND 0x5603
#define VORTEX_ACTIVITY_SET 0x5604
#define VORTEX_PROCESS_MOVE 0x5605
#define VORTEX_SPAWN 0x5606
#define VORTEX_THREAD_SUSPEND 0x5607
#define VORTEX_THREAD_RESUME 0x5608
#define VORTEX_CACHE_EVICT 0x5609
#define VORTEX_SOCKET_ASSIGN 0x560a
#define VORTEX_ACTIVITY_BUDGET 0x560b
#define VORTEX_ACTIVITY_RESERVE 0x560c
#define VORTEX_ACTIVITY_SUSPEND 0x560d
#define VORTEX_ACTIVITY_RESUME 0x560e
#define VORTEX_ACTIVITY_EVICT 0x560f
#define VORTEX_RESOURCE_METRIC 0x5610

/* An option for setsockopt and getsockopt: the activity that pays for a socket, a uint32_t. */
#define VORTEX_SOL 0x5600
#define VORTEX_SO_ACTIVITY 1

#define VORTEX_SCOPE_OWN 0
#define VORTEX_SCOPE_ALL 1

/* As a resource: the CPU multiplexors. As a member of vortex_spawn_arguments: as the caller. */
#define VORTEX_HOME UINT64_MAX
#define VORTEX_INHERIT UINT64_MAX
/* As a priority: as it is. As a memory budget: none. */
#define VORTEX_KEEP UINT64_MAX
#define VORTEX_NO_LIMIT UINT64_MAX

/* What a scheduler charges by. */
#define VORTEX_METRIC_CPU 0
#define VORTEX_METRIC_BYTES 1
#define VORTEX_METRIC_REQUESTS 2
#define VORTEX_METRIC_MEMORY 3

#define VORTEX_RIGHT_STATISTICS 1
#define VORTEX_RIGHT_WEIGHTS 2
#define VORTEX_RIGHT_ACTIVITIES 4
#define VORTEX_RIGHT_SIGNALS 8

struct vortex_spawn_arguments {
	uint64_t path;        /* const char * */
	uint64_t arguments;   /* const char *const *, ends with a null pointer */
	uint64_t environment; /* the same */
	uint64_t activity;
	uint64_t rights;
	uint64_t stdin_descriptor;
	uint64_t stdout_descriptor;
	uint64_t stderr_descriptor;
};

/* "VORTEXST" */
#define VORTEX_SNAPSHOT_MAGIC 0x5453584554524f56ull
#define VORTEX_BUCKETS 40

struct vortex_header {
	uint64_t magic, version, length, taken_at, hertz, since_boot_ns, caller, sections;
};

/* One for each section, behind the header; use `stride`, not sizeof, to go on. */
struct vortex_place {
	uint64_t offset, count, stride;
};

enum vortex_section {
	VORTEX_CORES,
	VORTEX_RESOURCES,
	VORTEX_ACTIVITIES,
	VORTEX_ACCOUNTS,
	VORTEX_MEMORY,
	VORTEX_PROCESSES,
	VORTEX_UNKNOWN_CALLS,
	VORTEX_COUNTERS
};

struct vortex_core {
	uint64_t core, elapsed, attributed, scheduling, interrupt, idle;
};

struct vortex_resource {
	uint64_t resource;
	char name[48];
};

struct vortex_activity {
	uint64_t activity, weight;
	char name[48];
	uint64_t suspended; /* since version 2 */
};

struct vortex_account {
	uint64_t core, resource, activity;
	uint64_t cycles, requests, bytes, memory, returned, queue_length;
	uint64_t waiting[VORTEX_BUCKETS], service[VORTEX_BUCKETS];
};

struct vortex_memory {
	uint64_t activity, resource, held, budget;
};

struct vortex_process {
	uint64_t process, parent, activity, threads, resident, cycles;
	char name[48];
};

struct vortex_unknown_call {
	uint64_t process, number, count;
};

struct vortex_counter {
	uint64_t value;
	char name[48];
};

/* Bytes that the snapshot needs; it has been written if they are at most `length`. */
static inline long vortex_snapshot(void *buffer, size_t length, int scope)
{
	return syscall(VORTEX_SNAPSHOT, buffer, length, (long)scope);
}

/* The record `number` of a section in a snapshot, or a null pointer. */
static inline const void *vortex_record(const void *snapshot, enum vortex_section section, uint64_t number)
{
	const struct vortex_header *header = (const struct vortex_header *)snapshot;
	const struct vortex_place *place = (const struct vortex_place *)(header + 1) + section;
	if (header->magic != VORTEX_SNAPSHOT_MAGIC || (uint64_t)section >= header->sections ||
	    number >= place->count)
		return NULL;
	return (const char *)snapshot + place->offset + number * place->stride;
}

static inline int vortex_nop(void)
{
	return (int)syscall(VORTEX_NOP);
}

/* `weight` in thousandths. */
static inline long vortex_activity_create(const char *name, uint64_t weight)
{
	return syscall(VORTEX_ACTIVITY_CREATE, name, strlen(name), weight);
}

static inline long vortex_activity_find(const char *name)
{
	return syscall(VORTEX_ACTIVITY_FIND, name, strlen(name));
}

static inline int vortex_activity_set(uint64_t activity, uint64_t resource, uint64_t weight,
				      uint64_t priority)
{
	return (int)syscall(VORTEX_ACTIVITY_SET, activity, resource, weight, priority);
}

static inline int vortex_process_move(uint64_t process, uint64_t activity)
{
	return (int)syscall(VORTEX_PROCESS_MOVE, process, activity);
}

static inline long vortex_spawn(const struct vortex_spawn_arguments *arguments)
{
	return syscall(VORTEX_SPAWN, arguments, sizeof *arguments);
}

static inline int vortex_thread_suspend(uint64_t thread)
{
	return (int)syscall(VORTEX_THREAD_SUSPEND, thread);
}

static inline int vortex_thread_resume(uint64_t thread)
{
	return (int)syscall(VORTEX_THREAD_RESUME, thread);
}

/* Has the file cache give back the clean pages of a file, or of all files that the activity has
 * brought in if fd is -1; returns how many. */
static inline long vortex_cache_evict(int fd)
{
	return syscall(VORTEX_CACHE_EVICT, fd);
}

/* From now on the activity pays for what the socket does, and for what is accepted by it. */
static inline int vortex_socket_assign(int fd, uint32_t activity)
{
	return (int)syscall(VORTEX_SOCKET_ASSIGN, fd, activity);
}

/* The most memory an activity may hold, in bytes. */
static inline int vortex_activity_budget(uint64_t activity, uint64_t bytes)
{
	return (int)syscall(VORTEX_ACTIVITY_BUDGET, activity, bytes);
}

/* So many microseconds in each period of so many, at schedulers that know budgets. */
static inline int vortex_activity_reserve(uint64_t activity, uint64_t resource, uint64_t time,
					  uint64_t period)
{
	return (int)syscall(VORTEX_ACTIVITY_RESERVE, activity, resource, time, period);
}

/* No thread of the activity's processes runs until it is resumed. */
static inline int vortex_activity_suspend(uint64_t activity)
{
	return (int)syscall(VORTEX_ACTIVITY_SUSPEND, activity);
}

static inline int vortex_activity_resume(uint64_t activity)
{
	return (int)syscall(VORTEX_ACTIVITY_RESUME, activity);
}

/* As vortex_cache_evict(-1), of another activity. */
static inline long vortex_activity_evict(uint32_t activity)
{
	return syscall(VORTEX_ACTIVITY_EVICT, activity);
}

/* What the scheduler of a resource charges by: one of VORTEX_METRIC_. */
static inline int vortex_resource_metric(uint64_t resource, uint64_t metric)
{
	return (int)syscall(VORTEX_RESOURCE_METRIC, resource, metric);
}

#ifdef __cplusplus
}
#endif

#endif
