import { catalogDirectory } from '../../auth/directory/catalog.js'
import { objectOf } from '../schema-parts.js'
import { identityKind } from './kind.js'

/** The users that Postern itself manages. */
export const catalogKind = identityKind({
  description:
    'The users, keys and tokens that Postern itself manages: `postern user`, `postern key`, `postern token`.',
  example: 'catalog',
  schema: objectOf({}),
  open: async (_name, _settings, { accounts, hasher }) => ({ directory: catalogDirectory({ accounts, hasher }) }),
})
