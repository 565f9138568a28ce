/* Makes calls in the ways that programs make them, and says what became of each. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct sockaddr_in to(const char *ip, int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, ip, &a.sin_addr);
    return a;
}

static void say(const char *what, long result) {
    printf("%s %s\n", what, result < 0 ? strerrorname_np(errno) : "ok");
    fflush(stdout);
}

static int tcp(void) { return socket(AF_INET, SOCK_STREAM, 0); }

static long bind_to(const char *ip, int port) {
    struct sockaddr_in a = to(ip, port);
    int s = tcp();
    long result = bind(s, (void *)&a, sizeof a);
    int kept = errno;
    close(s);
    errno = kept;
    return result;
}

/* Binds ARGUMENTS: plain, raw, fork or thread; tcp or udp; address; port. */
static char **what;

static void *one(void *nothing) {
    (void)nothing;
    int six = strchr(what[2], ':') != 0, s = socket(six ? AF_INET6 : AF_INET, !strcmp(what[1], "udp") ? SOCK_DGRAM : SOCK_STREAM, 0);
    struct sockaddr_in a = to(what[2], atoi(what[3]));
    struct sockaddr_in6 b = {.sin6_family = AF_INET6, .sin6_port = htons(atoi(what[3]))};
    inet_pton(AF_INET6, what[2], &b.sin6_addr);
    void *address = six ? (void *)&b : (void *)&a;
    int length = six ? sizeof b : sizeof a;
    say("bind", !strcmp(what[0], "raw") ? syscall(SYS_bind, s, address, length) : bind(s, address, length));
    return 0;
}

static int times;
static long wrong;

static void *many(void *port) {
    for (int i = 0; i < times; i++) {
        if (bind_to("127.0.0.1", 0) < 0) __sync_fetch_and_add(&wrong, 1);
        /* Nobody has this address. */
        if (bind_to("192.0.2.77", *(int *)port) == 0 || errno != EADDRNOTAVAIL)
            __sync_fetch_and_add(&wrong, 1);
    }
    return 0;
}

static void nothing(int signal) { (void)signal; }

/* For soaking: processes that bind while signals come. */
static void soak(int processes, int binds, int port) {
    for (int p = 0; p < processes; p++) {
        if (fork()) continue;
        struct sigaction act = {.sa_handler = nothing, .sa_flags = SA_RESTART};
        sigaction(SIGALRM, &act, 0);
        struct itimerval timer = {{0, 200}, {0, 200}};
        setitimer(ITIMER_REAL, &timer, 0);
        long bad = 0;
        for (int i = 0; i < binds; i++) {
            int fails = i % 50 == 0;
            char ip[20];
            sprintf(ip, "127.0.0.%d", port ? p + 1 : 1);
            long result = bind_to(fails ? "192.0.2.77" : ip, port);
            if (fails ? result == 0 || errno != EADDRNOTAVAIL : result < 0) bad++;
        }
        _exit(bad ? 1 : 0);
    }
    int status, failed = 0;
    while (wait(&status) > 0) failed += status != 0;
    printf("%d processes with a wrong answer\n", failed);
}

#ifdef __x86_64__
static long int80(long number, long a, long b) {
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b) : "memory", "r8", "r9", "r10", "r11");
    if ((int)result < 0) {
        errno = -(int)result;
        return -1;
    }
    return result;
}

static void i386(int port) {
    /* Addresses of 32 bits. */
    char *low = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    struct sockaddr_in a = to("192.0.2.77", port);
    memcpy(low, &a, sizeof a);
    unsigned *args = (unsigned *)(low + 1024);
    args[0] = tcp(), args[1] = (unsigned)(long)low, args[2] = sizeof a;
    say("socketcall", int80(102, 2, (long)args));
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(361L), "b"((long)args[0]), "c"((long)low), "d"((long)sizeof a) : "memory", "r8", "r9", "r10", "r11");
    errno = -(int)result;
    say("bind", (int)result < 0 ? -1 : 0);
}
#endif

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    int port = argc > 2 ? atoi(argv[2]) : 0;
    if (!strcmp(how, "bind")) {
        say("bind", bind_to(argc > 3 ? argv[3] : "127.0.0.1", port));
    } else if (!strcmp(how, "one")) {
        pthread_t thread;
        what = argv + 2;
        if (!strcmp(what[0], "thread")) {
            pthread_create(&thread, 0, one, 0), pthread_join(thread, 0);
        } else if (strcmp(what[0], "fork") || !fork()) {
            one(0);
        } else {
            wait(0);
        }
    } else if (!strcmp(how, "cost")) {
        /* Nanoseconds of a socket with bind, of a socket alone, and of getppid: the least of
           many short rounds, since the machine does other things too. */
        struct sockaddr_in a = to("127.0.0.1", port);
        long n = atoi(argv[3]) / 20, best[3] = {1L << 60, 1L << 60, 1L << 60};
        for (int round = 0; round < 100; round++) {
            for (int kind = 0; kind < 3; kind++) {
                struct timespec begin, end;
                clock_gettime(CLOCK_MONOTONIC, &begin);
                for (long i = 0; i < n; i++) {
                    if (kind == 2) {
                        syscall(SYS_getppid);
                        continue;
                    }
                    int s = tcp();
                    if (kind == 0 && bind(s, (void *)&a, sizeof a)) return perror("bind"), 1;
                    close(s);
                }
                clock_gettime(CLOCK_MONOTONIC, &end);
                long ns = ((end.tv_sec - begin.tv_sec) * 1000000000L + end.tv_nsec - begin.tv_nsec) / n;
                if (ns < best[kind]) best[kind] = ns;
            }
        }
        printf("%ld %ld\n", best[0] - best[1], best[2]);
    } else if (!strcmp(how, "filtered")) {
        /* The rest of the arguments under the smallest filter that there is. */
        struct sock_filter all = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
        struct sock_fprog filter = {1, &all};
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter)) execv(argv[2], argv + 2);
        return 1;
    } else if (!strcmp(how, "threads")) {
        pthread_t threads[64];
        times = 50;
        for (int i = 0; i < 64; i++) pthread_create(&threads[i], 0, many, &port);
        for (int i = 0; i < 64; i++) pthread_join(threads[i], 0);
        printf("%ld wrong\n", wrong);
    } else if (!strcmp(how, "soak")) {
        soak(atoi(argv[2]), atoi(argv[3]), argc > 4 ? atoi(argv[4]) : 0);
#ifdef __x86_64__
    } else if (!strcmp(how, "i386")) {
        i386(port);
    } else if (!strcmp(how, "x32")) {
        struct sockaddr_in a = to("192.0.2.77", port);
        say("x32", syscall(0x40000000 | SYS_bind, tcp(), &a, sizeof a));
#endif
    } else if (!strcmp(how, "uring")) {
        char parameters[120] = {0};
        say("io_uring_setup", syscall(425, 8, parameters));
    } else if (!strcmp(how, "others")) {
        struct sockaddr_un u = {.sun_family = AF_UNIX, .sun_path = "/nowhere/at/all"};
        say("unix bind", bind(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&u, sizeof u));
        say("unix connect", connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&u, sizeof u));
        struct sockaddr_nl n = {.nl_family = AF_NETLINK, .nl_pid = 0};
        say("netlink bind", bind(socket(AF_NETLINK, SOCK_RAW, 0), (void *)&n, sizeof n));
        say("not a socket", bind(0, (void *)&n, sizeof n));
        say("no address", bind(tcp(), (void *)8, 16));
    } else if (!strcmp(how, "alarm")) {
        /* A listener whose queue is full: the next connect blocks. */
        struct sockaddr_in a = to("127.0.0.1", 0);
        socklen_t length = sizeof a;
        int l = tcp();
        bind(l, (void *)&a, sizeof a), listen(l, 0), getsockname(l, (void *)&a, &length);
        for (int i = 0; i < 2; i++) {
            int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
            connect(s, (void *)&a, sizeof a);
            usleep(20000);
        }
        struct sigaction act = {.sa_handler = nothing};
        sigaction(SIGALRM, &act, 0);
        struct itimerval timer = {{0, 0}, {0, 200000}};
        setitimer(ITIMER_REAL, &timer, 0);
        say("connect", connect(tcp(), (void *)&a, sizeof a));
    } else if (!strcmp(how, "daemon")) {
        if (fork()) return 0;
        setsid();
        if (fork()) _exit(0);
        usleep(100000);
        say("daemon", bind_to("192.0.2.77", port));
    } else if (!strcmp(how, "landlock")) {
        struct { unsigned long fs, net; } handled = {0, 1};
        int ruleset = syscall(444, &handled, sizeof handled, 0);
        if (ruleset < 0) return printf("no landlock\n"), 0;
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        syscall(446, ruleset, 0);
        say("landlock", bind_to("127.0.0.1", port));
    } else if (!strcmp(how, "drop")) {
        say("setuid", setresuid(65534, 65534, 65534));
        say("drop", bind_to("127.0.0.1", port));
    } else if (!strcmp(how, "listen")) {
        struct sockaddr_in a = to("127.0.0.1", port);
        int one = 1, s[2];
        for (int i = 0; i < 2; i++) {
            s[i] = tcp();
            setsockopt(s[i], SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
            say("bind", bind(s[i], (void *)&a, sizeof a));
        }
        say("listen", listen(s[0], 1));
        say("listen", listen(s[1], 1));
    } else if (!strcmp(how, "hint")) {
        if (bind_to("127.0.0.1", port) < 0)
            fprintf(stderr, "Bind on TCP/IP port: %s. Do you already have another server running on port: %d ?\n", strerror(errno), port);
        return 1;
    } else if (!strcmp(how, "old")) {
        /* A kernel before 5.19 does not know this flag of seccomp(2). */
        struct sock_filter old[] = {
            {0x20, 0, 0, 0},      {0x15, 0, 3, SYS_seccomp}, {0x20, 0, 0, 24},
            {0x45, 0, 1, 1 << 5}, {0x06, 0, 0, 0x50016},     {0x06, 0, 0, 0x7fff0000},
        };
        struct sock_fprog program = {6, old};
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (syscall(SYS_seccomp, 1, 0, &program)) return perror("seccomp"), 1;
        execv(argv[2], argv + 2);
    } else if (!strcmp(how, "within")) {
        /* In a Landlock domain where no TCP port but this may be bound. */
        struct { unsigned long fs, net; } handled = {0, 1};
        struct { unsigned long access, port; } rule = {1, port};
        int ruleset = syscall(444, &handled, sizeof handled, 0);
        if (ruleset < 0) return printf("no landlock\n"), 0;
        syscall(445, ruleset, 2, &rule, 0);
        if (syscall(446, ruleset, 0)) return perror("landlock"), 1;
        execv(argv[3], argv + 3);
    } else if (!strcmp(how, "wait")) {
        say("bind", bind_to("127.0.0.1", 0));
        pause();
    }
    return 0;
}
