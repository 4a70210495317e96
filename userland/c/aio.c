/* Native asynchronous I/O in a folder: what each call and each event says, in lines that are the same
 * on Linux and on Vortex. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "say.h"

static aio_context_t context;
static char buffer[20000];
static struct iocb blocks[8];
/* Where there is no memory. */
static char *volatile nowhere = (char *)8;

static void check(int condition, const char *what)
{
	if (!condition) {
		perror(what);
		exit(1);
	}
}

static struct iocb *operation(int number, int what, int fd, void *at, size_t bytes, off_t offset)
{
	struct iocb *block = &blocks[number];
	memset(block, 0, sizeof *block);
	block->aio_data = 100 + (unsigned)number;
	block->aio_lio_opcode = (unsigned short)what;
	block->aio_fildes = (unsigned)fd;
	block->aio_buf = (uintptr_t)at;
	block->aio_nbytes = bytes;
	block->aio_offset = offset;
	return block;
}

static struct iocb *watch(int number, int fd, int events)
{
	return operation(number, IOCB_CMD_POLL, fd, (void *)(uintptr_t)events, 0, 0);
}

static long submit(struct iocb *block)
{
	return syscall(SYS_io_submit, context, 1L, &block);
}

static long cancel(struct iocb *block)
{
	struct io_event event;
	return syscall(SYS_io_cancel, context, block, &event);
}

static int by_data(const void *one, const void *other)
{
	const struct io_event *first = one, *second = other;
	return (first->data > second->data) - (first->data < second->data);
}

/* What has completed, of at least so many. */
static void events(long least)
{
	struct io_event found[16];
	struct timespec none = { 0, 0 };
	long count = syscall(SYS_io_getevents, context, least, 16L, found, least > 0 ? NULL : &none);
	printf("events: %ld\n", count);
	if (count <= 0)
		return;
	qsort(found, (size_t)count, sizeof *found, by_data);
	for (long number = 0; number < count; number++) {
		const struct io_event *event = &found[number];
		int is_its = event->obj == (uintptr_t)&blocks[event->data - 100];
		long long result = event->res;
		const struct iocb *block = &blocks[event->data - 100];
		/* Linux may tell of more than was asked for. */
		if (block->aio_lio_opcode == IOCB_CMD_POLL)
			result &= (long long)block->aio_buf | POLLERR | POLLHUP;
		printf("  %lld: %lld, %lld%s\n", (long long)event->data, result,
		       (long long)event->res2, is_its ? "" : ", of another operation");
	}
}

static void contexts(void)
{
	aio_context_t other = 1;
	SAY(syscall(SYS_io_setup, 4, nowhere));
	SAY(syscall(SYS_io_setup, 4, &other));
	other = 0;
	SAY(syscall(SYS_io_setup, 0, &other));
	SAY(syscall(SYS_io_destroy, other));
	SAY(syscall(SYS_io_setup, 4, &other));
	SAY(syscall(SYS_io_destroy, other));
	SAY(syscall(SYS_io_destroy, other));
	SAY(syscall(SYS_io_submit, other, 1L, NULL));
	SAY(syscall(SYS_io_submit, context, -1L, NULL));
	SAY(syscall(SYS_io_submit, context, 0L, NULL));
	SAY(syscall(SYS_io_submit, context, 1L, nowhere));
	struct iocb *none = (struct iocb *)nowhere;
	SAY(submit(none));
	SAY(syscall(SYS_io_getevents, context, 2L, 1L, NULL, NULL));
	SAY(syscall(SYS_io_getevents, context, -1L, 1L, NULL, NULL));
	SAY(syscall(SYS_io_getevents, context, 0L, 1L, NULL, NULL));
}

static void transfers(void)
{
	int fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0644);
	check(fd >= 0, "open");
	memset(buffer, 'a', 10000);
	SAY(submit(operation(0, IOCB_CMD_PWRITE, fd, buffer, 10000, 0)));
	events(1);
	struct iovec parts[2] = { { buffer, 3 }, { buffer + 100, 5 } };
	SAY(submit(operation(0, IOCB_CMD_PWRITEV, fd, parts, 2, 9998)));
	events(1);
	SAY(submit(operation(0, IOCB_CMD_FSYNC, fd, NULL, 0, 0)));
	SAY(submit(operation(1, IOCB_CMD_FDSYNC, fd, NULL, 0, 0)));
	events(2);
	struct iocb *several[3] = { operation(0, IOCB_CMD_PREAD, fd, buffer, 4000, 0),
				    operation(1, IOCB_CMD_PREAD, fd, buffer + 4000, 10000, 6000),
				    operation(2, IOCB_CMD_PREADV, fd, parts, 2, 10002) };
	SAY(syscall(SYS_io_submit, context, 3L, several));
	events(3);
	puts("at the end and behind it");
	several[0] = operation(0, IOCB_CMD_PREAD, fd, buffer, 100, 10006);
	several[1] = operation(1, IOCB_CMD_PREAD, fd, buffer, 100, 20000);
	several[2] = operation(2, IOCB_CMD_PREAD, fd, buffer, 0, 0);
	SAY(syscall(SYS_io_submit, context, 3L, several));
	events(3);
	puts("what is wrong in the middle ends a list");
	several[1] = operation(1, 77, fd, buffer, 1, 0);
	SAY(syscall(SYS_io_submit, context, 3L, several));
	events(1);
	SAY(syscall(SYS_io_submit, context, 2L, several + 1));
	events(0);
	close(fd);
}

static void wrong_operations(void)
{
	int fd = open("file", O_RDWR), reading = open("file", O_RDONLY), writing = open("file", O_WRONLY);
	int place = open("file", O_PATH), folder = open(".", O_RDONLY | O_DIRECTORY);
	SAY(submit(operation(0, IOCB_CMD_PREAD, 50, buffer, 1, 0)));
	SAY(submit(operation(0, IOCB_CMD_PREAD, place, buffer, 1, 0)));
	SAY(submit(operation(0, IOCB_CMD_PREAD, writing, buffer, 1, 0)));
	SAY(submit(operation(0, IOCB_CMD_PWRITE, reading, buffer, 1, 0)));
	SAY(submit(operation(0, IOCB_CMD_PREAD, fd, buffer, 1, -1)));
	SAY(submit(operation(0, IOCB_CMD_PREAD, fd, buffer, (size_t)-1, 0)));
	SAY(submit(operation(0, IOCB_CMD_NOOP, fd, buffer, 1, 0)));
	SAY(submit(operation(0, 4, fd, buffer, 1, 0)));
	SAY(submit(operation(0, IOCB_CMD_FSYNC, fd, buffer, 0, 0)));
	SAY(submit(operation(0, IOCB_CMD_FDSYNC, fd, NULL, 1, 0)));
	SAY(submit(operation(0, IOCB_CMD_PREADV, fd, nowhere, 1, 0)));
	SAY(submit(operation(0, IOCB_CMD_PREADV, fd, nowhere, 1025, 0)));
	struct iocb *block = operation(0, IOCB_CMD_PREAD, fd, buffer, 1, 0);
	block->aio_reserved2 = 1;
	SAY(submit(block));
	block = operation(0, IOCB_CMD_PREAD, fd, buffer, 1, 0);
	block->aio_flags = IOCB_FLAG_RESFD;
	block->aio_resfd = 50;
	SAY(submit(block));
	block->aio_resfd = (unsigned)fd;
	SAY(submit(block));
	block = operation(0, IOCB_CMD_PREAD, fd, buffer, 1, 0);
	block->aio_rw_flags = 0x1000000;
	SAY(submit(block));
	events(0);
	close(fd);
	close(reading);
	close(writing);
	close(place);
	close(folder);
}

static void polls(void)
{
	int p[2], file = open("file", O_RDWR), place = open("file", O_PATH);
	check(pipe(p) == 0, "pipe");
	puts("wrong ones");
	SAY(submit(watch(0, 50, POLLIN)));
	SAY(submit(watch(0, place, POLLIN)));
	SAY(submit(operation(0, IOCB_CMD_POLL, p[0], (void *)0x10001, 0, 0)));
	SAY(submit(operation(0, IOCB_CMD_POLL, p[0], (void *)POLLIN, 1, 0)));
	SAY(submit(operation(0, IOCB_CMD_POLL, p[0], (void *)POLLIN, 0, 1)));
	struct iocb *block = watch(0, p[0], POLLIN);
	block->aio_rw_flags = 1;
	SAY(submit(block));
	events(0);
	puts("ready at once");
	SAY(submit(watch(0, p[1], POLLOUT | POLLIN)));
	SAY(submit(watch(1, file, POLLIN)));
	SAY(submit(watch(2, file, POLLIN | POLLOUT | POLLRDNORM | POLLPRI)));
	SAY(submit(watch(3, file, POLLPRI)));
	events(3);
	puts("ready later");
	SAY(submit(watch(0, p[0], POLLIN)));
	SAY(submit(watch(1, p[0], POLLIN | POLLRDNORM)));
	events(0);
	SAY(write(p[1], "x", 1));
	events(2);
	SAY(submit(watch(2, p[0], 0)));
	events(0);
	SAY(close(p[1]));
	events(1);
	SAY(read(p[0], buffer, 10));
	close(p[0]);
	puts("cancelled");
	check(pipe(p) == 0, "pipe");
	SAY(submit(watch(0, p[0], POLLIN)));
	SAY(cancel(&blocks[1]));
	SAY(cancel(&blocks[0]));
	events(1);
	SAY(cancel(&blocks[0]));
	SAY(write(p[1], "x", 1));
	events(0);
	SAY(read(p[0], buffer, 10));
	puts("told to a counter");
	int counter = eventfd(0, EFD_NONBLOCK), other = eventfd(0, EFD_NONBLOCK);
	uint64_t count = 0;
	block = watch(0, other, POLLIN);
	block->aio_flags = IOCB_FLAG_RESFD;
	block->aio_resfd = (unsigned)counter;
	SAY(submit(block));
	/* One that waits for the counter that it is told to. */
	SAY(submit(watch(1, counter, POLLIN)));
	events(0);
	SAY(eventfd_write(other, 3));
	events(2);
	SAY(read(counter, &count, sizeof count));
	printf("counted: %llu\n", (unsigned long long)count);
	close(counter);
	close(other);
	close(p[0]);
	close(p[1]);
	close(file);
	close(place);
}

/* As many as the context was made for can be under way. */
static void leaves_some(void)
{
	int p[2];
	char byte;
	check(pipe(p) == 0, "pipe");
	fflush(stdout);
	pid_t id = fork();
	if (id == 0) {
		context = 0;
		check(syscall(SYS_io_setup, 4, &context) == 0, "io_setup");
		/* The pipe's end is in use by the operation, but not for longer than there is a process. */
		SAY(submit(watch(0, p[1], POLLPRI)));
		SAY(submit(watch(1, p[0], POLLIN)));
		events(0);
		fflush(stdout);
		_exit(0);
	}
	close(p[1]);
	SAY(read(p[0], &byte, 1));
	int status;
	check(waitpid(id, &status, 0) == id, "waitpid");
	printf("ended with %d\n", status);
	close(p[0]);
	check(pipe(p) == 0, "pipe");
	SAY(submit(watch(0, p[0], POLLIN)));
	SAY(syscall(SYS_io_destroy, context));
	close(p[0]);
	SAY(close(p[1]));
}

int main(int count, char **arguments)
{
	check(count == 2 && chdir(arguments[1]) == 0, "aio FOLDER");
	check(syscall(SYS_io_setup, 8, &context) == 0, "io_setup");
	contexts();
	transfers();
	wrong_operations();
	polls();
	leaves_some();
	unlink("file");
	return 0;
}
