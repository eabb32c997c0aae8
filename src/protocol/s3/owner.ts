import { hash } from 'node:crypto'
import { principalOf } from '../../auth/identity.js'
import { Failure } from '../../core/failure.js'
import type { Session } from '../protocol.js'
import { text } from './xml.js'

/**
 * Whose everything is, as far as S3 asks: the caller's. Files have no owner of their own here, and what others may do is
 * a matter of grants.
 */
export function ownerOf({ identity }: Pick<Session, 'identity'>): { readonly id: string; readonly name: string } {
  return { id: hash('sha256', principalOf(identity)), name: identity.name }
}

/** What stands within `Owner`, `Initiator` and `Grantee`. */
export function ownerXml(session: Pick<Session, 'identity'>): string {
  const { id, name } = ownerOf(session)
  return text('ID', id) + text('DisplayName', name)
}

/** What is said to every access control list but the one that is true already. */
export function noAcls(): Failure {
  return new Failure('unsupported', 'This server has no access control lists: grants say who may do what.', {
    reason: 'NotImplemented',
  })
}
