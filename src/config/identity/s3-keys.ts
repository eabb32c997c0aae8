import { readdirSync } from 'node:fs'
import { resolve } from 'node:path'
import { checkFolder, s3KeysDirectory } from '../../auth/directory/s3-keys.js'
import { Failure, isFailure } from '../../core/failure.js'
import { objectOf, text } from '../schema-parts.js'
import { identityKind } from './kind.js'

/** The S3 key files of PutFS. */
export const s3KeysKind = identityKind({
  description:
    'The S3 keys of PutFS: a directory with a file for each, named as its access key id, with lines `SECRET:GLOB`. They sign requests of the S3 API. A change counts from the next request.',
  example: 's3-keys: { directory: ./s3-keys }',
  schema: objectOf({
    directory: text.meta({ description: 'The directory. Relative to the configuration file.' }),
  }),
  located: ({ directory: folder, ...others }, directory) => ({ ...others, directory: resolve(directory, folder) }),
  async open(name, { directory: folder }, { warn }) {
    demandFolder(folder)
    return { directory: s3KeysDirectory({ name, folder, warn }) }
  },
  async probe({ directory: folder }) {
    demandFolder(folder)
    return `${folder} has ${readdirSync(folder).length} files`
  },
  async lookUp({ directory: folder }, id) {
    const found = await s3KeysDirectory({ name: 's3-keys', folder, warn: () => undefined }).signingKey?.(id)
    return found === undefined ? [] : [{ what: 'S3 key', grants: found.identity.grants }]
  },
})

/** Throws `invalid`. */
function demandFolder(folder: string): void {
  try {
    checkFolder(folder)
  } catch (error) {
    if (!isFailure(error, 'unavailable')) throw error
    const why = error.cause instanceof Error ? error.cause.message : 'it cannot be read'
    throw new Failure('invalid', `identity.s3-keys.directory: ${folder}: ${why}`, { cause: error })
  }
}
