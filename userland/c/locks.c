/* Advisory locks in a folder: what flock and fcntl say, in lines that are the same on Linux and on
 * Vortex. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "say.h"

static const char *const FILE_NAME = "locked";
static const off_t FAR = 0x7fffffffffffffff;

static void check(int condition, const char *what)
{
	if (!condition) {
		perror(what);
		exit(1);
	}
}

static int file(int flags)
{
	int fd = open(FILE_NAME, flags, 0644);
	check(fd >= 0, "open");
	return fd;
}

static pid_t child(void)
{
	fflush(stdout);
	pid_t id = fork();
	check(id >= 0, "fork");
	return id;
}

static int ended(pid_t id)
{
	int status;
	check(waitpid(id, &status, 0) == id, "waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static struct flock range_by(int type, int whence, off_t start, off_t length)
{
	struct flock lock = { 0 };
	lock.l_type = (short)type;
	lock.l_whence = (short)whence;
	lock.l_start = start;
	lock.l_len = length;
	return lock;
}

static int range(int fd, int command, int type, off_t start, off_t length)
{
	struct flock lock = range_by(type, SEEK_SET, start, length);
	return fcntl(fd, command, &lock);
}

static int range_from(int fd, int type, int whence, off_t start, off_t length)
{
	struct flock lock = range_by(type, whence, start, length);
	return fcntl(fd, F_SETLK, &lock);
}

/* What another process sees: all locks of the file, in the order of their bytes. */
static void show(int fd)
{
	pid_t self = getpid(), id = child();
	if (id > 0) {
		check(ended(id) == 0, "show");
		return;
	}
	for (off_t at = 0;;) {
		struct flock lock = range_by(F_WRLCK, SEEK_SET, at, 0);
		check(fcntl(fd, F_GETLK, &lock) == 0, "F_GETLK");
		if (lock.l_type == F_UNLCK)
			break;
		/* The first one that it tells of need not be the one with the lowest bytes. */
		for (struct flock lower = lock; lock.l_start > at;) {
			lower = range_by(F_WRLCK, SEEK_SET, at, lock.l_start - at);
			check(fcntl(fd, F_GETLK, &lower) == 0, "F_GETLK");
			if (lower.l_type == F_UNLCK)
				break;
			lock = lower;
		}
		printf("  %s %lld+%lld by %s, whence %d\n", lock.l_type == F_WRLCK ? "write" : "read",
		       (long long)lock.l_start, (long long)lock.l_len,
		       lock.l_pid == self ? "the parent" : lock.l_pid == -1 ? "a file" : "another",
		       lock.l_whence);
		if (lock.l_len == 0)
			break;
		at = lock.l_start + lock.l_len;
	}
	fflush(stdout);
	_exit(0);
}

static volatile sig_atomic_t signals;
static int told[2];

static void count_signal(int number)
{
	(void)number;
	signals++;
}

static void count_and_tell(int number)
{
	(void)number;
	if (signals++ == 0 && write(told[1], "x", 1) != 1)
		_exit(99);
}

static void alarm_soon(void (*handler)(int), int flags)
{
	struct sigaction action = { 0 };
	action.sa_handler = handler;
	action.sa_flags = flags;
	check(sigaction(SIGALRM, &action, NULL) == 0, "sigaction");
	/* Again and again: the first could come before the wait. */
	struct itimerval soon = { { 0, 50000 }, { 0, 50000 } };
	check(setitimer(ITIMER_REAL, &soon, NULL) == 0, "setitimer");
}

static void no_alarm(void)
{
	struct itimerval none = { { 0, 0 }, { 0, 0 } };
	check(setitimer(ITIMER_REAL, &none, NULL) == 0, "setitimer");
}

static void wrong_arguments(void)
{
	int fd = file(O_RDWR), reading = file(O_RDONLY), writing = file(O_WRONLY), place = file(O_PATH);
	int pipes[2];
	check(pipe(pipes) == 0, "pipe");
	SAY(flock(50, LOCK_SH));
	SAY(flock(50, 0));
	SAY(flock(fd, 0));
	SAY(flock(fd, LOCK_NB));
	SAY(flock(fd, LOCK_SH | LOCK_EX));
	SAY(flock(fd, 16));
	SAY(flock(place, LOCK_SH));
	SAY(flock(pipes[0], LOCK_EX));
	SAY(flock(pipes[0], LOCK_UN));
	SAY(flock(fd, LOCK_UN));
	SAY(fcntl(50, F_SETLK, 8));
	SAY(fcntl(fd, F_SETLK, 8));
	SAY(fcntl(fd, F_GETLK, 8));
	SAY(fcntl(place, F_SETLK, 8));
	SAY(range(reading, F_SETLK, F_RDLCK, 0, 1));
	SAY(range(reading, F_SETLK, F_WRLCK, 0, 1));
	SAY(range(writing, F_SETLK, F_RDLCK, 0, 1));
	SAY(range(writing, F_SETLK, F_WRLCK, 0, 1));
	SAY(range(writing, F_SETLK, F_UNLCK, 0, 1));
	SAY(range(fd, F_SETLK, 3, 0, 1));
	SAY(range(fd, F_GETLK, F_UNLCK, 0, 1));
	SAY(range(fd, F_SETLK, F_RDLCK, -1, 1));
	SAY(range(fd, F_SETLK, F_RDLCK, FAR, 0));
	SAY(range(fd, F_SETLK, F_RDLCK, FAR, 1));
	SAY(range(fd, F_SETLK, F_RDLCK, FAR, 2));
	SAY(range(fd, F_SETLK, F_RDLCK, 1, FAR));
	SAY(range(fd, F_SETLK, F_RDLCK, 2, FAR));
	SAY(range(fd, F_SETLK, F_RDLCK, 5, -5));
	SAY(range(fd, F_SETLK, F_RDLCK, 5, -6));
	SAY(range_from(fd, F_RDLCK, 3, 0, 1));
	SAY(range_from(fd, F_RDLCK, SEEK_END, FAR, 1));
	SAY(range_from(fd, F_RDLCK, SEEK_END, -101, 1));
	show(fd);
	SAY(range(fd, F_SETLK, F_UNLCK, 0, 0));
	close(fd);
	close(reading);
	close(writing);
	close(place);
	close(pipes[0]);
	close(pipes[1]);
}

static void whole_files(void)
{
	int one = file(O_RDWR), two = file(O_RDONLY), same = dup(one);
	SAY(flock(one, LOCK_SH));
	SAY(flock(two, LOCK_SH | LOCK_NB));
	SAY(flock(two, LOCK_EX | LOCK_NB));
	/* The shared one was lost. */
	SAY(flock(one, LOCK_EX | LOCK_NB));
	SAY(flock(two, LOCK_SH | LOCK_NB));
	SAY(flock(same, LOCK_EX | LOCK_NB));
	SAY(close(one));
	SAY(flock(two, LOCK_SH | LOCK_NB));
	SAY(flock(same, LOCK_SH));
	SAY(flock(two, LOCK_SH | LOCK_NB));
	SAY(flock(two, LOCK_UN));
	SAY(flock(two, LOCK_UN));
	/* A child has the same open file. */
	pid_t id = child();
	if (id == 0) {
		SAY(flock(same, LOCK_EX | LOCK_NB));
		fflush(stdout);
		_exit(0);
	}
	ended(id);
	SAY(flock(two, LOCK_SH | LOCK_NB));
	SAY(close(same));
	SAY(flock(two, LOCK_EX | LOCK_NB));
	/* Directories and what has no name in a folder. */
	int folder = open(".", O_RDONLY | O_DIRECTORY), again = open(".", O_RDONLY | O_DIRECTORY);
	SAY(flock(folder, LOCK_EX | LOCK_NB));
	SAY(flock(again, LOCK_EX | LOCK_NB));
	/* Ranges are something else. */
	int third = file(O_RDWR);
	SAY(range(third, F_SETLK, F_WRLCK, 0, 0));
	SAY(close(two));
	SAY(flock(third, LOCK_EX | LOCK_NB));
	close(folder);
	close(again);
	close(third);
}

static void ranges(void)
{
	int fd = file(O_RDWR);
	SAY(range(fd, F_SETLK, F_RDLCK, 10, 10));
	SAY(range(fd, F_SETLK, F_RDLCK, 20, 10));
	SAY(range(fd, F_SETLK, F_WRLCK, 40, 10));
	puts("two that meet are one:");
	show(fd);
	SAY(range(fd, F_SETLK, F_WRLCK, 15, 5));
	puts("one is three:");
	show(fd);
	SAY(range(fd, F_SETLK, F_UNLCK, 12, 30));
	show(fd);
	SAY(range(fd, F_SETLK, F_WRLCK, 0, 0));
	SAY(range(fd, F_SETLK, F_UNLCK, 100, 1));
	show(fd);
	SAY(lseek(fd, 30, SEEK_SET));
	SAY(range_from(fd, F_RDLCK, SEEK_CUR, -10, 20));
	SAY(range_from(fd, F_RDLCK, SEEK_END, -10, 0));
	SAY(range_from(fd, F_UNLCK, SEEK_CUR, 0, -5));
	show(fd);
	struct flock own = range_by(F_WRLCK, SEEK_END, 0, 7);
	SAY(fcntl(fd, F_GETLK, &own));
	printf("own: type %d, whence %d, %lld+%lld\n", own.l_type, own.l_whence,
	       (long long)own.l_start, (long long)own.l_len);
	/* Any descriptor of the file that is closed takes all of them along. */
	int other = file(O_RDONLY);
	SAY(close(other));
	show(fd);
	SAY(range(fd, F_SETLK, F_WRLCK, 0, 5));
	SAY(dup2(fd, 40));
	SAY(dup2(0, 40));
	show(fd);
	SAY(close(40));
	SAY(range(fd, F_SETLK, F_WRLCK, 0, 5));
	pid_t id = child();
	if (id == 0) {
		SAY(range(fd, F_SETLK, F_RDLCK, 4, 5));
		SAY(range(fd, F_SETLK, F_RDLCK, 5, 5));
		SAY(range(fd, F_SETLK, F_UNLCK, 0, 5));
		fflush(stdout);
		_exit(0);
	}
	ended(id);
	puts("the child's is gone:");
	show(fd);
	close(fd);
}

/* A child that holds a lock until it is told. */
static pid_t holder(int whole, int tells[2])
{
	int ready[2];
	check(pipe(ready) == 0 && pipe(tells) == 0, "pipe");
	pid_t id = child();
	if (id == 0) {
		char byte;
		int own = file(O_RDWR);
		close(tells[1]);
		check((whole ? flock(own, LOCK_EX) : range(own, F_SETLK, F_WRLCK, 3, 4)) == 0, "hold");
		check(write(ready[1], "x", 1) == 1, "write");
		if (read(tells[0], &byte, 1) == 1)
			puts("the holder ends");
		fflush(stdout);
		_exit(0);
	}
	char byte;
	check(read(ready[0], &byte, 1) == 1, "read");
	close(ready[0]);
	close(ready[1]);
	close(tells[0]);
	return id;
}

static void waits(int whole)
{
	int fd = file(O_RDWR), tells[2];
	printf("waits for %s\n", whole ? "a whole file" : "a range");
	pid_t id = holder(whole, tells);
	signals = 0;
	alarm_soon(count_signal, 0);
	if (whole)
		SAY(flock(fd, LOCK_SH));
	else
		SAY(range(fd, F_SETLKW, F_RDLCK, 0, 0));
	no_alarm();
	printf("interrupted: %d\n", signals > 0);
	/* A handler that has the holder go on: the wait goes on, too, and ends. */
	signals = 0;
	told[1] = tells[1];
	fflush(stdout);
	alarm_soon(count_and_tell, SA_RESTART);
	if (whole)
		SAY(flock(fd, LOCK_SH));
	else
		SAY(range(fd, F_SETLKW, F_RDLCK, 0, 0));
	no_alarm();
	printf("interrupted: %d, ended with %d\n", signals > 0, ended(id));
	close(tells[1]);
	close(fd);
	/* One that is killed holds nothing. */
	fd = file(O_RDWR);
	id = holder(whole, tells);
	SAY(kill(id, SIGKILL));
	if (whole)
		SAY(flock(fd, LOCK_EX));
	else
		SAY(range(fd, F_SETLKW, F_WRLCK, 0, 0));
	printf("ended with %d\n", ended(id));
	close(tells[1]);
	close(fd);
}

static void deadlock(void)
{
	int fd = file(O_RDWR), ready[2];
	check(pipe(ready) == 0, "pipe");
	SAY(range(fd, F_SETLKW, F_WRLCK, 0, 1));
	pid_t id = child();
	if (id == 0) {
		check(range(fd, F_SETLK, F_WRLCK, 1, 1) == 0, "F_SETLK");
		check(write(ready[1], "x", 1) == 1, "write");
		int result = range(fd, F_SETLKW, F_WRLCK, 0, 1);
		_exit(result == 0 ? 0 : errno);
	}
	char byte;
	check(read(ready[0], &byte, 1) == 1, "read");
	/* One of the two, whoever comes last. */
	int own = range(fd, F_SETLKW, F_WRLCK, 1, 1) == 0 ? 0 : errno;
	check(range(fd, F_SETLK, F_UNLCK, 0, 0) == 0, "F_UNLCK");
	int others = ended(id);
	printf("in a circle: %d\n", own + others);
	close(ready[0]);
	close(ready[1]);
	close(fd);
}

static void descriptions(void)
{
	int one = file(O_RDWR), two = file(O_RDWR), same = dup(one);
	SAY(range(one, F_OFD_SETLK, F_WRLCK, 0, 10));
	SAY(range(two, F_OFD_SETLK, F_RDLCK, 5, 10));
	SAY(range(two, F_OFD_SETLK, F_RDLCK, 10, 10));
	SAY(range(same, F_OFD_SETLK, F_WRLCK, 9, 1));
	SAY(range(same, F_SETLK, F_WRLCK, 9, 1));
	show(one);
	struct flock lock = range_by(F_WRLCK, SEEK_SET, 12, 1);
	lock.l_pid = 1;
	SAY(fcntl(one, F_OFD_SETLK, &lock));
	SAY(fcntl(one, F_OFD_GETLK, &lock));
	lock.l_pid = 0;
	SAY(fcntl(one, F_OFD_GETLK, &lock));
	printf("type %d, %lld+%lld, process %d\n", lock.l_type, (long long)lock.l_start,
	       (long long)lock.l_len, lock.l_pid);
	SAY(close(one));
	show(two);
	SAY(close(same));
	show(two);
	SAY(range(two, F_OFD_SETLKW, F_WRLCK, 0, 0));
	show(two);
	close(two);
}

/* The same program again, with the locks that it has kept. */
static void run_again(int flags)
{
	pid_t id = child();
	if (id == 0) {
		int fd = file(O_RDWR | flags);
		check(range(fd, F_SETLK, F_WRLCK, 1, 2) == 0, "F_SETLK");
		execl("/proc/self/exe", "locks", "again", (char *)NULL);
		_exit(98);
	}
	printf("ended with %d\n", ended(id));
}

int main(int count, char **arguments)
{
	if (count == 2 && strcmp(arguments[1], "again") == 0) {
		/* Closing it would end them. */
		show(file(O_RDWR));
		return 0;
	}
	check(count == 2 && chdir(arguments[1]) == 0, "locks FOLDER");
	int fd = file(O_RDWR | O_CREAT | O_TRUNC);
	check(ftruncate(fd, 100) == 0, "ftruncate");
	close(fd);
	wrong_arguments();
	whole_files();
	ranges();
	waits(1);
	waits(0);
	deadlock();
	descriptions();
	run_again(0);
	run_again(O_CLOEXEC);
	unlink(FILE_NAME);
	return 0;
}
