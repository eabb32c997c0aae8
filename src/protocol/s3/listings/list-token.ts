import { hash } from 'node:crypto'
import { Failure } from '../../../core/failure.js'

/** Hex digits that tie a token to the question it was given for. They guard against mistakes, not against anybody. */
const tieLength = 8

/**
 * A token that says where the next page of a listing begins: right after `last`. It holds all there is to know, so it
 * outlives a restart. `scope` is what was asked for; another question cannot be continued with it.
 */
export function writeToken(last: string, scope: readonly string[]): string {
  return Buffer.from(tieOf(last, scope) + last).toString('base64url')
}

/** What `writeToken` was given. Throws `invalid` (`InvalidArgument`). */
export function readToken(token: string, scope: readonly string[]): string {
  const text = Buffer.from(token, 'base64url').toString()
  const last = text.slice(tieLength)
  if (text.slice(0, tieLength) === tieOf(last, scope)) return last
  throw new Failure('invalid', 'The continuation token does not belong to this listing. Begin it anew.', {
    reason: 'InvalidArgument',
  })
}

function tieOf(last: string, scope: readonly string[]): string {
  return hash('sha256', JSON.stringify([last, ...scope])).slice(0, tieLength)
}
