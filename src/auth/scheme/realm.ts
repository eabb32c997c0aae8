import { Failure } from '../../core/failure.js'

/** A realm as a quoted string (RFC 9110 §5.6.4). Throws `invalid` for one that no header can carry. */
export function realmText(realm: string): string {
  if (!/^[\x20-\x7e]*$/.test(realm)) throw new Failure('invalid', 'The realm may hold printable ASCII characters only.')
  return `"${realm.replace(/["\\]/g, '\\$&')}"`
}
