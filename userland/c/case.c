/* One hostile thing, as named on the command line. How it ends (an exit status or a signal) is
 * for the caller to see; on Vortex it must be as on Linux. `case list` names all. */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define KERNEL ((volatile char *)0xffff800000001000)
#define NON_CANONICAL ((volatile char *)0x0000900000000000)
#define UNMAPPED ((volatile char *)0x0000100000000000)

static volatile int sink;
static const char constant[] = "not to be written";

static void null_read(void) { sink = *(volatile char *)0; }
static void null_write(void) { *(volatile char *)0 = 1; }
static void kernel_read(void) { sink = *KERNEL; }
static void kernel_write(void) { *KERNEL = 1; }
static void kernel_image(void) { sink = *(volatile char *)0xffffffff80000000; }
static void non_canonical_read(void) { sink = *NON_CANONICAL; }
static void unmapped_write(void) { *UNMAPPED = 1; }
static void write_constant(void) { *(volatile char *)(uintptr_t)constant = 'X'; }
static void write_text(void) { *(volatile char *)(uintptr_t)&null_read = (char)0xc3; }

static void jump(uintptr_t to) { ((void (*)(void))to)(); }
static void jump_null(void) { jump(0); }
static void jump_kernel(void) { jump((uintptr_t)KERNEL); }
static void jump_non_canonical(void) { jump((uintptr_t)NON_CANONICAL); }

static void jump_stack(void)
{
	volatile unsigned char code[16] = { 0xc3 };
	jump((uintptr_t)code);
}

static void jump_data(void)
{
	static volatile unsigned char code[16] = { 0xc3 };
	jump((uintptr_t)code);
}

/* After munmap, what was there is gone. */
static void unmapped_again(void)
{
	volatile char *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	page[0] = 1;
	munmap((void *)page, 4096);
	page[0] = 2;
}

static void guarded(void)
{
	volatile char *page = mmap(0, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	sink = page[0];
}

static void write_protected(void)
{
	volatile char *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	page[0] = 1;
	mprotect((void *)page, 4096, PROT_READ);
	page[0] = 2;
}

static void privileged_cli(void) { __asm__ volatile("cli"); }
static void privileged_sti(void) { __asm__ volatile("sti"); }
static void privileged_hlt(void) { __asm__ volatile("hlt"); }
static void privileged_in(void) { __asm__ volatile("inb $0x60, %%al" ::: "al"); }
static void privileged_out(void) { __asm__ volatile("movb $0, %%al; outb %%al, $0x60" ::: "al"); }
static void privileged_swapgs(void) { __asm__ volatile("swapgs"); }
static void privileged_wrmsr(void) { __asm__ volatile("wrmsr" ::"c"(0x10), "a"(0), "d"(0)); }
static void privileged_rdmsr(void) { __asm__ volatile("rdmsr" ::"c"(0x10) : "eax", "edx"); }
static void privileged_cr0(void) { __asm__ volatile("mov %%cr0, %%rax" ::: "rax"); }
static void privileged_cr3(void) { __asm__ volatile("mov %%rax, %%cr3" ::"a"(0)); }
static void privileged_debug(void) { __asm__ volatile("mov %%rax, %%dr7" ::"a"(0)); }
static void privileged_invlpg(void) { __asm__ volatile("invlpg (%%rax)" ::"a"(0)); }
static void privileged_wbinvd(void) { __asm__ volatile("wbinvd"); }
static void privileged_sysret(void) { __asm__ volatile("sysretq"); }

static void privileged_lgdt(void)
{
	char table[10] = { 0 };
	__asm__ volatile("lgdt %0" ::"m"(table));
}

static void bad_segment(void) { __asm__ volatile("mov %%ax, %%ds" ::"a"(0xfff8)); }
static void kernel_segment(void) { __asm__ volatile("mov %%ax, %%ss" ::"a"(0x10)); }
static void bad_iret(void) { __asm__ volatile("push $0; push $0; push $2; push $8; push $0; iretq"); }
static void bad_ret(void) { __asm__ volatile("movabs $0x900000000000, %rax; push %rax; ret"); }
static void undefined(void) { __asm__ volatile("ud2"); }
static void breakpoint(void) { __asm__ volatile("int3"); }
static void interrupt_timer(void) { __asm__ volatile("int $0xf0"); }
static void interrupt_page_fault(void) { __asm__ volatile("int $14"); }
static void single_step(void) { __asm__ volatile("pushf; orq $0x100, (%rsp); popf; nop; nop"); }

static void divide(void) { __asm__ volatile("div %%ecx" ::"c"(0), "a"(1), "d"(0)); }

/* Flags that a program may set must not reach the kernel; what it may not set does not stick. */
static void flags(void)
{
	__asm__ volatile("pushf; orq $0x7000, (%rsp); popf");
	getpid();
	__asm__ volatile("std");
	syscall(SYS_getpid);
	__asm__ volatile("cld");
	exit(11);
}

static void alignment_check(void)
{
	static char bytes[16];
	__asm__ volatile("pushf; orq $0x40000, (%%rsp); popf; movl 1(%0), %%eax" ::"r"(bytes) : "eax");
}

/* The kernel must not use a user's stack. */
static void no_stack(void)
{
	__asm__ volatile("mov $0x900000000000, %%rsp; mov $39, %%eax; syscall;"
			 "mov $12, %%edi; mov $231, %%eax; syscall" ::: "rax", "rdi", "memory");
}

static void kernel_stack(void)
{
	__asm__ volatile("mov $-4096, %%rsp; mov $39, %%eax; syscall;"
			 "mov $13, %%edi; mov $231, %%eax; syscall" ::: "rax", "rdi", "memory");
}

static void push_without_stack(void)
{
	__asm__ volatile("xor %%esp, %%esp; push %%rax" ::: "memory");
}

static int deep(volatile char *above)
{
	volatile char room[4096];
	room[0] = above[0];
	return deep(room) + room[0];
}

static void stack_overflow(void)
{
	char start = 1;
	sink = deep(&start);
}

/* The handler's frame does not fit on a stack that is not there. */
static void ignore(int signal) { (void)signal; }

static void handler_without_stack(void)
{
	signal(SIGSEGV, ignore);
	stack_overflow();
}

static void bad_handler(void)
{
	signal(SIGUSR1, (void (*)(int))(uintptr_t)KERNEL);
	raise(SIGUSR1);
	exit(1);
}

static void bad_return(void)
{
	__asm__ volatile("mov $15, %%eax; xor %%esp, %%esp; syscall" ::: "rax", "memory");
}

/* What a forged frame asks for must be made harmless. */
static void forged_return(void)
{
	static uint64_t frame[256];
	for (unsigned word = 0; word < 256; word++)
		frame[word] = 0xffffffffffffffff;
	__asm__ volatile("mov %0, %%rsp; mov $15, %%eax; syscall" ::"r"(&frame[64]) : "rax", "memory");
}

static void aborts(void) { abort(); }
static void kills_itself(void) { kill(getpid(), SIGKILL); pause(); }
static void terminates_itself(void) { kill(getpid(), SIGTERM); pause(); }
static void ignores_window_change(void) { raise(SIGWINCH); raise(SIGCHLD); exit(14); }

static void catches(int signal) { _exit(signal == SIGUSR1 ? 15 : 1); }
static void catches_signal(void) { signal(SIGUSR1, catches); raise(SIGUSR1); exit(1); }

static void *spins(void *unused) { for (;;) sink++; return unused; }
static void *sleeps(void *unused) { for (;;) sleep(1000); return unused; }

static void start(void *(*what)(void *), int number)
{
	pthread_t thread;
	pthread_attr_t small;
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 65536);
	while (number-- > 0)
		if (pthread_create(&thread, &small, what, 0))
			exit(1);
}

static void exit_with_threads(void) { start(spins, 4); start(sleeps, 16); exit(16); }
static void fault_with_threads(void) { start(spins, 4); start(sleeps, 16); *UNMAPPED = 1; }
static void kill_with_threads(void) { start(spins, 4); start(sleeps, 16); kills_itself(); }

static void *ends_process(void *unused) { (void)unused; syscall(SYS_exit_group, 17); return 0; }
static void thread_ends_process(void) { start(sleeps, 4); start(ends_process, 1); for (;;) pause(); }

static void main_thread_ends_first(void)
{
	start(ends_process, 1);
	pthread_exit(0);
}

/* System calls with pointers that are none. */
static int fails_with(long result, int expected) { return result == -1 && errno == expected; }

static void bad_pointers(void)
{
	static const uintptr_t bad[] = { 8, 0xffff800000001000, 0x900000000000, 0x100000000000,
					 0x7ffffffff000, 0xffffffffffffffff };
	for (unsigned which = 0; which < sizeof bad / sizeof *bad; which++) {
		void *pointer = (void *)bad[which];
		if (!fails_with(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, pointer), EFAULT) ||
		    !fails_with(syscall(SYS_nanosleep, pointer, 0), EFAULT) ||
		    !fails_with(syscall(SYS_uname, pointer), EFAULT) ||
		    !fails_with(syscall(SYS_writev, 1, pointer, 1), EFAULT) ||
		    !fails_with(syscall(SYS_openat, AT_FDCWD, pointer, O_RDONLY), EFAULT) ||
		    !fails_with(syscall(SYS_getcwd, pointer, 100), EFAULT) ||
		    !fails_with(syscall(SYS_rt_sigaction, SIGUSR1, pointer, 0, 8), EFAULT))
			_exit(100 + which);
	}
	if (!fails_with(syscall(SYS_futex, (char *)bad + 1, 0, 0, 0, 0, 0), EINVAL))
		_exit(120);
	exit(18);
}

static void unknown_call(void)
{
	if (!fails_with(syscall(4999), ENOSYS) || !fails_with(syscall(-1), ENOSYS) ||
	    !fails_with(syscall(0x7fffffff), ENOSYS))
		exit(1);
	exit(19);
}

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = {
#define CASE(name) { #name, name }
	CASE(null_read), CASE(null_write), CASE(kernel_read), CASE(kernel_write), CASE(kernel_image),
	CASE(non_canonical_read), CASE(unmapped_write), CASE(write_constant), CASE(write_text),
	CASE(jump_null), CASE(jump_kernel), CASE(jump_non_canonical), CASE(jump_stack),
	CASE(jump_data), CASE(unmapped_again), CASE(guarded), CASE(write_protected),
	CASE(privileged_cli), CASE(privileged_sti), CASE(privileged_hlt), CASE(privileged_in),
	CASE(privileged_out), CASE(privileged_swapgs), CASE(privileged_wrmsr),
	CASE(privileged_rdmsr), CASE(privileged_cr0), CASE(privileged_cr3), CASE(privileged_debug),
	CASE(privileged_invlpg), CASE(privileged_wbinvd), CASE(privileged_sysret),
	CASE(privileged_lgdt), CASE(bad_segment), CASE(kernel_segment), CASE(bad_iret),
	CASE(bad_ret), CASE(undefined), CASE(breakpoint), CASE(interrupt_timer),
	CASE(interrupt_page_fault), CASE(single_step), CASE(divide), CASE(flags),
	CASE(alignment_check), CASE(no_stack), CASE(kernel_stack), CASE(push_without_stack),
	CASE(stack_overflow), CASE(handler_without_stack), CASE(bad_handler), CASE(bad_return),
	CASE(forged_return), CASE(aborts), CASE(kills_itself), CASE(terminates_itself),
	CASE(ignores_window_change), CASE(catches_signal), CASE(exit_with_threads),
	CASE(fault_with_threads), CASE(kill_with_threads), CASE(thread_ends_process),
	CASE(main_thread_ends_first), CASE(bad_pointers), CASE(unknown_call),
};

int main(int count, char **arguments)
{
	const char *name = count == 2 ? arguments[1] : "";
	int list = !strcmp(name, "list");
	for (unsigned which = 0; which < sizeof cases / sizeof *cases; which++) {
		if (list)
			puts(cases[which].name);
		else if (!strcmp(name, cases[which].name)) {
			cases[which].run();
			/* It should not have come back. */
			return 99;
		}
	}
	if (list)
		return 0;
	fprintf(stderr, "case: there is no case `%s`; `case list` names all\n", name);
	return 2;
}
