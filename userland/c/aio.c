/* Native asynchronous I/O in a folder: what each call and each event says, in lines that are the same
 * on Linux and on Vortex. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
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

static volatile sig_atomic_t signals;

static void count(int number)
{
	(void)number;
	signals++;
}

/* One operation, and what comes of it. */
static void one(int what, int fd, void *at, size_t bytes, off_t offset, int how)
{
	struct iocb *block = operation(0, what, fd, at, bytes, offset);
	block->aio_rw_flags = how;
	long begun = submit(block);
	if (begun != 1)
		printf("not begun: %ld, %d\n", begun, errno);
	else
		events(1);
}

/* The same on any two ends of a stream. */
static void both_ends(int reads, int writes)
{
	struct iovec gives[2] = { { "abc", 3 }, { "defg", 4 } };
	struct iovec takes[2] = { { buffer, 2 }, { buffer + 100, 100 } };
	memset(buffer, 0, sizeof buffer);
	one(IOCB_CMD_PWRITE, writes, "hello", 5, 0, 0);
	one(IOCB_CMD_PREAD, reads, buffer, 3, 0, 0);
	one(IOCB_CMD_PREAD, reads, buffer + 3, 30, 0, RWF_NOWAIT);
	printf("read: %s\n", buffer);
	one(IOCB_CMD_PWRITEV, writes, gives, 2, 0, 0);
	one(IOCB_CMD_PREADV, reads, takes, 2, 0, 0);
	printf("read: %.2s %s\n", buffer, buffer + 100);
	puts("nothing, nowhere, not now");
	one(IOCB_CMD_PREAD, reads, buffer, 0, 0, 0);
	one(IOCB_CMD_PREADV, reads, takes, 0, 0, 0);
	one(IOCB_CMD_PWRITEV, writes, gives, 0, 0, 0);
	one(IOCB_CMD_PWRITE, writes, nowhere, 5, 0, 0);
	one(IOCB_CMD_PREAD, reads, (void *)-8, 5, 0, 0);
	one(IOCB_CMD_PREAD, reads, buffer, 5, -1, 0);
	one(IOCB_CMD_PREAD, reads, buffer, 5, 0, RWF_NOWAIT);
	fcntl(reads, F_SETFL, O_NONBLOCK);
	one(IOCB_CMD_PREAD, reads, buffer, 5, 0, 0);
	fcntl(reads, F_SETFL, 0);
	one(IOCB_CMD_FSYNC, reads, NULL, 0, 0, 0);
	puts("several in order");
	fflush(stdout);
	pid_t id = fork();
	if (id == 0) {
		/* On Linux, the one who submits waits. */
		usleep(10000);
		_exit(write(writes, "onetwosix", 9) != 9);
	}
	memset(buffer, 0, sizeof buffer);
	struct iocb *several[3];
	for (int number = 0; number < 3; number++)
		several[number] = operation(number, IOCB_CMD_PREAD, reads, buffer + number * 8, 3, 0);
	int status;
	SAY(syscall(SYS_io_submit, context, 3L, several));
	events(3);
	check(waitpid(id, &status, 0) == id && status == 0, "write");
	printf("read: %s %s %s\n", buffer, buffer + 8, buffer + 16);
}

static int tcp(int pair[2])
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof name;
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	pair[0] = socket(AF_INET, SOCK_STREAM, 0);
	puts("not connected");
	one(IOCB_CMD_PREAD, pair[0], buffer, 5, 0, 0);
	int failed = listen(listener, 3) != 0 || getsockname(listener, (void *)&name, &length) != 0;
	name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	failed |= connect(pair[0], (void *)&name, length) != 0;
	pair[1] = accept(listener, NULL, NULL);
	one(IOCB_CMD_PREAD, listener, buffer, 5, 0, 0);
	close(listener);
	return failed || pair[1] < 0;
}

/* Nobody reads, or writes, any more. */
static void ends_go(int reads, int writes)
{
	one(IOCB_CMD_PWRITE, writes, "z", 1, 0, 0);
	close(writes);
	one(IOCB_CMD_PREAD, reads, buffer, 5, 0, 0);
	one(IOCB_CMD_PREAD, reads, buffer, 5, 0, 0);
	close(reads);
}

static void streams(void)
{
	int pair[2];
	uint64_t number = 3;
	signal(SIGPIPE, count);
	puts("a pipe");
	check(pipe(pair) == 0, "pipe");
	one(IOCB_CMD_PWRITE, pair[1], "x", 1, 7, 0);
	one(IOCB_CMD_PREAD, pair[0], buffer, 5, 7, 0);
	one(IOCB_CMD_PREAD, pair[1], buffer, 5, 0, 0);
	both_ends(pair[0], pair[1]);
	ends_go(pair[0], pair[1]);
	check(pipe(pair) == 0, "pipe");
	close(pair[0]);
	one(IOCB_CMD_PWRITE, pair[1], "x", 1, 0, 0);
	close(pair[1]);
	puts("inside the machine");
	check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair");
	one(IOCB_CMD_PREAD, pair[0], buffer, 5, 5, 0);
	one(IOCB_CMD_PWRITE, pair[0], buffer, 5, 5, 0);
	both_ends(pair[0], pair[1]);
	both_ends(pair[1], pair[0]);
	ends_go(pair[0], pair[1]);
	check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair");
	close(pair[0]);
	one(IOCB_CMD_PWRITE, pair[1], "x", 1, 0, 0);
	close(pair[1]);
	puts("a connection");
	check(tcp(pair) == 0, "connect");
	struct timeval soon = { 0, 20000 };
	setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
	one(IOCB_CMD_PREAD, pair[0], buffer, 5, 0, 0);
	soon.tv_usec = 0;
	setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
	one(IOCB_CMD_PREAD, pair[0], buffer, 5, 3, 0);
	both_ends(pair[0], pair[1]);
	shutdown(pair[0], SHUT_WR);
	one(IOCB_CMD_PWRITE, pair[0], "x", 1, 0, 0);
	ends_go(pair[0], pair[1]);
	printf("signals: %d\n", (int)signals);
	puts("counters and timers");
	int counter = eventfd(3, 0), timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	one(IOCB_CMD_PWRITE, counter, &number, 8, 0, 0);
	one(IOCB_CMD_PREAD, counter, buffer, 4, 0, 0);
	one(IOCB_CMD_PREAD, counter, buffer, 8, 9, 0);
	one(IOCB_CMD_PREAD, counter, buffer, 8, 0, RWF_NOWAIT);
	one(IOCB_CMD_PREAD, timer, buffer, 8, 0, 0);
	one(IOCB_CMD_PWRITE, timer, buffer, 8, 0, 0);
	close(counter);
	close(timer);
}

static void datagrams(void)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof name;
	int receives = socket(AF_INET, SOCK_DGRAM, 0), sends = socket(AF_INET, SOCK_DGRAM, 0);
	check(bind(receives, (void *)&name, length) == 0, "bind");
	check(getsockname(receives, (void *)&name, &length) == 0, "getsockname");
	puts("datagrams");
	one(IOCB_CMD_PWRITE, sends, "abc", 3, 0, 0);
	check(connect(sends, (void *)&name, length) == 0, "connect");
	one(IOCB_CMD_PWRITE, sends, "abc", 3, 0, 0);
	one(IOCB_CMD_PWRITE, sends, "", 0, 0, 0);
	one(IOCB_CMD_PREAD, receives, buffer, 2, 0, 0);
	one(IOCB_CMD_PREAD, receives, buffer, 2, 0, 0);
	one(IOCB_CMD_PREAD, receives, buffer, 0, 0, 0);
	one(IOCB_CMD_PREAD, receives, buffer, 2, 0, RWF_NOWAIT);
	one(IOCB_CMD_PWRITE, sends, nowhere, 3, 0, 0);
	close(receives);
	close(sends);
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
	streams();
	datagrams();
	leaves_some();
	unlink("file");
	return 0;
}
