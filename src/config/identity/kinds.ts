import { catalogKind } from './catalog.js'
import { dynamodbKind } from './dynamodb.js'
import { forwardKind } from './forward.js'
import { htpasswdKind } from './htpasswd.js'
import type { IdentityKind } from './kind.js'
import { pamKind } from './pam.js'
import { tokensKind } from './tokens.js'

/** Every kind of identity source that a configuration can name. */
export const identityKinds: ReadonlyMap<string, IdentityKind> = new Map([
  ['catalog', catalogKind],
  ['htpasswd', htpasswdKind],
  ['dynamodb', dynamodbKind],
  ['tokens', tokensKind],
  ['forward', forwardKind],
  ['pam', pamKind],
])
