import { Failure } from '../../core/failure.js'
import type { PartPromise, PresignedPart } from '../part-rooms.js'
import type { Digests } from '../store.js'
import { maxObjectBytesAtOnce, type S3Service } from './service.js'

/**
 * `PartRooms.presign`: a PUT of one object that the service takes only with as many bytes and this checksum, and only
 * while there is none where it judges that. Undefined where nothing would tell those bytes from others: the service
 * verifies no SHA-256, and no MD5 is promised or its ETags are none.
 */
export async function presignPart(
  service: S3Service,
  key: string,
  { size, sha256, md5 }: PartPromise,
  expiresSeconds: number,
): Promise<PresignedPart | undefined> {
  const { checksums = false, conditionalPut, etagIsMd5 } = service.abilities
  const isMd5 = !checksums && etagIsMd5 && md5 !== undefined
  if ((!checksums && !isMd5) || size < 1 || size > maxObjectBytesAtOnce) return undefined
  const headers = {
    'content-length': String(size),
    ...(checksums && { 'x-amz-checksum-sha256': base64(sha256) }),
    ...(isMd5 && { 'content-md5': base64(md5) }),
    ...(conditionalPut && { 'if-none-match': '*' }),
  }
  return { url: await service.presign({ method: 'PUT', key, expiresSeconds, headers }), method: 'PUT', headers }
}

/** What is known of an object that came so; undefined where there is none. One that was not promised is removed: throws `bad-digest`. */
export async function verifyPart(
  service: S3Service,
  key: string,
  { size, sha256, md5 }: PartPromise,
  signal: AbortSignal | undefined,
): Promise<Digests | undefined> {
  const { checksums = false, etagIsMd5 } = service.abilities
  const facts = await service.head(key, signal, { checksum: checksums })
  if (facts === undefined) return undefined
  const isSame = checksums
    ? facts.sha256 !== undefined && Buffer.compare(facts.sha256, sha256) === 0
    : etagIsMd5 && md5 !== undefined && facts.etag === Buffer.from(md5).toString('hex')
  // Nobody has computed the SHA-256 where only an MD5 was verified.
  if (isSame && facts.size === size) return checksums ? { sha256 } : md5 === undefined ? {} : { md5 }
  await service.remove(key)
  throw new Failure('bad-digest', 'What has come as this part is something else. Send it again.')
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64')
}
