/*
 * Open files on their way between two processes that do not trust each other, and what a process does to be left alone.
 * Nothing here waits for another program: not for the other side of a socket, and not for one that pretends to be a
 * filesystem (FUSE), which every read, and even closing, may wait for.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include "addon.h"
#ifdef __linux__
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef STATX_MNT_ID
#define STATX_MNT_ID 0x1000u
#endif
/* SCM_MAX_FD: one message has no more. */
#define MANY_DESCRIPTORS 253
#define NUMBER_BYTES 8
#define DETACHED_STACK (64 * 1024)

/* Places in what is told of an open file; `fileFact` in src/store/native.ts. */
enum { FACT_NUMBER, FACT_MODE, FACT_MOUNT, FACT_SIZE, FACT_FLAGS, OPEN_FACTS };

static int integer(napi_env env, napi_value value) {
  int32_t result = -1;
  napi_get_value_int32(env, value, &result);
  return result;
}

static double *room(napi_env env, napi_value value) {
  napi_typedarray_type type;
  size_t length = 0;
  void *data = NULL;
  if (napi_get_typedarray_info(env, value, &type, &length, &data, NULL, NULL) != napi_ok) return NULL;
  return type == napi_float64_array && length >= OPEN_FACTS ? data : NULL;
}

struct closing {
  size_t count;
  int descriptors[];
};

static void *close_all(void *data) {
  struct closing *closing = data;
  for (size_t i = 0; i < closing->count; i++) close(closing->descriptors[i]);
  free(closing);
  return NULL;
}

/* Closes by a thread that nobody waits for. Where there can be none they stay open: better than to wait for ever. */
static int close_detached(const int *descriptors, size_t count) {
  pthread_t thread;
  pthread_attr_t attributes;
  sigset_t all, before;
  if (count == 0) return 0;
  struct closing *closing = malloc(sizeof *closing + count * sizeof *descriptors);
  if (closing == NULL) return -ENOMEM;
  closing->count = count;
  memcpy(closing->descriptors, descriptors, count * sizeof *descriptors);
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, DETACHED_STACK);
  /* Signals are for the threads of Node. */
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int result = pthread_create(&thread, &attributes, close_all, closing);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  if (result != 0) free(closing);
  return -result;
}

/* What the kernel knows by itself: the filesystem is not asked for what it may have changed since. */
static int look(int fd, double *facts) {
  struct statx found;
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return -errno;
  if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE | STATX_SIZE | STATX_MNT_ID, &found) != 0)
    return -errno;
  facts[FACT_MODE] = found.stx_mode;
  facts[FACT_MOUNT] = (found.stx_mask & STATX_MNT_ID) != 0 ? (double)found.stx_mnt_id : -1;
  facts[FACT_SIZE] = (double)found.stx_size;
  facts[FACT_FLAGS] = flags;
  return 0;
}

/* The one descriptor of the next message and the number before it. Whatever else comes is closed. */
static int receive(int channel, double *facts) {
  unsigned char bytes[NUMBER_BYTES];
  union {
    char bytes[CMSG_SPACE(MANY_DESCRIPTORS * sizeof(int))];
    struct cmsghdr head;
  } control;
  struct iovec vector = {bytes, sizeof bytes};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  int got[MANY_DESCRIPTORS];
  size_t count = 0;
  uint64_t number = 0;
  ssize_t length = recvmsg(channel, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (length < 0) return -errno;
  for (struct cmsghdr *head = CMSG_FIRSTHDR(&message); head != NULL; head = CMSG_NXTHDR(&message, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
    size_t here = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < here && count < MANY_DESCRIPTORS; i++)
      memcpy(&got[count++], CMSG_DATA(head) + i * sizeof(int), sizeof(int));
  }
  int result = length == 0 ? -ECONNRESET : 0;
  if (length > 0 && (length != NUMBER_BYTES || count != 1 || (message.msg_flags & MSG_CTRUNC) != 0)) result = -EPROTO;
  if (result == 0) result = look(got[0], facts);
  if (result == 0 && !S_ISREG((mode_t)facts[FACT_MODE])) result = -EINVAL;
  if (result < 0) {
    close_detached(got, count);
    return result;
  }
  for (int i = 0; i < NUMBER_BYTES; i++) number = number << 8 | bytes[i];
  facts[FACT_NUMBER] = (double)number;
  return got[0];
}
#endif

/* connectUnix(path): a descriptor that never blocks. */
static napi_value connect_unix(napi_env env, napi_callback_info info) {
#ifdef __linux__
  napi_value values[ARGUMENTS];
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  arguments(env, info, values);
  /* With the room that `text` leaves behind, so that all of a path fits that the kernel takes. */
  char path[sizeof address.sun_path + 4];
  if (!text(env, values[0], path, sizeof path)) return small(env, -ENAMETOOLONG);
  memcpy(address.sun_path, path, strlen(path) + 1);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return small(env, -errno);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
    int error = errno;
    close(fd);
    return small(env, -error);
  }
  return small(env, fd);
#else
  (void)info;
  return small(env, -ENOSYS);
#endif
}

/* sendDescriptor(channel, fd, number): 0; EAGAIN where the other side has too many that it has not taken. */
static napi_value send_descriptor(napi_env env, napi_callback_info info) {
#ifdef __linux__
  napi_value values[ARGUMENTS];
  unsigned char bytes[NUMBER_BYTES];
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr head;
  } control = {{0}};
  struct iovec vector = {bytes, sizeof bytes};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  int64_t number = -1;
  arguments(env, info, values);
  int channel = integer(env, values[0]);
  int fd = integer(env, values[1]);
  napi_get_value_int64(env, values[2], &number);
  if (number < 0) return small(env, -EINVAL);
  for (int i = 0; i < NUMBER_BYTES; i++) bytes[i] = (unsigned char)(number >> (8 * (NUMBER_BYTES - 1 - i)));
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(head), &fd, sizeof fd);
  return small(env, sendmsg(channel, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0);
#else
  (void)info;
  return small(env, -ENOSYS);
#endif
}

/*
 * receiveDescriptor(channel, facts): the descriptor that is next in the channel, with its facts; EAGAIN where there is
 * none, ECONNRESET where there will be none, EPROTO where there is not exactly one, EINVAL for anything but a regular file.
 */
static napi_value receive_descriptor(napi_env env, napi_callback_info info) {
#ifdef __linux__
  napi_value values[ARGUMENTS];
  arguments(env, info, values);
  double *facts = room(env, values[1]);
  return small(env, facts == NULL ? -EINVAL : receive(integer(env, values[0]), facts));
#else
  (void)info;
  return small(env, -ENOSYS);
#endif
}

/* openFacts(fd, facts): the same facts of a descriptor of this process; 0. */
static napi_value open_facts(napi_env env, napi_callback_info info) {
#ifdef __linux__
  napi_value values[ARGUMENTS];
  arguments(env, info, values);
  double *facts = room(env, values[1]);
  if (facts == NULL) return small(env, -EINVAL);
  facts[FACT_NUMBER] = 0;
  return small(env, look(integer(env, values[0]), facts));
#else
  (void)info;
  return small(env, -ENOSYS);
#endif
}

/* closeDetached(fd): 0 at once; it is closed when its filesystem lets it. */
static napi_value close_one_detached(napi_env env, napi_callback_info info) {
#ifdef __linux__
  napi_value values[ARGUMENTS];
  arguments(env, info, values);
  int fd = integer(env, values[0]);
  return small(env, fd < 0 ? -EBADF : close_detached(&fd, 1));
#else
  (void)info;
  return small(env, -ENOSYS);
#endif
}

/* mountsChanged(fd): of an open /proc/self/mountinfo: 1 where something was mounted or unmounted since the last call, else 0. */
static napi_value mounts_changed(napi_env env, napi_callback_info info) {
#ifdef __linux__
  napi_value values[ARGUMENTS];
  arguments(env, info, values);
  struct pollfd watched = {.fd = integer(env, values[0]), .events = POLLPRI};
  if (poll(&watched, 1, 0) < 0) return small(env, -errno);
  return small(env, watched.revents != 0 ? 1 : 0);
#else
  (void)info;
  return small(env, -ENOSYS);
#endif
}

/*
 * seclude(...fds): nobody may look into this process, it leaves no image of its memory, and it ends with its parent; these
 * descriptors are not for programs that it runs.
 */
static napi_value seclude(napi_env env, napi_callback_info info) {
#ifdef __linux__
  napi_value values[ARGUMENTS];
  size_t count = ARGUMENTS;
  napi_get_cb_info(env, info, &count, values, NULL, NULL);
  const struct rlimit none = {0, 0};
  for (size_t i = 0; i < count && i < ARGUMENTS; i++)
    if (fcntl(integer(env, values[i]), F_SETFD, FD_CLOEXEC) != 0) return small(env, -errno);
  if (prctl(PR_SET_DUMPABLE, 0) != 0 || setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
    return small(env, -errno);
  return small(env, 0);
#else
  (void)info;
  return small(env, -ENOSYS);
#endif
}

#ifdef __linux__
static int bound(const struct sockaddr *address, socklen_t length) {
  const int on = 1, off = 0;
  int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      (address->sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) != 0) ||
      bind(fd, address, length) != 0 || listen(fd, SOMAXCONN) != 0) {
    int error = errno;
    close(fd);
    return -error;
  }
  return fd;
}
#endif

/* listenTcp(address, port): a socket that listens, for another process to accept from. The address is in numbers; "::" is all of both kinds. */
static napi_value listen_tcp(napi_env env, napi_callback_info info) {
#ifdef __linux__
  napi_value values[ARGUMENTS];
  char host[INET6_ADDRSTRLEN + 4];
  arguments(env, info, values);
  const int port = integer(env, values[1]);
  if (!text(env, values[0], host, sizeof host) || port < 0 || port > 65535) return small(env, -EINVAL);
  struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
  if (inet_pton(AF_INET, host, &four.sin_addr) == 1)
    return small(env, bound((const struct sockaddr *)&four, sizeof four));
  if (inet_pton(AF_INET6, host, &six.sin6_addr) == 1) return small(env, bound((const struct sockaddr *)&six, sizeof six));
  return small(env, -EINVAL);
#else
  (void)info;
  return small(env, -ENOSYS);
#endif
}

/* portOf(fd): of a socket that listens. */
static napi_value port_of(napi_env env, napi_callback_info info) {
#ifdef __linux__
  napi_value values[ARGUMENTS];
  struct sockaddr_storage address;
  socklen_t length = sizeof address;
  arguments(env, info, values);
  if (getsockname(integer(env, values[0]), (struct sockaddr *)&address, &length) != 0) return small(env, -errno);
  if (address.ss_family == AF_INET) return small(env, ntohs(((struct sockaddr_in *)&address)->sin_port));
  if (address.ss_family == AF_INET6) return small(env, ntohs(((struct sockaddr_in6 *)&address)->sin6_port));
  return small(env, -EINVAL);
#else
  (void)info;
  return small(env, -ENOSYS);
#endif
}

/* sendDatagram(path, text): to the socket of that name, an abstract one where it begins with "@" (unix(7)); never waits. */
static napi_value send_datagram(napi_env env, napi_callback_info info) {
#ifdef __linux__
  napi_value values[ARGUMENTS];
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  char path[sizeof address.sun_path + 4], said[1024];
  arguments(env, info, values);
  if (!text(env, values[0], path, sizeof path) || !text(env, values[1], said, sizeof said)) return small(env, -ENAMETOOLONG);
  size_t length = strlen(path);
  if (length == 0 || length >= sizeof address.sun_path) return small(env, -ENAMETOOLONG);
  memcpy(address.sun_path, path, length);
  if (path[0] == '@') address.sun_path[0] = '\0';
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return small(env, -errno);
  ssize_t sent = sendto(fd, said, strlen(said), MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)&address,
                        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
  int error = sent < 0 ? errno : 0;
  close(fd);
  return small(env, -error);
#else
  (void)info;
  return small(env, -ENOSYS);
#endif
}

const struct function unix_functions[] = {
    {"sendDatagram", send_datagram},
    {"listenTcp", listen_tcp},
    {"portOf", port_of},
    {"connectUnix", connect_unix},
    {"sendDescriptor", send_descriptor},
    {"receiveDescriptor", receive_descriptor},
    {"openFacts", open_facts},
    {"closeDetached", close_one_detached},
    {"mountsChanged", mounts_changed},
    {"seclude", seclude},
};
const size_t unix_function_count = sizeof unix_functions / sizeof *unix_functions;
