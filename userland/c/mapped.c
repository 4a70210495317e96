/* What a program sees of files that it maps: the same lines on Linux and on Vortex.
 * mapped FOLDER: the folder must be there; a file `mapped` is left in it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096
/* Three pages, and a part of a fourth one. */
#define SIZE (3 * PAGE + 100)

static int file;

static void check(int failed, const char *what)
{
	if (failed) {
		printf("%s: %s\n", what, strerror(errno));
		exit(1);
	}
}

static char *map(int protection, int flags, int descriptor)
{
	char *at = mmap(0, 4 * PAGE, protection, flags, descriptor, 0);
	check(at == MAP_FAILED, "mmap");
	return at;
}

/* The byte of the file at an offset, as read(2) has it. */
static char in_file(off_t offset)
{
	char byte = '?';
	check(pread(file, &byte, 1, offset) < 0, "pread");
	return byte;
}

static void tell(const char *what, int failed)
{
	printf("%s: %s\n", what, failed ? strerror(errno) : "success");
}

static void refused(const char *what, size_t length, int protection, int flags, int descriptor, off_t offset)
{
	char *at = mmap(0, length, protection, flags, descriptor, offset);
	tell(what, at == MAP_FAILED);
	if (at != MAP_FAILED)
		munmap(at, length);
}

/* How a process ends that does this. */
static void child(const char *what, void (*run)(char *), char *at)
{
	fflush(stdout);
	pid_t id = fork();
	check(id < 0, "fork");
	if (!id) {
		run(at);
		_exit(0);
	}
	int status;
	check(waitpid(id, &status, 0) != id, "waitpid");
	if (WIFSIGNALED(status))
		printf("%s: %s\n", what, strsignal(WTERMSIG(status)));
	else
		printf("%s: status %d\n", what, WEXITSTATUS(status));
}

static void read_byte(char *at) { *(volatile char *)at; }
static void write_byte(char *at) { *(volatile char *)at = 'C'; }

static void private_ones(void)
{
	char *at = map(PROT_READ | PROT_WRITE, MAP_PRIVATE, file);
	printf("private, as it is: %c%c%c\n", at[0], at[PAGE], at[3 * PAGE]);
	at[PAGE] = 'P';
	printf("private, changed: %c, the file: %c\n", at[PAGE], in_file(PAGE));
	child("a child changes its copy", write_byte, at + PAGE);
	printf("private, after that: %c\n", at[PAGE]);
	check(pwrite(file, "w", 1, 2 * PAGE) != 1, "pwrite");
	printf("private, not changed, after a write: %c\n", at[2 * PAGE]);
	tell("msync of a private one", msync(at, 4 * PAGE, MS_SYNC));
	check(munmap(at, 4 * PAGE), "munmap");
	at = map(PROT_READ, MAP_PRIVATE, file);
	printf("mapped again: %c\n", at[PAGE]);
	check(munmap(at, 4 * PAGE), "munmap");
}

static void shared_ones(void)
{
	char *at = map(PROT_READ | PROT_WRITE, MAP_SHARED, file);
	char *also = map(PROT_READ, MAP_SHARED, file);
	at[1] = 'S';
	printf("shared: %c, the file: %c, another mapping: %c\n", at[1], in_file(1), also[1]);
	check(pwrite(file, "W", 1, 2) != 1, "pwrite");
	printf("after a write: %c %c\n", at[2], also[2]);
	child("a child writes", write_byte, at + PAGE + 1);
	printf("after that: %c, the file: %c\n", at[PAGE + 1], in_file(PAGE + 1));
	tell("msync", msync(at, 4 * PAGE, MS_SYNC));
	at[PAGE + 2] = 'D';
	tell("fsync", fsync(file));
	at[PAGE + 3] = 'E';
	printf("written again after that: %c\n", in_file(PAGE + 3));
	printf("behind the end: %d\n", at[SIZE]);
	at[SIZE] = 'X';
	tell("msync behind the end", msync(at + 3 * PAGE, PAGE, MS_SYNC));
	struct stat status;
	check(fstat(file, &status), "fstat");
	printf("the size: %ld\n", (long)status.st_size);
	check(munmap(at, 4 * PAGE) || munmap(also, 4 * PAGE), "munmap");
	tell("msync of what is gone", msync(at, PAGE, MS_SYNC));
}

static void ends(void)
{
	char *at = map(PROT_READ | PROT_WRITE, MAP_SHARED, file);
	at[3 * PAGE] = 'L';
	check(ftruncate(file, PAGE + 10), "ftruncate");
	child("read in the last page", read_byte, at + PAGE + 20);
	child("read behind it", read_byte, at + 2 * PAGE);
	child("write behind it", write_byte, at + 3 * PAGE);
	check(ftruncate(file, SIZE), "ftruncate");
	printf("cut, and long again: %d %d %d\n", at[PAGE + 9], at[PAGE + 10], at[3 * PAGE]);
	at[2 * PAGE] = 'N';
	printf("written there: %c\n", in_file(2 * PAGE));
	check(munmap(at, 4 * PAGE), "munmap");
}

static void refusals(const char *path)
{
	int reads = open(path, O_RDONLY), writes = open(path, O_WRONLY), folder = open("/", O_RDONLY);
	int ends[2];
	check(reads < 0 || writes < 0 || folder < 0 || pipe(ends), "open");
	refused("shared to write, of one to read", PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, reads, 0);
	refused("private to write, of one to read", PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, reads, 0);
	refused("of one to write", PAGE, PROT_READ, MAP_SHARED, writes, 0);
	refused("of no file", PAGE, PROT_READ, MAP_SHARED, 99, 0);
	refused("of a folder", PAGE, PROT_READ, MAP_SHARED, folder, 0);
	refused("of a pipe", PAGE, PROT_READ, MAP_SHARED, ends[0], 0);
	refused("of nothing", 0, PROT_READ, MAP_SHARED, reads, 0);
	refused("from within a page", PAGE, PROT_READ, MAP_SHARED, reads, 100);
	refused("neither shared nor private", PAGE, PROT_READ, 0, reads, 0);
	char *at = mmap(0, PAGE, PROT_READ, MAP_SHARED, reads, 0);
	check(at == MAP_FAILED, "mmap");
	tell("to write after all", mprotect(at, PAGE, PROT_READ | PROT_WRITE));
	child("write what is to be read", write_byte, at);
	tell("msync from within a page", msync(at + 100, PAGE, MS_SYNC));
	tell("msync in two ways", msync(at, PAGE, MS_SYNC | MS_ASYNC));
	check(close(reads), "close");
	printf("its file closed: %c\n", at[0]);
}

int main(int number, char **arguments)
{
	if (number != 2) {
		fprintf(stderr, "usage: mapped FOLDER\n");
		return 2;
	}
	check(chdir(arguments[1]), arguments[1]);
	file = open("mapped", O_RDWR | O_CREAT | O_TRUNC, 0644);
	check(file < 0, "mapped");
	char contents[SIZE];
	for (int at = 0; at < SIZE; at++)
		contents[at] = (char)('a' + at / PAGE);
	check(write(file, contents, SIZE) != SIZE, "write");
	private_ones();
	shared_ones();
	ends();
	refusals("mapped");
	tell("the end", fsync(file));
	return 0;
}
