import { resolve } from 'node:path'
import { parseHtpasswd } from '../../auth/directory/htpasswd-file.js'
import { htpasswdDirectory } from '../../auth/directory/htpasswd.js'
import { liveFile } from '../../auth/directory/live-file.js'
import { knownHash } from '../../auth/password-formats/formats.js'
import { openPasswordChecks } from '../../auth/password-formats/password-checks.js'
import { grant, listOf, objectOf, text } from '../schema-parts.js'
import { expanded } from './expanded.js'
import { identityKind } from './kind.js'
import { readOnce } from './read-once.js'
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
  async probe({ file: path }) {
    const file = liveFile({ file: path, maxBytes, parse: parseHtpasswd, warn: () => undefined })
    await usable(file, `identity.htpasswd.file: ${path}`)
    const { users, known } = await file.facts()
    const others = users.size - known.length
    return `${path} has ${users.size} users${others > 0 ? `, ${others} of them with a hash that is not understood: give them a new password` : ''}`
  },
  async lookUp({ file, grants }, user) {
    const { users } = await readOnce({ file, maxBytes, parse: parseHtpasswd })
    const name = user.normalize('NFC')
    const stored = users.get(name)
    if (stored === undefined) return []
    if (knownHash(stored) === undefined) return [{ what: 'user', refused: 'its hash is not understood' }]
    return [{ what: 'user', ...expanded(grants, name) }]
  },
})
