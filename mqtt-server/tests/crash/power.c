/* A disk that can lose power, loaded into a program by LD_PRELOAD.
 *
 * What a program has written to files below one directory stays visible to everybody, also when the
 * program is killed. A disk that loses power keeps less: this library writes a journal from which a
 * test can tell how much less. The model, which power.rs applies:
 *
 * - The content of a file is durable as it was when its last fsync or fdatasync that succeeded began.
 *   A file that was never synced has none, unless it was there at the start.
 * - A new name, a rename and a removal are durable once their directory has been synced. As with
 *   ext4, the sync of a file also makes the name durable that it was created with, but no rename.
 * - sync_file_range promises nothing, so it is not looked at. What is written by other ways than the
 *   calls below (stdio, mmap) is never durable.
 *
 * Two things are done so that the past can be restored: whatever is overwritten or cut off goes to
 * the journal first, and whatever is removed or replaced stays in a second directory as a hard link.
 *
 * It can also be a slow disk, and let a call on a write-ahead log fail, once. The environment says
 * all this:
 *
 *   POWER_DIRECTORY  the directory whose files are watched; absolute
 *   POWER_JOURNAL    the file the journal is appended to
 *   POWER_REMOVED    the directory for what was removed, on the same file system
 *   POWER_FAILURE    which call on a file *.log fails: "fdatasync 3 5" is the third, with errno 5;
 *                    "write 3 28" writes half of it, and then fails
 *   POWER_SLOW_US    microseconds that each sync takes longer
 *
 * All calls go to the kernel directly, so nothing here calls itself.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* What a record says; power.rs knows the same letters. */
enum kind {
    CREATED = 'C',     /* file, first: its path */
    RENAMED = 'R',     /* first: the old path, second: the new one */
    REMOVED = 'U',     /* first: the path */
    OVERWRITTEN = 'O', /* file, number: the offset, second: what was there */
    SYNCING = 'B',     /* file, number: its size, token */
    SYNCED = 'S',      /* file, token */
    SENT = 'A',        /* second: the start of what goes to a socket */
    FAILED = 'F',      /* first: which call was made to fail */
};

struct header {
    uint32_t kind, first_bytes, second_bytes, unused;
    uint64_t file, number, token;
};

enum { FILES_MAX = 65536, WATCHED = 1, LOG = 2, CHUNK = 65536, SENT_BYTES = 64 };

static char directory[PATH_MAX], removed[PATH_MAX];
static size_t directory_bytes;
static int journal = -1;
static unsigned char files[FILES_MAX];
/* Held while a change is made and recorded: the journal has them in the order in which they happened. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t tokens;
static char failing_call[16];
static int failing_number, failing_errno, failing_count, slow_us;

static void give_up(const char *what) {
    dprintf(2, "power.c: cannot %s: %s\n", what, strerror(errno));
    abort();
}

__attribute__((constructor)) static void start(void) {
    const char *watched = getenv("POWER_DIRECTORY"), *path = getenv("POWER_JOURNAL");
    const char *keep = getenv("POWER_REMOVED"), *failure = getenv("POWER_FAILURE");
    const char *slow = getenv("POWER_SLOW_US");
    if (!watched || !path || !keep)
        return;
    snprintf(directory, sizeof directory, "%s", watched);
    snprintf(removed, sizeof removed, "%s", keep);
    if (failure && sscanf(failure, "%15s %d %d", failing_call, &failing_number, &failing_errno) != 3)
        give_up("read POWER_FAILURE");
    slow_us = slow ? atoi(slow) : 0;
    journal = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (journal < 0)
        give_up("open the journal");
    directory_bytes = strlen(directory);
}

static void record(struct header header, const char *first, const void *second) {
    header.first_bytes = first ? strlen(first) : 0;
    struct iovec parts[] = {{&header, sizeof header},
                            {(void *)first, header.first_bytes},
                            {(void *)second, header.second_bytes}};
    int before = errno;
    if (syscall(SYS_writev, journal, parts, 3) < 0)
        give_up("write the journal");
    errno = before;
}

/* The path below the watched directory, "" for itself; NULL if it is elsewhere. */
static const char *below(int at, const char *path, char *buffer) {
    char start[PATH_MAX] = "", whole[2 * PATH_MAX];
    if (journal < 0)
        return NULL;
    if (path[0] != '/') {
        char link[32];
        snprintf(link, sizeof link, "/proc/self/fd/%d", at);
        ssize_t count = syscall(SYS_readlinkat, AT_FDCWD, at == AT_FDCWD ? "/proc/self/cwd" : link,
                                start, sizeof start - 1);
        if (count < 0)
            return NULL;
        start[count] = 0;
    }
    snprintf(whole, sizeof whole, "%s/%s", start, path);
    /* Without what says nothing: "//" and "/./", also at the end. */
    size_t used = 0;
    for (const char *from = whole; *from && used < PATH_MAX - 1; from++) {
        if (from[0] == '/' && (from[1] == '/' || from[1] == 0))
            continue;
        if (from[0] == '/' && from[1] == '.' && (from[2] == '/' || from[2] == 0)) {
            from++;
            continue;
        }
        buffer[used++] = *from;
    }
    buffer[used] = 0;
    if (strncmp(buffer, directory, directory_bytes) != 0)
        return NULL;
    if (buffer[directory_bytes] == 0)
        return "";
    return buffer[directory_bytes] == '/' ? buffer + directory_bytes + 1 : NULL;
}

static int is_watched(int file) { return file >= 0 && file < FILES_MAX && files[file] & WATCHED; }

static struct stat status_of(int file) {
    struct stat status;
    if (fstat(file, &status) != 0)
        give_up("look at a file");
    return status;
}

/* True if this call is the one that is to fail. */
static int fails(const char *call, int file) {
    if (!(files[file] & LOG) || strcmp(call, failing_call) != 0)
        return 0;
    if (__atomic_add_fetch(&failing_count, 1, __ATOMIC_SEQ_CST) != failing_number)
        return 0;
    record((struct header){.kind = FAILED}, call, NULL);
    return 1;
}

/* Saves what is in the file from `start` to `end`: it is about to be lost. */
static void save(int file, off_t start, off_t end) {
    struct stat status = status_of(file);
    if (end > status.st_size)
        end = status.st_size;
    if (start >= end)
        return;
    char path[32], *bytes = malloc(CHUNK);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    /* Most are open for writing only. */
    int reader = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (reader < 0 || !bytes)
        give_up("read what is overwritten");
    while (start < end) {
        size_t wanted = end - start < CHUNK ? end - start : CHUNK;
        ssize_t count = syscall(SYS_pread64, reader, bytes, wanted, start);
        if (count <= 0)
            give_up("read what is overwritten");
        record((struct header){.kind = OVERWRITTEN, .second_bytes = count, .file = status.st_ino,
                               .number = start}, NULL, bytes);
        start += count;
    }
    syscall(SYS_close, reader);
    free(bytes);
}

/* Keeps what has this path, for when the loss of its name is not durable. */
static void keep(const char *path) {
    struct stat status;
    char kept[PATH_MAX + 32];
    if (lstat(path, &status) != 0 || S_ISDIR(status.st_mode))
        return;
    snprintf(kept, sizeof kept, "%s/%llu", removed, (unsigned long long)status.st_ino);
    int before = errno;
    if (syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, kept, 0) != 0 && errno != EEXIST)
        give_up("keep what is removed");
    errno = before;
}

/* open */

static int open_watched(int at, const char *path, int flags, mode_t mode) {
    char buffer[PATH_MAX];
    const char *name = below(at, path, buffer);
    if (!name)
        return syscall(SYS_openat, at, path, flags, mode);
    pthread_mutex_lock(&lock);
    struct stat status;
    int is_new = lstat(buffer, &status) != 0;
    if (flags & O_TRUNC && !is_new) {
        int old = syscall(SYS_openat, AT_FDCWD, buffer, O_RDONLY | O_CLOEXEC);
        if (old >= 0) {
            save(old, 0, status.st_size);
            syscall(SYS_close, old);
        }
    }
    int file = syscall(SYS_openat, at, path, flags, mode);
    if (file >= 0 && file < FILES_MAX) {
        size_t length = strlen(name);
        int is_log = length > 4 && strcmp(name + length - 4, ".log") == 0;
        files[file] = WATCHED | (is_log ? LOG : 0);
        if (is_new)
            record((struct header){.kind = CREATED, .file = status_of(file).st_ino}, name, NULL);
    }
    pthread_mutex_unlock(&lock);
    return file;
}

#define MODE_OF(flags, last)                                                                       \
    mode_t mode = 0;                                                                               \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {                                                       \
        va_list rest;                                                                              \
        va_start(rest, last);                                                                      \
        mode = va_arg(rest, mode_t);                                                               \
        va_end(rest);                                                                              \
    }

int open(const char *path, int flags, ...) {
    MODE_OF(flags, flags)
    return open_watched(AT_FDCWD, path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    MODE_OF(flags, flags)
    return open_watched(AT_FDCWD, path, flags, mode);
}
int openat(int at, const char *path, int flags, ...) {
    MODE_OF(flags, flags)
    return open_watched(at, path, flags, mode);
}
int openat64(int at, const char *path, int flags, ...) {
    MODE_OF(flags, flags)
    return open_watched(at, path, flags, mode);
}
int __open_2(const char *path, int flags) { return open_watched(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return open_watched(AT_FDCWD, path, flags, 0); }
int creat(const char *path, mode_t mode) {
    return open_watched(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

int close(int file) {
    if (file >= 0 && file < FILES_MAX)
        files[file] = 0;
    return syscall(SYS_close, file);
}

static int copied(int from, int to) {
    if (from >= 0 && from < FILES_MAX && to >= 0 && to < FILES_MAX)
        files[to] = files[from];
    return to;
}

int dup(int file) { return copied(file, syscall(SYS_dup, file)); }
int dup3(int file, int to, int flags) { return copied(file, syscall(SYS_dup3, file, to, flags)); }
int dup2(int file, int to) { return file == to ? fcntl(file, F_GETFD) < 0 ? -1 : to : dup3(file, to, 0); }
int fcntl(int file, int command, ...) {
    va_list rest;
    va_start(rest, command);
    long argument = va_arg(rest, long);
    va_end(rest);
    int result = syscall(SYS_fcntl, file, command, argument);
    return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? copied(file, result) : result;
}
int fcntl64(int file, int command, ...) {
    va_list rest;
    va_start(rest, command);
    long argument = va_arg(rest, long);
    va_end(rest);
    return fcntl(file, command, argument);
}

/* write */

/* `offset` is -1 for the place where the file is at. */
static ssize_t write_watched(int file, const struct iovec *parts, int count, off_t offset) {
    size_t bytes = 0;
    for (int i = 0; i < count; i++)
        bytes += parts[i].iov_len;
    pthread_mutex_lock(&lock);
    off_t start = offset;
    if (syscall(SYS_fcntl, file, F_GETFL) & O_APPEND)
        start = status_of(file).st_size;
    else if (offset < 0)
        start = syscall(SYS_lseek, file, 0, SEEK_CUR);
    save(file, start, start + bytes);
    ssize_t written;
    if (fails("write", file)) {
        written = syscall(SYS_pwrite64, file, parts[0].iov_base, parts[0].iov_len / 2, start);
        errno = failing_errno;
        written = -1;
    } else if (offset < 0) {
        written = syscall(SYS_writev, file, parts, count);
    } else {
        written = syscall(SYS_pwritev, file, parts, count, offset, 0);
    }
    pthread_mutex_unlock(&lock);
    return written;
}

ssize_t write(int file, const void *bytes, size_t count) {
    struct iovec part = {(void *)bytes, count};
    return is_watched(file) ? write_watched(file, &part, 1, -1)
                            : syscall(SYS_write, file, bytes, count);
}
ssize_t writev(int file, const struct iovec *parts, int count) {
    return is_watched(file) ? write_watched(file, parts, count, -1)
                            : syscall(SYS_writev, file, parts, count);
}
ssize_t pwrite(int file, const void *bytes, size_t count, off_t offset) {
    struct iovec part = {(void *)bytes, count};
    return is_watched(file) ? write_watched(file, &part, 1, offset)
                            : syscall(SYS_pwrite64, file, bytes, count, offset);
}
ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t offset) {
    return pwrite(file, bytes, count, offset);
}
ssize_t pwritev(int file, const struct iovec *parts, int count, off_t offset) {
    return is_watched(file) ? write_watched(file, parts, count, offset)
                            : syscall(SYS_pwritev, file, parts, count, offset, 0);
}
ssize_t pwritev64(int file, const struct iovec *parts, int count, off64_t offset) {
    return pwritev(file, parts, count, offset);
}

int ftruncate(int file, off_t size) {
    if (!is_watched(file))
        return syscall(SYS_ftruncate, file, size);
    pthread_mutex_lock(&lock);
    save(file, size, LONG_MAX);
    int result = syscall(SYS_ftruncate, file, size);
    pthread_mutex_unlock(&lock);
    return result;
}
int ftruncate64(int file, off64_t size) { return ftruncate(file, size); }

/* The modes that keep the content add nothing but zeros at the end; the others are not used. */
int fallocate(int file, int mode, off_t offset, off_t bytes) {
    if (is_watched(file) && mode & ~FALLOC_FL_KEEP_SIZE) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return syscall(SYS_fallocate, file, mode, offset, bytes);
}
int fallocate64(int file, int mode, off64_t offset, off64_t bytes) {
    return fallocate(file, mode, offset, bytes);
}
int posix_fallocate(int file, off_t offset, off_t bytes) {
    int before = errno, result = fallocate(file, 0, offset, bytes) == 0 ? 0 : errno;
    errno = before;
    return result;
}
int posix_fallocate64(int file, off64_t offset, off64_t bytes) {
    return posix_fallocate(file, offset, bytes);
}

/* sync */

static int sync_watched(int file, long call, const char *name) {
    if (!is_watched(file))
        return syscall(call, file);
    if (fails(name, file)) {
        errno = failing_errno;
        return -1;
    }
    pthread_mutex_lock(&lock);
    struct stat status = status_of(file);
    struct header header = {.kind = SYNCING, .file = status.st_ino, .number = status.st_size,
                            .token = (uint64_t)getpid() << 32 | ++tokens};
    record(header, NULL, NULL);
    pthread_mutex_unlock(&lock);
    if (slow_us > 0)
        usleep(slow_us);
    int result = syscall(call, file);
    if (result == 0) {
        header.kind = SYNCED;
        record(header, NULL, NULL);
    }
    return result;
}

int fsync(int file) { return sync_watched(file, SYS_fsync, "fsync"); }
int fdatasync(int file) { return sync_watched(file, SYS_fdatasync, "fdatasync"); }

/* names */

static int rename_watched(int old_at, const char *old, int new_at, const char *new, unsigned flags) {
    char old_buffer[PATH_MAX], new_buffer[PATH_MAX];
    const char *old_name = below(old_at, old, old_buffer);
    const char *new_name = below(new_at, new, new_buffer);
    if (!old_name || !new_name)
        return syscall(SYS_renameat2, old_at, old, new_at, new, flags);
    pthread_mutex_lock(&lock);
    keep(new_buffer);
    int result = syscall(SYS_renameat2, old_at, old, new_at, new, flags);
    if (result == 0)
        record((struct header){.kind = RENAMED, .second_bytes = strlen(new_name)}, old_name, new_name);
    pthread_mutex_unlock(&lock);
    return result;
}

int rename(const char *old, const char *new) {
    return rename_watched(AT_FDCWD, old, AT_FDCWD, new, 0);
}
int renameat(int old_at, const char *old, int new_at, const char *new) {
    return rename_watched(old_at, old, new_at, new, 0);
}
int renameat2(int old_at, const char *old, int new_at, const char *new, unsigned flags) {
    return rename_watched(old_at, old, new_at, new, flags);
}

int unlinkat(int at, const char *path, int flags) {
    char buffer[PATH_MAX];
    const char *name = below(at, path, buffer);
    if (!name)
        return syscall(SYS_unlinkat, at, path, flags);
    pthread_mutex_lock(&lock);
    keep(buffer);
    int result = syscall(SYS_unlinkat, at, path, flags);
    if (result == 0)
        record((struct header){.kind = REMOVED}, name, NULL);
    pthread_mutex_unlock(&lock);
    return result;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

static int name_watched(int at, const char *path, int result) {
    char buffer[PATH_MAX];
    const char *name = below(at, path, buffer);
    struct stat status;
    if (result == 0 && name && lstat(buffer, &status) == 0)
        record((struct header){.kind = CREATED, .file = status.st_ino}, name, NULL);
    return result;
}

int linkat(int old_at, const char *old, int new_at, const char *new, int flags) {
    return name_watched(new_at, new, syscall(SYS_linkat, old_at, old, new_at, new, flags));
}
int link(const char *old, const char *new) { return linkat(AT_FDCWD, old, AT_FDCWD, new, 0); }
int mkdirat(int at, const char *path, mode_t mode) {
    return name_watched(at, path, syscall(SYS_mkdirat, at, path, mode));
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

/* What is promised to others: it has its place among the syncs. */
ssize_t send(int socket, const void *bytes, size_t count, int flags) {
    if (journal >= 0) {
        struct header header = {.kind = SENT};
        header.second_bytes = count < SENT_BYTES ? count : SENT_BYTES;
        record(header, NULL, bytes);
    }
    return syscall(SYS_sendto, socket, bytes, count, flags, NULL, 0);
}
