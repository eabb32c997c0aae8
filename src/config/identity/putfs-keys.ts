import { resolve } from 'node:path'
import { parseKeysConf } from '../../auth/directory/keys-conf.js'
import { liveFile } from '../../auth/directory/live-file.js'
import { putfsKeysDirectory } from '../../auth/directory/putfs-keys.js'
import { objectOf, text } from '../schema-parts.js'
import { identityKind } from './kind.js'
import { usable } from './usable.js'

const maxBytes = 4 * 1024 * 1024

/** The API keys of PutFS, as its nginx has them. */
export const putfsKeysKind = identityKind({
  description:
    'The API keys of PutFS: the `map` blocks of its `keys.conf`, as they are. Methods and patterns are judged on the canonical path. A change of the file counts from the next request.',
  example: 'putfs-keys: { file: ./keys.conf }',
  schema: objectOf({
    file: text.meta({ description: 'The file. Relative to the configuration file.' }),
  }),
  located: ({ file, ...others }, directory) => ({ ...others, file: resolve(directory, file) }),
  async open(name, { file: path }, { warn }) {
    const file = liveFile({ file: path, maxBytes, parse: parseKeysConf, warn, secret: true })
    await usable(file, `identity.putfs-keys.file: ${path}`)
    return { directory: putfsKeysDirectory({ name, file }) }
  },
})
