/* What a C program expects of its system: threads, signals, timers, processes, memory. Each part, as
 * named on the command line, prints the same lines on Linux and on Vortex; `posix list` names all. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGE 4096
#define MS 1000000L

static const char *program;
static sigjmp_buf back;
static volatile sig_atomic_t count, order[16];

static void check(int failed, const char *what)
{
	if (failed) {
		printf("%s: %s\n", what, strerror(errno));
		exit(1);
	}
}

static const char *outcome(int error) { return error ? strerror(error) : "success"; }

static void handle(int signal, void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };
	check(sigaction(signal, &action, 0), "sigaction");
}

static struct timespec in(clockid_t clock, long nanoseconds)
{
	struct timespec at;
	clock_gettime(clock, &at);
	at.tv_nsec += nanoseconds;
	at.tv_sec += at.tv_nsec / (1000 * MS);
	at.tv_nsec %= 1000 * MS;
	return at;
}

/* Threads: a queue between two of them, and all that they can wait for. */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int queue[16], put, taken;

static void *produce(void *rounds)
{
	for (int i = 0; i < (intptr_t)rounds; i++) {
		pthread_mutex_lock(&lock);
		while (put - taken == 16)
			pthread_cond_wait(&changed, &lock);
		queue[put++ % 16] = i;
		pthread_cond_broadcast(&changed);
		pthread_mutex_unlock(&lock);
	}
	return 0;
}

static void *consume(void *rounds)
{
	intptr_t sum = 0;
	for (int i = 0; i < (intptr_t)rounds; i++) {
		pthread_mutex_lock(&lock);
		while (put == taken)
			pthread_cond_wait(&changed, &lock);
		sum += queue[taken++ % 16];
		pthread_cond_broadcast(&changed);
		pthread_mutex_unlock(&lock);
	}
	return (void *)sum;
}

static pthread_barrier_t barrier;
static pthread_rwlock_t shared = PTHREAD_RWLOCK_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static sem_t arrived;
static int total, initialised;
static __thread intptr_t own;

static void initialise(void) { initialised++; }
static void destroy(void *value) { __sync_fetch_and_add(&total, (int)(intptr_t)value); }

static void *meet(void *number)
{
	own = (intptr_t)number;
	pthread_once(&once, initialise);
	pthread_setspecific(key, (void *)1);
	for (int i = 0; i < 100; i++)
		pthread_barrier_wait(&barrier);
	sem_post(&arrived);
	for (int i = 0; i < 500; i++) {
		pthread_rwlock_rdlock(&shared);
		pthread_rwlock_unlock(&shared);
		pthread_rwlock_wrlock(&shared);
		total++;
		pthread_rwlock_unlock(&shared);
	}
	return (void *)(intptr_t)(own == (intptr_t)number);
}

static void *die_with(void *mutex) { pthread_mutex_lock(mutex); return 0; }

static void goodbye(void *what) { printf("cleaned up: %s\n", (char *)what); }

static void *be_cancelled(void *unused)
{
	pthread_cleanup_push(goodbye, "a sleeper");
	for (;;)
		sleep(1000);
	pthread_cleanup_pop(0);
	return unused;
}

static void threads(void)
{
	pthread_t some[8];
	void *result;
	pthread_create(&some[0], 0, produce, (void *)5000);
	pthread_create(&some[1], 0, consume, (void *)5000);
	pthread_join(some[0], 0);
	pthread_join(some[1], &result);
	printf("queue: %ld\n", (long)result);

	pthread_key_create(&key, destroy);
	pthread_barrier_init(&barrier, 0, 8);
	sem_init(&arrived, 0, 0);
	for (intptr_t i = 0; i < 8; i++)
		pthread_create(&some[i], 0, meet, (void *)i);
	for (int i = 0; i < 8; i++)
		sem_wait(&arrived);
	int good = 0;
	for (int i = 0; i < 8; i++) {
		pthread_join(some[i], &result);
		good += (int)(intptr_t)result;
	}
	printf("barrier: %d good, total %d, initialised %d\n", good, total, initialised);

	struct timespec at = in(CLOCK_REALTIME, 5 * MS);
	pthread_mutex_lock(&lock);
	printf("condition: %s\n", outcome(pthread_cond_timedwait(&changed, &lock, &at)));
	pthread_mutex_unlock(&lock);
	printf("semaphore: %s\n", sem_timedwait(&arrived, &at) ? strerror(errno) : "success");

	pthread_mutexattr_t attributes;
	pthread_mutex_t mutex;
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&mutex, &attributes);
	pthread_create(&some[0], 0, die_with, &mutex);
	pthread_join(some[0], 0);
	printf("robust: %s\n", outcome(pthread_mutex_lock(&mutex)));

	pthread_create(&some[0], 0, be_cancelled, 0);
	usleep(2000);
	pthread_cancel(some[0]);
	pthread_join(some[0], &result);
	printf("cancelled: %d\n", result == PTHREAD_CANCELED);
}

/* Signals: masks, values, faults and what handlers are told of them. */

static void note(int signal, siginfo_t *info, void *unused)
{
	(void)unused;
	order[count++ % 16] = signal * 100 + info->si_value.sival_int % 100;
}

static void tell(int signal, siginfo_t *info, void *context)
{
	const greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
	printf("signal %d, code %d, address %p, trap %lld, error %lld\n", signal, info->si_code,
	       info->si_addr, registers[REG_TRAPNO], registers[REG_ERR]);
	siglongjmp(back, 1);
}

static void step_over(int signal, siginfo_t *info, void *context)
{
	printf("signal %d, code %d\n", signal, info->si_code);
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
}

static void overflown(int signal, siginfo_t *info, void *unused)
{
	(void)signal, (void)info, (void)unused;
	siglongjmp(back, 1);
}

static int recurse(volatile char *above)
{
	volatile char room[PAGE];
	room[0] = above[0];
	return recurse(room) + room[0];
}

static void faults(void)
{
	static const volatile char constant[] = "constant";
	volatile int zero = 0;
	handle(SIGSEGV, tell, 0);
	handle(SIGFPE, tell, 0);
	if (!sigsetjmp(back, 1))
		*(volatile char *)0x1234 = 1;
	if (!sigsetjmp(back, 1))
		order[0] = *(volatile char *)0xffff800000000000;
	if (!sigsetjmp(back, 1))
		order[0] = *(volatile char *)0x8000000000000000;
	if (!sigsetjmp(back, 1))
		((void (*)(void))0)();
	handle(SIGFPE, overflown, 0);
	if (!sigsetjmp(back, 1))
		order[0] = 5 / zero;
	handle(SIGILL, step_over, 0);
	__asm__ volatile("ud2");
	handle(SIGSEGV, overflown, 0);
	if (!sigsetjmp(back, 1))
		*(volatile char *)(uintptr_t)constant = 'X';
	stack_t stack = { .ss_sp = malloc(65536), .ss_size = 65536 };
	sigaltstack(&stack, 0);
	handle(SIGSEGV, overflown, SA_ONSTACK);
	char start = 1;
	if (!sigsetjmp(back, 1))
		recurse(&start);
	printf("the stack has overflowed\n");
}

static void signals(void)
{
	sigset_t set;
	sigemptyset(&set);
	for (int signal = SIGRTMIN; signal < SIGRTMIN + 2; signal++) {
		handle(signal, note, 0);
		sigaddset(&set, signal);
	}
	handle(SIGUSR1, note, 0);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, 0);
	/* An ordinary signal is pending once; a real-time signal each time, in order. */
	kill(getpid(), SIGUSR1);
	kill(getpid(), SIGUSR1);
	for (int value = 1; value <= 3; value++) {
		sigqueue(getpid(), SIGRTMIN + 1, (union sigval){ .sival_int = value });
		sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = value });
	}
	sigprocmask(SIG_UNBLOCK, &set, 0);
	printf("%d delivered\n", count);
	/* Handlers run last to first: each interrupts the one before. */
	for (int i = 0; i < count; i++)
		printf("signal %d, value %d\n", order[i] / 100 - (i < 6 ? SIGRTMIN : 0), order[i] % 100);
	handle(SIGUSR2, note, SA_RESETHAND);
	raise(SIGUSR2);
	struct sigaction now;
	sigaction(SIGUSR2, 0, &now);
	printf("reset: %d\n", now.sa_handler == SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, 0);
	kill(getpid(), SIGTERM);
	siginfo_t info;
	int signal = sigwaitinfo(&set, &info);
	printf("waited for: %d, code %d\n", signal, info.si_code);
	struct timespec soon = { 0, MS };
	printf("then: %s\n", sigtimedwait(&set, 0, &soon) < 0 ? strerror(errno) : "another");
}

/* Timers and clocks. */

static void timed(timer_t timer, const char *name)
{
	struct itimerspec every = { { 0, 2 * MS }, { 0, MS } }, left;
	timer_settime(timer, 0, &every, 0);
	for (count = 0; count < 5;)
		pause();
	timer_gettime(timer, &left);
	printf("%s: every %ld ms, overrun %s\n", name, left.it_interval.tv_nsec / MS,
	       timer_getoverrun(timer) >= 0 ? "known" : "unknown");
	timer_delete(timer);
	printf("%s deleted: %s\n", name, timer_gettime(timer, &left) ? strerror(errno) : "no");
}

static void ran(union sigval value) { count += value.sival_int; }

static void counted(int which, int signal, const char *name)
{
	struct itimerval every = { { 0, 3000 }, { 0, 3000 } }, none = { 0 };
	handle(signal, note, SA_RESTART);
	setitimer(which, &every, 0);
	for (count = 0; count < 3;)
		;
	setitimer(which, &none, &every);
	printf("%s: every %ld us\n", name, every.it_interval.tv_usec);
}

static void timers(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN };
	timer_t timer;
	handle(SIGRTMIN, note, 0);
	check(timer_create(CLOCK_MONOTONIC, &event, &timer), "timer_create");
	timed(timer, "signal");
	event = (struct sigevent){ .sigev_notify = SIGEV_THREAD, .sigev_notify_function = ran,
				   .sigev_value.sival_int = 1 };
	check(timer_create(CLOCK_REALTIME, &event, &timer), "timer_create");
	struct itimerspec soon = { { 0, 0 }, { 0, MS } };
	timer_settime(timer, 0, &soon, 0);
	for (count = 0; !count;)
		usleep(500);
	printf("thread: %d\n", count);
	counted(ITIMER_REAL, SIGALRM, "real");
	counted(ITIMER_VIRTUAL, SIGVTALRM, "virtual");
	counted(ITIMER_PROF, SIGPROF, "profiling");
	struct timespec at = in(CLOCK_MONOTONIC, 3 * MS), now;
	int error = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, 0);
	clock_gettime(CLOCK_MONOTONIC, &now);
	printf("slept: %s, long enough: %d\n", outcome(error),
	       now.tv_sec > at.tv_sec || (now.tv_sec == at.tv_sec && now.tv_nsec >= at.tv_nsec));
	clockid_t clock;
	printf("a thread's clock: %s\n", outcome(pthread_getcpuclockid(pthread_self(), &clock)));
	printf("is read: %d\n", clock_gettime(clock, &now) == 0 && now.tv_sec + now.tv_nsec > 0);
	alarm(100);
	fflush(stdout);
	execl(program, "posix", "alarmed", (char *)0);
}

static void alarmed(void) { printf("an alarm outlives exec: %d\n", alarm(0) > 90); }

/* Processes. */

static void reap(const char *name)
{
	int status;
	check(wait(&status) < 0, "wait");
	if (WIFEXITED(status))
		printf("%s: status %d\n", name, WEXITSTATUS(status));
	else
		printf("%s: signal %d\n", name, WTERMSIG(status));
}

static int child(void) { fflush(stdout); return fork() == 0; }

static void processes(void)
{
	int *common = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int private = 1, status;
	if (child()) {
		*common = 42;
		private = 2;
		_exit(private);
	}
	reap("forked");
	printf("common %d, private %d\n", *common, private);
	if (child())
		abort();
	reap("aborted");
	if (child()) {
		execl(program, "a name", "arguments", "two words", "", "\"'\n\xc3\xa9", (char *)0);
		_exit(1);
	}
	reap("executed");
	if (vfork() == 0) {
		execl("/no/such/program", "no", (char *)0);
		_exit(errno == ENOENT ? 7 : 1);
	}
	reap("not executed");
	pid_t stopped = fork();
	if (stopped == 0)
		for (;;)
			pause();
	kill(stopped, SIGSTOP);
	waitpid(stopped, &status, WUNTRACED);
	printf("stopped: %d\n", WIFSTOPPED(status));
	kill(stopped, SIGCONT);
	waitpid(stopped, &status, WCONTINUED);
	printf("continued: %d, has ended: %d\n", WIFCONTINUED(status), waitpid(stopped, 0, WNOHANG));
	kill(stopped, SIGKILL);
	reap("killed");
	int good = 0;
	for (int i = 0; i < 100; i++) {
		pid_t one = fork();
		if (one == 0)
			_exit(i);
		good += waitpid(one, &status, 0) == one && WEXITSTATUS(status) == i;
	}
	printf("a hundred: %d good\n", good);
	struct rusage used;
	getrusage(RUSAGE_CHILDREN, &used);
	printf("children used some: %d\n", used.ru_utime.tv_sec + used.ru_utime.tv_usec > 0);
	printf("nobody left: %s\n", wait(0) < 0 ? strerror(errno) : "somebody");
	printf("told at start: %d %d %d\n", getauxval(AT_PAGESZ) == PAGE, getauxval(AT_RANDOM) != 0,
	       getauxval(AT_MINSIGSTKSZ) > 512);
}

/* Memory. */

static void *map(size_t pages, int protection)
{
	void *at = mmap(0, pages * PAGE, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(at == MAP_FAILED, "mmap");
	return at;
}

static const char *touch(volatile char *at)
{
	if (sigsetjmp(back, 1))
		return "fault";
	*at = 1;
	return "good";
}

static void memory(void)
{
	handle(SIGSEGV, overflown, 0);
	char *some = map(8, PROT_READ | PROT_WRITE);
	memset(some, 1, 8 * PAGE);
	munmap(some + 3 * PAGE, PAGE);
	printf("hole: %s, behind it: %s\n", touch(some + 3 * PAGE), touch(some + 4 * PAGE));
	mprotect(some, PAGE, PROT_READ);
	printf("read-only: %s, next: %s\n", touch(some), touch(some + PAGE));
	char *moved = mremap(some + 4 * PAGE, 2 * PAGE, 64 * PAGE, MREMAP_MAYMOVE);
	printf("moved: %d %d %s\n", moved[0], moved[2 * PAGE], touch(some + 4 * PAGE));
	madvise(moved, PAGE, MADV_DONTNEED);
	printf("given back: %d\n", moved[0]);
	unsigned char resident[2];
	int failed = mincore(some + PAGE, 2 * PAGE, resident);
	printf("in memory: %d %d %d\n", failed, resident[0] & 1, resident[1] & 1);
	unsigned char code[] = { 0xb8, 42, 0, 0, 0, 0xc3 };
	unsigned char *compiled = map(1, PROT_READ | PROT_WRITE | PROT_EXEC);
	memcpy(compiled, code, sizeof code);
	printf("compiled: %d", ((int (*)(void))(uintptr_t)compiled)());
	compiled[1] = 43;
	printf(" %d\n", ((int (*)(void))(uintptr_t)compiled)());
	char *large = map(1 << 22, PROT_READ | PROT_WRITE);
	for (size_t at = 0; at < (size_t)PAGE << 22; at += (size_t)1 << 30)
		large[at] = 1;
	printf("sparse: %d\n", munmap(large, (size_t)PAGE << 22));
	volatile char deep[4 << 20];
	deep[0] = deep[sizeof deep - 1] = 1;
	char *end = sbrk(100 * PAGE);
	printf("heap: %s", touch(end + 50 * PAGE));
	sbrk(-100 * PAGE);
	printf(" %s\n", touch(end + 50 * PAGE));
}

static const struct {
	const char *name;
	void (*run)(void);
} parts[] = {
	{ "threads", threads }, { "faults", faults },	    { "signals", signals },
	{ "timers", timers },	{ "processes", processes }, { "memory", memory },
};

int main(int number, char **arguments)
{
	program = "/proc/self/exe";
	const char *name = number > 1 ? arguments[1] : "";
	if (!strcmp(name, "arguments")) {
		for (int i = 0; i < number; i++)
			printf("argument %d: [%s]\n", i, arguments[i]);
		return number;
	}
	if (!strcmp(name, "alarmed")) {
		alarmed();
		return 0;
	}
	int list = !strcmp(name, "list");
	for (unsigned which = 0; which < sizeof parts / sizeof *parts; which++) {
		if (list)
			puts(parts[which].name);
		else if (!strcmp(name, parts[which].name)) {
			parts[which].run();
			return 0;
		}
	}
	if (list)
		return 0;
	fprintf(stderr, "posix: there is no part `%s`; `posix list` names all\n", name);
	return 2;
}
