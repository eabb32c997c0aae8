import { resolve } from 'node:path'
import { parseHtpasswd } from '../../auth/directory/htpasswd-file.js'
import { htpasswdDirectory } from '../../auth/directory/htpasswd.js'
import { liveFile } from '../../auth/directory/live-file.js'
import { openPasswordChecks } from '../../auth/password-formats/password-checks.js'
import { grant, listOf, objectOf, text } from '../schema-parts.js'
import { identityKind } from './kind.js'
import { usable } from './usable.js'

const maxBytes = 16 * 1024 * 1024

/** The users of a file as Apache's `htpasswd` makes it. */
export const htpasswdKind = identityKind({
  description:
    'The users of a file as Apache’s `htpasswd` makes it: bcrypt, apr1, SHA-1, crypt SHA-256 and SHA-512, argon2id. A change of the file counts from the next request.',
  example: 'htpasswd: { file: ./htpasswd, grants: ["rw:/home/{user}/**"] }',
  schema: objectOf({
    file: text.meta({ description: 'The file. Relative to the configuration file.' }),
    grants: listOf(grant).meta({ description: 'What each of them may do. `{user}` stands for the name.' }),
  }),
  located: ({ file, ...others }, directory) => ({ ...others, file: resolve(directory, file) }),
  async open(name, { file: path, grants }, { hasher, warn }) {
    const file = liveFile({ file: path, maxBytes, parse: parseHtpasswd, warn })
    await usable(file, `identity.htpasswd.file: ${path}`)
    const checks = openPasswordChecks(hasher)
    return { directory: htpasswdDirectory({ name, file, grants, checks }), close: () => checks.close() }
  },
})
