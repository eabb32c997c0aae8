/* What the parts of the addon share. Functions give a number, a negative one being an errno, where nothing else is said. */
#ifndef POSTERN_ADDON_H
#define POSTERN_ADDON_H
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#define NAPI_VERSION 8
#include <node_api.h>

#define ARGUMENTS 8

struct function {
  const char *name;
  napi_callback call;
};

/* native/pam.c */
extern const struct function pam_functions[];
extern const size_t pam_function_count;

/* native/unix.c */
extern const struct function unix_functions[];
extern const size_t unix_function_count;

static inline napi_value small(napi_env env, int value) {
  napi_value result;
  napi_create_int32(env, value, &result);
  return result;
}

static inline void arguments(napi_env env, napi_callback_info info, napi_value *values) {
  size_t count = ARGUMENTS;
  napi_get_cb_info(env, info, &count, values, NULL, NULL);
}

/* A string without NUL that fits, else false: a name cut short would be another name. */
static inline bool text(napi_env env, napi_value value, char *buffer, size_t size) {
  size_t length = 0;
  if (napi_get_value_string_utf8(env, value, buffer, size, &length) != napi_ok) return false;
  return length < size - 4 && strlen(buffer) == length;
}

#endif
