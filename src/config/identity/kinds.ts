import { catalogKind } from './catalog.js'
import { dynamodbKind } from './dynamodb.js'
import type { IdentityKind } from './kind.js'

/** Every kind of identity source that a configuration can name. */
export const identityKinds: ReadonlyMap<string, IdentityKind> = new Map([
  ['catalog', catalogKind],
  ['dynamodb', dynamodbKind],
])
