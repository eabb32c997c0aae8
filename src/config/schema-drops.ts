import { z } from 'zod'
import { readTokenHash } from '../auth/token-hash.js'
import { isMailbox } from '../mail/mail.js'
import { defaultLimit } from '../protocol/drop/counted.js'
import { defaultNamePattern, namePatternProblem } from '../protocol/drop/names.js'
import { bytes, flag, listOf, objectOf, text } from './schema-parts.js'
import { folder } from './schema-stores.js'
import { tokenHash } from './token-hash.js'

/** The canonical path; what is none is another's complaint. */
function plainPath(value: string): string {
  return `/${value
    .split('/')
    .filter((part) => part !== '')
    .join('/')}`
}

function isOwn(value: string): boolean {
  return /^\/-(?:\/|$)/.test(plainPath(value))
}

const dropPath = folder.refine(
  (value) => plainPath(value) !== '/' && !isOwn(value),
  'must be a path of its own, such as /v1/drop; / and what is below /-/ are taken',
)

/** A folder that a grant can name: what means something in a pattern would let a sender write elsewhere. */
const target = folder
  .refine((value) => !/[*?[\]{}\\]/.test(value), 'must not have any of * ? [ ] { } \\ in it')
  .refine((value) => !isOwn(value), 'must not lie below /-/')

const mediaType = text.regex(
  /^[a-z0-9][a-z0-9!#$&^_.+-]*\/(?:\*|[a-z0-9][a-z0-9!#$&^_.+-]*)$/,
  'must be a media type in lower case, such as application/json or image/*',
)

const namePattern = text.superRefine((value, context) => {
  const problem = namePatternProblem(value)
  if (problem !== undefined) context.addIssue({ code: 'custom', message: problem })
})

/** Of PutObject. */
const largestPut = 5 * 2 ** 30

const token = objectOf({
  name: text.regex(/^[A-Za-z0-9._-]{1,64}$/, 'must be of letters, digits and . _ -'),
  sha256: z.preprocess(
    (value) => (typeof value === 'string' ? [value] : value),
    listOf(tokenHash).min(1, 'must not be empty').max(10, 'must not be more than 10'),
  ),
  limit: bytes.optional(),
  to: target.optional(),
  types: listOf(mediaType).optional(),
})

/** However they are written; one that is none is another's complaint. */
function hasOnce(hashes: readonly string[]): boolean {
  const known = hashes.flatMap((text) => readTokenHash(text) ?? []).map((bytes) => Buffer.from(bytes).toString('hex'))
  return new Set(known).size === known.length
}

/** Says that no CDN is in front. */
export const cdnOff = z.union([z.literal('off'), z.literal(false)], { error: 'must be off, or not there' })

const notify = objectOf({
  mail: listOf(text.refine(isMailbox, 'must be like name@example.org')).default([]),
  webhook: text.optional(),
}).refine(({ mail, webhook }) => mail.length > 0 || webhook !== undefined, 'needs mail or webhook')

/** Paths at which anything can be left, and nothing be seen. */
export const drops = listOf(
  objectOf({
    path: dropPath,
    to: target,
    limit: bytes.default(defaultLimit),
    types: listOf(mediaType).default([]),
    large: bytes
      .refine((value) => value <= largestPut, 'must not be more than 5G: S3 takes no more at once')
      .optional(),
    name: namePattern.default(defaultNamePattern),
    tokens: listOf(token)
      .refine((all) => new Set(all.map(({ name }) => name)).size === all.length, 'must have different names')
      .refine((all) => hasOnce(all.flatMap(({ sha256 }) => sha256)), 'must not have one hash twice')
      .default([]),
    public: flag.default(false),
    page: flag.default(false),
    notify: notify.optional(),
    cdn: cdnOff.optional(),
  }),
)
  .refine((all) => new Set(all.map(({ path }) => plainPath(path))).size === all.length, 'must have different paths')
  .default([])

export type DropSettings = z.output<typeof drops>[number]
