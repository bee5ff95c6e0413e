/* Preloaded into the program by tests/it/care.rs: from the FAIL_AT'th write or sync of a database's files on,
 * each fails with EIO, as on a disk that dies. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static long done;

static int fails(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    const char *end = strstr(path, "fluxwatch.db");
    if (!end || strstr(end, ".digests")) return 0;
    const char *at = getenv("FAIL_AT");
    return at && __sync_add_and_fetch(&done, 1) >= atol(at);
}

#define INTERPOSE(result, name, parameters, arguments)                            \
    result name parameters {                                                       \
        static result (*next) parameters;                                          \
        if (!next) next = (result (*) parameters)dlsym(RTLD_NEXT, #name);          \
        if (fails(fd)) { errno = EIO; return -1; }                                 \
        return next arguments;                                                     \
    }

INTERPOSE(ssize_t, write, (int fd, const void *octets, size_t count), (fd, octets, count))
INTERPOSE(ssize_t, pwrite, (int fd, const void *octets, size_t count, off_t at), (fd, octets, count, at))
INTERPOSE(ssize_t, pwrite64, (int fd, const void *octets, size_t count, off64_t at), (fd, octets, count, at))
INTERPOSE(int, fsync, (int fd), (fd))
INTERPOSE(int, fdatasync, (int fd), (fd))
