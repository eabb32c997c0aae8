import { z } from 'zod'
import { toPath } from '../core/path.js'
import { isOwnPath } from '../core/path.js'
import { defaultLimit } from '../protocol/drop/counted.js'
import { defaultNamePattern, namePatternProblem } from '../protocol/drop/names.js'
import { bytes, flag, listOf, objectOf, text } from './schema-parts.js'
import { folder } from './schema-stores.js'
import { tokenHash } from './token-hash.js'

const dropPath = folder.refine(
  (value) => value !== '/' && !isOwnPath(toPath(value)),
  'must be a path of its own, such as /v1/drop; / and what is below /-/ are taken',
)

/** A folder that a grant can name: what means something in a pattern would let a sender write elsewhere. */
const target = folder.refine((value) => !/[*?[\]{}\\]/.test(value), 'must not have any of * ? [ ] { } \\ in it')

const mediaType = text.regex(
  /^[a-z0-9][a-z0-9!#$&^_.+-]*\/(?:\*|[a-z0-9][a-z0-9!#$&^_.+-]*)$/,
  'must be a media type in lower case, such as application/json or image/*',
)

const namePattern = text.superRefine((value, context) => {
  const problem = namePatternProblem(value)
  if (problem !== undefined) context.addIssue({ code: 'custom', message: problem })
})

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

/** Says that no CDN is in front. */
export const cdnOff = z.union([z.literal('off'), z.literal(false)], { error: 'must be off, or not there' })

/** Paths at which anything can be left, and nothing be seen. */
export const drops = listOf(
  objectOf({
    path: dropPath,
    to: target,
    limit: bytes.default(defaultLimit),
    types: listOf(mediaType).default([]),
    name: namePattern.default(defaultNamePattern),
    tokens: listOf(token)
      .refine((all) => new Set(all.map(({ name }) => name)).size === all.length, 'must have different names')
      .default([]),
    public: flag.default(false),
    cdn: cdnOff.optional(),
  }),
)
  .refine((all) => new Set(all.map(({ path }) => toPath(path))).size === all.length, 'must have different paths')
  .default([])

export type DropSettings = z.output<typeof drops>[number]
