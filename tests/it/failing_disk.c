/* Preloaded into the program by tests/it/disk_faults.rs and tests/it/steps.rs: a call that touches a file below FAIL_UNDER
 * fails, as on a disk that dies or is full, or ends the program, as kill -9 does.
 *
 *   FAIL_CALLS  which calls are counted: write (also of sizes), sync, name (open, rename, mkdir, link, unlink), or memory
 *               (whoever asks for some; there are several between any two statements of SQL)
 *   FAIL_AT     which of them fails first; 0 for none
 *   FAIL_AS     with what: EIO, ENOSPC, short: half of it is written, and what follows gets ENOSPC; or kill
 *   FAIL_ARMED  a file: calls are counted only while it is there
 *   FAIL_ONCE   set if all is well after the first
 *   FAIL_COUNT  a file outside FAIL_UNDER that is told at the end how many there were
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static long done;

/* Whether a path lies below the folder that fails. */
static int is_below(const char *path) {
    const char *folder = getenv("FAIL_UNDER");
    return folder && strncmp(path, folder, strlen(folder)) == 0;
}

/* Whether a descriptor is of a file below the folder that fails; also of one without a name. */
static int is_file_below(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return is_below(path);
}

/* Counts a call; 0 if it goes on, else the error. */
static int fault(const char *calls) {
    const char *counted = getenv("FAIL_CALLS"), *at = getenv("FAIL_AT"), *as = getenv("FAIL_AS");
    const char *armed = getenv("FAIL_ARMED");
    if (!counted || strcmp(counted, calls)) return 0;
    if (armed && access(armed, F_OK)) return 0;
    long number = __sync_add_and_fetch(&done, 1), first = at ? atol(at) : 0;
    if (!first || number < first || (number > first && getenv("FAIL_ONCE"))) return 0;
    if (as && !strcmp(as, "kill")) kill(getpid(), SIGKILL);
    return as && strcmp(as, "EIO") ? ENOSPC : EIO;
}

/* Whether the call that fails now is the one of which half is done. */
static int is_half(size_t count) {
    const char *as = getenv("FAIL_AS"), *at = getenv("FAIL_AT");
    return as && at && !strcmp(as, "short") && done == atol(at) && count > 1;
}

__attribute__((destructor)) static void tell(void) {
    const char *path = getenv("FAIL_COUNT");
    FILE *file = path ? fopen(path, "w") : NULL;
    if (!file) return;
    fprintf(file, "%ld\n", done);
    fclose(file);
}

#define NEXT(result, name, parameters)                                                          \
    static result (*next) parameters;                                                           \
    if (!next) next = (result (*) parameters)dlsym(RTLD_NEXT, #name);

#define ON_FILE(calls, result, name, parameters, arguments)                                     \
    result name parameters {                                                                    \
        NEXT(result, name, parameters)                                                          \
        int error = is_file_below(fd) ? fault(calls) : 0;                                       \
        if (error) { errno = error; return -1; }                                                \
        return next arguments;                                                                  \
    }

#define ON_WRITE(name, parameters, arguments, half)                                             \
    ssize_t name parameters {                                                                   \
        NEXT(ssize_t, name, parameters)                                                         \
        int error = is_file_below(fd) ? fault("write") : 0;                                     \
        if (error && is_half(count)) return next half;                                          \
        if (error) { errno = error; return -1; }                                                \
        return next arguments;                                                                  \
    }

#define ON_NAME(name, parameters, arguments, path)                                              \
    int name parameters {                                                                       \
        NEXT(int, name, parameters)                                                             \
        int error = is_below(path) ? fault("name") : 0;                                         \
        if (error) { errno = error; return -1; }                                                \
        return next arguments;                                                                  \
    }

ON_WRITE(write, (int fd, const void *octets, size_t count), (fd, octets, count), (fd, octets, count / 2))
ON_WRITE(pwrite, (int fd, const void *octets, size_t count, off_t at), (fd, octets, count, at), (fd, octets, count / 2, at))
ON_WRITE(pwrite64, (int fd, const void *octets, size_t count, off64_t at), (fd, octets, count, at), (fd, octets, count / 2, at))
ON_FILE("write", int, ftruncate, (int fd, off_t length), (fd, length))
ON_FILE("write", int, ftruncate64, (int fd, off64_t length), (fd, length))
ON_FILE("write", int, fallocate, (int fd, int mode, off_t at, off_t length), (fd, mode, at, length))
ON_FILE("write", int, fallocate64, (int fd, int mode, off64_t at, off64_t length), (fd, mode, at, length))
ON_FILE("sync", int, fsync, (int fd), (fd))
ON_FILE("sync", int, fdatasync, (int fd), (fd))
ON_NAME(rename, (const char *from, const char *to), (from, to), to)
ON_NAME(link, (const char *from, const char *to), (from, to), to)
ON_NAME(mkdir, (const char *path, mode_t mode), (path, mode), path)
ON_NAME(unlink, (const char *path), (path), path)

/* posix_fallocate returns the error. */
int posix_fallocate(int fd, off_t at, off_t length) {
    NEXT(int, posix_fallocate, (int, off_t, off_t))
    int error = is_file_below(fd) ? fault("write") : 0;
    return error ? error : next(fd, at, length);
}

/* The mode is there only for a file that may be made. */
#define MODE_OF(flags)                                                                          \
    mode_t mode = 0;                                                                            \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {                                                    \
        va_list rest;                                                                           \
        va_start(rest, flags);                                                                  \
        mode = va_arg(rest, mode_t);                                                            \
        va_end(rest);                                                                           \
    }

#define ON_OPEN(name)                                                                           \
    int name(const char *path, int flags, ...) {                                                \
        MODE_OF(flags)                                                                          \
        NEXT(int, name, (const char *, int, ...))                                               \
        int error = is_below(path) ? fault("name") : 0;                                         \
        if (error) { errno = error; return -1; }                                                \
        return next(path, flags, mode);                                                         \
    }

ON_OPEN(open)
ON_OPEN(open64)

/* The C library's own: what finds the next function asks for memory itself. */
extern void *__libc_malloc(size_t size);

void *malloc(size_t size) {
    fault("memory");
    return __libc_malloc(size);
}
