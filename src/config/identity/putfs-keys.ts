import { resolve } from 'node:path'
import { parseKeysConf } from '../../auth/directory/keys-conf.js'
import type { KeysConf } from '../../auth/directory/keys-conf.js'
import { liveFile, type LiveFile } from '../../auth/directory/live-file.js'
import { putfsKeysDirectory } from '../../auth/directory/putfs-keys.js'
import { putfsLinks } from '../../auth/directory/putfs-links.js'
import { scopeGrant } from '../../auth/scope/scope-map.js'
import { objectOf, text } from '../schema-parts.js'
import { identityKind } from './kind.js'
import { readOnce } from './read-once.js'
import { usable } from './usable.js'

const maxBytes = 4 * 1024 * 1024

/** The API keys of PutFS, as its nginx has them. */
export const putfsKeysKind = identityKind({
  description:
    'The API keys of PutFS: the `map` blocks of its `keys.conf`, as they are. Methods and patterns are judged on the canonical path. A change of the file counts from the next request.',
  example: 'putfs-keys: { file: ./keys.conf }',
  schema: objectOf({
    file: text.meta({ description: 'The file. Relative to the configuration file.' }),
    linksFile: text.optional().meta({
      description:
        'Where the secrets and the format of signed links (`$key_secret`, `secure_link_md5`) stand, if not in `file`: the part of the nginx configuration with the location `/dl/`.',
    }),
  }),
  located: ({ file, linksFile }, directory) => ({
    file: resolve(directory, file),
    ...(linksFile !== undefined && { linksFile: resolve(directory, linksFile) }),
  }),
  async open(name, { file: path, linksFile }, { warn, clock }) {
    const follow = async (key: string, file: string): Promise<LiveFile<KeysConf>> => {
      const live = liveFile({ file, maxBytes, parse: parseKeysConf, warn, secret: true })
      await usable(live, `identity.putfs-keys.${key}: ${file}`)
      return live
    }
    const keys = await follow('file', path)
    const links = linksFile === undefined ? keys : await follow('linksFile', linksFile)
    return { directory: putfsKeysDirectory({ name, file: keys }), links: putfsLinks({ name, keys, links, clock }) }
  },
  async probe({ file: path }) {
    const file = liveFile({ file: path, maxBytes, parse: parseKeysConf, warn: () => undefined })
    await usable(file, `identity.putfs-keys.file: ${path}`)
    const { secrets, linkSecrets } = await file.facts()
    return `${path} has ${secrets.size} keys, ${linkSecrets.size} of them with a secret for links`
  },
  async lookUp({ file }, id) {
    const keys = await readOnce({ file, maxBytes, parse: parseKeysConf })
    return keys.secrets.has(id) ? [{ what: 'key', grants: [scopeGrant(keys.scopesOf(id))] }] : []
  },
})
