// Sends one short sequence of requests ("cycle") over and over on a few kept-open connections to 127.0.0.1, and says as
// one line of JSON what came back and how long it took.
//
//   requests PORT CONNECTIONS CYCLES SECONDS GAP SCRIPT [each]
//
// It ends after CYCLES cycles or SECONDS seconds, or at SIGTERM; running cycles end first. GAP microseconds lie between
// two cycles (for one connection only). SCRIPT holds the requests of the cycle, each as a line "HEAD BODY FROM FILE\n" with
// two lengths in bytes, then the head, then the body; a FILE other than "-" is sent from byte FROM as the body instead. In a
// head {n} stands for the number of the cycle, {f} for the number of the connection's own file (it takes another one after
// a broken cycle), {t} for the last lock token that this connection was given.
//
// With "each" a cycle is one request: the first of SCRIPT, then the second, after the last the first again. So requests can
// be sent that were signed one by one beforehand.
//
// A cycle is broken when one of its answers is not 2xx. Bodies of answers are counted, not read.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <time.h>
#include <unistd.h>

enum { head_room = 16384, token_room = 512, drain_room = 1 << 20, silence = 120 };

typedef struct {
  long statuses[600];
  unsigned *micros;
  size_t answers, room;
} tally;

typedef struct {
  const char *head, *body;
  size_t head_length, body_length;
  int file; // -1: none
  off_t from;
} step;

typedef enum { in_head, in_length, in_chunk_size, in_chunk, in_chunk_end, in_trailer } phase;

typedef struct {
  int fd;
  int step;
  long cycle, own;
  bool active, broken, blocked;
  char out[head_room + 1];
  size_t out_length, out_sent, body_sent;
  double sent_at;
  phase phase;
  char in[head_room + 1]; // a head, a chunk's size or a trailer line, as far as it has come
  size_t in_length;
  unsigned long long left;
  bool closes;
  int status;
  char token[token_room];
} connection;

static step *steps;
static tally *tallies; // one for each step, or one for all
static int step_count, tally_count, poller, port;
static bool each;
static connection *connections;
static int connection_count;
static long cycles_wanted, cycles_begun, cycles_done, cycles_broken, lost;
static unsigned long long bytes;
static double begun, deadline, last_done;
static useconds_t gap;
static volatile sig_atomic_t told_to_stop;
static char drain[drain_room];

static void die(const char *what) {
  fprintf(stderr, "requests: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
  exit(1);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void stop(int signal) {
  (void)signal;
  told_to_stop = 1;
}

static void read_script(const char *name) {
  FILE *f = fopen(name, "rb");
  if (!f) die(name);
  char file[4096];
  size_t head, body;
  long from;
  while (fscanf(f, "%zu %zu %ld %4095[^\n]", &head, &body, &from, file) == 4) {
    if (fgetc(f) != '\n') die("bad script");
    if ((step_count & (step_count - 1)) == 0) steps = realloc(steps, (step_count ? step_count * 2u : 1) * sizeof *steps);
    if (!steps) die("out of memory");
    step *s = &steps[step_count++];
    char *text = malloc(head + body + 1);
    bool from_file = strcmp(file, "-") != 0;
    size_t inlined = head + (from_file ? 0 : body);
    if (!text || fread(text, 1, inlined, f) != inlined) die("short script");
    *s = (step){.head = text, .body = text + head, .head_length = head, .body_length = body, .file = -1, .from = from};
    if (from_file && (s->file = open(file, O_RDONLY)) < 0) die(file);
  }
  fclose(f);
  if (!step_count) die("empty script");
  tally_count = each ? 1 : step_count;
  if (!(tallies = calloc((size_t)tally_count, sizeof *tallies))) die("out of memory");
}

static void watch(connection *c, int operation, unsigned events) {
  struct epoll_event event = {.events = events, .data.ptr = c};
  if (epoll_ctl(poller, operation, c->fd, &event) < 0) die("epoll_ctl");
}

static void await_room(connection *c, bool blocked) {
  if (blocked != c->blocked) watch(c, EPOLL_CTL_MOD, blocked ? EPOLLIN | EPOLLOUT : EPOLLIN);
  c->blocked = blocked;
}

static void open_connection(connection *c) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0) die("cannot connect");
  int on = 1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  fcntl(c->fd, F_SETFL, O_NONBLOCK);
  c->blocked = false;
  watch(c, EPOLL_CTL_ADD, EPOLLIN);
}

static void put(connection *c, const char *text, size_t length) {
  if (c->out_length + length > head_room) die("request head too long");
  memcpy(c->out + c->out_length, text, length);
  c->out_length += length;
}

static void expand(connection *c, const step *s) {
  c->out_length = c->out_sent = c->body_sent = 0;
  const char *p = s->head, *end = s->head + s->head_length;
  while (p < end) {
    const char *brace = memchr(p, '{', (size_t)(end - p));
    if (!brace || end - brace < 3 || brace[2] != '}') brace = end;
    put(c, p, (size_t)(brace - p));
    if (brace == end) break;
    char number[32];
    if (brace[1] == 't') put(c, c->token, strlen(c->token));
    else put(c, number, (size_t)sprintf(number, "%ld", brace[1] == 'n' ? c->cycle : c->own));
    p = brace + 3;
  }
}

static void push(connection *c) {
  const step *s = &steps[c->step];
  while (c->out_sent < c->out_length) {
    int more = s->body_length ? MSG_MORE : 0;
    ssize_t n = send(c->fd, c->out + c->out_sent, c->out_length - c->out_sent, MSG_NOSIGNAL | more);
    if (n < 0) goto blocked;
    c->out_sent += (size_t)n;
  }
  while (c->body_sent < s->body_length) {
    off_t at = s->from + (off_t)c->body_sent;
    size_t left = s->body_length - c->body_sent;
    ssize_t n = s->file >= 0 ? sendfile(c->fd, s->file, &at, left)
                             : send(c->fd, s->body + c->body_sent, left, MSG_NOSIGNAL);
    if (n < 0) goto blocked;
    if (n == 0) die("the file to send has become shorter");
    c->body_sent += (size_t)n;
  }
  await_room(c, false);
  return;
blocked:
  // Anything but a full buffer shows as an end of the connection when it is read.
  await_room(c, errno == EAGAIN);
}

static void send_step(connection *c) {
  expand(c, &steps[c->step]);
  c->phase = in_head;
  c->in_length = 0;
  c->sent_at = now();
  push(c);
}

static bool may_begin(void) {
  return !told_to_stop && cycles_begun < cycles_wanted && now() < deadline;
}

static void begin_cycle(connection *c) {
  c->active = may_begin();
  if (!c->active) return;
  if (gap && cycles_begun) usleep(gap);
  c->cycle = cycles_begun++;
  c->step = each ? (int)(c->cycle % step_count) : 0;
  c->broken = false;
  send_step(c);
}

static void end_cycle(connection *c) {
  last_done = now();
  cycles_done++;
  if (c->broken) {
    cycles_broken++;
    c->own += connection_count;
  }
  begin_cycle(c);
}

static void note_latency(tally *s, double seconds) {
  if (s->answers == s->room) {
    s->room = s->room ? s->room * 2 : 4096;
    s->micros = realloc(s->micros, s->room * sizeof *s->micros);
    if (!s->micros) die("out of memory");
  }
  s->micros[s->answers++] = (unsigned)(seconds * 1e6);
}

static void end_answer(connection *c) {
  tally *t = &tallies[each ? 0 : c->step];
  note_latency(t, now() - c->sent_at);
  t->statuses[c->status]++;
  bool good = c->status / 100 == 2;
  if (!good) c->broken = true;
  if (c->closes || c->body_sent < steps[c->step].body_length) {
    close(c->fd);
    open_connection(c);
  }
  // Without a lock there is nothing to go on with; after any other trouble the lock is still given back.
  if (each || (!good && c->step == 0)) return end_cycle(c);
  if (++c->step == step_count) return end_cycle(c);
  send_step(c);
}

static void lose(connection *c) {
  lost++;
  c->broken = true;
  close(c->fd);
  open_connection(c);
  end_cycle(c);
}

static const char *field(const char *head, const char *name) {
  size_t length = strlen(name);
  for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
    if (strncasecmp(line + 2, name, length) || line[2 + length] != ':') continue;
    const char *value = line + 3 + length;
    return value + strspn(value, " \t");
  }
  return NULL;
}

// Understands a whole head; the answer goes on with its body, or is over.
static void take_head(connection *c) {
  if (sscanf(c->in, "HTTP/1.%*1[01] %d", &c->status) != 1 || c->status < 100 || c->status > 599) die("not HTTP/1");
  if (c->status < 200) return; // an interim answer: the real one follows
  const char *token = field(c->in, "Lock-Token"), *length = field(c->in, "Content-Length");
  const char *coding = field(c->in, "Transfer-Encoding"), *keep = field(c->in, "Connection");
  if (token) {
    size_t n = strcspn(token, "\r\n");
    if (n >= token_room) die("lock token too long");
    memcpy(c->token, token, n);
    c->token[n] = 0;
  }
  c->closes = keep && !strncasecmp(keep, "close", 5);
  if (coding && !strncasecmp(coding, "chunked", 7)) c->phase = in_chunk_size;
  else if (c->status == 204 || c->status == 304) end_answer(c);
  else if (!length) die("an answer without a length");
  else if ((c->left = strtoull(length, NULL, 10)) == 0) end_answer(c);
  else c->phase = in_length;
}

// Takes one byte of what comes in lines. False once the answer is over: what follows belongs to nobody.
static bool take_line_byte(connection *c, char byte) {
  if (c->in_length == head_room) die("answer head too long");
  c->in[c->in_length++] = byte;
  if (byte != '\n') return true;
  c->in[c->in_length] = 0;
  if (c->phase == in_head) {
    if (c->in_length < 4 || memcmp(c->in + c->in_length - 4, "\r\n\r\n", 4)) return true;
    c->in_length = 0;
    take_head(c);
    return c->phase != in_head || c->status < 200;
  }
  size_t length = c->in_length;
  c->in_length = 0;
  if (c->phase == in_chunk_size) {
    c->left = strtoull(c->in, NULL, 16);
    c->phase = c->left ? in_chunk : in_trailer;
  } else if (c->phase == in_chunk_end) {
    c->phase = in_chunk_size;
  } else if (length == 2) {
    end_answer(c);
    return false;
  }
  return true;
}

static void skip_body(connection *c, unsigned long long count) {
  bytes += count;
  c->left -= count;
  if (c->left) return;
  if (c->phase == in_chunk) c->phase = in_chunk_end;
  else end_answer(c);
}

static void pull(connection *c) {
  // A long body is thrown away by the kernel, uncopied.
  if ((c->phase == in_length || c->phase == in_chunk) && c->left >= 65536) {
    ssize_t n = recv(c->fd, drain, c->left < drain_room ? (size_t)c->left : drain_room, MSG_TRUNC);
    if (n > 0) return skip_body(c, (unsigned long long)n);
    if (n < 0 && errno == EAGAIN) return;
    return lose(c);
  }
  ssize_t n = recv(c->fd, drain, 65536, 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) return c->active ? lose(c) : (void)epoll_ctl(poller, EPOLL_CTL_DEL, c->fd, NULL);
  for (ssize_t at = 0; at < n;) {
    if (c->phase == in_length || c->phase == in_chunk) {
      unsigned long long take = (unsigned long long)(n - at);
      if (take > c->left) take = c->left;
      at += (ssize_t)take;
      bool ends = c->phase == in_length && take == c->left;
      skip_body(c, take);
      if (ends) break;
    } else if (!take_line_byte(c, drain[at++])) {
      break;
    }
  }
}

static int by_size(const void *a, const void *b) {
  unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
  return (x > y) - (x < y);
}

static void report(void) {
  double seconds = last_done - begun;
  printf("{\"cycles\":%ld,\"broken\":%ld,\"lost\":%ld,\"bytes\":%llu,\"seconds\":%.6f,\"rate\":%.3f,\"steps\":[", cycles_done,
         cycles_broken, lost, bytes, seconds, seconds > 0 ? (double)cycles_done / seconds : 0);
  for (int i = 0; i < tally_count; i++) {
    tally *s = &tallies[i];
    if (s->answers) qsort(s->micros, s->answers, sizeof *s->micros, by_size);
    printf("%s{\"statuses\":{", i ? "," : "");
    bool first = true;
    for (int status = 100; status < 600; status++) {
      if (!s->statuses[status]) continue;
      printf("%s\"%d\":%ld", first ? "" : ",", status, s->statuses[status]);
      first = false;
    }
    double p50 = s->answers ? s->micros[s->answers / 2] : 0, most = s->answers ? s->micros[s->answers - 1] : 0;
    double p99 = s->answers ? s->micros[s->answers * 99 / 100] : 0;
    printf("},\"p50\":%.3f,\"p99\":%.3f,\"max\":%.3f}", p50 / 1e3, p99 / 1e3, most / 1e3);
  }
  printf("]}\n");
}

int main(int count, char **arguments) {
  each = count == 8 && !strcmp(arguments[7], "each");
  if (count != 7 && !each) die("usage: requests PORT CONNECTIONS CYCLES SECONDS GAP SCRIPT [each]");
  signal(SIGTERM, stop);
  port = atoi(arguments[1]);
  connection_count = atoi(arguments[2]);
  cycles_wanted = atol(arguments[3]);
  gap = (useconds_t)atoi(arguments[5]);
  read_script(arguments[6]);
  connections = calloc((size_t)connection_count, sizeof *connections);
  poller = epoll_create1(EPOLL_CLOEXEC);
  if (!connections || poller < 0) die("cannot begin");
  for (int i = 0; i < connection_count; i++) {
    connections[i].own = i;
    open_connection(&connections[i]);
  }
  begun = last_done = now();
  deadline = begun + atof(arguments[4]);
  for (int i = 0; i < connection_count; i++) begin_cycle(&connections[i]);
  while (cycles_done < cycles_begun) {
    struct epoll_event events[64];
    int n = epoll_wait(poller, events, 64, silence * 1000);
    if (n < 0 && errno == EINTR) continue;
    errno = 0;
    if (n <= 0) die("no answer for two minutes");
    for (int i = 0; i < n; i++) {
      connection *c = events[i].data.ptr;
      if (events[i].events & EPOLLOUT) push(c);
      else pull(c);
    }
  }
  report();
  return 0;
}
