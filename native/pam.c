/*
 * Logins by PAM and the accounts of this system. Everything here may block, fork or crash, for modules of others run
 * inside: it is called in a process of its own (src/auth/pam/serve-pam.ts), never in a server. libpam is opened when it is
 * needed, so that neither its headers nor the library have to be there; what is declared here is that of Linux-PAM.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include "addon.h"
#ifdef __linux__
#include <dlfcn.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <shadow.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define TEXT_BYTES 520
/* PAM_MAX_RESP_SIZE, the end included: a longer answer is none. */
#define PASSWORD_BYTES 512
#define MESSAGES 32
#define MANY_GROUPS 65536
/* Beside the codes of PAM: they came from the account step, or a module has asked for something else than a password. */
#define BY_ACCOUNT 256
#define ASKED_MORE 512

enum { SUCCESS = 0, SYSTEM_ERR = 4, BUF_ERR = 5, CONV_ERR = 19 };
enum { ITEM_USER = 2, ITEM_TTY = 3, ITEM_RHOST = 4, ITEM_FAIL_DELAY = 10 };
enum { PROMPT_ECHO_OFF = 1, ERROR_MSG = 3, TEXT_INFO = 4 };
enum { DISALLOW_NULL_AUTHTOK = 0x0001, SILENT = 0x8000 };

struct pam_message {
  int style;
  const char *text;
};

struct pam_response {
  char *text;
  int code;
};

struct pam_conversation {
  int (*talk)(int, const struct pam_message **, struct pam_response **, void *);
  void *data;
};

static struct {
  void *library;
  int (*start)(const char *, const char *, const struct pam_conversation *, void **);
  int (*set_item)(void *, int, const void *);
  int (*get_item)(const void *, int, const void **);
  int (*authenticate)(void *, int);
  int (*acct_mgmt)(void *, int);
  int (*end)(void *, int);
} pam;

static bool load(void) {
  if (pam.library != NULL) return true;
  /* Global, for modules that were linked without naming it. */
  void *library = dlopen("libpam.so.0", RTLD_NOW | RTLD_GLOBAL);
  if (library == NULL) return false;
  *(void **)&pam.start = dlsym(library, "pam_start");
  *(void **)&pam.set_item = dlsym(library, "pam_set_item");
  *(void **)&pam.get_item = dlsym(library, "pam_get_item");
  *(void **)&pam.authenticate = dlsym(library, "pam_authenticate");
  *(void **)&pam.acct_mgmt = dlsym(library, "pam_acct_mgmt");
  *(void **)&pam.end = dlsym(library, "pam_end");
  if (pam.start == NULL || pam.set_item == NULL || pam.get_item == NULL || pam.authenticate == NULL ||
      pam.acct_mgmt == NULL || pam.end == NULL) {
    dlclose(library);
    return false;
  }
  pam.library = library;
  return true;
}

struct talk {
  const char *password;
  bool answered, asked_more;
};

static void forget(struct pam_response *replies, int count) {
  for (int i = 0; i < count; i++)
    if (replies[i].text != NULL) {
      explicit_bzero(replies[i].text, strlen(replies[i].text));
      free(replies[i].text);
    }
  free(replies);
}

/*
 * Says the password once, to the first prompt that hides what is typed. Any other prompt (a code, a new password for one
 * that is too old, a name) ends the conversation: there is nobody who could answer.
 */
static int converse(int count, const struct pam_message **messages, struct pam_response **responses, void *data) {
  struct talk *talk = data;
  if (count < 1 || count > MESSAGES) return CONV_ERR;
  struct pam_response *replies = calloc((size_t)count, sizeof *replies);
  if (replies == NULL) return BUF_ERR;
  for (int i = 0; i < count; i++) {
    int style = messages[i]->style;
    if (style == ERROR_MSG || style == TEXT_INFO) continue;
    if (style != PROMPT_ECHO_OFF || talk->answered) {
      talk->asked_more = true;
      forget(replies, count);
      return CONV_ERR;
    }
    talk->answered = true;
    replies[i].text = strdup(talk->password);
    if (replies[i].text == NULL) {
      forget(replies, count);
      return BUF_ERR;
    }
  }
  *responses = replies;
  return SUCCESS;
}

/* In place of a sleep after a failure: whoever asks this process keeps the pace. */
static void no_delay(int result, unsigned microseconds, void *data) {
  (void)result;
  (void)microseconds;
  (void)data;
}

/* 0 and the name that PAM has for the user, or what it said. */
static int login(const char *service, const char *user, const char *address, struct talk *talk, char *name) {
  const struct pam_conversation conversation = {converse, talk};
  void (*delay)(int, unsigned, void *) = no_delay;
  void *handle = NULL;
  const void *known = NULL;
  int stage = 0;
  int code = pam.start(service, user, &conversation, &handle);
  if (code != SUCCESS) return code;
  code = pam.set_item(handle, ITEM_FAIL_DELAY, *(void **)&delay);
  if (code == SUCCESS) code = pam.set_item(handle, ITEM_TTY, "postern");
  if (code == SUCCESS && address[0] != 0) code = pam.set_item(handle, ITEM_RHOST, address);
  if (code == SUCCESS) code = pam.authenticate(handle, SILENT | DISALLOW_NULL_AUTHTOK);
  if (code == SUCCESS) {
    stage = BY_ACCOUNT;
    code = pam.acct_mgmt(handle, SILENT | DISALLOW_NULL_AUTHTOK);
  }
  if (code == SUCCESS) {
    code = pam.get_item(handle, ITEM_USER, &known);
    if (code == SUCCESS && (known == NULL || strlen(known) >= TEXT_BYTES)) code = SYSTEM_ERR;
    if (code == SUCCESS) strcpy(name, known);
  }
  pam.end(handle, code);
  if (code == SUCCESS) return SUCCESS;
  return code | stage | (talk->asked_more ? ASKED_MORE : 0);
}
#endif

/* pamLoad(): 0, or -ENOSYS where there is no PAM. */
static napi_value pam_load(napi_env env, napi_callback_info info) {
  (void)info;
#ifdef __linux__
  return small(env, load() ? 0 : -ENOSYS);
#else
  return small(env, -ENOSYS);
#endif
}

/*
 * pamLogin(service, user, password, address): the name that PAM has for the user, or the code of PAM, with BY_ACCOUNT and
 * ASKED_MORE. The password is a Uint8Array, and zero afterwards.
 */
static napi_value pam_login(napi_env env, napi_callback_info info) {
#ifdef __linux__
  napi_value values[ARGUMENTS];
  char service[TEXT_BYTES], user[TEXT_BYTES], address[TEXT_BYTES], name[TEXT_BYTES];
  napi_typedarray_type type;
  size_t length = 0;
  void *given = NULL;
  arguments(env, info, values);
  if (!load()) return small(env, -ENOSYS);
  if (!text(env, values[0], service, sizeof service) || !text(env, values[1], user, sizeof user) ||
      !text(env, values[3], address, sizeof address))
    return small(env, -EINVAL);
  if (napi_get_typedarray_info(env, values[2], &type, &length, &given, NULL, NULL) != napi_ok ||
      type != napi_uint8_array || length >= PASSWORD_BYTES || memchr(given, 0, length) != NULL)
    return small(env, -EINVAL);
  static char password[PASSWORD_BYTES];
  mlock(password, sizeof password);
  memcpy(password, given, length);
  password[length] = 0;
  explicit_bzero(given, length);
  struct talk talk = {.password = password};
  int code = login(service, user, address, &talk, name);
  explicit_bzero(password, sizeof password);
  if (code != SUCCESS) return small(env, code);
  napi_value result;
  return napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &result) == napi_ok ? result : small(env, SYSTEM_ERR);
#else
  (void)info;
  return small(env, -ENOSYS);
#endif
}

#ifdef __linux__
static void set(napi_env env, napi_value object, const char *key, napi_value value) {
  napi_set_named_property(env, object, key, value);
}

static napi_value string(napi_env env, const char *value) {
  napi_value result;
  if (napi_create_string_utf8(env, value, NAPI_AUTO_LENGTH, &result) != napi_ok)
    napi_create_string_utf8(env, "", 0, &result);
  return result;
}

static napi_value unsigned_number(napi_env env, uint32_t value) {
  napi_value result;
  napi_create_uint32(env, value, &result);
  return result;
}

static napi_value truth_of(napi_env env, bool value) {
  napi_value result;
  napi_get_boolean(env, value, &result);
  return result;
}

/*
 * The names of all groups of a user, a number where a group has no name, and the numbers of all. Negative errno in `error`
 * where they cannot be had.
 */
static napi_value groups_of(napi_env env, const char *user, gid_t first, napi_value *ids, int *error) {
  int room = 64, count = room;
  gid_t *groups = NULL;
  for (;;) {
    gid_t *grown = realloc(groups, (size_t)room * sizeof *groups);
    if (grown == NULL) break;
    groups = grown;
    count = room;
    if (getgrouplist(user, first, groups, &count) >= 0) break;
    room = count > room ? count : room * 2;
    if (room > MANY_GROUPS) break;
  }
  napi_value names = NULL;
  if (groups == NULL || room > MANY_GROUPS || napi_create_array(env, &names) != napi_ok ||
      napi_create_array(env, ids) != napi_ok) {
    free(groups);
    *error = -ENOMEM;
    return NULL;
  }
  for (int i = 0; i < count; i++) {
    char number[16];
    const struct group *group = getgrgid(groups[i]);
    snprintf(number, sizeof number, "%u", (unsigned)groups[i]);
    napi_set_element(env, names, (uint32_t)i, string(env, group == NULL ? number : group->gr_name));
    napi_set_element(env, *ids, (uint32_t)i, unsigned_number(env, groups[i]));
  }
  free(groups);
  return names;
}

/* Whatever changes when the account does, the hash of the password among it, in bytes that the caller wipes. */
static napi_value state_of(napi_env env, const struct passwd *user, const struct spwd *shadow) {
  char *all = NULL;
  napi_value state = NULL;
  int length = asprintf(&all, "%s:%s:%u:%u:%s:%s", user->pw_name, user->pw_passwd, (unsigned)user->pw_uid,
                        (unsigned)user->pw_gid, user->pw_dir, user->pw_shell);
  if (length < 0) return NULL;
  if (shadow != NULL) {
    char *more = NULL;
    int longer = asprintf(&more, "%s\n%s:%ld:%ld:%ld:%ld:%ld", all, shadow->sp_pwdp, shadow->sp_lstchg, shadow->sp_min,
                          shadow->sp_max, shadow->sp_inact, shadow->sp_expire);
    free(all);
    if (longer < 0) return NULL;
    all = more;
    length = longer;
  }
  if (napi_create_buffer_copy(env, (size_t)length, all, NULL, &state) != napi_ok) state = NULL;
  explicit_bzero(all, (size_t)length);
  free(all);
  return state;
}
#endif

/*
 * account(name): undefined where the system has none; a negative errno where that cannot be found out; else { name, uid,
 * gid, groups, groupIds, home, state, locked, expired, passwordExpired }. The last three are false where the shadow entry
 * may not be read.
 */
static napi_value account(napi_env env, napi_callback_info info) {
#ifdef __linux__
  napi_value values[ARGUMENTS];
  char name[TEXT_BYTES];
  napi_value result;
  arguments(env, info, values);
  napi_get_undefined(env, &result);
  if (!text(env, values[0], name, sizeof name)) return result;
  errno = 0;
  const struct passwd *user = getpwnam(name);
  /* Which of these means "no such name" depends on the service that was asked (getpwnam(3)). */
  if (user == NULL && (errno == 0 || errno == ENOENT || errno == ESRCH || errno == EBADF || errno == EPERM)) return result;
  if (user == NULL) return small(env, -errno);
  const struct spwd *shadow = getspnam(user->pw_name);
  long today = (long)(time(NULL) / 86400);
  const char *hash = shadow != NULL ? shadow->sp_pwdp : user->pw_passwd;
  bool expired = shadow != NULL && shadow->sp_expire != -1 && today >= shadow->sp_expire;
  bool dated = shadow != NULL && shadow->sp_lstchg != -1;
  bool old = dated && (shadow->sp_lstchg == 0 || (shadow->sp_max != -1 && today > shadow->sp_lstchg + shadow->sp_max));
  napi_value state = state_of(env, user, shadow);
  int error = 0;
  napi_value ids = NULL;
  napi_value groups = groups_of(env, user->pw_name, user->pw_gid, &ids, &error);
  if (state == NULL || groups == NULL) return small(env, error == 0 ? -ENOMEM : error);
  napi_create_object(env, &result);
  set(env, result, "name", string(env, user->pw_name));
  set(env, result, "uid", unsigned_number(env, user->pw_uid));
  set(env, result, "gid", unsigned_number(env, user->pw_gid));
  set(env, result, "groups", groups);
  set(env, result, "groupIds", ids);
  set(env, result, "home", string(env, user->pw_dir == NULL ? "" : user->pw_dir));
  set(env, result, "state", state);
  set(env, result, "locked", truth_of(env, hash != NULL && hash[0] == '!'));
  set(env, result, "expired", truth_of(env, expired));
  set(env, result, "passwordExpired", truth_of(env, old));
  return result;
#else
  (void)info;
  return small(env, -ENOSYS);
#endif
}

/* setBlocking(fd): whoever reads from it waits from now on, in every process that has it. */
static napi_value set_blocking(napi_env env, napi_callback_info info) {
#ifdef __linux__
  napi_value values[ARGUMENTS];
  int32_t fd = -1;
  arguments(env, info, values);
  napi_get_value_int32(env, values[0], &fd);
  int flags = fcntl(fd, F_GETFL);
  return small(env, flags == -1 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) != 0 ? -errno : 0);
#else
  (void)info;
  return small(env, -ENOSYS);
#endif
}

const struct function pam_functions[] = {
    {"pamLoad", pam_load},
    {"pamLogin", pam_login},
    {"account", account},
    {"setBlocking", set_blocking},
};
const size_t pam_function_count = sizeof pam_functions / sizeof *pam_functions;
