/* A disk that fails to order, for one process: preloaded (LD_PRELOAD), this stands between it and the C library.
 *
 * Every call that changes a disk beneath the chosen folders is counted, from 1, and may be failed, or be the last thing
 * that the process does. Each process counts for itself, a forked one anew. Counted calls happen one at a time, so that
 * "before the fifth" means after all of the fourth, whichever threads they are made on.
 *
 *   FAULTY_DISK_FOLDERS     colon-separated; without it nothing counts
 *   FAULTY_DISK_LOG         a file; each counted call appends `number call path` to it before it happens
 *   FAULTY_DISK_KILL_AT     N: SIGKILL just before the Nth call
 *   FAULTY_DISK_KILL_AFTER  N: SIGKILL just after it
 *   FAULTY_DISK_SIGNAL      signal:first:last: the process gets that signal just before each call from the first to the
 *                           last; no last: before all further ones
 *   FAULTY_DISK_FAIL        errno:calls:first:last[:path], as in `5:write,pwrite*:2:2` or `28:*:7::*.sqlite*`: of the
 *                           calls whose name matches one of the patterns (with commas between them) and whose path
 *                           matches `path` (fnmatch(3), in which * takes slashes too), those from the first to the last
 *                           do nothing and return -1; no last: all further ones
 *
 * A call goes by the name of the function that was called, less its 64. Of two paths the counted one is told, of two that
 * count the new one. A file under no name (O_TMPFILE) is opened at its folder, and written at
 * `folder/#inode (deleted)`.
 *
 * Not seen: memory maps (of SQLite's files the -shm), stdio, a raw syscall(2), and changes of times, of extended
 * attributes, and by fchmodat or mknod. The effects are raw system calls, for machines of 64 bits.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

_Static_assert(sizeof(long) == 8, "offsets are handed on in one register");

#define FOLDERS 16

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static char folders[FOLDERS][PATH_MAX];
static int folder_count;
static char log_path[PATH_MAX];
static long count, kill_at, kill_after, signal_first, signal_last;
static int signal_number;
static struct {
    int error;
    char calls[256];
    long first, last, matched;
    char path[PATH_MAX];
} fault;

/* ---- Orders ---- */

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value ? value : "";
}

static void order_folders(const char *text)
{
    char copy[FOLDERS * PATH_MAX], *rest = copy, *each;
    snprintf(copy, sizeof copy, "%s", text);
    folder_count = 0;
    while ((each = strsep(&rest, ":")) && folder_count < FOLDERS) {
        char *folder = folders[folder_count];
        if (!*each)
            continue;
        if (!realpath(each, folder))
            snprintf(folder, PATH_MAX, "%s", each);
        folder_count++;
    }
}

static void order_signal(const char *text)
{
    char copy[64], *rest = copy, *field;
    snprintf(copy, sizeof copy, "%s", text);
    signal_number = (field = strsep(&rest, ":")) ? atoi(field) : 0;
    signal_first = (field = strsep(&rest, ":")) ? atol(field) : 1;
    signal_last = (field = strsep(&rest, ":")) && *field ? atol(field) : LONG_MAX;
}

static void order_fault(const char *text)
{
    char copy[sizeof fault.calls + PATH_MAX + 64], *rest = copy, *field;
    memset(&fault, 0, sizeof fault);
    snprintf(copy, sizeof copy, "%s", text);
    fault.error = (field = strsep(&rest, ":")) ? atoi(field) : 0;
    snprintf(fault.calls, sizeof fault.calls, "%s", (field = strsep(&rest, ":")) ? field : "*");
    fault.first = (field = strsep(&rest, ":")) ? atol(field) : 1;
    fault.last = (field = strsep(&rest, ":")) && *field ? atol(field) : LONG_MAX;
    snprintf(fault.path, sizeof fault.path, "%s", rest ? rest : "*");
}

/* Read the variables again and count from 1: for a process that gives orders to itself. */
void faulty_disk_arm(void)
{
    pthread_mutex_lock(&turn);
    order_folders(variable("FAULTY_DISK_FOLDERS"));
    snprintf(log_path, sizeof log_path, "%s", variable("FAULTY_DISK_LOG"));
    kill_at = atol(variable("FAULTY_DISK_KILL_AT"));
    kill_after = atol(variable("FAULTY_DISK_KILL_AFTER"));
    order_signal(variable("FAULTY_DISK_SIGNAL"));
    order_fault(variable("FAULTY_DISK_FAIL"));
    count = 0;
    pthread_mutex_unlock(&turn);
}

static void before_fork(void) { pthread_mutex_lock(&turn); }
static void after_fork_in_parent(void) { pthread_mutex_unlock(&turn); }
static void after_fork_in_child(void)
{
    count = fault.matched = 0;
    pthread_mutex_unlock(&turn);
}

__attribute__((constructor)) static void start(void)
{
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
    faulty_disk_arm();
}

/* ---- What counts ---- */

static bool is_system(const char *path)
{
    return !strncmp(path, "/dev/", 5) || !strncmp(path, "/proc/", 6) || !strncmp(path, "/sys/", 5);
}

static bool is_beneath(const char *path)
{
    for (int each = 0; each < folder_count; each++) {
        size_t length = strlen(folders[each]);
        if (length == 1 ? path[0] == '/' && !is_system(path)
                        : !strncmp(path, folders[each], length) && (path[length] == '/' || !path[length]))
            return true;
    }
    return false;
}

/* Whether a descriptor is a file or folder that counts, and its path. */
static bool at_descriptor(char *path, int descriptor)
{
    char link[64];
    struct stat status;
    int kept = errno;
    bool is_file =
        folder_count && !fstat(descriptor, &status) && (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode));
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = is_file ? readlink(link, path, PATH_MAX - 1) : -1;
    path[length > 0 ? length : 0] = 0;
    errno = kept;
    return length > 0 && is_beneath(path);
}

/* Whether a name counts, and its path, in which the folder's symlinks are followed, and with `all` the name's too. */
static bool at_name(char *path, int folder, const char *name, bool all)
{
    char whole[PATH_MAX], within[PATH_MAX], resolved[PATH_MAX];
    int kept = errno, wanted;
    if (!folder_count || !name)
        return false;
    if (name[0] == '/' || folder == AT_FDCWD)
        wanted = snprintf(whole, sizeof whole, "%s%s", name[0] == '/' ? "" : "./", name);
    else
        wanted = snprintf(whole, sizeof whole, "/proc/self/fd/%d/%s", folder, name);
    if (wanted >= PATH_MAX) /* The kernel refuses it. */
        return false;
    while (wanted > 1 && whole[wanted - 1] == '/')
        whole[--wanted] = 0;
    if (!all || !realpath(whole, path)) {
        char *slash = strrchr(whole, '/');
        snprintf(within, sizeof within, "%.*s", slash == whole ? 1 : (int)(slash - whole), whole);
        if (!realpath(within, resolved))
            snprintf(resolved, sizeof resolved, "%s", within);
        wanted = snprintf(path, PATH_MAX, "%s%s", strcmp(resolved, "/") ? resolved : "", slash);
    }
    errno = kept;
    return wanted < PATH_MAX && is_beneath(path);
}

/* Whether either of an old and a new name counts; the path is the new one's if that does. */
static bool at_names(char *path, int folder, const char *name, int new_folder, const char *new_name)
{
    return at_name(path, new_folder, new_name, false) || at_name(path, folder, name, false);
}

/* ---- What becomes of it ---- */

__attribute__((noreturn)) static void die(void)
{
    for (;;)
        syscall(SYS_kill, (long)getpid(), SIGKILL);
}

/* By raw calls: those below would count. A log with gaps would prove nothing, so that is the end. */
static void append(const char *call, const char *path)
{
    char line[PATH_MAX + 128];
    int length = snprintf(line, sizeof line, "%ld %s %s\n", count, call, path);
    for (char *each = line; each < line + length - 1; each++)
        *each = *each == '\n' ? '?' : *each;
    long log = syscall(SYS_openat, AT_FDCWD, log_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (log < 0 || syscall(SYS_write, log, line, (long)length) != length)
        abort();
    syscall(SYS_close, log);
}

static bool matches(const char *call, const char *path)
{
    char copy[sizeof fault.calls], *rest = copy, *each;
    strcpy(copy, fault.calls);
    while ((each = strsep(&rest, ",")))
        if (!fnmatch(each, call, 0))
            return !fnmatch(fault.path, path, 0);
    return false;
}

/* Count a call. It is to happen, and be followed by `finish`; or else errno says why it fails. */
static bool begin(const char *call, const char *path)
{
    int kept = errno;
    pthread_mutex_lock(&turn);
    count++;
    if (log_path[0])
        append(call, path);
    if (count == kill_at)
        die();
    if (signal_number && count >= signal_first && count <= signal_last)
        syscall(SYS_kill, (long)getpid(), (long)signal_number);
    bool fails = fault.error && matches(call, path) && ++fault.matched >= fault.first && fault.matched <= fault.last;
    if (fails) {
        if (count == kill_after)
            die();
        pthread_mutex_unlock(&turn);
    }
    errno = fails ? fault.error : kept;
    return !fails;
}

static long finish(long answer)
{
    if (count == kill_after)
        die();
    pthread_mutex_unlock(&turn);
    return answer;
}

/* ---- The C library's functions ---- */

/* A function that is seen: `counts` fills `path`, `effect` is the system call. */
#define SEEN(type, name, parameters, counts, effect) \
    type name parameters                             \
    {                                                \
        char path[PATH_MAX];                         \
        if (!(counts))                               \
            return effect;                           \
        if (!begin(#name, path))                     \
            return -1;                               \
        return finish(effect);                       \
    }
/* And its other name. */
#define SEEN64(type, name, parameters, counts, effect) \
    SEEN(type, name, parameters, counts, effect)       \
    type name##64 parameters __attribute__((alias(#name)));

#define SEEN_OPENING(name, parameters, folder)                              \
    int name parameters                                                     \
    {                                                                       \
        va_list rest;                                                       \
        va_start(rest, flags);                                              \
        mode_t mode = takes_mode(flags) ? va_arg(rest, mode_t) : 0;         \
        va_end(rest);                                                       \
        return opened(#name, folder, file, flags, mode);                    \
    }                                                                       \
    int name##64 parameters __attribute__((alias(#name)));

static bool takes_mode(int flags)
{
    return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE;
}

static int opened(const char *call, int folder, const char *file, int flags, mode_t mode)
{
    char path[PATH_MAX];
    if (!(takes_mode(flags) || flags & O_TRUNC) || !at_name(path, folder, file, !(flags & O_NOFOLLOW)))
        return syscall(SYS_openat, folder, file, flags, mode);
    if (!begin(call, path))
        return -1;
    return finish(syscall(SYS_openat, folder, file, flags, mode));
}

#define CWD AT_FDCWD

SEEN_OPENING(open, (const char *file, int flags, ...), CWD)
SEEN_OPENING(openat, (int folder, const char *file, int flags, ...), folder)
/* What a program that was compiled with _FORTIFY_SOURCE calls where no mode is needed. */
int __open_2(const char *file, int flags) { return opened("open", CWD, file, flags, 0); }
int __open64_2(const char *file, int flags) { return opened("open", CWD, file, flags, 0); }
int __openat_2(int folder, const char *file, int flags) { return opened("openat", folder, file, flags, 0); }
int __openat64_2(int folder, const char *file, int flags) { return opened("openat", folder, file, flags, 0); }
int creat(const char *file, mode_t mode) { return opened("creat", CWD, file, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *file, mode_t mode) { return creat(file, mode); }

SEEN(ssize_t, write, (int to, const void *data, size_t size), at_descriptor(path, to),
     syscall(SYS_write, to, data, size))
SEEN64(ssize_t, pwrite, (int to, const void *data, size_t size, off_t offset), at_descriptor(path, to),
       syscall(SYS_pwrite64, to, data, size, offset))
SEEN(ssize_t, writev, (int to, const struct iovec *parts, int number), at_descriptor(path, to),
     syscall(SYS_writev, to, parts, (long)number))
SEEN64(ssize_t, pwritev, (int to, const struct iovec *parts, int number, off_t offset), at_descriptor(path, to),
       syscall(SYS_pwritev, to, parts, (long)number, offset, 0L))
SEEN(ssize_t, pwritev2, (int to, const struct iovec *parts, int number, off_t offset, int flags),
     at_descriptor(path, to), syscall(SYS_pwritev2, to, parts, (long)number, offset, 0L, flags))
ssize_t pwritev64v2(int, const struct iovec *, int, off_t, int) __attribute__((alias("pwritev2")));
SEEN(ssize_t, copy_file_range, (int from, off_t *start, int to, off_t *offset, size_t size, unsigned int flags),
     at_descriptor(path, to), syscall(SYS_copy_file_range, from, start, to, offset, size, flags))
SEEN64(ssize_t, sendfile, (int to, int from, off_t *start, size_t size), at_descriptor(path, to),
       syscall(SYS_sendfile, to, from, start, size))
SEEN(int, fsync, (int file), at_descriptor(path, file), syscall(SYS_fsync, file))
SEEN(int, fdatasync, (int file), at_descriptor(path, file), syscall(SYS_fdatasync, file))
SEEN64(int, ftruncate, (int file, off_t size), at_descriptor(path, file), syscall(SYS_ftruncate, file, size))
SEEN64(int, truncate, (const char *file, off_t size), at_name(path, CWD, file, true),
       syscall(SYS_truncate, file, size))
SEEN64(int, fallocate, (int file, int mode, off_t start, off_t size), at_descriptor(path, file),
       syscall(SYS_fallocate, file, mode, start, size))
SEEN(int, rename, (const char *old, const char *new), at_names(path, CWD, old, CWD, new),
     syscall(SYS_renameat2, CWD, old, CWD, new, 0))
SEEN(int, renameat, (int folder, const char *old, int new_folder, const char *new),
     at_names(path, folder, old, new_folder, new), syscall(SYS_renameat2, folder, old, new_folder, new, 0))
SEEN(int, renameat2, (int folder, const char *old, int new_folder, const char *new, unsigned int flags),
     at_names(path, folder, old, new_folder, new), syscall(SYS_renameat2, folder, old, new_folder, new, flags))
SEEN(int, link, (const char *old, const char *new), at_names(path, CWD, old, CWD, new),
     syscall(SYS_linkat, CWD, old, CWD, new, 0))
SEEN(int, linkat, (int folder, const char *old, int new_folder, const char *new, int flags),
     at_names(path, folder, old, new_folder, new), syscall(SYS_linkat, folder, old, new_folder, new, flags))
SEEN(int, symlink, (const char *to, const char *name), at_name(path, CWD, name, false),
     syscall(SYS_symlinkat, to, CWD, name))
SEEN(int, symlinkat, (const char *to, int folder, const char *name), at_name(path, folder, name, false),
     syscall(SYS_symlinkat, to, folder, name))
SEEN(int, unlink, (const char *name), at_name(path, CWD, name, false), syscall(SYS_unlinkat, CWD, name, 0))
SEEN(int, unlinkat, (int folder, const char *name, int flags), at_name(path, folder, name, false),
     syscall(SYS_unlinkat, folder, name, flags))
SEEN(int, mkdir, (const char *name, mode_t mode), at_name(path, CWD, name, false),
     syscall(SYS_mkdirat, CWD, name, mode))
SEEN(int, mkdirat, (int folder, const char *name, mode_t mode), at_name(path, folder, name, false),
     syscall(SYS_mkdirat, folder, name, mode))
SEEN(int, rmdir, (const char *name), at_name(path, CWD, name, false), syscall(SYS_unlinkat, CWD, name, AT_REMOVEDIR))
SEEN(int, fchmod, (int file, mode_t mode), at_descriptor(path, file), syscall(SYS_fchmod, file, mode))
SEEN(int, chmod, (const char *file, mode_t mode), at_name(path, CWD, file, true),
     syscall(SYS_fchmodat, CWD, file, mode))
SEEN(int, fchown, (int file, uid_t user, gid_t group), at_descriptor(path, file),
     syscall(SYS_fchown, file, user, group))
SEEN(int, chown, (const char *file, uid_t user, gid_t group), at_name(path, CWD, file, true),
     syscall(SYS_fchownat, CWD, file, user, group, 0))

/* Only clones; whatever else is asked of a device is none of this. */
int ioctl(int to, unsigned long request, ...)
{
    char path[PATH_MAX];
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if ((request != FICLONE && request != FICLONERANGE) || !at_descriptor(path, to))
        return syscall(SYS_ioctl, to, request, argument);
    if (!begin("ioctl", path))
        return -1;
    return finish(syscall(SYS_ioctl, to, request, argument));
}

int posix_fallocate(int file, off_t start, off_t size)
{
    int kept = errno, answer = fallocate(file, 0, start, size) ? errno : 0;
    errno = kept;
    return answer;
}
int posix_fallocate64(int, off_t, off_t) __attribute__((alias("posix_fallocate")));
