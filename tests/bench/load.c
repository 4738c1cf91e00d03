// SPDX-License-Identifier: Apache-2.0
/*
 * The generator of the benchmarks: does one thing many times and prints what it did as JSON on standard output. It
 * counts its own syscalls, so that nothing else need be believed.
 *
 *   load OPERATION [KEY=VALUE ...]
 *
 * Timed, one line {"count", "ns"} a sample: session connect unlink rename read write getppid
 *   count=N      operations a sample at most          seconds=S  time a sample at most
 *   samples=K    samples                              cpu=C      stay on this CPU
 *   bytes=B      of each read and write
 * Paced, one line with what was done:
 *   files        cycles of 8 syscalls: create write close, open read close, rename, unlink
 *   spawn        program=PATH started and waited for
 *   rate=R       syscalls or processes a second, 0 as fast as it goes; count=N cycles or processes; seconds=S at most
 *   marks=M      files: tell when each M-th created file was closed (CLOCK_REALTIME, ns)
 * And `make count=N`: the files that `unlink` removes.
 *
 * Files are made in the current directory.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64		/* operations between two looks at the clock */
#define BLOCK 4096		/* bytes read or written at a time, unless `bytes` says otherwise */
#define LARGEST (1 << 20)
#define AHEAD 200000		/* ns that a paced load may be early before it sleeps */
#define CHILDREN 16		/* that may run at a time */
#define SECOND 1000000000LL

extern char **environ;

static long count = 1000000, samples = 1, rate, marks_every, bytes = BLOCK;
static double seconds = 1e9;
static const char *program = "/bin/true";
static char block[LARGEST];

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static long check(long result, const char *what)
{
	if (result < 0)
		die(what);
	return result;
}

static long long now(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return t.tv_sec * SECOND + t.tv_nsec;
}

static void sleep_until(long long time)
{
	struct timespec t = {time / SECOND, time % SECOND};
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, 0) == EINTR)
		;
}

/* The timed operations: each does n of them, the first of which is number `first`, and returns how long they took. */

#define TIMED(...)                                                  \
	do {                                                        \
		long long begin = now(CLOCK_MONOTONIC);             \
		for (long i = first; i < first + n; i++) {          \
			__VA_ARGS__                                 \
		}                                                   \
		return now(CLOCK_MONOTONIC) - begin;                \
	} while (0)

static int file = -1;

static void prepare_file(void)
{
	file = check(open("file", O_RDWR | O_CREAT, 0600), "file");
	check(write(file, block, bytes), "write");
}

static void prepare_closed(void)
{
	prepare_file();
	close(file);
}

static long long do_session(long first, long n)
{
	TIMED(int fd = check(open("file", O_RDONLY), "open"); check(read(fd, block, BLOCK), "read"); close(fd););
}

static long long do_rename(long first, long n)
{
	TIMED(check(i & 1 ? rename("other", "file") : rename("file", "other"), "rename"););
}

static long long do_unlink(long first, long n)
{
	char name[32];
	TIMED(snprintf(name, sizeof(name), "u%ld", i); check(unlink(name), "unlink"););
}

static long long do_read(long first, long n)
{
	TIMED(check(pread(file, block, bytes, 0), "pread"););
}

static long long do_write(long first, long n)
{
	TIMED(check(pwrite(file, block, bytes, 0), "pwrite"););
}

static long long do_getppid(long first, long n)
{
	TIMED(syscall(SYS_getppid););
}

static int listener;
static struct sockaddr_in address;

static void prepare_connect(void)
{
	socklen_t size = sizeof(address);
	listener = check(socket(AF_INET, SOCK_STREAM, 0), "socket");
	address.sin_family = AF_INET;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	check(bind(listener, (void *)&address, size), "bind");
	check(listen(listener, 2 * BATCH), "listen");
	check(getsockname(listener, (void *)&address, &size), "getsockname");
}

/* Only connect and close are timed. Both ends reset instead of closing in order, or ports would run out. */
static long long do_connect(long first __attribute__((unused)), long n)
{
	struct linger reset = {1, 0};
	int ends[BATCH];
	for (long i = 0; i < n; i++) {
		ends[i] = check(socket(AF_INET, SOCK_STREAM, 0), "socket");
		check(setsockopt(ends[i], SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), "SO_LINGER");
	}
	long long begin = now(CLOCK_MONOTONIC);
	for (long i = 0; i < n; i++) {
		check(connect(ends[i], (void *)&address, sizeof(address)), "connect");
		close(ends[i]);
	}
	long long took = now(CLOCK_MONOTONIC) - begin;
	for (long i = 0; i < n; i++)
		close(check(accept(listener, 0, 0), "accept"));
	return took;
}

static void nothing(void)
{
}

static const struct {
	const char *name;
	void (*prepare)(void);
	long long (*run)(long first, long n);
} timed[] = {
	{"session", prepare_closed, do_session}, {"connect", prepare_connect, do_connect},
	{"unlink", nothing, do_unlink},		 {"rename", prepare_closed, do_rename},
	{"read", prepare_file, do_read},	 {"write", prepare_file, do_write},
	{"getppid", nothing, do_getppid},
};

static void measure(void (*prepare)(void), long long (*run)(long, long))
{
	long first = 0;
	prepare();
	for (long sample = 0; sample < samples; sample++) {
		long long took = 0;
		long done = 0;
		while (done < count && took < seconds * SECOND) {
			long n = count - done < BATCH ? count - done : BATCH;
			took += run(first, n);
			done += n;
			first += n;
		}
		printf("{\"count\": %ld, \"ns\": %lld}\n", done, took);
	}
}

static void make_files(void)
{
	char name[32];
	for (long i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "u%ld", i);
		close(check(open(name, O_WRONLY | O_CREAT, 0600), name));
	}
	printf("{\"count\": %ld, \"ns\": 0}\n", count);
}

/* Waits until operation `done` of `each` syscalls is due; false if time is up. */
static int due(long long begin, long done, long each)
{
	long long time = now(CLOCK_MONOTONIC);
	if (time - begin > seconds * SECOND)
		return 0;
	if (rate) {
		long long when = begin + (long long)((double)done * each * SECOND / rate);
		if (when > time + AHEAD)
			sleep_until(when);
	}
	return 1;
}

static void files(void)
{
	long done = 0, marked = 0;
	long long *marks = marks_every ? calloc(count / marks_every + 1, sizeof(*marks)) : 0;
	char name[32], new_name[32];
	long long begin = now(CLOCK_MONOTONIC);
	for (; done < count && due(begin, done, 8); done++) {
		snprintf(name, sizeof(name), "m%ld", done);
		snprintf(new_name, sizeof(new_name), "r%ld", done);
		int fd = check(open(name, O_WRONLY | O_CREAT, 0600), name);
		check(write(fd, block, 64), "write");
		close(fd);
		if (marks_every && done % marks_every == 0)
			marks[marked++] = now(CLOCK_REALTIME);
		fd = check(open(name, O_RDONLY), name);
		check(read(fd, block, BLOCK), "read");
		close(fd);
		check(rename(name, new_name), "rename");
		check(unlink(new_name), "unlink");
	}
	long long took = now(CLOCK_MONOTONIC) - begin;
	printf("{\"count\": %ld, \"ns\": %lld, \"calls\": {\"open\": %ld, \"read\": %ld, \"write\": %ld, \"close\": %ld, "
	       "\"rename\": %ld, \"unlink\": %ld}, \"marks\": {",
	       done, took, 2 * done, done, done, 2 * done, done, done);
	for (long i = 0; i < marked; i++)
		printf("%s\"m%ld\": %lld", i ? ", " : "", i * marks_every, marks[i]);
	printf("}}\n");
}

static void spawn(void)
{
	char *arguments[] = {(char *)program, 0};
	long done = 0, running = 0;
	pid_t pid;
	long long begin = now(CLOCK_MONOTONIC);
	for (; done < count && due(begin, done, 1); done++) {
		errno = posix_spawn(&pid, program, 0, 0, arguments, environ);
		if (errno)
			die(program);
		running++;
		while (running && waitpid(-1, 0, running < CHILDREN ? WNOHANG : 0) > 0)
			running--;
	}
	while (running-- > 0)
		wait(0);
	printf("{\"count\": %ld, \"ns\": %lld}\n", done, now(CLOCK_MONOTONIC) - begin);
}

static void stay_on(int cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	check(sched_setaffinity(0, sizeof(set), &set), "sched_setaffinity");
}

static void option(char *word)
{
	char *value = strchr(word, '=');
	if (value)
		*value++ = 0;
	if (!value)
		exit(2);
	else if (!strcmp(word, "count"))
		count = atol(value);
	else if (!strcmp(word, "seconds"))
		seconds = atof(value);
	else if (!strcmp(word, "samples"))
		samples = atol(value);
	else if (!strcmp(word, "rate"))
		rate = atol(value);
	else if (!strcmp(word, "marks"))
		marks_every = atol(value);
	else if (!strcmp(word, "bytes"))
		bytes = atol(value) < LARGEST ? atol(value) : LARGEST;
	else if (!strcmp(word, "program"))
		program = value;
	else if (!strcmp(word, "cpu"))
		stay_on(atoi(value));
	else
		exit(2);
}

int main(int argc, char **argv)
{
	for (int i = 2; i < argc; i++)
		option(argv[i]);
	const char *word = argc > 1 ? argv[1] : "";
	for (unsigned i = 0; i < sizeof(timed) / sizeof(timed[0]); i++)
		if (!strcmp(word, timed[i].name)) {
			measure(timed[i].prepare, timed[i].run);
			return 0;
		}
	if (!strcmp(word, "make"))
		make_files();
	else if (!strcmp(word, "files"))
		files();
	else if (!strcmp(word, "spawn"))
		spawn();
	else {
		fprintf(stderr, "load: no operation '%s'\n", word);
		return 2;
	}
	return 0;
}
