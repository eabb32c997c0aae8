import type { Credential, Directory } from '../identity.js'
import { apiKeyScheme } from './api-key.js'
import { basicScheme } from './basic.js'
import { bearerScheme } from './bearer.js'
import type { Scheme } from './scheme.js'

/**
 * The ways to show a credential that some source can judge, Basic first: clients that know only one challenge look at the
 * first. Nobody is asked for what no source would take.
 */
export function schemesFor(directories: readonly Pick<Directory, 'accepts'>[], realm: string): readonly Scheme[] {
  const schemes: readonly (readonly [Credential['kind'], Scheme])[] = [
    ['password', basicScheme({ realm })],
    ['bearer', bearerScheme({ realm })],
    ['api-key', apiKeyScheme()],
  ]
  return schemes.filter(([kind]) => directories.some(({ accepts }) => accepts.has(kind))).map(([, scheme]) => scheme)
}
