import { catalogDirectory } from '../../auth/directory/catalog.js'
import { Credentials } from '../../catalog/credentials.js'
import { objectOf } from '../schema-parts.js'
import { identityKind } from './kind.js'

/** The users, keys and tokens that Postern itself manages. */
export const catalogKind = identityKind({
  description:
    'The users, keys and tokens that Postern itself manages: `postern user`, `postern key`, `postern s3-key`, `postern token`.',
  example: 'catalog',
  schema: objectOf({}),
  open: async (name, _settings, { catalog, accounts, hasher, secret, clock }) => ({
    directory: catalogDirectory({ name, accounts, hasher, credentials: new Credentials(catalog, clock, secret) }),
  }),
})
