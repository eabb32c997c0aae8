/*
 * Directory-relative system calls that Node does not offer. Every function returns a number: a result, or a negative
 * errno; none throws. `facts` is a Float64Array into which what is known of a file is written, FACTS numbers each.
 * Everything here has a slower way in JavaScript (src/store/proc-calls.ts), on Linux, or can be done without.
 */
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#define _DARWIN_C_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/fs.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#endif
#include "addon.h"

#define ABI 12
#define FACTS 16
#define PATH_BYTES 4200
#define NAME_BYTES 1100

enum { KIND_FILE = 1, KIND_DIRECTORY = 2, KIND_LINK = 3, KIND_OTHER = 4 };

/* ---- values in and out ---- */

static napi_value number(napi_env env, double value) {
  napi_value result;
  napi_create_double(env, value, &result);
  return result;
}

static napi_value outcome(napi_env env, int result) { return small(env, result < 0 ? -errno : result); }

static int integer(napi_env env, napi_value value) {
  int32_t result = -1;
  napi_get_value_int32(env, value, &result);
  return result;
}

static double real(napi_env env, napi_value value) {
  double result = 0;
  napi_get_value_double(env, value, &result);
  return result;
}

static bool truth(napi_env env, napi_value value) {
  bool result = false;
  napi_get_value_bool(env, value, &result);
  return result;
}

static double *room(napi_env env, napi_value value, size_t index) {
  napi_typedarray_type type;
  size_t length = 0;
  void *data = NULL;
  if (napi_get_typedarray_info(env, value, &type, &length, &data, NULL, NULL) != napi_ok) return NULL;
  if (type != napi_float64_array || length < (index + 1) * FACTS) return NULL;
  return (double *)data + index * FACTS;
}

/* ---- what is known of a file ---- */

static double kind_of(mode_t mode) {
  if (S_ISREG(mode)) return KIND_FILE;
  if (S_ISDIR(mode)) return KIND_DIRECTORY;
  return S_ISLNK(mode) ? KIND_LINK : KIND_OTHER;
}

static void tell(double *facts, mode_t mode, double size, double inode_high, double inode_low, double device, double links,
                 double uid, double gid) {
  facts[0] = kind_of(mode);
  facts[1] = mode & 07777;
  facts[2] = size;
  facts[9] = inode_high;
  facts[10] = inode_low;
  facts[11] = device;
  facts[12] = links;
  facts[13] = uid;
  facts[14] = gid;
}

#ifdef __linux__
static int look(int directory, const char *name, int flags, double *facts) {
  struct statx found;
  unsigned mask = STATX_BASIC_STATS | STATX_BTIME;
  if (statx(directory, name, flags | AT_NO_AUTOMOUNT, mask, &found) != 0) return -1;
  tell(facts, found.stx_mode, (double)found.stx_size, (double)(found.stx_ino >> 32), (double)(found.stx_ino & 0xffffffffu),
       (double)makedev(found.stx_dev_major, found.stx_dev_minor), found.stx_nlink, found.stx_uid, found.stx_gid);
  facts[3] = (double)found.stx_mtime.tv_sec;
  facts[4] = found.stx_mtime.tv_nsec;
  facts[5] = (double)found.stx_ctime.tv_sec;
  facts[6] = found.stx_ctime.tv_nsec;
  bool born = (found.stx_mask & STATX_BTIME) != 0;
  facts[7] = born ? (double)found.stx_btime.tv_sec : 0;
  facts[8] = born ? found.stx_btime.tv_nsec : 0;
  return 0;
}

static int look_at(int directory, const char *name, double *facts) {
  return look(directory, name, AT_SYMLINK_NOFOLLOW, facts);
}

static int look_open(int fd, double *facts) { return look(fd, "", AT_EMPTY_PATH, facts); }
#else
static void tell_stat(double *facts, const struct stat *found) {
  tell(facts, found->st_mode, (double)found->st_size, (double)((unsigned long long)found->st_ino >> 32),
       (double)(found->st_ino & 0xffffffffu), (double)found->st_dev, found->st_nlink, found->st_uid, found->st_gid);
  facts[3] = (double)found->st_mtimespec.tv_sec;
  facts[4] = (double)found->st_mtimespec.tv_nsec;
  facts[5] = (double)found->st_ctimespec.tv_sec;
  facts[6] = (double)found->st_ctimespec.tv_nsec;
  facts[7] = (double)found->st_birthtimespec.tv_sec;
  facts[8] = (double)found->st_birthtimespec.tv_nsec;
}

static int look_at(int directory, const char *name, double *facts) {
  struct stat found;
  if (fstatat(directory, name, &found, AT_SYMLINK_NOFOLLOW) != 0) return -1;
  tell_stat(facts, &found);
  return 0;
}

static int look_open(int fd, double *facts) {
  struct stat found;
  if (fstat(fd, &found) != 0) return -1;
  tell_stat(facts, &found);
  return 0;
}
#endif

/* statAt(directory, name, facts): never follows a symbolic link. */
static napi_value stat_at(napi_env env, napi_callback_info info) {
  napi_value values[ARGUMENTS];
  char name[NAME_BYTES];
  arguments(env, info, values);
  double *facts = room(env, values[2], 0);
  if (facts == NULL) return small(env, -EINVAL);
  if (!text(env, values[1], name, sizeof name)) return small(env, -ENAMETOOLONG);
  return outcome(env, look_at(integer(env, values[0]), name, facts));
}

/* fstat(fd, facts) */
static napi_value stat_open(napi_env env, napi_callback_info info) {
  napi_value values[ARGUMENTS];
  arguments(env, info, values);
  double *facts = room(env, values[1], 0);
  if (facts == NULL) return small(env, -EINVAL);
  return outcome(env, look_open(integer(env, values[0]), facts));
}

/* statMany(directory, names, from, count, facts): kind 0 where a name could not be looked at. */
static napi_value stat_many(napi_env env, napi_callback_info info) {
  napi_value values[ARGUMENTS];
  char name[NAME_BYTES];
  arguments(env, info, values);
  int directory = integer(env, values[0]);
  int from = integer(env, values[2]);
  int count = integer(env, values[3]);
  if (count <= 0) return small(env, 0);
  double *facts = room(env, values[4], (size_t)count - 1);
  if (facts == NULL || from < 0) return small(env, -EINVAL);
  facts -= (size_t)(count - 1) * FACTS;
  for (int i = 0; i < count; i++, facts += FACTS) {
    napi_handle_scope scope;
    napi_value item;
    facts[0] = 0;
    napi_open_handle_scope(env, &scope);
    if (napi_get_element(env, values[1], (uint32_t)(from + i), &item) == napi_ok && text(env, item, name, sizeof name) &&
        look_at(directory, name, facts) != 0)
      facts[0] = 0;
    napi_close_handle_scope(env, scope);
  }
  return small(env, count);
}

/* ---- opening ---- */

/* openAt(directory, name, flags, mode) */
static napi_value open_at(napi_env env, napi_callback_info info) {
  napi_value values[ARGUMENTS];
  char name[NAME_BYTES];
  arguments(env, info, values);
  if (!text(env, values[1], name, sizeof name)) return small(env, -ENAMETOOLONG);
  int flags = integer(env, values[2]) | O_NOFOLLOW | O_CLOEXEC;
  return outcome(env, openat(integer(env, values[0]), name, flags, (mode_t)integer(env, values[3])));
}

/* openBeneath(root, path, flags): the whole way in one call, no symbolic link on it. -ENOSYS where the kernel cannot. */
static napi_value open_beneath(napi_env env, napi_callback_info info) {
#if defined(__linux__) && defined(SYS_openat2)
  napi_value values[ARGUMENTS];
  char path[PATH_BYTES];
  arguments(env, info, values);
  if (!text(env, values[1], path, sizeof path)) return small(env, -ENAMETOOLONG);
  struct open_how how = {
      .flags = (unsigned long long)integer(env, values[2]) | O_CLOEXEC,
      .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
  };
  int fd = -1;
  /* EAGAIN: something was renamed meanwhile and the kernel cannot prove that it stayed beneath. */
  for (int tries = 0; tries < 32; tries++) {
    fd = (int)syscall(SYS_openat2, integer(env, values[0]), path, &how, sizeof how);
    if (fd >= 0 || (errno != EAGAIN && errno != EINTR)) break;
  }
  return outcome(env, fd);
#else
  (void)info;
  return small(env, -ENOSYS);
#endif
}

#if defined(__linux__) && defined(SYS_openat2)
/* The directory of a path, to be closed unless it is the root itself; the name begins behind the last slash. */
static int open_parent(int root, char *path, char **name) {
  char *slash = strrchr(path, '/');
  *name = slash == NULL ? path : slash + 1;
  if (slash == NULL) return root;
  *slash = 0;
  struct open_how how = {
      .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
      .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
  };
  return (int)syscall(SYS_openat2, root, path, &how, sizeof how);
}

/* All bytes of a file that is no longer than there is room; what is no file is not opened, for that could do something. */
static int read_file(int directory, const char *name, double *facts, char *data, size_t space) {
  if (look_at(directory, name, facts) != 0) return -errno;
  if (facts[0] != KIND_FILE) return -ENXIO;
  if (facts[2] > (double)space) return -EFBIG;
  int fd = openat(directory, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return -errno;
  int result = -ESTALE;
  if (look_open(fd, facts) != 0)
    result = -errno;
  else if (facts[0] == KIND_FILE && facts[2] <= (double)space) {
    ssize_t got = pread(fd, data, (size_t)facts[2], 0);
    if (got < 0)
      result = -errno;
    else if ((double)got == facts[2])
      result = (int)got;
  }
  close(fd);
  return result;
}
#endif

/*
 * readSmall(root, path, facts, buffer): a whole file below the root that fits the buffer, no symbolic link on the way; its
 * size, or a negative errno, which is no verdict: the longer way finds out what is wrong.
 */
static napi_value read_small(napi_env env, napi_callback_info info) {
#if defined(__linux__) && defined(SYS_openat2)
  napi_value values[ARGUMENTS];
  char path[PATH_BYTES];
  char *name;
  void *data = NULL;
  size_t space = 0;
  arguments(env, info, values);
  double *facts = room(env, values[2], 0);
  if (facts == NULL || napi_get_buffer_info(env, values[3], &data, &space) != napi_ok) return small(env, -EINVAL);
  if (!text(env, values[1], path, sizeof path)) return small(env, -ENAMETOOLONG);
  int root = integer(env, values[0]);
  int directory = open_parent(root, path, &name);
  if (directory < 0) return small(env, -errno);
  int result = read_file(directory, name, facts, data, space);
  if (directory != root) close(directory);
  return small(env, result);
#else
  (void)info;
  return small(env, -ENOSYS);
#endif
}

/* ---- names ---- */

/* Bytes that grow. */
struct bytes {
  char *data;
  size_t length, room;
  bool failed;
};

static void append(struct bytes *bytes, const char *data, size_t length) {
  if (length == 0) return;
  if (bytes->length + length > bytes->room) {
    size_t room = (bytes->length + length) * 2;
    char *grown = realloc(bytes->data, room);
    if (grown == NULL) {
      bytes->failed = true;
      return;
    }
    bytes->data = grown;
    bytes->room = room;
  }
  memcpy(bytes->data + bytes->length, data, length);
  bytes->length += length;
}

static void append_name(struct bytes *names, struct bytes *kinds, const char *name, int type) {
  int kind = type == DT_REG   ? KIND_FILE
             : type == DT_DIR ? KIND_DIRECTORY
             : type == DT_LNK ? KIND_LINK
             : type == DT_UNKNOWN ? 0
                                  : KIND_OTHER;
  char digit = (char)('0' + kind);
  append(names, name, strlen(name));
  append(names, "/", 1);
  append(kinds, &digit, 1);
}

static bool is_dots(const char *name) {
  return name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0));
}

/*
 * readdir(fd): the next names, a slash behind each, then a digit for the kind of each (0: not known yet); empty at the end.
 * One string, for to make thousands here costs more than to split one there.
 */
static napi_value read_directory(napi_env env, napi_callback_info info) {
  napi_value values[ARGUMENTS];
  napi_value result;
  struct bytes names = {0};
  struct bytes kinds = {0};
  int error = 0;
  arguments(env, info, values);
  int fd = integer(env, values[0]);
#ifdef __linux__
  struct entry {
    unsigned long long inode;
    long long offset;
    unsigned short length;
    unsigned char type;
    char name[];
  };
  char buffer[32768] __attribute__((aligned(8)));
  /* A block may hold nothing but dots. */
  while (kinds.length == 0) {
    long got = syscall(SYS_getdents64, fd, buffer, sizeof buffer);
    if (got < 0) error = errno;
    if (got <= 0) break;
    for (long i = 0; i < got;) {
      struct entry *entry = (struct entry *)(buffer + i);
      if (!is_dots(entry->name)) append_name(&names, &kinds, entry->name, entry->type);
      i += entry->length;
    }
  }
#else
  /* The copy shares its offset, so the next call finds the end. */
  int copy = dup(fd);
  DIR *directory = copy < 0 ? NULL : fdopendir(copy);
  if (directory == NULL) {
    error = errno;
    if (copy >= 0) close(copy);
  } else {
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
      if (!is_dots(entry->d_name)) append_name(&names, &kinds, entry->d_name, entry->d_type);
    closedir(directory);
  }
#endif
  append(&names, kinds.data, kinds.length);
  if (names.failed || kinds.failed) error = ENOMEM;
  const char *text = names.data == NULL ? "" : names.data;
  if (error != 0 || napi_create_string_utf8(env, text, names.length, &result) != napi_ok)
    result = small(env, error == 0 ? -ENOMEM : -error);
  free(names.data);
  free(kinds.data);
  return result;
}

/* readlinkAt(directory, name): the target, or a negative errno. */
static napi_value read_link(napi_env env, napi_callback_info info) {
  napi_value values[ARGUMENTS];
  char name[NAME_BYTES];
  char target[PATH_BYTES];
  napi_value result;
  arguments(env, info, values);
  if (!text(env, values[1], name, sizeof name)) return small(env, -ENAMETOOLONG);
  ssize_t length = readlinkat(integer(env, values[0]), name, target, sizeof target);
  if (length < 0) return small(env, -errno);
  if ((size_t)length >= sizeof target) return small(env, -ENAMETOOLONG);
  napi_create_string_utf8(env, target, (size_t)length, &result);
  return result;
}

/* mkdirAt(directory, name, mode) */
static napi_value make_directory(napi_env env, napi_callback_info info) {
  napi_value values[ARGUMENTS];
  char name[NAME_BYTES];
  arguments(env, info, values);
  if (!text(env, values[1], name, sizeof name)) return small(env, -ENAMETOOLONG);
  return outcome(env, mkdirat(integer(env, values[0]), name, (mode_t)integer(env, values[2])));
}

/* unlinkAt(directory, name, isDirectory) */
static napi_value unlink_at(napi_env env, napi_callback_info info) {
  napi_value values[ARGUMENTS];
  char name[NAME_BYTES];
  arguments(env, info, values);
  if (!text(env, values[1], name, sizeof name)) return small(env, -ENAMETOOLONG);
  return outcome(env, unlinkat(integer(env, values[0]), name, truth(env, values[2]) ? AT_REMOVEDIR : 0));
}

static int rename_new(int from, const char *source, int to, const char *target) {
#if defined(__linux__) && defined(SYS_renameat2)
  return (int)syscall(SYS_renameat2, from, source, to, target, 1u /* RENAME_NOREPLACE */);
#elif defined(__APPLE__)
  return renameatx_np(from, source, to, target, 0x4 /* RENAME_EXCL */);
#else
  errno = EINVAL;
  return -1;
#endif
}

/* renameAt(from, name, to, name, noReplace): -EINVAL where the filesystem cannot promise noReplace. */
static napi_value rename_at(napi_env env, napi_callback_info info) {
  napi_value values[ARGUMENTS];
  char source[NAME_BYTES];
  char target[NAME_BYTES];
  arguments(env, info, values);
  if (!text(env, values[1], source, sizeof source) || !text(env, values[3], target, sizeof target))
    return small(env, -ENAMETOOLONG);
  int from = integer(env, values[0]);
  int to = integer(env, values[2]);
  if (truth(env, values[4])) return outcome(env, rename_new(from, source, to, target));
  return outcome(env, renameat(from, source, to, target));
}

/* linkAt(directory, name, directory, name) */
static napi_value link_at(napi_env env, napi_callback_info info) {
  napi_value values[ARGUMENTS];
  char source[NAME_BYTES];
  char target[NAME_BYTES];
  arguments(env, info, values);
  if (!text(env, values[1], source, sizeof source) || !text(env, values[3], target, sizeof target))
    return small(env, -ENAMETOOLONG);
  return outcome(env, linkat(integer(env, values[0]), source, integer(env, values[2]), target, 0));
}

/* accessAt(directory, name, mode) by effective ids */
static napi_value access_at(napi_env env, napi_callback_info info) {
  napi_value values[ARGUMENTS];
  char name[NAME_BYTES];
  arguments(env, info, values);
  if (!text(env, values[1], name, sizeof name)) return small(env, -ENAMETOOLONG);
  return outcome(env, faccessat(integer(env, values[0]), name, integer(env, values[2]), AT_EACCESS));
}

/* ---- open files ---- */

/* flock(fd, exclusive): false unlocks; -EWOULDBLOCK where another has it. */
static napi_value lock_file(napi_env env, napi_callback_info info) {
  napi_value values[ARGUMENTS];
  arguments(env, info, values);
  return outcome(env, flock(integer(env, values[0]), truth(env, values[1]) ? LOCK_EX | LOCK_NB : LOCK_UN));
}

/* touch(fd, seconds, nanoseconds): sets the time of modification. */
static napi_value touch(napi_env env, napi_callback_info info) {
  napi_value values[ARGUMENTS];
  arguments(env, info, values);
  struct timespec times[2] = {
      {.tv_sec = 0, .tv_nsec = UTIME_OMIT},
      {.tv_sec = (time_t)real(env, values[1]), .tv_nsec = (long)real(env, values[2])},
  };
  return outcome(env, futimens(integer(env, values[0]), times));
}

/* reflink(from, to): makes `to` share all the bytes of `from`. */
static napi_value reflink(napi_env env, napi_callback_info info) {
#ifdef FICLONE
  napi_value values[ARGUMENTS];
  arguments(env, info, values);
  return outcome(env, ioctl(integer(env, values[1]), FICLONE, integer(env, values[0])));
#else
  (void)info;
  return small(env, -EOPNOTSUPP);
#endif
}

/* ---- small copies ---- */

#define SMALL_BYTES 65536

static int put_bytes(int fd, const char *bytes, size_t size) {
  for (size_t put = 0; put < size;) {
    ssize_t done = write(fd, bytes + put, size - put);
    if (done >= 0) put += (size_t)done;
    else if (errno != EINTR) return -1;
  }
  return 0;
}

static int fill_new(int directory, const char *name, mode_t mode, const char *bytes, size_t size, struct timespec modified) {
  int fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
  /* A directory that is gone is not a source that is gone. */
  if (fd < 0) return errno == ENOENT ? -ESTALE : -errno;
  int error = put_bytes(fd, bytes, size) == 0 ? 0 : errno;
  struct stat made;
  if (error == 0 && fstat(fd, &made) == 0 && (made.st_mode & 0777) != mode && fchmod(fd, mode) != 0) error = errno;
  struct timespec times[2] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT}, modified};
  if (error == 0 && futimens(fd, times) != 0) error = errno;
  if (close(fd) != 0 && error == 0) error = errno;
  return -error;
}

/*
 * copySmall(from, name, to, newName, seconds, nanoseconds, facts): copies a whole file with its permission bits to a name
 * that is free, modified then; `facts` tell of the source. Its size, or a negative errno: EFBIG for one that is not small,
 * ENXIO for what is no file, EEXIST, ESTALE where the directory of the copy is gone. A copy that fails half-way stays.
 */
static napi_value copy_small(napi_env env, napi_callback_info info) {
  napi_value values[ARGUMENTS];
  char name[NAME_BYTES];
  char copy[NAME_BYTES];
  char bytes[SMALL_BYTES];
  arguments(env, info, values);
  double *facts = room(env, values[6], 0);
  if (facts == NULL) return small(env, -EINVAL);
  if (!text(env, values[1], name, sizeof name) || !text(env, values[3], copy, sizeof copy)) return small(env, -ENAMETOOLONG);
  int fd = openat(integer(env, values[0]), name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (fd < 0) return small(env, -errno);
  int error = look_open(fd, facts) == 0 ? 0 : errno;
  size_t size = 0;
  if (error == 0 && facts[0] != KIND_FILE) error = ENXIO;
  if (error == 0 && facts[2] > SMALL_BYTES) error = EFBIG;
  if (error == 0) size = (size_t)facts[2];
  for (size_t got = 0; got < size && error == 0;) {
    ssize_t done = read(fd, bytes + got, size - got);
    if (done > 0) got += (size_t)done;
    /* Shorter meanwhile: the copy would not be what was promised. */
    else if (done == 0) error = EIO;
    else if (errno != EINTR) error = errno;
  }
  close(fd);
  if (error != 0) return small(env, -error);
  struct timespec modified = {.tv_sec = (time_t)real(env, values[4]), .tv_nsec = (long)real(env, values[5])};
  int result = fill_new(integer(env, values[2]), copy, (mode_t)facts[1] & 0777, bytes, size, modified);
  return small(env, result < 0 ? result : (int)size);
}

/* ---- small writes ---- */

/* The owner and the permission bits of what is replaced; who may not give files away keeps them. */
static int dress(int fd, const double *old) {
  struct stat made;
  if (fstat(fd, &made) != 0) return -1;
  uid_t owner = (uid_t)old[13];
  gid_t group = (gid_t)old[14];
  mode_t mode = (mode_t)old[1] & 0777;
  if ((made.st_uid != owner || made.st_gid != group) && fchown(fd, owner, group) == 0) made.st_mode = 0;
  return (made.st_mode & 07777) == mode ? 0 : fchmod(fd, mode);
}

/*
 * putSmall(directory, staged, name, bytes, seconds, nanoseconds, replaced, facts): a new file with these bytes, modified
 * then, made under the name `staged` and renamed: over what `replaced` tells of, which it is dressed like, or with nothing
 * told of to a name that must be free. `facts` tell of the new file before that. 0, or a negative errno and nothing done.
 */
static napi_value put_small(napi_env env, napi_callback_info info) {
  napi_value values[ARGUMENTS];
  char staged[NAME_BYTES];
  char name[NAME_BYTES];
  void *bytes = NULL;
  size_t size = 0;
  arguments(env, info, values);
  int directory = integer(env, values[0]);
  double *old = room(env, values[6], 0);
  double *facts = room(env, values[7], 0);
  if (facts == NULL || napi_get_buffer_info(env, values[3], &bytes, &size) != napi_ok) return small(env, -EINVAL);
  if (!text(env, values[1], staged, sizeof staged) || !text(env, values[2], name, sizeof name))
    return small(env, -ENAMETOOLONG);
  int fd = openat(directory, staged, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (fd < 0) return small(env, -errno);
  struct timespec times[2] = {
      {.tv_sec = 0, .tv_nsec = UTIME_OMIT},
      {.tv_sec = (time_t)real(env, values[4]), .tv_nsec = (long)real(env, values[5])},
  };
  /* Locked like any other, so that no sweep takes it for a leftover should this process be stopped here. */
  flock(fd, LOCK_EX | LOCK_NB);
  int error = 0;
  if (put_bytes(fd, bytes, size) != 0 || (old != NULL && dress(fd, old) != 0) || futimens(fd, times) != 0 ||
      look_open(fd, facts) != 0)
    error = errno;
  else if ((old == NULL ? rename_new(directory, staged, directory, name)
                        : renameat(directory, staged, directory, name)) != 0)
    error = errno;
  if (error != 0) unlinkat(directory, staged, 0);
  close(fd);
  return small(env, -error);
}

/* ---- slow calls, off the event loop ---- */

struct work {
  napi_async_work handle;
  napi_deferred deferred;
  int from, to;
  off_t start, at, length;
  double result;
};

static ssize_t copy_some(struct work *work, off_t from, off_t to, size_t size, bool *plain) {
#ifdef __linux__
  if (!*plain) {
    loff_t in = from, out = to;
    ssize_t done = copy_file_range(work->from, &in, work->to, &out, size, 0);
    if (done > 0) return done;
    if (done < 0 && errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP && errno != EBADF) return -1;
    *plain = true;
  }
#endif
  static const size_t piece = 1 << 20;
  if (size > piece) size = piece;
  char *buffer = malloc(size);
  if (buffer == NULL) return -1;
  ssize_t got = pread(work->from, buffer, size, from);
  ssize_t put = 0;
  while (put < got) {
    ssize_t done = pwrite(work->to, buffer + put, (size_t)(got - put), to + put);
    if (done < 0) {
      if (errno == EINTR) continue;
      int error = errno;
      free(buffer);
      errno = error;
      return -1;
    }
    put += done;
  }
  free(buffer);
  return got;
}

static void run_copy(napi_env env, void *data) {
  (void)env;
  struct work *work = data;
  bool plain = false;
  off_t done = 0;
  struct stat source;
  if (fstat(work->from, &source) != 0) {
    work->result = -errno;
    return;
  }
  if (work->length > source.st_size - work->start)
    work->length = source.st_size > work->start ? source.st_size - work->start : 0;
  while (done < work->length) {
#ifdef SEEK_DATA
    /* Holes stay holes: the file is given its length beforehand. */
    off_t next = lseek(work->from, work->start + done, SEEK_DATA);
    if (next < 0 && errno == ENXIO) next = work->start + work->length;
    if (next > work->start + done) {
      done = next - work->start < work->length ? next - work->start : work->length;
      continue;
    }
    off_t hole = next < 0 ? -1 : lseek(work->from, next, SEEK_HOLE);
    off_t end = work->start + work->length;
    if (hole > next && hole < end) end = hole;
    ssize_t moved = copy_some(work, work->start + done, work->at + done, (size_t)(end - work->start - done), &plain);
#else
    ssize_t moved = copy_some(work, work->start + done, work->at + done, (size_t)(work->length - done), &plain);
#endif
    if (moved < 0 && errno == EINTR) continue;
    if (moved < 0) {
      work->result = -errno;
      return;
    }
    if (moved == 0) break;
    done += moved;
  }
  work->result = (double)done;
}

static void run_sync(napi_env env, void *data) {
  (void)env;
  struct work *work = data;
#ifdef __linux__
  work->result = syncfs(work->from) == 0 ? 0 : -errno;
#else
  sync();
  work->result = 0;
#endif
}

static void finish(napi_env env, napi_status status, void *data) {
  struct work *work = data;
  napi_resolve_deferred(env, work->deferred, number(env, status == napi_ok ? work->result : -ECANCELED));
  napi_delete_async_work(env, work->handle);
  free(work);
}

static napi_value start(napi_env env, struct work *work, napi_async_execute_callback run) {
  napi_value promise;
  napi_value name;
  napi_create_string_utf8(env, "postern", NAPI_AUTO_LENGTH, &name);
  napi_create_promise(env, &work->deferred, &promise);
  napi_create_async_work(env, NULL, name, run, finish, work, &work->handle);
  napi_queue_async_work(env, work->handle);
  return promise;
}

/* copyRange(from, start, to, at, length): a promise of the bytes copied (short at the end of the file). */
static napi_value copy_range(napi_env env, napi_callback_info info) {
  napi_value values[ARGUMENTS];
  struct work *work = calloc(1, sizeof *work);
  if (work == NULL) return small(env, -ENOMEM);
  arguments(env, info, values);
  work->from = integer(env, values[0]);
  work->start = (off_t)real(env, values[1]);
  work->to = integer(env, values[2]);
  work->at = (off_t)real(env, values[3]);
  work->length = (off_t)real(env, values[4]);
  return start(env, work, run_copy);
}

/* syncFileSystem(fd): a promise. */
static napi_value sync_file_system(napi_env env, napi_callback_info info) {
  napi_value values[ARGUMENTS];
  struct work *work = calloc(1, sizeof *work);
  if (work == NULL) return small(env, -ENOMEM);
  arguments(env, info, values);
  work->from = integer(env, values[0]);
  return start(env, work, run_sync);
}

/* ---- durability of many files ---- */

struct syncs {
  napi_async_work handle;
  napi_deferred deferred;
  size_t count;
  int32_t *files, *results;
};

static void run_syncs(napi_env env, void *data) {
  struct syncs *syncs = data;
  (void)env;
#ifdef __linux__
  /* All bytes on their way first: then the first sync takes along what the disk has to note of the others. */
  for (size_t i = 0; i < syncs->count; i++) sync_file_range(syncs->files[i], 0, 0, SYNC_FILE_RANGE_WRITE);
#endif
  for (size_t i = 0; i < syncs->count; i++)
#ifdef __APPLE__
    syncs->results[i] = fcntl(syncs->files[i], F_FULLFSYNC) == 0 ? 0 : -errno;
#else
    syncs->results[i] = fdatasync(syncs->files[i]) == 0 ? 0 : -errno;
#endif
}

static void finish_syncs(napi_env env, napi_status status, void *data) {
  struct syncs *syncs = data;
  void *room = NULL;
  napi_value buffer;
  napi_value results;
  (void)status;
  napi_create_arraybuffer(env, syncs->count * sizeof(int32_t), &room, &buffer);
  memcpy(room, syncs->results, syncs->count * sizeof(int32_t));
  napi_create_typedarray(env, napi_int32_array, syncs->count, buffer, 0, &results);
  napi_resolve_deferred(env, syncs->deferred, results);
  napi_delete_async_work(env, syncs->handle);
  free(syncs->files);
  free(syncs);
}

/* syncFiles(files): a promise of a result for each, 0 or a negative errno. */
static napi_value sync_files(napi_env env, napi_callback_info info) {
  napi_value values[ARGUMENTS];
  napi_value promise;
  napi_value name;
  napi_typedarray_type type;
  size_t count = 0;
  void *files = NULL;
  arguments(env, info, values);
  if (napi_get_typedarray_info(env, values[0], &type, &count, &files, NULL, NULL) != napi_ok ||
      type != napi_int32_array || count == 0)
    return small(env, -EINVAL);
  struct syncs *syncs = calloc(1, sizeof *syncs);
  int32_t *numbers = calloc(2 * count, sizeof *numbers);
  if (syncs == NULL || numbers == NULL) {
    free(syncs);
    free(numbers);
    return small(env, -ENOMEM);
  }
  memcpy(numbers, files, count * sizeof *numbers);
  syncs->count = count;
  syncs->files = numbers;
  syncs->results = numbers + count;
  for (size_t i = 0; i < count; i++) syncs->results[i] = -ECANCELED;
  napi_create_string_utf8(env, "postern", NAPI_AUTO_LENGTH, &name);
  napi_create_promise(env, &syncs->deferred, &promise);
  napi_create_async_work(env, NULL, name, run_syncs, finish_syncs, syncs, &syncs->handle);
  napi_queue_async_work(env, syncs->handle);
  return promise;
}

/* ---- shared memory ---- */

#ifdef __linux__
static void unmap(napi_env env, void *data, void *hint) {
  (void)env;
  munmap(data, (size_t)(uintptr_t)hint);
}

/* Where this process has the beginning of a file mapped for all to write, or NULL. */
static void *mapping_of(const char *path) {
  FILE *maps = fopen("/proc/self/maps", "re");
  if (maps == NULL) return NULL;
  char *line = NULL;
  size_t size = 0;
  void *found = NULL;
  for (ssize_t length; found == NULL && (length = getline(&line, &size, maps)) > 0;) {
    unsigned long from, offset;
    char rights[5];
    int name = 0;
    line[length - 1] = 0;
    if (sscanf(line, "%lx-%*x %4s %lx %*s %*s %n", &from, rights, &offset, &name) == 3 && name > 0 && offset == 0 &&
        strcmp(rights, "rw-s") == 0 && strcmp(line + name, path) == 0)
      found = (void *)from;
  }
  free(line);
  fclose(maps);
  return found;
}
#endif

/*
 * viewMapping(path, length): the first bytes (at most a page) of a file that this process has mapped already, read-only
 * in an ArrayBuffer that outlives that mapping. The file is not opened for it: with the closing of any descriptor of a
 * file all locks of the process on it are gone (fcntl(2)), and those of SQLite must not be. To be called while the other
 * mapping cannot end.
 */
static napi_value view_mapping(napi_env env, napi_callback_info info) {
#ifdef __linux__
  napi_value values[ARGUMENTS];
  napi_value result;
  char path[PATH_BYTES];
  char real_path[PATH_MAX];
  arguments(env, info, values);
  if (!text(env, values[0], path, sizeof path)) return small(env, -ENAMETOOLONG);
  int length = integer(env, values[1]);
  if (length <= 0 || length > 4096) return small(env, -EINVAL);
  if (realpath(path, real_path) == NULL) return small(env, -errno);
  void *mapped = mapping_of(real_path);
  if (mapped == NULL) return small(env, -ENOENT);
  /* The old size 0 makes a second mapping of the same pages (mremap(2)). */
  void *view = mremap(mapped, 0, (size_t)length, MREMAP_MAYMOVE);
  if (view == MAP_FAILED) return small(env, -errno);
  void *hint = (void *)(uintptr_t)length;
  if (mprotect(view, (size_t)length, PROT_READ) != 0 ||
      napi_create_external_arraybuffer(env, view, (size_t)length, unmap, hint, &result) != napi_ok) {
    munmap(view, (size_t)length);
    return small(env, -EOPNOTSUPP);
  }
  return result;
#else
  (void)info;
  return small(env, -ENOSYS);
#endif
}

static const struct function functions[] = {
    {"statAt", stat_at},
    {"fstat", stat_open},
    {"statMany", stat_many},
    {"openAt", open_at},
    {"openBeneath", open_beneath},
    {"readdir", read_directory},
    {"readlinkAt", read_link},
    {"mkdirAt", make_directory},
    {"unlinkAt", unlink_at},
    {"renameAt", rename_at},
    {"linkAt", link_at},
    {"accessAt", access_at},
    {"flock", lock_file},
    {"touch", touch},
    {"reflink", reflink},
    {"copySmall", copy_small},
    {"copyRange", copy_range},
    {"syncFileSystem", sync_file_system},
    {"syncFiles", sync_files},
    {"readSmall", read_small},
    {"putSmall", put_small},
    {"viewMapping", view_mapping},
};

static void offer(napi_env env, napi_value exports, const struct function *offered, size_t count) {
  for (size_t i = 0; i < count; i++) {
    napi_value call;
    napi_create_function(env, offered[i].name, NAPI_AUTO_LENGTH, offered[i].call, NULL, &call);
    napi_set_named_property(env, exports, offered[i].name, call);
  }
}

NAPI_MODULE_INIT() {
  offer(env, exports, functions, sizeof functions / sizeof *functions);
  offer(env, exports, pam_functions, pam_function_count);
  offer(env, exports, unix_functions, unix_function_count);
  napi_set_named_property(env, exports, "abi", small(env, ABI));
  return exports;
}
