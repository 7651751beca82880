/*
 * tripwire: runs a command and acts at one chosen system call of its process tree.
 *
 *   tripwire --log FILE [--at CHAIN CALL N --then ACTION] -- COMMAND [ARGUMENT...]
 *
 * A seccomp filter stops every system call that changes the disk or a lock, in every process and thread that descends
 * from COMMAND, before the call is executed. It is counted per CHAIN and CALL and logged to FILE, one line each:
 *
 *   NUMBER <tab> CHAIN <tab> CALL <tab> N <tab> PATH [-> PATH]
 *
 * CHAIN is the chain of process names from COMMAND to the caller, such as mirrorlatch/rsync/rsync; N counts from 1. CHAIN,
 * CALL and N identify a point again in another run, although the processes run concurrently. (strace's
 * `inject=CALL:when=N` counts per process, so it always hits the first process that reaches its Nth call.)
 *
 * When the point is reached, its call is not executed yet, and ACTION is one of
 *
 *   kill-tree      SIGKILL to all processes
 *   kill-process   SIGKILL to the process that makes the call; the others run on
 *   orphan         SIGKILL to COMMAND itself; all others are held before their next call that changes the disk, the
 *                  caller before this one
 *   stop-process   SIGSTOP to the process that makes the call
 *   stop-tree      SIGSTOP to all processes
 *
 * and "reached" is written to descriptor 3, if it is open. SIGUSR1 continues stopped and held processes.
 * tripwire exits when the last process of the tree has ended, with the exit code of COMMAND (128 + N for a signal), or
 * with 125 and a message if it fails itself. If tripwire dies, the tree is killed; if its parent dies, tripwire is.
 *
 * strace also cannot hold a process, as opposed to stopping it, and release it on demand.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define REPORT_FD 3
#define NONE (-1)

/* The condition under which a call changes the disk. */
enum guard { ALWAYS, ON_REGULAR_FILE, IF_FLAGS_CREATE, IF_IOCTL_CHANGES };

/* The arguments (0 to 5) that are a path, the directory descriptor it is relative to, a descriptor, and the flags. */
struct call {
  const char *name;
  long number;
  enum guard guard;
  int directory, path, directory2, path2, descriptor, flags;
};

#define CALL(id) .name = #id, .number = SYS_##id
#define BY_PATH(n) .directory = NONE, .path = n, .directory2 = NONE, .path2 = NONE, .descriptor = NONE, .flags = NONE
#define BY_TWO_PATHS(n, m) .directory = NONE, .path = n, .directory2 = NONE, .path2 = m, .descriptor = NONE, .flags = NONE
#define BY_AT(d, n) .directory = d, .path = n, .directory2 = NONE, .path2 = NONE, .descriptor = NONE, .flags = NONE
#define BY_TWO_ATS(d, n, e, m) .directory = d, .path = n, .directory2 = e, .path2 = m, .descriptor = NONE, .flags = NONE
#define BY_FD(n) .directory = NONE, .path = NONE, .directory2 = NONE, .path2 = NONE, .descriptor = n, .flags = NONE
#define OPENS(d, n, f) .guard = IF_FLAGS_CREATE, .directory = d, .path = n, .directory2 = NONE, .path2 = NONE, .descriptor = NONE, .flags = f

static const struct call calls[] = {
#ifdef SYS_open
    {CALL(open), OPENS(NONE, 0, 1)},
    {CALL(creat), BY_PATH(0)},
    {CALL(rename), BY_TWO_PATHS(0, 1)},
    {CALL(link), BY_TWO_PATHS(0, 1)},
    {CALL(symlink), BY_PATH(1)},
    {CALL(mkdir), BY_PATH(0)},
    {CALL(rmdir), BY_PATH(0)},
    {CALL(unlink), BY_PATH(0)},
    {CALL(mknod), BY_PATH(0)},
    {CALL(chmod), BY_PATH(0)},
    {CALL(chown), BY_PATH(0)},
    {CALL(lchown), BY_PATH(0)},
    {CALL(utime), BY_PATH(0)},
    {CALL(utimes), BY_PATH(0)},
    {CALL(futimesat), BY_AT(0, 1)},
#endif
#ifdef SYS_renameat
    {CALL(renameat), BY_TWO_ATS(0, 1, 2, 3)},
#endif
    {CALL(openat), OPENS(0, 1, 2)},
    {CALL(openat2), BY_AT(0, 1)},
    {CALL(write), .guard = ON_REGULAR_FILE, BY_FD(0)},
    {CALL(pwrite64), .guard = ON_REGULAR_FILE, BY_FD(0)},
    {CALL(writev), .guard = ON_REGULAR_FILE, BY_FD(0)},
    {CALL(pwritev), .guard = ON_REGULAR_FILE, BY_FD(0)},
    {CALL(pwritev2), .guard = ON_REGULAR_FILE, BY_FD(0)},
    {CALL(sendfile), .guard = ON_REGULAR_FILE, BY_FD(0)},
    {CALL(copy_file_range), .guard = ON_REGULAR_FILE, BY_FD(2)},
    {CALL(splice), .guard = ON_REGULAR_FILE, BY_FD(2)},
    {CALL(ioctl), .guard = IF_IOCTL_CHANGES, BY_FD(0)},
    {CALL(truncate), BY_PATH(0)},
    {CALL(ftruncate), .guard = ON_REGULAR_FILE, BY_FD(0)},
    {CALL(fallocate), .guard = ON_REGULAR_FILE, BY_FD(0)},
    {CALL(renameat2), BY_TWO_ATS(0, 1, 2, 3)},
    {CALL(linkat), BY_TWO_ATS(0, 1, 2, 3)},
    {CALL(symlinkat), BY_AT(1, 2)},
    {CALL(mkdirat), BY_AT(0, 1)},
    {CALL(mknodat), BY_AT(0, 1)},
    {CALL(unlinkat), BY_AT(0, 1)},
    {CALL(fchmod), BY_FD(0)},
    {CALL(fchmodat), BY_AT(0, 1)},
#ifdef SYS_fchmodat2
    {CALL(fchmodat2), BY_AT(0, 1)},
#endif
    {CALL(fchown), BY_FD(0)},
    {CALL(fchownat), BY_AT(0, 1)},
    {CALL(utimensat), BY_AT(0, 1)},
    {CALL(setxattr), BY_PATH(0)},
    {CALL(lsetxattr), BY_PATH(0)},
    {CALL(fsetxattr), BY_FD(0)},
    {CALL(removexattr), BY_PATH(0)},
    {CALL(lremovexattr), BY_PATH(0)},
    {CALL(fremovexattr), BY_FD(0)},
    {CALL(fsync), BY_FD(0)},
    {CALL(fdatasync), BY_FD(0)},
    {CALL(syncfs), BY_FD(0)},
    {CALL(sync), BY_FD(NONE)},
    {CALL(flock), BY_FD(0)},
    /* Writes through a ring bypass the filter. This shows in the log if a runtime starts to use one. */
    {CALL(io_uring_enter), BY_FD(0)},
};
#define CALLS (sizeof calls / sizeof calls[0])

/* One thread of the tree. */
struct tracee {
  pid_t tid, tgid;
  char *ancestry; /* the chain of its parent with a trailing slash; empty for COMMAND */
  int held;       /* waits before a call until SIGUSR1 */
  struct tracee *next;
};

struct counter {
  char *chain;
  const struct call *call;
  long n;
  struct counter *next;
};

static pid_t root; /* the process of COMMAND */
static struct tracee *tracees;
static struct counter *counters;
static FILE *call_log;
static const char *at_chain, *at_call, *action;
static long at_n;
static int holding;
static sigset_t wake_ups, mask_of_command;

static void fail(const char *what) {
  fprintf(stderr, "tripwire: %s: %s\n", what, strerror(errno));
  exit(125);
}

static char *format(const char *pattern, ...) {
  char *text;
  va_list arguments;
  va_start(arguments, pattern);
  if (vasprintf(&text, pattern, arguments) < 0) fail("vasprintf");
  va_end(arguments);
  return text;
}

/* The number after `field` in /proc/TID/status, 0 if the thread is gone. */
static pid_t status_number(pid_t tid, const char *field) {
  char *path = format("/proc/%d/status", tid), line[256];
  pid_t number = 0;
  FILE *file = fopen(path, "re");
  free(path);
  if (!file) return 0;
  while (fgets(line, sizeof line, file))
    if (!strncmp(line, field, strlen(field))) {
      number = atoi(line + strlen(field));
      break;
    }
  fclose(file);
  return number;
}

static void process_name(pid_t tgid, char *name, size_t size) {
  char *path = format("/proc/%d/comm", tgid);
  FILE *file = fopen(path, "re");
  free(path);
  snprintf(name, size, "?");
  if (!file) return;
  if (fgets(name, size, file)) name[strcspn(name, "\n")] = 0;
  fclose(file);
}

static struct tracee *find(pid_t tid) {
  for (struct tracee *t = tracees; t; t = t->next)
    if (t->tid == tid) return t;
  return NULL;
}

static char *chain_of(const struct tracee *t) {
  char name[64];
  process_name(t->tgid, name, sizeof name);
  return format("%s%s", t->ancestry, name);
}

/* The tracee of `tid`. A new one gets its ancestry from the process that forked it, which is still stopped there. */
static struct tracee *know(pid_t tid) {
  struct tracee *t = find(tid);
  if (t) return t;
  t = calloc(1, sizeof *t);
  if (!t) fail("calloc");
  t->tid = tid;
  t->tgid = status_number(tid, "Tgid:");
  struct tracee *relative = t->tgid == tid ? find(status_number(tid, "PPid:")) : find(t->tgid);
  if (!relative) t->ancestry = format("");
  else if (relative->tgid == t->tgid) t->ancestry = format("%s", relative->ancestry);
  else {
    char *chain = chain_of(relative);
    t->ancestry = format("%s/", chain);
    free(chain);
  }
  t->next = tracees;
  return tracees = t;
}

static void forget(pid_t tid) {
  for (struct tracee **t = &tracees; *t; t = &(*t)->next)
    if ((*t)->tid == tid) {
      struct tracee *gone = *t;
      *t = gone->next;
      free(gone->ancestry);
      free(gone);
      return;
    }
}

static void signal_tree(int signal_number) {
  for (struct tracee *t = tracees; t; t = t->next)
    if (t->tid == t->tgid) kill(t->tgid, signal_number);
}

static void resume(pid_t tid, int signal_number) {
  ptrace(PTRACE_CONT, tid, 0, signal_number);
}

static int is_regular_file(pid_t tid, int fd) {
  struct stat status;
  char *path = format("/proc/%d/fd/%d", tid, fd);
  int regular = stat(path, &status) == 0 && S_ISREG(status.st_mode);
  free(path);
  return regular;
}

static char *link_target(char *link) {
  char target[4096];
  ssize_t length = readlink(link, target, sizeof target - 1);
  free(link);
  if (length < 0) return format("?");
  target[length] = 0;
  return format("%s", target);
}

/* The string at `address` of the tracee, read a page at a time, because the page after its end may not be mapped. */
static void read_string(pid_t tid, uint64_t address, char *text, size_t size) {
  size_t length = 0;
  while (length < size - 1) {
    size_t piece = 4096 - (address + length) % 4096;
    if (piece > size - 1 - length) piece = size - 1 - length;
    struct iovec here = {text + length, piece}, there = {(void *)(uintptr_t)(address + length), piece};
    ssize_t got = process_vm_readv(tid, &here, 1, &there, 1, 0);
    if (got <= 0) break;
    if (memchr(text + length, 0, got)) return;
    length += got;
  }
  text[length] = 0;
}

static char *path_of(pid_t tid, const uint64_t *arguments, int directory, int path) {
  char text[4096];
  if (arguments[path] == 0) /* utimensat(fd, NULL, …) means the descriptor itself */
    return link_target(format("/proc/%d/fd/%d", tid, (int)arguments[directory]));
  read_string(tid, arguments[path], text, sizeof text);
  if (text[0] == '/') return format("%s", text);
  int fd = directory == NONE ? AT_FDCWD : (int)arguments[directory];
  char *start = fd == AT_FDCWD ? link_target(format("/proc/%d/cwd", tid))
                               : link_target(format("/proc/%d/fd/%d", tid, fd));
  char *whole = format("%s/%s", start, text);
  free(start);
  return whole;
}

/* Opening /dev/null, a pipe or a socket with O_CREAT creates nothing. */
static int is_device(const struct call *call, pid_t tid, const uint64_t *arguments) {
  struct stat status;
  char *path = path_of(tid, arguments, call->directory, call->path);
  char *seen = format("/proc/%d/root%s", tid, path);
  int device = stat(seen, &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode);
  free(path);
  free(seen);
  return device;
}

static int changes_disk(const struct call *call, pid_t tid, const uint64_t *arguments) {
  switch (call->guard) {
    case ALWAYS:
      return 1;
    case ON_REGULAR_FILE:
      return is_regular_file(tid, (int)arguments[call->descriptor]);
    case IF_FLAGS_CREATE:
      return (arguments[call->flags] & (O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY))) && !is_device(call, tid, arguments);
    case IF_IOCTL_CHANGES: /* Reflinks and all of btrfs have the type 0x94; the other sets file flags. */
      return _IOC_TYPE((uint32_t)arguments[1]) == 0x94 || (uint32_t)arguments[1] == FS_IOC_SETFLAGS;
  }
  return 1;
}

static void print_escaped(const char *text) {
  for (; *text; text++) {
    unsigned char byte = *text;
    if (byte < 0x20 || byte > 0x7e || byte == '\\') fprintf(call_log, "\\%03o", byte);
    else fputc(byte, call_log);
  }
}

static void write_paths(const struct call *call, pid_t tid, const uint64_t *arguments) {
  char *first = NULL, *second = NULL;
  if (call->descriptor != NONE) first = link_target(format("/proc/%d/fd/%d", tid, (int)arguments[call->descriptor]));
  if (call->path != NONE) first = path_of(tid, arguments, call->directory, call->path);
  if (call->path2 != NONE) second = path_of(tid, arguments, call->directory2, call->path2);
  if (first) print_escaped(first);
  if (second) {
    fputs(" -> ", call_log);
    print_escaped(second);
  }
  free(first);
  free(second);
}

static long count(char *chain, const struct call *call) {
  for (struct counter *c = counters; c; c = c->next)
    if (c->call == call && !strcmp(c->chain, chain)) return ++c->n;
  struct counter *c = calloc(1, sizeof *c);
  if (!c) fail("calloc");
  *c = (struct counter){format("%s", chain), call, 1, counters};
  counters = c;
  return 1;
}

static void act(struct tracee *caller) {
  if (!strcmp(action, "kill-tree")) signal_tree(SIGKILL);
  else if (!strcmp(action, "kill-process")) kill(caller->tgid, SIGKILL);
  else if (!strcmp(action, "orphan")) kill(root, SIGKILL);
  else if (!strcmp(action, "stop-tree")) signal_tree(SIGSTOP);
  else kill(caller->tgid, SIGSTOP);
  holding = !strcmp(action, "orphan");
  caller->held = !strncmp(action, "stop", 4) || (holding && caller->tgid != root);
  fflush(call_log);
  if (write(REPORT_FD, "reached\n", 8) < 0 && errno != EBADF) fail("the report to descriptor 3");
}

/* Handles a tracee that is stopped before a filtered call: counts the call, acts at the point, or lets it pass. */
static void at_filter(struct tracee *t) {
  static long number;
  struct __ptrace_syscall_info info;
  if (ptrace(PTRACE_GET_SYSCALL_INFO, t->tid, sizeof info, &info) <= 0) return; /* It has been killed. */
  const struct call *call = calls;
  while (call < calls + CALLS && (uint64_t)call->number != info.seccomp.nr) call++;
  if (call == calls + CALLS || !changes_disk(call, t->tid, info.seccomp.args)) {
    resume(t->tid, 0);
    return;
  }
  char *chain = chain_of(t);
  long n = count(chain, call);
  fprintf(call_log, "%ld\t%s\t%s\t%ld\t", ++number, chain, call->name, n);
  write_paths(call, t->tid, info.seccomp.args);
  fputc('\n', call_log);
  if (at_n == n && !strcmp(at_call, call->name) && !strcmp(at_chain, chain)) {
    at_n = 0;
    act(t);
  } else if (holding) t->held = 1;
  free(chain);
  if (!t->held) resume(t->tid, 0);
}

static void release(void) {
  holding = 0;
  signal_tree(SIGCONT);
  for (struct tracee *t = tracees; t; t = t->next)
    if (t->held) {
      t->held = 0;
      resume(t->tid, 0);
    }
}

static void install_filter(void) {
  static struct sock_filter program[CALLS + 3];
  size_t length = 0;
  program[length++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
  for (size_t i = 0; i < CALLS; i++)
    program[length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i].number, CALLS - i, 0);
  program[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  program[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
  struct sock_fprog filter = {length, program};
  if (geteuid() != 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) fail("PR_SET_NO_NEW_PRIVS");
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) < 0) fail("seccomp");
}

static void start(char **command) {
  int ready[2];
  if (pipe2(ready, O_CLOEXEC) < 0) fail("pipe2");
  pid_t child = fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    char byte;
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 1) _exit(125);
    sigprocmask(SIG_SETMASK, &mask_of_command, NULL);
    install_filter();
    execvp(command[0], command);
    fail(command[0]);
  }
  long options = PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
                 PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
  if (ptrace(PTRACE_SEIZE, child, 0, options) < 0) fail("PTRACE_SEIZE");
  know(child);
  if (write(ready[1], "x", 1) != 1) fail("pipe");
  close(ready[0]);
  close(ready[1]);
  root = child;
}

static void at_stop(struct tracee *t, int status) {
  int signal_number = WSTOPSIG(status);
  switch (status >> 16) {
    case PTRACE_EVENT_SECCOMP:
      at_filter(t);
      return;
    case PTRACE_EVENT_STOP: /* SIGTRAP is a new or a continued tracee; any other signal is a group stop, which lasts. */
      if (signal_number == SIGTRAP) resume(t->tid, 0);
      else ptrace(PTRACE_LISTEN, t->tid, 0, 0);
      return;
    case PTRACE_EVENT_FORK:
    case PTRACE_EVENT_VFORK:
    case PTRACE_EVENT_CLONE: {
      unsigned long child;
      /* Events of the child, even its end, may arrive before this one. A child that has already ended must not be
         registered again, because its number may be another process's by now. */
      if (ptrace(PTRACE_GETEVENTMSG, t->tid, 0, &child) == 0 && status_number((pid_t)child, "TracerPid:") == getpid())
        know((pid_t)child);
      resume(t->tid, 0);
      return;
    }
    case 0:
      resume(t->tid, signal_number);
      return;
    default:
      resume(t->tid, 0);
  }
}

/* Both signals are blocked except in sigwaitinfo, so that none is lost while nothing waits for it. */
static int watch(void) {
  int exit_code = -1;
  for (;;) {
    int status;
    pid_t tid = waitpid(-1, &status, __WALL | WNOHANG);
    if (tid < 0 && errno == ECHILD && exit_code >= 0) return exit_code;
    if (tid < 0) fail("waitpid");
    if (tid == 0) {
      if (sigwaitinfo(&wake_ups, NULL) == SIGUSR1) release();
      continue;
    }
    if (WIFSTOPPED(status)) {
      at_stop(know(tid), status);
      continue;
    }
    if (tid == root) exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    forget(tid);
  }
}

int main(int argc, char **argv) {
  const char *log_path = NULL;
  int i = 1;
  for (; i < argc && strcmp(argv[i], "--"); i++) {
    if (!strcmp(argv[i], "--log") && i + 1 < argc) log_path = argv[++i];
    else if (!strcmp(argv[i], "--then") && i + 1 < argc) action = argv[++i];
    else if (!strcmp(argv[i], "--at") && i + 3 < argc) {
      at_chain = argv[++i];
      at_call = argv[++i];
      at_n = atol(argv[++i]);
    } else break;
  }
  if (i + 1 >= argc || strcmp(argv[i], "--") || !log_path || (at_n && !action)) {
    fprintf(stderr, "usage: tripwire --log FILE [--at CHAIN CALL N --then ACTION] -- COMMAND [ARGUMENT...]\n");
    return 64;
  }
  /* Leave nothing behind if the test is killed. */
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) fail("PR_SET_PDEATHSIG");
  call_log = fopen(log_path, "we");
  if (!call_log) fail(log_path);
  fcntl(REPORT_FD, F_SETFD, FD_CLOEXEC);
  sigemptyset(&wake_ups);
  sigaddset(&wake_ups, SIGUSR1);
  sigaddset(&wake_ups, SIGCHLD);
  sigprocmask(SIG_BLOCK, &wake_ups, &mask_of_command);
  start(argv + i + 1);
  int exit_code = watch();
  return fclose(call_log) == 0 ? exit_code : 125;
}
