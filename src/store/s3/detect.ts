import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { Failure, isFailure } from '../../core/failure.js'
import { amazonDialect } from './bucket-requests.js'
import type { BucketRequests, Dialect } from './bucket-requests.js'
import { BucketService } from './bucket-service.js'
import { isForbidden } from './service-errors.js'
import type { S3Abilities, S3Service } from './service.js'

export interface Detected {
  readonly abilities: S3Abilities
  readonly dialect: Dialect
}

/** Nothing that could be missing. */
export const allAbilities: S3Abilities = {
  conditionalPut: true,
  conditionalComplete: true,
  conditionalCopy: true,
  conditionalRemove: true,
  etagIsMd5: true,
  checksums: true,
}

/** Nothing that could be missing is there. */
export const noAbilities: S3Abilities = {
  conditionalPut: false,
  conditionalComplete: false,
  conditionalCopy: false,
  conditionalRemove: false,
  etagIsMd5: false,
}

/** Objects of the test lie below this; a name that no store shows. */
export const testPrefix = '.postern-test/'

/**
 * Writes, reads, lists and removes objects of its own, and finds out by that what the service can do. Throws what keeps it
 * from serving as a store, with what to do about it.
 */
export async function detectAbilities(requests: BucketRequests): Promise<Detected> {
  const folder = `${testPrefix}${randomUUID()}/`
  const ownNames = await ownNamesOf(requests, `${folder}name`)
  const speaking = (dialect: Partial<Dialect>): S3Service =>
    new BucketService(requests.speaking({ ...amazonDialect, ownNames, ...dialect }), noAbilities)
  const plain = speaking({})
  const source = `${folder}source`
  const names = ['name', 'source', 'put-quoted', 'put-bare', 'copy', 'complete', 'remove', 'from', 'checksum']
  try {
    const { etagIsMd5, etag } = await roundTrip(plain, source)
    const writtenEtags = await firstOf(['quoted', 'bare'] as const, (form) =>
      obeysPut(speaking({ writtenEtags: form }), `${folder}put-${form}`),
    )
    const service = speaking({ writtenEtags: writtenEtags ?? 'quoted' })
    const [copyIfMatch, partIfMatch, conditionalCopy, conditionalComplete, conditionalRemove, checksums] =
      await Promise.all([
        firstOf(['x-amz-copy-source-if-match', 'x-amz-copy-if-match'] as const, (header) =>
          obeysSource(speaking({ copyIfMatch: header }), source, etag, `${folder}from`),
        ),
        obeysPartSource(plain, source, etag, `${folder}part`),
        obeysCopy(service, source, `${folder}copy`),
        obeysComplete(service, `${folder}complete`),
        obeysRemove(service, `${folder}remove`),
        obeysChecksums(plain, `${folder}checksum`),
      ])
    const conditionalPut = writtenEtags !== undefined
    return {
      abilities: { conditionalPut, conditionalCopy, conditionalComplete, conditionalRemove, etagIsMd5, checksums },
      dialect: { writtenEtags: writtenEtags ?? 'quoted', copyIfMatch, partIfMatch, ownNames },
    }
  } finally {
    await plain.removeMany(names.map((name) => folder + name)).catch(() => undefined)
  }
}

/** By listing, which of all requests says most clearly what is wrong, and by writing below both names. */
async function ownNamesOf(requests: BucketRequests, key: string): Promise<Dialect['ownNames']> {
  const plain = new BucketService(requests, noAbilities)
  await may(plain.list({ prefix: key }), 'list objects', 's3:ListBucket')
  try {
    await plain.put(key, [])
    return '.postern-'
  } catch (error) {
    if (!isForbidden(error) && !isFailure(error, 'invalid')) throw error
    const other = new BucketService(requests.speaking({ ...amazonDialect, ownNames: '_postern-' }), noAbilities)
    await may(other.put(key, []), 'write objects', 's3:PutObject')
    return '_postern-'
  }
}

/** What the log says of it: one line. */
export function abilitiesText(abilities: S3Abilities): string {
  const { conditionalPut, conditionalComplete, conditionalCopy, conditionalRemove, etagIsMd5 } = abilities
  const names = Object.entries({ conditionalPut, conditionalComplete, conditionalCopy, conditionalRemove })
  const have = names.filter(([, has]) => has).map(([name]) => conditionNames[name] ?? name)
  const lack = names.filter(([, has]) => !has).map(([name]) => conditionNames[name] ?? name)
  const judged =
    lack.length === 0
      ? 'judges all conditions'
      : have.length === 0
        ? 'judges no conditions; the catalog does'
        : `judges conditions of ${have.join(', ')}, but not of ${lack.join(', ')}: there the catalog does`
  return `${judged}; ETags are ${etagIsMd5 ? '' : 'not '}MD5s`
}

const conditionNames: Readonly<Record<string, string>> = {
  conditionalPut: 'writes',
  conditionalComplete: 'multipart writes',
  conditionalCopy: 'copies',
  conditionalRemove: 'removals',
}

async function roundTrip(
  service: S3Service,
  key: string,
): Promise<{ readonly etagIsMd5: boolean; readonly etag: string }> {
  const bytes = randomBytes(1024)
  const missing = await may(
    service.head(key),
    'read objects',
    's3:GetObject, and s3:ListBucket, without which a missing object looks forbidden',
  )
  if (missing !== undefined) throw unfit('shows an object that nobody has written')
  const headers = { 'content-type': 'text/plain', 'x-amz-meta-postern': 'test' }
  const { etag } = await may(service.put(key, [bytes], { headers }), 'write objects', 's3:PutObject')
  if ((await holds(service.get(key, { ifMatch: otherEtag }))) !== false) throw unfit('reads objects of any ETag')
  const { facts, bytes: body } = await may(service.get(key, { ifMatch: etag }), 'read objects', 's3:GetObject')
  const read: Uint8Array[] = []
  for await (const chunk of body) read.push(chunk)
  if (!Buffer.concat(read).equals(bytes)) throw unfit('gives other bytes than were written')
  if (facts.etag !== etag || facts.size !== bytes.length || facts.headers['x-amz-meta-postern'] !== 'test')
    throw unfit('says something else of an object than was written')
  const { objects } = await service.list({ prefix: key })
  if (objects.some((object) => object.key !== key)) throw unfit('lists what was not asked for')
  await may(service.remove(`${key}-missing`), 'remove objects', 's3:DeleteObject')
  return { etag, etagIsMd5: etag === createHash('md5').update(bytes).digest('hex') }
}

async function firstOf<Choice>(
  choices: readonly Choice[],
  works: (choice: Choice) => Promise<boolean>,
): Promise<Choice | undefined> {
  for (const choice of choices) if (await works(choice)) return choice
  return undefined
}

async function obeysPut(service: S3Service, key: string): Promise<boolean> {
  const bytes = [Buffer.from('test')]
  if ((await holds(service.put(key, bytes, { condition: { etag: otherEtag } }))) !== false) return false
  if ((await holds(service.put(key, bytes, { condition: { absent: true } }))) !== true) return false
  if ((await holds(service.put(key, bytes, { condition: { absent: true } }))) !== false) return false
  if ((await holds(service.put(key, bytes, { condition: { etag: otherEtag } }))) !== false) return false
  const { etag } = await service.put(key, bytes)
  return (await holds(service.put(key, bytes, { condition: { etag } }))) === true
}

async function obeysSource(service: S3Service, from: string, etag: string, to: string): Promise<boolean> {
  if ((await holds(service.copy(from, to, { ifMatch: otherEtag }))) !== false) return false
  return (await holds(service.copy(from, to, { ifMatch: etag }))) === true
}

async function obeysPartSource(service: S3Service, from: string, etag: string, to: string): Promise<boolean> {
  const upload = { key: to, id: await service.beginUpload(to) }
  const source = { key: from, range: { start: 0, end: 1 } }
  try {
    if ((await holds(service.copyPart(upload, 1, { ...source, etag: otherEtag }))) !== false) return false
    return (await holds(service.copyPart(upload, 1, { ...source, etag }))) === true
  } finally {
    await service.abortUpload(upload).catch(() => undefined)
  }
}

async function obeysCopy(service: S3Service, from: string, to: string): Promise<boolean> {
  if ((await holds(service.copy(from, to, { condition: { absent: true } }))) !== true) return false
  if ((await holds(service.copy(from, to, { condition: { absent: true } }))) !== false) return false
  if ((await holds(service.copy(from, to, { condition: { etag: otherEtag } }))) !== false) return false
  const target = await service.head(to)
  return target !== undefined && (await holds(service.copy(from, to, { condition: { etag: target.etag } }))) === true
}

async function obeysComplete(service: S3Service, key: string): Promise<boolean> {
  const complete = async (
    condition: { readonly absent: true } | { readonly etag: string },
  ): Promise<boolean | undefined> => {
    const upload = { key, id: await service.beginUpload(key) }
    try {
      const etag = await service.putPart(upload, 1, [Buffer.from('test')])
      return await holds(service.completeUpload(upload, [{ number: 1, etag }], { condition }))
    } finally {
      await service.abortUpload(upload).catch(() => undefined)
    }
  }
  if ((await complete({ absent: true })) !== true) return false
  if ((await complete({ absent: true })) !== false) return false
  if ((await complete({ etag: otherEtag })) !== false) return false
  const target = await service.head(key)
  return target !== undefined && (await complete({ etag: target.etag })) === true
}

async function obeysRemove(service: S3Service, key: string): Promise<boolean> {
  const { etag } = await service.put(key, [Buffer.from('test')])
  if ((await holds(service.remove(key, { ifMatch: otherEtag }))) !== false) return false
  if ((await service.head(key)) === undefined) return false
  return (await holds(service.remove(key, { ifMatch: etag }))) === true && (await service.head(key)) === undefined
}

/** Whether what goes past this server would be verified by the service, and could be asked for afterwards. */
async function obeysChecksums(service: S3Service, key: string): Promise<boolean> {
  const bytes = [Buffer.from('test')]
  const sum = (text: string): string => createHash('sha256').update(text).digest('base64')
  const put = (text: string): Promise<unknown> =>
    service.put(key, bytes, { headers: { 'x-amz-checksum-sha256': sum(text) } })
  try {
    const isRefused = await put('other').then(
      () => false,
      (error: unknown) => isFailure(error),
    )
    if (!isRefused) return false
    await put('test')
    const told = (await service.head(key, undefined, { checksum: true }))?.sha256
    return told !== undefined && Buffer.from(told).toString('base64') === sum('test')
  } catch (error) {
    if (isFailure(error)) return false
    throw error
  }
}

/** Whether a conditional request went through; undefined where it failed in another way. Throws where nothing can be told. */
async function holds(request: Promise<unknown>): Promise<boolean | undefined> {
  try {
    await request
    return true
  } catch (error) {
    if (isFailure(error, 'precondition')) return false
    if (isFailure(error, 'unsupported', 'conflict', 'invalid', 'not-found')) return undefined
    if (isFailure(error, 'unavailable') && error.retryAfterSeconds === refusedSeconds) return undefined
    throw error
  }
}

/** Of a request that the service knows and does not take. */
const refusedSeconds = 60
const otherEtag = '0123456789abcdef0123456789abcdef'

async function may<Result>(request: Promise<Result>, what: string, rights: string): Promise<Result> {
  try {
    return await request
  } catch (error) {
    if (!isForbidden(error)) throw error
    throw new Failure('unavailable', `The storage service does not let this server ${what}: it needs ${rights}.`, {
      retryAfterSeconds: 60,
      cause: error,
    })
  }
}

function unfit(what: string): Failure {
  return new Failure('unavailable', `The storage service ${what}: no store can be built on it.`, {
    retryAfterSeconds: 60,
  })
}
