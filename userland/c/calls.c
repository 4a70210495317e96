/* Makes system calls and says what they return: on the Linux that the tests run on, and in the guest.
 *
 * Arguments: a file to read from, and a list with a call on each line, its number and six arguments
 * in hexadecimal. Standard output: a line for each, "= " and the result in decimal, or "= blocked".
 * Every call is made by a process of its own, in the memory that resources/src/calls/hostile.rs
 * describes. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void map(unsigned long address, unsigned long length, int protection) {
    void *at = mmap((void *)address, length, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (at != (void *)address) fail("mmap");
    if (protection != (PROT_READ | PROT_WRITE) && mprotect(at, length, protection)) fail("mprotect");
}

static void descriptor(int from, int to) {
    if (from < 0) fail("open");
    if (from != to && (dup2(from, to) != to || close(from))) fail("dup2");
}

static void environment(const char *data) {
    map(0x10000000, 0x4000, PROT_READ | PROT_WRITE);
    map(0x10010000, 0x1000, PROT_READ);
    map(0x10020000, 0x1000, PROT_NONE);
    map(0x10030000, 0x1000, PROT_READ | PROT_WRITE);
    strcpy((char *)0x10003800, "/");
    strcpy((char *)0x10003820, "/nonexistent");
    strcpy((char *)0x10003840, "/proc/self/exe");
    memcpy((char *)0x10003900, "\x22\x05\x08\x20", 4);
    ((char *)0x10003920)[8] = SS_DISABLE;
    *(char *)0x10030fff = 'a';
    static const unsigned long vectors[][4] = {
        {0x20000000, 8, 0, 0},
        {0xffff800000000000, 8, 0, 0},
        {0x7fffffffeff8, 16, 0, 0},
        {0x10000000, 0x8000000000000000, 0, 0},
        {0x10000000, 4, 0x20000000, 4},
        {0x10010000, 4, 0x10000000, 4},
    };
    memcpy((char *)0x10003a00, vectors, sizeof vectors);
    descriptor(open("/dev/null", O_RDWR), 0);
    descriptor(open(data, O_RDONLY), 3);
    /* The last one writes to it. */
    int pipes[2];
    if (pipe(pipes)) {
        descriptor(dup(1), 4);
    } else {
        dup2(pipes[0], 10);
        dup2(pipes[1], 11);
        dup2(11, 4);
    }
    descriptor(open("/", O_RDONLY | O_DIRECTORY), 5);
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    struct rlimit descriptors = {1024, 4096};
    setrlimit(RLIMIT_NOFILE, &descriptors);
    setgroups(0, NULL);
}

static void make(const unsigned long *call, long *result, const sigset_t *child) {
    /* Their positions are shared by all processes. */
    if (lseek(3, 0, SEEK_SET) || lseek(5, 0, SEEK_SET)) fail("lseek");
    pid_t pid = fork();
    if (pid < 0) fail("fork");
    if (pid == 0) {
        /* Not by way of the library, which would put the error into errno. */
        long returned;
        register long r10 __asm__("r10") = call[4];
        register long r8 __asm__("r8") = call[5];
        register long r9 __asm__("r9") = call[6];
        __asm__ volatile("syscall"
                         : "=a"(returned)
                         : "a"(call[0]), "D"(call[1]), "S"(call[2]), "d"(call[3]), "r"(r10), "r"(r8),
                           "r"(r9)
                         : "rcx", "r11", "memory");
        *result = returned;
        _exit(0);
    }
    struct timespec patience = {0, 500000000};
    int status;
    if (sigtimedwait(child, NULL, &patience) < 0) {
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        sigtimedwait(child, NULL, &(struct timespec){0, 0});
        printf("\n= blocked\n");
        return;
    }
    waitpid(pid, &status, 0);
    if (WIFEXITED(status))
        printf("\n= %ld\n", *result);
    else
        printf("\n= signal %d\n", WTERMSIG(status));
}

int main(int count, char **arguments) {
    FILE *list = count == 3 ? fopen(arguments[2], "r") : NULL;
    if (!list) {
        fprintf(stderr, "usage: %s FILE CALLS\n", arguments[0]);
        return 2;
    }
    static unsigned long calls[20000][7];
    int number = 0;
    while (number < 20000) {
        unsigned long *call = calls[number];
        if (fscanf(list, "%lx %lx %lx %lx %lx %lx %lx", call, call + 1, call + 2, call + 3, call + 4,
                  call + 5, call + 6) != 7)
            break;
        number++;
    }
    fclose(list);
    environment(arguments[1]);
    long *result = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (result == MAP_FAILED) fail("mmap");
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL);
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int index = 0; index < number; index++) make(calls[index], result, &child);
    return 0;
}
