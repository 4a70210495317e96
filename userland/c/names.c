/* The corners of calls on names: opening, moving, linking, listing, times, limits. The lines are the same
 * on Linux and on Vortex. names FOLDER: the folder must be there and empty; it is left empty. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "say.h"

static char *volatile nowhere = (char *)8;
static void *volatile null;
static volatile long negative = -1;
static char longest[256], too_long[257], path[PATH_MAX + 10];

static void check(int condition, const char *what)
{
	if (!condition) {
		perror(what);
		exit(1);
	}
}

/* Opens, and says no number, but whether there is one. */
static int opens(const char *name, int flags)
{
	int fd = open(name, flags, 0640);
	return fd < 0 ? -1 : close(fd);
}

static void make(const char *name, const char *contents)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	check(fd >= 0 && write(fd, contents, strlen(contents)) == (ssize_t)strlen(contents), name);
	close(fd);
}

static long size(const char *name)
{
	struct stat status;
	return lstat(name, &status) ? -1 : status.st_size;
}

static long links(const char *name)
{
	struct stat status;
	return lstat(name, &status) ? -1 : (long)status.st_nlink;
}

static void opening(void)
{
	make("file", "contents");
	check(!mkdir("folder", 0755) && !symlink("file", "soft") && !symlink("missing", "lost"), "names");
	check(!symlink("folder", "way") && !symlink("round", "round"), "names");
	SAY(opens("file", O_RDWR | O_CREAT | O_EXCL));
	SAY(opens("soft", O_RDWR | O_CREAT | O_EXCL));
	SAY(opens("lost", O_RDWR | O_CREAT | O_EXCL));
	SAY(opens("folder", O_RDWR | O_CREAT | O_EXCL));
	SAY(opens("folder", O_RDONLY | O_CREAT));
	SAY(opens("way", O_RDONLY | O_CREAT));
	SAY(opens("new/", O_RDWR | O_CREAT));
	SAY(opens("file/", O_RDONLY));
	SAY(opens("file/.", O_RDONLY));
	SAY(opens("folder/", O_RDONLY));
	SAY(opens("folder/.", O_RDWR));
	SAY(opens("soft", O_RDONLY | O_NOFOLLOW));
	SAY(opens("way", O_RDONLY | O_NOFOLLOW));
	SAY(opens("way/", O_RDONLY | O_NOFOLLOW));
	SAY(opens("way", O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
	SAY(opens("soft", O_PATH | O_NOFOLLOW));
	SAY(opens("file", O_RDONLY | O_DIRECTORY));
	SAY(opens("soft", O_PATH | O_DIRECTORY));
	SAY(opens("missing", O_RDONLY | O_DIRECTORY));
	SAY(opens("folder", O_WRONLY));
	SAY(opens("folder", O_RDONLY | O_TRUNC));
	SAY(opens("round", O_RDONLY));
	SAY(opens("round/file", O_RDONLY));
	SAY(opens("round", O_RDWR | O_CREAT | O_EXCL));
	SAY(opens("round", O_PATH | O_NOFOLLOW));
	SAY(opens("", O_RDONLY));
	SAY(opens("missing/file", O_RDWR | O_CREAT));
	SAY(opens(nowhere, O_RDONLY));
	SAY(opens("file", O_TMPFILE | O_RDWR));
	SAY(opens("folder", O_TMPFILE | O_RDONLY));
	SAY(opens("lost", O_RDWR | O_CREAT));
	SAY(size("missing"));
	SAY(opens("file", O_RDONLY | O_TRUNC));
	SAY(size("file"));
	make("file", "contents");
	SAY(opens("file", O_PATH | O_TRUNC));
	SAY(size("file"));
	SAY(opens("file", O_WRONLY | O_TRUNC | O_APPEND));
	SAY(size("file"));
	SAY(opens("new", O_RDONLY | O_CREAT));
	SAY(openat(50, "file", O_RDONLY));
	int fd = open("file", O_RDONLY), folder = open("folder", O_PATH);
	SAY(openat(fd, "file", O_RDONLY));
	SAY(openat(fd, "", O_RDONLY));
	SAY(openat(folder, "missing", O_RDONLY));
	SAY(openat(folder, "..", O_RDWR));
	close(fd);
	close(folder);
	fd = open("file", O_RDONLY | O_CLOEXEC);
	SAY(fcntl(fd, F_GETFD));
	SAY(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK));
	SAY(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK | O_RDWR));
	SAY(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK));
	close(fd);
}

/* What a descriptor of a place, opened with O_PATH, is good for. */
static void places(void)
{
	struct stat status;
	struct statfs system;
	char byte, text[20];
	int file = open("file", O_PATH), soft = open("soft", O_PATH | O_NOFOLLOW);
	int folder = open("folder", O_PATH);
	check(file >= 0 && soft >= 0 && folder >= 0, "places");
	SAY(read(file, &byte, 1));
	SAY(write(file, &byte, 1));
	SAY(lseek(file, 0, SEEK_SET));
	SAY(fsync(file));
	SAY(ftruncate(file, 0));
	SAY(fchmod(file, 0600));
	SAY(fchown(file, 0, 0));
	SAY(futimens(file, NULL));
	SAY(fstat(file, &status));
	SAY(fstatfs(file, &system));
	SAY(fchdir(file));
	SAY(syscall(SYS_getdents64, folder, text, sizeof text));
	SAY(readlinkat(soft, "", text, sizeof text));
	SAY(readlinkat(file, "", text, sizeof text));
	SAY(fstatat(soft, "", &status, AT_EMPTY_PATH) ? -1 : (long)(status.st_mode & S_IFMT));
	SAY(linkat(file, "", AT_FDCWD, "by-place", AT_EMPTY_PATH));
	SAY(links("file"));
	SAY(unlink("by-place"));
	SAY(fcntl(file, F_GETFL) & O_PATH);
	SAY(fcntl(file, F_SETFL, O_APPEND));
	SAY(close(dup(file)));
	close(file);
	close(soft);
	close(folder);
}

static void lengths(void)
{
	memset(longest, 'l', 255);
	memset(too_long, 'l', 256);
	SAY(opens(longest, O_RDWR | O_CREAT));
	SAY(opens(too_long, O_RDWR | O_CREAT));
	SAY(opens(too_long, O_RDONLY));
	SAY(mkdir(too_long, 0755));
	SAY(symlink("file", too_long));
	SAY(link("file", too_long));
	SAY(rename("file", too_long));
	SAY(rename(too_long, "file"));
	SAY(rename(longest, "l"));
	SAY(unlink("l"));
	/* Paths of as many bytes as there may be, and one more. */
	memset(path, '/', sizeof path);
	memcpy(path, "./", 2);
	memcpy(path + 4091, "file", 5);
	SAY(strlen(path));
	SAY(size(path));
	memcpy(path + 4092, "file", 5);
	SAY(size(path));
	memset(path, 't', sizeof path);
	path[4096] = 0;
	SAY(symlink(path, "target"));
	SAY(symlink("", "target"));
	path[900] = 0;
	SAY(symlink(path, "target"));
	SAY(size("target"));
	SAY(readlink("target", path, 10));
	SAY(readlink("target", path, 0));
	SAY(readlink("target", path, negative));
	SAY(readlink("file", path, 10));
	SAY(opens("target", O_RDONLY));
	SAY(unlink("target"));
	/* Forty soft links can be followed, and no more. */
	char name[20], to[20] = "file";
	for (int number = 0; number < 42; number++) {
		snprintf(name, sizeof name, "chain%d", number);
		check(!symlink(to, name), name);
		strcpy(to, name);
	}
	SAY(opens("chain39", O_RDONLY));
	SAY(opens("chain40", O_RDONLY));
	for (int number = 0; number < 42; number++) {
		snprintf(name, sizeof name, "chain%d", number);
		unlink(name);
	}
}

static void moving(void)
{
	check(!mkdir("a", 0755) && !mkdir("a/b", 0755) && !mkdir("a/b/c", 0755) && !mkdir("empty", 0755), "mkdir");
	make("a/file", "in a");
	SAY(rename("a", "a/b/c/a"));
	SAY(rename("a", "a/new"));
	SAY(rename("a/b", "a"));
	SAY(rename("a", "a"));
	SAY(rename("file", "file"));
	SAY(rename("empty", "a"));
	SAY(rename("a/file", "empty"));
	SAY(rename("empty", "a/file"));
	SAY(rename("missing/x", "y"));
	SAY(rename("file/x", "y"));
	SAY(rename("nothing", "y"));
	SAY(rename("file", "y/"));
	SAY(rename("file/", "y"));
	SAY(rename("a/b/", "moved/"));
	SAY(rename("moved", "empty"));
	SAY(links("a"));
	SAY(links("empty"));
	SAY(rename(".", "y"));
	SAY(rename("a/..", "y"));
	SAY(rename("file", "."));
	SAY(rename("file", "a/.."));
	SAY(rename("file", "/proc/x"));
	SAY(rename("/proc/version", "x"));
	SAY(renameat2(AT_FDCWD, "file", AT_FDCWD, "a/file", RENAME_NOREPLACE));
	SAY(renameat2(AT_FDCWD, "file", AT_FDCWD, "file", RENAME_NOREPLACE));
	SAY(renameat2(AT_FDCWD, "a/file", AT_FDCWD, "fresh", RENAME_NOREPLACE));
	SAY(renameat2(AT_FDCWD, "file", AT_FDCWD, "missing2", RENAME_EXCHANGE));
	SAY(renameat2(AT_FDCWD, "fresh", AT_FDCWD, "empty/c", RENAME_EXCHANGE));
	SAY(size("empty/c"));
	SAY(links("empty"));
	SAY(links("fresh"));
	SAY(renameat2(AT_FDCWD, "empty", AT_FDCWD, "empty/c", RENAME_EXCHANGE));
	SAY(renameat2(AT_FDCWD, "fresh", AT_FDCWD, "fresh", RENAME_EXCHANGE));
	SAY(renameat2(AT_FDCWD, "file", AT_FDCWD, "a", RENAME_EXCHANGE | RENAME_NOREPLACE));
	SAY(renameat2(AT_FDCWD, "file", AT_FDCWD, "a", RENAME_WHITEOUT | RENAME_EXCHANGE));
	SAY(renameat2(AT_FDCWD, "file", AT_FDCWD, "x", 16));
	/* A name that is replaced while it is open, and two names of one file. */
	char text[10] = "";
	make("old", "old one");
	make("young", "new");
	int fd = open("old", O_RDONLY);
	struct stat status;
	SAY(rename("young", "old"));
	SAY(read(fd, text, 9));
	SAY(fstat(fd, &status) ? -1 : (long)status.st_nlink);
	SAY(size("old"));
	close(fd);
	SAY(link("old", "same"));
	SAY(rename("old", "same"));
	SAY(links("old"));
	SAY(link("old", "same"));
	SAY(link("a", "linked"));
	SAY(link("missing3", "linked"));
	SAY(link("old", "linked/"));
	SAY(link("soft", "hard"));
	SAY(lstat("hard", &status) ? -1 : (long)(status.st_mode & S_IFMT));
	SAY(linkat(AT_FDCWD, "way", AT_FDCWD, "hard2", AT_SYMLINK_FOLLOW));
	SAY(linkat(AT_FDCWD, "old", AT_FDCWD, "hard2", 1));
	SAY(unlink("hard"));
	SAY(unlink("old"));
	SAY(unlink("same"));
	SAY(unlink("way/"));
	SAY(rmdir("way"));
	SAY(rmdir("way/"));
	SAY(mkdir("lost/", 0755));
	SAY(mkdir("soft", 0755));
	SAY(mkdir("below/", 0755));
	SAY(mkdir("/", 0755));
	SAY(mkdir(".", 0755));
	SAY(rmdir("below/"));
	SAY(rmdir("."));
	SAY(rmdir("a/.."));
	SAY(rmdir("/"));
	SAY(rmdir("empty/."));
	SAY(unlink("."));
	SAY(unlink("empty"));
	SAY(rmdir("file"));
	SAY(rmdir("empty"));
	SAY(unlinkat(AT_FDCWD, "empty", AT_REMOVEDIR));
	SAY(unlinkat(AT_FDCWD, "file", AT_REMOVEDIR | 1));
	SAY(unlink("empty/c"));
	SAY(rmdir("empty"));
	SAY(rmdir("fresh"));
	SAY(rmdir("a"));
}

/* A folder that is removed while somebody is in it. */
static void removed(void)
{
	char text[1000];
	struct stat status;
	check(!mkdir("gone", 0755) && !chdir("gone") && !rmdir("../gone"), "gone");
	SAY(syscall(SYS_getcwd, text, sizeof text));
	SAY(opens("file", O_RDWR | O_CREAT));
	SAY(mkdir("folder", 0755));
	SAY(opens(".", O_RDONLY));
	SAY(stat(".", &status) ? -1 : (long)status.st_nlink);
	int fd = open(".", O_RDONLY);
	SAY(syscall(SYS_getdents64, fd, text, sizeof text));
	SAY(symlink("x", "y"));
	SAY(link("../file", "y"));
	SAY(rename("../file", "y"));
	SAY(opens("../file", O_RDONLY));
	close(fd);
	check(!chdir(".."), "up");
}

/* Entries that come and go while a folder is listed: those that stay are listed once. */
static void listing(void)
{
	char name[40], buffer[300];
	int seen[200] = { 0 }, once = 0, more = 0;
	check(!mkdir("list", 0755), "list");
	for (int number = 0; number < 200; number++) {
		snprintf(name, sizeof name, "list/entry-%d", number);
		make(name, "");
	}
	int fd = open("list", O_RDONLY | O_DIRECTORY), turn = 0;
	long length;
	while ((length = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0) {
		for (long at = 0; at < length;) {
			struct dirent64 *entry = (struct dirent64 *)(buffer + at);
			int number;
			if (sscanf(entry->d_name, "entry-%d", &number) == 1 && number < 200)
				seen[number]++;
			at += entry->d_reclen;
		}
		snprintf(name, sizeof name, "list/entry-%d", 2 * turn);
		if (turn < 100)
			unlink(name);
		snprintf(name, sizeof name, "list/entry-%d", 1000 + turn++);
		if (turn < 50)
			make(name, "");
	}
	for (int number = 1; number < 200; number += 2) {
		once += seen[number] == 1;
		more += seen[number] > 1;
	}
	printf("of a hundred that stayed: %d once, %d more often\n", once, more);
	SAY(syscall(SYS_getdents64, fd, buffer, 10));
	SAY(lseek(fd, 0, SEEK_SET));
	SAY(syscall(SYS_getdents64, fd, buffer, 10));
	SAY(syscall(SYS_getdents64, fd, nowhere, 300));
	SAY(syscall(SYS_getdents64, 50, buffer, 300));
	SAY(lseek(fd, -1, SEEK_SET));
	SAY(read(fd, buffer, 10));
	SAY(pread(fd, buffer, 10, 0));
	SAY(ftruncate(fd, 0));
	SAY(fsync(fd));
	close(fd);
	fd = open("file", O_RDONLY);
	SAY(syscall(SYS_getdents64, fd, buffer, 300));
	close(fd);
	for (int number = 0; number < 1200; number++) {
		snprintf(name, sizeof name, "list/entry-%d", number);
		unlink(name);
	}
	SAY(rmdir("list"));
}

static void tell_times(const char *name)
{
	struct stat status;
	check(!lstat(name, &status), name);
	printf("%s: %lld.%09ld %lld.%09ld\n", name, (long long)status.st_atim.tv_sec, status.st_atim.tv_nsec,
	       (long long)status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
}

static int set_times(const char *name, long nanoseconds, long other, int flags)
{
	struct timespec both[2] = { { 1000000000, nanoseconds }, { 1100000000, other } };
	return utimensat(AT_FDCWD, name, both, flags);
}

static void times(void)
{
	int fd = open("file", O_RDONLY);
	struct timespec both[2] = { { 1, 0 }, { 2, 0 } };
	SAY(set_times("file", 0, 0, 0));
	tell_times("file");
	SAY(set_times("file", 5, UTIME_OMIT, 0));
	tell_times("file");
	SAY(set_times("file", UTIME_OMIT, UTIME_OMIT, 0));
	SAY(set_times("missing4", UTIME_OMIT, UTIME_OMIT, 0));
	SAY(set_times("file", 1000000000, 0, 0));
	SAY(set_times("file", -1, 0, 0));
	SAY(set_times("file", 0, 0, 1));
	SAY(set_times("missing4", 0, 0, 0));
	SAY(set_times("soft", 7, 8, AT_SYMLINK_NOFOLLOW));
	tell_times("soft");
	tell_times("file");
	SAY(futimens(fd, both));
	tell_times("file");
	SAY(utimensat(fd, null, NULL, 0));
	SAY(utimensat(AT_FDCWD, null, both, 0));
	SAY(utimensat(fd, "", both, AT_EMPTY_PATH));
	struct stat status;
	SAY(set_times("file", UTIME_NOW, 0, 0));
	check(!stat("file", &status), "stat");
	SAY(status.st_atim.tv_sec > 1500000000);
	SAY(status.st_mtim.tv_sec);
	close(fd);
}

static void systems(void)
{
	struct statfs system;
	struct stat status;
	struct statx more;
	SAY(statfs("missing5", &system));
	SAY(statfs("file/x", &system));
	SAY(statfs("file", null));
	SAY(statfs("file", &system));
	SAY(system.f_type == 0xef53 && system.f_namelen == 255 && system.f_bfree >= system.f_bavail);
	SAY(fstatfs(50, &system));
	SAY(stat("file", null));
	SAY(fstatat(50, "file", &status, 0));
	SAY(fstatat(AT_FDCWD, "", &status, 0));
	SAY(fstatat(AT_FDCWD, "file", &status, 2));
	SAY(statx(AT_FDCWD, "file", 0, STATX__RESERVED, &more));
	SAY(statx(AT_FDCWD, "file", AT_STATX_SYNC_TYPE, STATX_ALL, &more));
	SAY(statx(AT_FDCWD, "soft", AT_SYMLINK_NOFOLLOW, STATX_TYPE, &more) ? -1 : (long)(more.stx_mode & S_IFMT));
	SAY(access("file", 8));
	SAY(access("file", W_OK));
	SAY(access("lost2", F_OK));
	SAY(chmod("missing6", 0));
	SAY(chmod("file", 07777));
	SAY(stat("file", &status) ? -1 : (long)(status.st_mode & 07777));
	SAY(fchmodat(AT_FDCWD, "file", 0600, 0));
	SAY(chown("file", 1, (gid_t)-1));
	SAY(stat("file", &status) ? -1 : (long)(status.st_mode & 07777));
	SAY(lchown("soft", 3, 4));
	SAY(lstat("soft", &status) ? -1 : (long)(status.st_uid * 10 + status.st_gid));
	SAY(truncate("folder", 0));
	SAY(truncate("missing7", 0));
	SAY(truncate("file", -1));
	SAY(truncate("file", 1L << 60));
	SAY(truncate("soft", 3));
	SAY(size("file"));
	SAY(chdir("file"));
	SAY(chdir("round"));
	SAY(syscall(SYS_getcwd, path, 1));
}

int main(int count, char **arguments)
{
	check(count == 2 && chdir(arguments[1]) == 0, "names FOLDER");
	umask(022);
	opening();
	places();
	lengths();
	moving();
	removed();
	listing();
	times();
	systems();
	for (const char *const *name = (const char *[]){ "file", "soft", "lost", "missing", "way", "round", "new", 0 };
	     *name; name++)
		SAY(unlink(*name));
	SAY(rmdir("folder"));
	return 0;
}
