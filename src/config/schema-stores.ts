import { z } from 'zod'
import { Failure } from '../core/failure.js'
import { toPath } from '../core/path.js'
import { bytes, flag, listOf, objectOf, oneOf, text, whole } from './schema-parts.js'

/** A decoded path in the tree, such as `/archive`. */
export const folder = text.superRefine((value, context) => {
  try {
    toPath(value)
  } catch (error) {
    context.addIssue({ code: 'custom', message: error instanceof Failure ? error.message : 'must be a path' })
  }
})

const mount = objectOf({
  path: folder,
  local: text.optional(),
  s3: text.optional(),
  readOnly: flag.default(false),
  maxFileBytes: bytes.optional(),
  durability: oneOf('full', 'fast').optional(),
  symlinks: oneOf('absent', 'inside').optional(),
  selfTest: flag.default(true),
  privsep: flag.optional(),
}).superRefine((value, context) => {
  if (value.s3 !== undefined && value.privsep === true)
    context.addIssue({ code: 'custom', path: ['privsep'], message: 'is for directories: a bucket knows no Unix users' })
  if ((value.local === undefined) === (value.s3 === undefined))
    context.addIssue({
      code: 'custom',
      message: 'must have one of: local (a directory), s3 (s3://BUCKET/PREFIX?region=…)',
    })
})

/** Which stores make up the tree. */
export const mounts = listOf(mount).min(1, 'must not be empty').optional()

const postgresUrl = text.refine(
  (value) => /^(?:postgres(?:ql)?:\/\/\S*|dsql:\/\/[^\s/]\S*)$/.test(value),
  'must be like postgres://USER:PASSWORD@HOST:PORT/DATABASE, or dsql://ID.dsql.REGION.on.aws',
)

const databaseError =
  'must be { postgres: "postgres://…" }, { postgres: "dsql://…" } or { dynamodb: { table: postern, region: … } }'

/** Where the catalog is, when it is not a file in the state directory. */
export const catalog = z
  .union(
    [
      objectOf({ postgres: postgresUrl, poolSize: whole(1, 1000).default(10) }),
      objectOf({
        dynamodb: objectOf({
          table: text.regex(/^[A-Za-z0-9_.-]{3,255}$/, 'must be a name of a table'),
          region: text.regex(/^[a-z0-9-]{1,63}$/, 'must be like eu-central-1').optional(),
          endpoint: text.refine((value) => URL.canParse(value), 'must be a URL').optional(),
        }),
      }),
    ],
    { error: databaseError },
  )
  .optional()

/** Where the secret of the installation comes from, when it is not a file in the state directory. */
export const secret = z
  .union(
    [
      objectOf({ file: text }),
      objectOf({ env: text.regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be the name of a variable') }),
      objectOf({ kms: objectOf({ ciphertext: text, region: text.optional(), endpoint: text.optional() }) }),
    ],
    { error: 'must be { file: FILE }, { env: NAME } or { kms: { ciphertext: … } }' },
  )
  .optional()
