import { z } from 'zod'
import { bytes, listOf, objectOf, text, whole } from './schema-parts.js'

/** A name of the system's own. */
export const unixName = text.regex(
  /^[A-Za-z_][A-Za-z0-9_.-]{0,31}$/,
  'must be the name of a Unix user or group, such as postern',
)
const highestId = 4_294_967_294

/** Whose Unix user callers act as, in settings of sources: a name, or `{user}` for the caller's own. */
export const actsAs = text.regex(
  /^(?:\{user\}|[A-Za-z_][A-Za-z0-9_.-]{0,31})$/,
  'must be the name of a Unix user, or {user} for the name of the caller',
)

const group = objectOf({
  user: unixName.optional(),
  authUser: unixName.optional(),
  records: text.optional(),
  runtime: text.optional(),
  minimumUid: whole(1, highestId).default(1000),
  maximumUid: whole(1, highestId).default(60_000),
  allowedGroups: listOf(unixName).default([]),
  umask: text.regex(/^0?[0-7]{3}$/, 'must be like "002", in quotes').default('022'),
  ticketSeconds: whole(60, 86_400).default(900),
  workers: objectOf({
    max: whole(1, 10_000).default(64),
    idleSeconds: whole(1, 86_400).default(300),
    memory: bytes.default(512 * 1024 * 1024),
  }).prefault({}),
})

/** `true` stands for a group without any key, `false` for none. */
export const privsep = z
  .preprocess((value) => (value === true ? {} : value === false ? undefined : value), group.optional())
  .optional()
