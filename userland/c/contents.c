/* The corners of calls on what is in files: transfers over all borders, holes, ends, vectors with flags,
 * copies, mappings, native asynchronous operations. The lines are the same on Linux and on Vortex.
 * contents FOLDER: the folder must be there and empty; it is left empty. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "say.h"

#define PAGE 4096L
#define SIZE (64 * 1024L)

static char *volatile nowhere = (char *)8;
static char text[2 * SIZE], expected[2 * SIZE];
static int file;

static void check(int condition, const char *what)
{
	if (!condition) {
		perror(what);
		exit(1);
	}
}

/* A new file, empty. */
static int fresh(const char *name, int flags)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | flags, 0644);
	check(fd >= 0, name);
	return fd;
}

static long size(int fd)
{
	struct stat status;
	return fstat(fd, &status) ? -1 : status.st_size;
}

/* How the file differs from what it should have. */
static void compare(const char *what)
{
	long length = pread(file, text, sizeof text, 0), wrong = 0;
	for (long at = 0; at < length; at++)
		wrong += text[at] != expected[at];
	printf("%s: %ld bytes, %ld wrong\n", what, length, wrong);
}

/* Writes and reads of all lengths around the borders of blocks and pages. */
static void borders(void)
{
	static const long places[] = { 0, 1, 511, 1023, 1024, 1025, 2047, 4095, 4096, 4097, 8191, 12287, 12288,
				       13311, 13312, 16384, 20479, 40000 };
	static const long lengths[] = { 1, 2, 3, 511, 1024, 1025, 4095, 4096, 4097, 8192, 10000 };
	const long some = sizeof places / sizeof *places, others = sizeof lengths / sizeof *lengths;
	unsigned byte = 1;
	long bad = 0, end = 0;
	file = fresh("file", 0);
	for (long number = some * others; number-- > 0;) {
		long at = places[number % some], length = lengths[number / some];
		for (long next = 0; next < length; next++)
			expected[at + next] = text[next] = (char)(byte = byte * 31 + 7);
		bad += pwrite(file, text, (size_t)length, at) != length;
		end = at + length > end ? at + length : end;
		bad += pread(file, text, (size_t)length, at) != length;
		bad += memcmp(text, expected + at, (size_t)length) != 0;
		bad += size(file) != end;
	}
	printf("borders: %ld wrong\n", bad);
	compare("borders");
	fsync(file);
	posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
	compare("from the disk");
	SAY(pread(file, text, 10, end - 4));
	SAY(pread(file, text, 10, end));
	SAY(pread(file, text, 10, end + PAGE));
	SAY(pread(file, text, 10, INT64_MAX));
	SAY(pread(file, text, 10, -1));
	SAY(pread(file, nowhere, 0, 0));
	SAY(pread(file, nowhere, 10, 0));
	SAY(pread(file, nowhere, 10, end));
	SAY(pwrite(file, nowhere, 0, 0));
	SAY(pwrite(file, nowhere, 10, 0));
	SAY(pwrite(file, text, 10, -1));
	SAY(pwrite(file, text, 10, 1L << 50));
	SAY(pwrite(file, text, 10, INT64_MAX));
	SAY(size(file) == end);
	SAY(ftruncate(file, 1L << 60));
	SAY(ftruncate(file, -1));
	/* Memory that ends in the middle. */
	char *last = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(last != MAP_FAILED && !munmap(last + PAGE, PAGE), "mmap");
	SAY(lseek(file, 100, SEEK_SET));
	SAY(read(file, last + PAGE - 5, 5));
	SAY(lseek(file, 0, SEEK_CUR));
	SAY(read(file, last + PAGE, 5));
	SAY(lseek(file, 0, SEEK_CUR));
	close(file);
}

static void ends_and_holes(void)
{
	file = fresh("file", 0);
	memset(expected, 0, sizeof expected);
	SAY(pwrite(file, "x", 1, 50000));
	expected[50000] = 'x';
	compare("a hole");
	SAY(ftruncate(file, 50001 + 5000));
	compare("longer");
	memset(text, 'y', PAGE);
	SAY(pwrite(file, text, (size_t)PAGE, 10 * PAGE));
	memset(expected + 10 * PAGE, 'y', (size_t)PAGE);
	SAY(ftruncate(file, 10 * PAGE + 10));
	SAY(ftruncate(file, 11 * PAGE + 10));
	memset(expected + 10 * PAGE + 10, 0, sizeof expected - 10 * PAGE - 10);
	compare("cut and longer");
	SAY(lseek(file, 0, SEEK_END) == 11 * PAGE + 10);
	SAY(lseek(file, 5, SEEK_END) == 11 * PAGE + 15);
	SAY(read(file, text, 10));
	SAY(write(file, "z", 1));
	expected[11 * PAGE + 15] = 'z';
	compare("behind the end");
	SAY(lseek(file, -1, SEEK_SET));
	SAY(lseek(file, -1 - 11 * PAGE - 16, SEEK_END));
	SAY(lseek(file, INT64_MAX, SEEK_CUR));
	SAY(lseek(file, 1L << 60, SEEK_SET));
	SAY(lseek(file, 0, 9));
	SAY(lseek(file, 0, SEEK_CUR) == 11 * PAGE + 16);
	SAY(ftruncate(file, 5));
	SAY(pwrite(file, "abcde", 5, 0));
	SAY(lseek(file, 0, SEEK_DATA));
	SAY(lseek(file, 2, SEEK_DATA));
	SAY(lseek(file, 0, SEEK_HOLE));
	SAY(lseek(file, 4, SEEK_HOLE));
	SAY(lseek(file, 5, SEEK_HOLE));
	SAY(lseek(file, 5, SEEK_DATA));
	SAY(lseek(file, -1, SEEK_DATA));
	SAY(ftruncate(file, 0));
	SAY(lseek(file, 0, SEEK_DATA));
	SAY(lseek(file, 0, SEEK_HOLE));
	SAY(fallocate(file, 0, 0, 0));
	SAY(fallocate(file, 0, -1, 10));
	SAY(fallocate(50, 0, 0, 10));
	close(file);
	int appends = fresh("file", O_APPEND);
	SAY(write(appends, "one", 3));
	SAY(pwrite(appends, "two", 3, 0));
	SAY(lseek(appends, 0, SEEK_CUR));
	SAY(lseek(appends, 1, SEEK_SET));
	SAY(read(appends, text, 2));
	SAY(write(appends, "three", 5));
	SAY(lseek(appends, 0, SEEK_CUR));
	SAY(pread(appends, text, 20, 0));
	text[11] = 0;
	printf("appended: %s\n", text);
	SAY(fcntl(appends, F_SETFL, 0));
	SAY(pwrite(appends, "TWO", 3, 0));
	SAY(size(appends));
	close(appends);
}

/* Without a name, and still open: by two descriptors, one of them of another process. */
static void nameless(void)
{
	file = fresh("nameless", 0);
	SAY(write(file, "contents", 8));
	SAY(unlink("nameless"));
	SAY(open("nameless", O_RDONLY));
	int other = dup(file);
	SAY(pwrite(other, "more", 4, 8));
	SAY(close(file));
	SAY(pread(other, text, 100, 0));
	SAY(ftruncate(other, 5));
	SAY(fsync(other));
	SAY(size(other));
	SAY(fchmod(other, 0600));
	char *at = mmap(NULL, (size_t)PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, other, 0);
	check(at != MAP_FAILED, "mmap");
	SAY(close(other));
	at[0] = 'C';
	printf("still mapped: %.5s\n", at);
	SAY(msync(at, (size_t)PAGE, MS_SYNC));
	SAY(munmap(at, (size_t)PAGE));
}

static long vector(long number, int fd, struct iovec *parts, long count, long at, long flags)
{
	return syscall(number, fd, parts, count, at, 0L, flags);
}

static void vectors(void)
{
	file = fresh("file", 0);
	struct iovec parts[4] = { { "abc", 3 }, { nowhere, 0 }, { "", 0 }, { "defgh", 5 } };
	SAY(writev(file, parts, 4));
	SAY(vector(SYS_pwritev2, file, parts, 4, 4, 0));
	SAY(vector(SYS_pwritev2, file, parts, 4, -1, 0));
	SAY(lseek(file, 0, SEEK_CUR));
	SAY(vector(SYS_pwritev2, file, parts, 1, 0, RWF_APPEND));
	SAY(size(file));
	SAY(vector(SYS_pwritev2, file, parts, 1, -1, RWF_APPEND));
	SAY(lseek(file, 0, SEEK_CUR));
	SAY(vector(SYS_pwritev2, file, parts, 1, 0, RWF_SYNC));
	SAY(vector(SYS_pwritev2, file, parts, 1, 0, RWF_DSYNC | RWF_HIPRI));
	SAY(vector(SYS_pwritev2, file, parts, 1, -2, 0));
	SAY(vector(SYS_pwritev2, file, parts, 1, 0, 0x1000000));
	SAY(vector(SYS_preadv2, file, parts, 1, 0, 0x1000000));
	struct iovec into[3] = { { text, 5 }, { text + 5, 100 }, { text + 200, 5 } };
	SAY(vector(SYS_preadv2, file, into, 3, 0, 0));
	SAY(memcmp(text, "abcdabc", 4));
	SAY(vector(SYS_preadv2, file, into, 1, 0, RWF_HIPRI));
	SAY(vector(SYS_preadv2, file, into, 1, 0, RWF_APPEND));
	SAY(vector(SYS_preadv2, file, into, 0, 0, 0));
	SAY(lseek(file, 2, SEEK_SET));
	SAY(vector(SYS_preadv2, file, into, 1, -1, 0));
	SAY(lseek(file, 0, SEEK_CUR));
	SAY(vector(SYS_readv, file, into, 1025, 0, 0));
	SAY(vector(SYS_readv, file, into, -1, 0, 0));
	SAY(readv(file, (struct iovec *)nowhere, 1));
	SAY(readv(file, NULL, 0));
	into[1].iov_len = (size_t)-1;
	SAY(readv(file, into, 2));
	into[1].iov_len = 100;
	into[1].iov_base = nowhere;
	SAY(preadv(file, into, 2, -1));
	SAY(preadv(file, into, 2, 1L << 50));
	int p[2];
	check(!pipe(p), "pipe");
	SAY(pwritev(p[1], parts, 1, 0));
	SAY(vector(SYS_pwritev2, p[1], parts, 1, -1, 0));
	into[0].iov_len = 2;
	SAY(vector(SYS_preadv2, p[0], into, 1, -1, 0));
	SAY(preadv(p[0], into, 1, 0));
	SAY(vector(SYS_preadv2, p[0], into, 1, -1, RWF_NOWAIT));
	SAY(vector(SYS_preadv2, p[0], into, 1, -1, RWF_NOWAIT));
	close(p[0]);
	close(p[1]);
	close(file);
}

static void copies(void)
{
	int p[2], other = fresh("other", 0), reads = open("other", O_RDONLY), appends = open("other", O_WRONLY | O_APPEND);
	off_t from = 10, to = 3;
	file = fresh("file", 0);
	for (long at = 0; at < 3 * PAGE; at++)
		text[at] = (char)(at / 7);
	check(write(file, text, 3 * PAGE) == 3 * PAGE && !pipe(p), "write");
	SAY(copy_file_range(file, &from, other, &to, 5000, 0));
	printf("offsets: %ld %ld\n", (long)from, (long)to);
	SAY(size(other));
	SAY(copy_file_range(file, &from, other, &to, 100000, 0));
	SAY(copy_file_range(file, &from, other, &to, 100000, 0));
	SAY(copy_file_range(file, NULL, other, NULL, 10, 0));
	from = 0, to = 100;
	SAY(copy_file_range(file, &from, file, &to, 100, 0));
	from = 0, to = 99;
	SAY(copy_file_range(file, &from, file, &to, 100, 0));
	from = -1;
	SAY(copy_file_range(file, &from, other, NULL, 10, 0));
	from = 0;
	SAY(copy_file_range(file, &from, other, NULL, 10, 1));
	SAY(copy_file_range(file, &from, reads, NULL, 10, 0));
	SAY(copy_file_range(file, &from, appends, NULL, 10, 0));
	SAY(copy_file_range(file, &from, p[1], NULL, 10, 0));
	SAY(copy_file_range(50, &from, other, NULL, 10, 0));
	SAY(copy_file_range(file, &from, other, NULL, 0, 0));
	SAY(sendfile(other, file, &from, 100));
	SAY(from);
	SAY(sendfile(reads, file, &from, 100));
	SAY(sendfile(appends, file, &from, 100));
	SAY(sendfile(p[1], file, &from, 100));
	SAY(sendfile(p[1], p[0], NULL, 10));
	SAY(sendfile(other, p[0], NULL, 10));
	from = 3 * PAGE - 5;
	SAY(sendfile(p[1], file, &from, 100));
	SAY(sendfile(p[1], file, &from, 100));
	from = -1;
	SAY(sendfile(p[1], file, &from, 100));
	SAY(sendfile(p[1], file, (off_t *)nowhere, 100));
	SAY(lseek(file, 0, SEEK_SET));
	SAY(sendfile(p[1], file, NULL, 7));
	SAY(lseek(file, 0, SEEK_CUR));
	/* A pipe that is full takes what there is room for. */
	fcntl(p[1], F_SETFL, O_NONBLOCK);
	SAY(read(p[0], text, 10000));
	SAY(fcntl(p[1], F_SETPIPE_SZ, 4096));
	from = 0;
	SAY(sendfile(p[1], file, &from, 4096));
	SAY(sendfile(p[1], file, &from, 4096));
	SAY(from);
	struct pollfd ready[3] = { { p[0], POLLIN, 0 }, { p[1], POLLOUT, 0 }, { file, POLLIN | POLLOUT, 0 } };
	SAY(poll(ready, 3, 0));
	printf("ready: %x %x %x\n", ready[0].revents, ready[1].revents, ready[2].revents);
	close(p[0]);
	signal(SIGPIPE, SIG_IGN);
	SAY(sendfile(p[1], file, &from, 4096));
	SAY(poll(ready + 1, 1, 0));
	printf("ready: %x\n", ready[1].revents);
	close(p[1]);
	close(other);
	close(reads);
	close(appends);
	close(file);
	unlink("other");
}

static sigjmp_buf back;
static void caught(int signal, siginfo_t *info, void *unused)
{
	(void)unused;
	siglongjmp(back, signal * 100 + info->si_code);
}

/* What touching a byte comes to: its value, or the signal and its code. */
static int touch(volatile char *at, int write)
{
	int signal = sigsetjmp(back, 1);
	if (signal)
		return signal;
	return write ? (*at = 'W') : *at;
}

static void mappings(void)
{
	struct sigaction action = { .sa_sigaction = caught, .sa_flags = SA_SIGINFO };
	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	file = fresh("file", 0);
	memset(text, 'm', 4 * PAGE);
	check(write(file, text, 4 * PAGE) == 4 * PAGE, "write");
	char *shared = mmap(NULL, 6 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	char *private = mmap(NULL, 6 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	check(shared != MAP_FAILED && private != MAP_FAILED, "mmap");
	SAY(touch(shared + 3 * PAGE, 0));
	SAY(touch(shared + 4 * PAGE, 0));
	SAY(touch(private + 2 * PAGE, 1));
	SAY(touch(private + 3 * PAGE, 0));
	SAY(touch(private + 4 * PAGE, 1));
	SAY(ftruncate(file, 2 * PAGE + 100));
	SAY(touch(shared + 2 * PAGE + 99, 0));
	SAY(touch(shared + 2 * PAGE + 100, 0));
	SAY(touch(shared + 3 * PAGE - 1, 1));
	SAY(touch(shared + 3 * PAGE, 0));
	SAY(touch(shared + 3 * PAGE, 1));
	SAY(touch(private + 2 * PAGE, 0));
	SAY(touch(private + 2 * PAGE + 5, 0));
	SAY(touch(private + 3 * PAGE, 0));
	/* What a call is to read there, or to write. */
	int p[2];
	check(!pipe(p), "pipe");
	SAY(write(p[1], shared + 3 * PAGE, 10));
	SAY(write(p[1], shared + 2 * PAGE, 10));
	SAY(read(p[0], shared + 3 * PAGE, 10));
	SAY(read(p[0], shared + PAGE, 10));
	SAY(pread(file, shared, 10, PAGE));
	SAY(pwrite(file, shared + 10, 10, 0));
	close(p[0]);
	close(p[1]);
	SAY(ftruncate(file, 4 * PAGE));
	SAY(touch(shared + 3 * PAGE - 1, 0));
	SAY(touch(shared + 3 * PAGE, 0));
	SAY(touch(shared + 3 * PAGE, 1));
	SAY(pread(file, text, 1, 3 * PAGE));
	SAY(text[0]);
	SAY(ftruncate(file, 0));
	SAY(touch(shared, 0));
	SAY(touch(private, 0));
	SAY(ftruncate(file, 10));
	SAY(touch(shared, 1));
	SAY(pread(file, text, 20, 0));
	SAY(text[0]);
	SAY(mprotect(shared, PAGE, PROT_READ));
	SAY(touch(shared, 1));
	SAY(mprotect(shared, PAGE, PROT_NONE));
	SAY(touch(shared, 0));
	SAY(msync(shared + 1, PAGE, MS_SYNC));
	SAY(msync(shared, 6 * PAGE, MS_ASYNC | MS_INVALIDATE));
	SAY(msync(shared, 6 * PAGE, 64));
	SAY(munmap(shared, 6 * PAGE));
	SAY(msync(shared, PAGE, MS_ASYNC));
	SAY(munmap(private, 6 * PAGE));
	close(file);
}

static aio_context_t context;
static struct iocb blocks[8];

static struct iocb *operation(int number, int what, void *at, long bytes, long offset)
{
	struct iocb *block = &blocks[number];
	memset(block, 0, sizeof *block);
	block->aio_data = (unsigned)number;
	block->aio_lio_opcode = (unsigned short)what;
	block->aio_fildes = (unsigned)file;
	block->aio_buf = (uintptr_t)at;
	block->aio_nbytes = (size_t)bytes;
	block->aio_offset = offset;
	return block;
}

static void asynchronous(void)
{
	struct io_event events[8];
	struct timespec none = { 0, 0 }, some = { 0, 20000000 };
	file = fresh("file", 0);
	SAY(syscall(SYS_io_setup, 8, &context));
	memset(text, 'q', 8192);
	struct iocb *many[8];
	for (int number = 0; number < 8; number++)
		many[number] = operation(number, number % 2 ? IOCB_CMD_FDSYNC : IOCB_CMD_PWRITE, number % 2 ? NULL : text,
					 number % 2 ? 0 : 1000, number % 2 ? 0 : number * 500);
	/* A wrong one in the middle: those before it are done. */
	many[4]->aio_fildes = 50;
	SAY(syscall(SYS_io_submit, context, 8L, many));
	SAY(syscall(SYS_io_getevents, context, 4L, 8L, events, NULL));
	SAY(size(file));
	SAY(syscall(SYS_io_getevents, context, 1L, 8L, events, &none));
	SAY(syscall(SYS_io_getevents, context, 1L, 8L, events, &some));
	SAY(syscall(SYS_io_getevents, context, 0L, 0L, events, NULL));
	SAY(syscall(SYS_io_getevents, context + PAGE, 0L, 1L, events, NULL));
	SAY(syscall(SYS_io_submit, context + PAGE, 1L, many));
	SAY(syscall(SYS_io_cancel, context, many[0], events));
	SAY(syscall(SYS_io_cancel, context + PAGE, many[0], events));
	many[0] = operation(0, IOCB_CMD_PWRITE, text, 10, 0);
	many[0]->aio_rw_flags = RWF_APPEND;
	SAY(syscall(SYS_io_submit, context, 1L, many));
	SAY(syscall(SYS_io_getevents, context, 1L, 8L, events, NULL));
	SAY(events[0].res);
	SAY(size(file));
	many[0] = operation(0, IOCB_CMD_PWRITE, text, 10, 0);
	many[0]->aio_rw_flags = RWF_DSYNC;
	SAY(syscall(SYS_io_submit, context, 1L, many));
	SAY(syscall(SYS_io_getevents, context, 1L, 8L, events, NULL));
	many[0] = operation(0, IOCB_CMD_PREAD, nowhere, 10, 0);
	SAY(syscall(SYS_io_submit, context, 1L, many));
	SAY(syscall(SYS_io_getevents, context, 1L, 8L, events, NULL));
	SAY(events[0].res);
	SAY(syscall(SYS_io_destroy, context));
	SAY(syscall(SYS_io_getevents, context, 0L, 1L, events, NULL));
	close(file);
}

int main(int count, char **arguments)
{
	check(count == 2 && chdir(arguments[1]) == 0, "contents FOLDER");
	borders();
	ends_and_holes();
	nameless();
	vectors();
	copies();
	mappings();
	asynchronous();
	unlink("file");
	return 0;
}
