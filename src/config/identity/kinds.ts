import { catalogKind } from './catalog.js'
import { dynamodbKind } from './dynamodb.js'
import { forwardKind } from './forward.js'
import { htpasswdKind } from './htpasswd.js'
import type { IdentityKind } from './kind.js'
import { oidcKind } from './oidc.js'
import { pamKind } from './pam.js'
import { putfsKeysKind } from './putfs-keys.js'
import { s3KeysKind } from './s3-keys.js'
import { tokensKind } from './tokens.js'

/** Every kind of identity source that a configuration can name. */
export const identityKinds: ReadonlyMap<string, IdentityKind> = new Map([
  ['catalog', catalogKind],
  ['htpasswd', htpasswdKind],
  ['putfs-keys', putfsKeysKind],
  ['s3-keys', s3KeysKind],
  ['dynamodb', dynamodbKind],
  ['tokens', tokensKind],
  ['forward', forwardKind],
  ['oidc', oidcKind],
  ['pam', pamKind],
])
