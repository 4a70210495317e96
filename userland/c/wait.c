/* Pipes, event counters, timers as files, epoll, poll and select: what each call says, in lines that
 * are the same on Linux and on Vortex. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "say.h"

static char big[1 << 20];
/* Where there is no memory. */
static char *volatile nowhere = (char *)8;

static void check(int condition, const char *what)
{
	if (!condition) {
		perror(what);
		exit(1);
	}
}

static void make_pipe(int ends[2], int flags)
{
	check(pipe2(ends, flags) == 0, "pipe2");
}

static void close_both(int ends[2])
{
	close(ends[0]);
	close(ends[1]);
}

/* What poll says of a descriptor now. */
static int now(int fd)
{
	struct pollfd entry = { fd, POLLIN | POLLOUT | POLLRDHUP | POLLPRI | POLLRDNORM | POLLWRNORM, 0 };
	check(poll(&entry, 1, 0) >= 0, "poll");
	return entry.revents;
}

static int available(int fd)
{
	int bytes = -1;
	return ioctl(fd, FIONREAD, &bytes) == 0 ? bytes : -1;
}

static volatile sig_atomic_t signals;

static void count_signal(int number)
{
	(void)number;
	signals++;
}

static void handle(int number, void (*handler)(int), int flags)
{
	struct sigaction action = { 0 };
	action.sa_handler = handler;
	action.sa_flags = flags;
	check(sigaction(number, &action, NULL) == 0, "sigaction");
}

static void pipes(void)
{
	int p[2];
	SAY(syscall(SYS_pipe2, p, 0x40000001));
	SAY(syscall(SYS_pipe2, nowhere, 0));
	make_pipe(p, O_NONBLOCK);
	SAY(fcntl(p[0], F_GETFL) & (O_ACCMODE | O_NONBLOCK | O_APPEND));
	SAY(fcntl(p[1], F_GETFL) & (O_ACCMODE | O_NONBLOCK | O_APPEND));
	SAY(fcntl(p[0], F_GETFD));
	SAY(read(p[0], big, 10));
	SAY(read(p[0], big, 0));
	SAY(read(p[1], big, 10));
	SAY(write(p[0], big, 10));
	SAY(now(p[0]));
	SAY(now(p[1]));
	SAY(write(p[1], "hello", 5));
	SAY(now(p[0]));
	SAY(available(p[0]));
	SAY(available(p[1]));
	SAY(read(p[0], big, 3));
	SAY(read(p[0], big, 300));
	struct iovec parts[3] = { { "ab", 2 }, { NULL, 0 }, { "cdefg", 5 } };
	SAY(writev(p[1], parts, 3));
	char first[3] = "", second[9] = "";
	struct iovec places[2] = { { first, 2 }, { second, 8 } };
	SAY(readv(p[0], places, 2));
	printf("%s %s\n", first, second);
	SAY(write(p[1], nowhere, 10));
	SAY(write(p[1], "xyz", 3));
	SAY(read(p[0], nowhere, 10));
	SAY(available(p[0]));
	SAY(lseek(p[0], 0, SEEK_CUR));
	SAY(pread(p[0], big, 1, 0));
	SAY(pwrite(p[1], big, 1, 0));
	SAY(fsync(p[0]));
	SAY(ftruncate(p[1], 0));
	struct stat status;
	SAY(fstat(p[0], &status));
	printf("mode %o, links %lu, size %ld\n", status.st_mode, (unsigned long)status.st_nlink,
	       (long)status.st_size);
	close_both(p);

	static const size_t sizes[] = { 1, 100, 2048, 2049, 3000, 4096, 4097, 5000, 65536, 70000 };
	for (size_t index = 0; index < sizeof sizes / sizeof *sizes; index++) {
		make_pipe(p, O_NONBLOCK);
		long total = 0, count = 0, written;
		while ((written = write(p[1], big, sizes[index])) > 0) {
			total += written;
			count++;
		}
		printf("filled by %zu: %ld bytes in %ld writes, error %d, now %d\n", sizes[index],
		       total, count, errno, now(p[1]));
		long taken = read(p[0], big, 4095);
		printf("after %ld: now %d, %ld more\n", taken, now(p[1]), (long)write(p[1], big, 1));
		close_both(p);
	}

	make_pipe(p, O_NONBLOCK);
	SAY(fcntl(p[0], F_GETPIPE_SZ));
	SAY(fcntl(p[0], F_SETPIPE_SZ, 5000));
	SAY(fcntl(p[1], F_GETPIPE_SZ));
	SAY(write(p[1], big, 10000));
	SAY(fcntl(p[1], F_SETPIPE_SZ, 4096));
	SAY(fcntl(p[1], F_SETPIPE_SZ, 1 << 20));
	SAY(write(p[1], big, 1 << 20));
	SAY(available(p[0]));
	SAY(fcntl(0, F_GETPIPE_SZ));
	close_both(p);
}

static void ends(void)
{
	int p[2];
	handle(SIGPIPE, count_signal, 0);
	make_pipe(p, 0);
	check(write(p[1], "last", 4) == 4, "write");
	close(p[1]);
	SAY(now(p[0]));
	SAY(read(p[0], big, 10));
	SAY(now(p[0]));
	SAY(read(p[0], big, 10));
	close(p[0]);
	make_pipe(p, 0);
	close(p[0]);
	SAY(now(p[1]));
	SAY(write(p[1], "x", 1));
	SAY(write(p[1], "x", 0));
	SAY(signals);
	close(p[1]);
	signals = 0;

	/* Copies of a description: the pipe is open as long as one is. */
	make_pipe(p, 0);
	int copy = dup(p[1]);
	SAY(fcntl(copy, F_SETFL, O_NONBLOCK));
	SAY(fcntl(p[1], F_GETFL) & O_NONBLOCK);
	int on = 0;
	SAY(ioctl(p[1], FIONBIO, &on));
	SAY(fcntl(copy, F_GETFL) & O_NONBLOCK);
	close(p[1]);
	SAY(now(p[0]));
	close(copy);
	SAY(now(p[0]));
	close(p[0]);

	/* A child has them, too; what it does not inherit is closed when it runs another program. */
	make_pipe(p, O_CLOEXEC);
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		char *arguments[] = { "none", "nothing", NULL };
		execv("/proc/self/exe", arguments);
		_exit(127);
	}
	close(p[1]);
	SAY(read(p[0], big, 10));
	int status;
	check(waitpid(child, &status, 0) == child, "waitpid");
	SAY(WEXITSTATUS(status));
	close(p[0]);
}

/* A moment. */
static void rest(void)
{
	struct timespec moment = { 0, 20000000 };
	nanosleep(&moment, NULL);
}

/* A child that sends this process signals, and then writes to a pipe. */
static pid_t disturb(int times, int fd)
{
	fflush(stdout);
	pid_t parent = getpid(), child = fork();
	if (child == 0) {
		while (times-- > 0) {
			rest();
			kill(parent, SIGUSR1);
		}
		_exit(write(fd, "late", 4) == 4 ? 0 : 1);
	}
	return child;
}

/* Ends a child, whatever it does. */
static void end(pid_t child)
{
	kill(child, SIGKILL);
	while (waitpid(child, NULL, 0) != child)
		check(errno == EINTR, "waitpid");
}

/* Reads and writes that wait, between processes. */
static void blocking(void)
{
	int there[2], back[2];
	make_pipe(there, 0);
	make_pipe(back, 0);
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		close(there[1]);
		close(back[0]);
		unsigned long sum = 0, bytes = 0;
		long got;
		while ((got = read(there[0], big, 777)) > 0) {
			bytes += (unsigned long)got;
			for (long index = 0; index < got; index++)
				sum = sum * 31 + (unsigned char)big[index];
		}
		unsigned long answer[2] = { bytes, sum };
		_exit(write(back[1], answer, sizeof answer) == sizeof answer ? 0 : 1);
	}
	close(there[0]);
	close(back[1]);
	for (size_t index = 0; index < sizeof big; index++)
		big[index] = (char)(index * index >> 3);
	SAY(write(there[1], big, 300000));
	SAY(write(there[1], big, 5));
	close(there[1]);
	unsigned long answer[2];
	SAY(read(back[0], answer, sizeof answer));
	printf("%lu bytes, sum %lx\n", answer[0], answer[1]);
	check(waitpid(child, NULL, 0) == child, "waitpid");
	close(back[0]);

	/* A handler interrupts a wait, or not. */
	static const int flags[] = { 0, SA_RESTART };
	for (int which = 0; which < 2; which++) {
		handle(SIGUSR1, count_signal, flags[which]);
		signals = 0;
		int p[2];
		make_pipe(p, 0);
		child = disturb(which ? 3 : 1000000, p[1]);
		SAY(read(p[0], big, 10));
		SAY(signals > 0);
		end(child);
		close_both(p);
	}
	/* A write that has begun says how far it came. */
	handle(SIGUSR1, count_signal, 0);
	int p[2];
	make_pipe(p, 0);
	fflush(stdout);
	pid_t parent = getpid();
	child = fork();
	if (child == 0) {
		while (available(p[0]) < 65536)
			rest();
		for (;;) {
			kill(parent, SIGUSR1);
			rest();
		}
	}
	SAY(write(p[1], big, 100000));
	end(child);
	close_both(p);
}

static void counters(void)
{
	uint64_t value = 0;
	SAY(eventfd(0, 4711));
	int fd = eventfd(3, EFD_NONBLOCK);
	SAY(now(fd));
	SAY(read(fd, &value, 7));
	SAY(read(fd, &value, 8));
	SAY(value);
	SAY(read(fd, &value, 8));
	SAY(now(fd));
	value = UINT64_MAX;
	SAY(write(fd, &value, 8));
	value = UINT64_MAX - 1;
	SAY(write(fd, &value, 8));
	SAY(now(fd));
	value = 1;
	SAY(write(fd, &value, 8));
	value = 0;
	SAY(write(fd, &value, 8));
	SAY(syscall(SYS_read, fd, &value, 100));
	SAY(value == UINT64_MAX - 1);
	SAY(write(fd, &value, 4));
	SAY(lseek(fd, 0, SEEK_SET));
	SAY(pread(fd, &value, 8, 0));
	SAY(fsync(fd));
	SAY(ioctl(fd, FIONREAD, &value));
	close(fd);
	fd = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
	SAY(read(fd, &value, 8));
	SAY(value);
	SAY(read(fd, &value, 8));
	SAY(read(fd, &value, 8));
	close(fd);
}

static void timers(void)
{
	uint64_t count = 0;
	struct itimerspec setting = { { 0, 0 }, { 1000, 0 } }, old;
	SAY(timerfd_create(77, 0));
	SAY(timerfd_create(CLOCK_MONOTONIC, 1));
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	SAY(read(fd, &count, 8));
	SAY(timerfd_gettime(fd, &old));
	SAY(old.it_value.tv_sec || old.it_value.tv_nsec);
	SAY(timerfd_settime(fd, 8, &setting, NULL));
	SAY(timerfd_settime(0, 0, &setting, NULL));
	SAY(timerfd_settime(fd, 0, &setting, NULL));
	SAY(now(fd));
	setting.it_value.tv_sec = 0;
	setting.it_value.tv_nsec = 30000000;
	SAY(timerfd_settime(fd, 0, &setting, &old));
	SAY(old.it_value.tv_sec > 900 && old.it_value.tv_sec < 1000);
	struct pollfd entry = { fd, POLLIN, 0 };
	SAY(poll(&entry, 1, 10000));
	SAY(now(fd));
	SAY(read(fd, &count, 4));
	SAY(read(fd, &count, 8));
	SAY(count);
	SAY(read(fd, &count, 8));
	SAY(write(fd, &count, 8));
	SAY(timerfd_gettime(fd, &old));
	SAY(old.it_value.tv_sec || old.it_value.tv_nsec);
	setting.it_value.tv_nsec = 1;
	SAY(timerfd_settime(fd, TFD_TIMER_ABSTIME, &setting, NULL));
	SAY(poll(&entry, 1, 10000));
	setting.it_interval.tv_nsec = 1000000;
	setting.it_value.tv_nsec = 1000000;
	SAY(timerfd_settime(fd, 0, &setting, NULL));
	rest();
	SAY(read(fd, &count, 8));
	SAY(count >= 20);
	SAY(fcntl(fd, F_SETFL, 0));
	SAY(read(fd, &count, 8));
	setting.it_value.tv_nsec = 0;
	SAY(timerfd_settime(fd, 0, &setting, &old));
	SAY(old.it_interval.tv_nsec);
	SAY(now(fd));
	close(fd);
}

static int watch(int epoll, int operation, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event event = { events, { .u64 = data } };
	return epoll_ctl(epoll, operation, fd, &event);
}

/* What is ready now. */
static void ready(int epoll, const char *when)
{
	struct epoll_event events[8];
	int count = epoll_wait(epoll, events, 8, 0);
	printf("%s: %d", when, count);
	for (int index = 0; index < count; index++)
		printf(" [%x of %lu]", events[index].events, (unsigned long)events[index].data.u64);
	puts("");
}

static void epolls(void)
{
	int p[2], epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event;
	SAY(epoll_create(0));
	SAY(epoll_create1(1));
	SAY(epoll_wait(epoll, &event, 0, 0));
	SAY(syscall(SYS_epoll_wait, epoll, (void *)(1UL << 63), 1, 0));
	SAY(epoll_wait(0, &event, 1, 0));
	SAY(epoll_wait(99, &event, 1, 0));
	make_pipe(p, O_NONBLOCK);
	int file = open("/proc/self/exe", O_RDONLY);
	SAY(watch(epoll, EPOLL_CTL_ADD, file, EPOLLIN, 0));
	SAY(watch(epoll, EPOLL_CTL_ADD, epoll, EPOLLIN, 0));
	SAY(watch(epoll, EPOLL_CTL_ADD, 99, EPOLLIN, 0));
	SAY(watch(p[0], EPOLL_CTL_ADD, p[1], EPOLLIN, 0));
	SAY(watch(epoll, 4, p[0], EPOLLIN, 0));
	SAY(watch(epoll, EPOLL_CTL_MOD, p[0], EPOLLIN, 0));
	SAY(watch(epoll, EPOLL_CTL_DEL, p[0], EPOLLIN, 0));
	SAY(epoll_ctl(epoll, EPOLL_CTL_ADD, p[0], NULL));
	close(file);

	SAY(watch(epoll, EPOLL_CTL_ADD, p[0], EPOLLIN, 1));
	SAY(watch(epoll, EPOLL_CTL_ADD, p[0], EPOLLIN, 1));
	SAY(watch(epoll, EPOLL_CTL_ADD, p[1], EPOLLOUT | EPOLLET, 2));
	ready(epoll, "at first");
	ready(epoll, "an edge is told once");
	SAY(write(p[1], "ab", 2));
	ready(epoll, "level");
	SAY(now(epoll));
	ready(epoll, "level again");
	SAY(watch(epoll, EPOLL_CTL_MOD, p[0], EPOLLIN | EPOLLET, 3));
	ready(epoll, "changed to edge");
	ready(epoll, "an edge");
	SAY(now(epoll));
	SAY(write(p[1], "c", 1));
	ready(epoll, "another edge");
	SAY(watch(epoll, EPOLL_CTL_MOD, p[0], EPOLLIN | EPOLLONESHOT, 4));
	ready(epoll, "once");
	SAY(write(p[1], "d", 1));
	ready(epoll, "no more");
	SAY(watch(epoll, EPOLL_CTL_MOD, p[0], EPOLLIN | EPOLLONESHOT, 5));
	ready(epoll, "once again");
	SAY(watch(epoll, EPOLL_CTL_MOD, p[0], 0, 6));
	ready(epoll, "nothing is asked");
	SAY(watch(epoll, EPOLL_CTL_MOD, p[0], EPOLLIN, 7));
	SAY(read(p[0], big, 100));
	ready(epoll, "all is read");

	/* A second descriptor of the same description is another watch. */
	int copy = dup(p[0]);
	SAY(watch(epoll, EPOLL_CTL_ADD, copy, EPOLLIN, 8));
	SAY(write(p[1], "e", 1));
	ready(epoll, "two watches");
	SAY(watch(epoll, EPOLL_CTL_DEL, copy, 0, 0));
	ready(epoll, "one of them");
	SAY(watch(epoll, EPOLL_CTL_ADD, copy, EPOLLIN | EPOLLEXCLUSIVE, 9));
	SAY(watch(epoll, EPOLL_CTL_MOD, copy, EPOLLIN, 9));
	SAY(watch(epoll, EPOLL_CTL_DEL, copy, 0, 0));
	/* Closed, but not the description. */
	close(p[0]);
	ready(epoll, "by the copy");
	close(copy);
	ready(epoll, "the reader is gone");
	close(p[1]);
	ready(epoll, "nobody is left");

	/* Epolls in epolls. */
	int outer = epoll_create1(0), third = epoll_create1(0);
	make_pipe(p, O_NONBLOCK);
	SAY(watch(epoll, EPOLL_CTL_ADD, p[0], EPOLLIN, 10));
	SAY(watch(outer, EPOLL_CTL_ADD, epoll, EPOLLIN, 11));
	SAY(watch(third, EPOLL_CTL_ADD, outer, EPOLLIN | EPOLLET, 12));
	SAY(watch(epoll, EPOLL_CTL_ADD, outer, EPOLLIN, 13));
	SAY(watch(epoll, EPOLL_CTL_ADD, third, EPOLLIN, 13));
	SAY(watch(epoll, EPOLL_CTL_ADD, outer, EPOLLIN | EPOLLEXCLUSIVE, 13));
	ready(third, "nothing inside");
	SAY(write(p[1], "f", 1));
	ready(third, "inside, the third");
	ready(third, "the third again");
	ready(outer, "inside, the outer");
	SAY(now(third) | now(outer) << 8);
	ready(epoll, "inside");
	SAY(read(p[0], big, 1));
	ready(outer, "inside it is read");
	close(p[1]);
	ready(epoll, "the end");
	close(p[0]);
	close(outer);
	close(third);
	SAY(read(epoll, big, 1));
	SAY(write(epoll, big, 1));
	SAY(lseek(epoll, 0, SEEK_SET));
	close(epoll);
}

/* Waits with a time, and with a signal mask. */
static void waits(void)
{
	int p[2];
	make_pipe(p, 0);
	handle(SIGUSR1, count_signal, SA_RESTART);
	struct pollfd entries[3] = { { p[0], POLLIN, 9 }, { -1, POLLIN, 9 }, { 99, POLLIN, 9 } };
	SAY(poll(entries, 2, 20));
	SAY(poll(entries, 3, -1));
	printf("%d %d %d\n", entries[0].revents, entries[1].revents, entries[2].revents);
	SAY(syscall(SYS_poll, entries, 1 << 30, 0));

	sigset_t usr1, none;
	sigemptyset(&none);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	check(sigprocmask(SIG_BLOCK, &usr1, NULL) == 0, "sigprocmask");
	signals = 0;
	raise(SIGUSR1);
	struct timespec time = { 0, 20000000 };
	SAY(ppoll(entries, 1, &time, NULL));
	SAY(signals);
	SAY(ppoll(entries, 1, &time, &none));
	SAY(signals);
	raise(SIGUSR1);
	fd_set set;
	FD_ZERO(&set);
	FD_SET(p[0], &set);
	SAY(pselect(p[0] + 1, &set, NULL, NULL, NULL, &none));
	SAY(FD_ISSET(p[0], &set));
	SAY(signals);
	raise(SIGUSR1);
	int epoll = epoll_create1(0);
	struct epoll_event event;
	SAY(epoll_pwait(epoll, &event, 1, -1, &none));
	SAY(signals);
	/* What is ready comes first; the signal stays. */
	raise(SIGUSR1);
	check(write(p[1], "x", 1) == 1, "write");
	SAY(ppoll(entries, 1, NULL, &usr1));
	SAY(signals);
	sigset_t pending;
	check(sigpending(&pending) == 0, "sigpending");
	SAY(sigismember(&pending, SIGUSR1));
	check(sigprocmask(SIG_UNBLOCK, &usr1, NULL) == 0, "sigprocmask");
	SAY(signals);

	struct timeval left = { 500, 0 };
	FD_SET(p[1], &set);
	fd_set writes = set, special = set;
	SAY(select(p[1] + 1, &set, &writes, &special, &left));
	printf("%d %d %d %d %d %d\n", FD_ISSET(p[0], &set), FD_ISSET(p[1], &set), FD_ISSET(p[0], &writes),
	       FD_ISSET(p[1], &writes), FD_ISSET(p[0], &special), FD_ISSET(p[1], &special));
	SAY(left.tv_sec > 400 && left.tv_sec < 500);
	/* Below 64: Linux waits for ever for what lies beyond its table of descriptors, which begins so. */
	FD_ZERO(&set);
	FD_SET(60, &set);
	SAY(select(100, &set, NULL, NULL, NULL));
	SAY(select(-1, NULL, NULL, NULL, NULL));
	left.tv_sec = 0;
	left.tv_usec = 20000;
	SAY(select(0, NULL, NULL, NULL, &left));
	SAY(left.tv_sec + left.tv_usec);

	/* The time that was left, by the calls themselves: the C library hides it. */
	struct timespec left_over = { 500, 0 };
	SAY(syscall(SYS_ppoll, entries, 1, &left_over, NULL, 8));
	SAY(left_over.tv_sec > 400 && left_over.tv_sec < 500);
	SAY(syscall(SYS_ppoll, entries, 1, &left_over, &none, 4));

	/* Another process makes it ready, and a signal that is ignored does not end the wait. */
	char byte;
	SAY(read(p[0], &byte, 1));
	fflush(stdout);
	pid_t parent = getpid(), child = fork();
	if (child == 0) {
		rest();
		kill(parent, SIGWINCH);
		rest();
		_exit(write(p[1], "y", 1) == 1 ? 0 : 1);
	}
	check(watch(epoll, EPOLL_CTL_ADD, p[0], EPOLLIN, 1) == 0, "epoll_ctl");
	struct timespec forever = { 60, 0 };
	SAY(epoll_pwait2(epoll, &event, 1, &forever, NULL));
	SAY(event.events);
	check(waitpid(child, NULL, 0) == child, "waitpid");
	close(epoll);
	close_both(p);
}

int main(int count, char **arguments)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} parts[] = {
		{ "pipes", pipes },   { "ends", ends },	    { "blocking", blocking }, { "counters", counters },
		{ "timers", timers }, { "epolls", epolls }, { "waits", waits },
	};
	for (size_t index = 0; index < sizeof parts / sizeof *parts; index++)
		if (count < 2 || !strcmp(arguments[1], parts[index].name)) {
			printf("- %s\n", parts[index].name);
			parts[index].run();
		}
	return 0;
}
