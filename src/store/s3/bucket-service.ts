import { createHash } from 'node:crypto'
import { Failure, isFailure } from '../../core/failure.js'
import { answeredAt, conditionHeaders, isSuccess, longSilence } from './bucket-requests.js'
import type { BucketRequests, Dialect } from './bucket-requests.js'
import { maxKeyBytes } from './keys.js'
import { factsOf, writtenEtag } from './object-facts.js'
import { openObject } from './open-object.js'
import { isForbidden } from './service-errors.js'
import type {
  CopyOptions,
  GetOptions,
  ListPage,
  ListRequest,
  ObjectFacts,
  ObjectHeaders,
  OpenObject,
  OpenUpload,
  PartSource,
  PresignedRequest,
  PutOptions,
  Removal,
  RemovalFailure,
  S3Abilities,
  S3Service,
  StoredObject,
  Upload,
  WriteCondition,
} from './service.js'
import { abortUpload, beginUpload, completeUpload, copyPart, listUploads, putPart } from './service-uploads.js'
import {
  fitsXml,
  goesRound,
  readFields,
  readListPage,
  readRemovalFailures,
  removalBody,
  timeOf,
  unquoted,
} from './service-xml.js'

interface RemovalOf {
  readonly key: string
  readonly etag?: string
}

/** What a store needs of a bucket, over HTTP. */
export class BucketService implements S3Service {
  readonly abilities: S3Abilities
  readonly #requests: BucketRequests
  readonly #dialect: Dialect

  constructor(requests: BucketRequests, abilities: S3Abilities) {
    this.#requests = requests
    this.abilities = abilities
    this.#dialect = requests.dialect
  }

  async head(
    key: string,
    signal?: AbortSignal,
    { checksum = false }: { readonly checksum?: boolean } = {},
  ): Promise<ObjectFacts | undefined> {
    if (this.#isTooLong(key)) return undefined
    const headers = checksum ? { headers: { 'x-amz-checksum-mode': 'ENABLED' } } : {}
    const answer = await this.#requests.send({ method: 'HEAD', key, signal, ...headers })
    if (answer.status === 404) return undefined
    if (!isSuccess(answer)) throw this.#requests.failure(answer)
    return factsOf(answer.headers)
  }

  async get(key: string, options?: GetOptions): Promise<OpenObject> {
    if (this.#isTooLong(key)) throw new Failure('not-found', 'There is no such object.')
    return openObject(this.#requests, key, options)
  }

  async put(key: string, bytes: readonly Uint8Array[], options: PutOptions = {}): Promise<StoredObject> {
    const { headers, condition, signal } = options
    const answer = await this.#requests.send({
      method: 'PUT',
      key,
      headers: { ...this.#requests.written(headers), ...conditionHeaders(condition, this.#dialect) },
      body: bytes,
      signal,
    })
    if (isSuccess(answer)) return { etag: writtenEtag(answer.headers), modified: answeredAt(answer) }
    const failure = this.#conditional(this.#requests.failure(answer), condition, answer.code)
    // An attempt whose answer was lost may have fulfilled the condition that a later one then found unfulfilled.
    if (failure.kind === 'precondition' && answer.mayHaveBeenDone) {
      const facts = await this.head(key, signal)
      if (facts !== undefined && (await this.#holds(key, facts, bytes))) return facts
    }
    throw failure
  }

  async copy(from: string, to: string, options: CopyOptions = {}): Promise<StoredObject> {
    const { ifMatch, condition, headers, signal } = options
    const { copyIfMatch } = this.#dialect
    if (ifMatch !== undefined && copyIfMatch === undefined) await this.#requireEtag(from, ifMatch, signal)
    const answer = await this.#requests.send({
      method: 'PUT',
      key: to,
      headers: {
        ...this.#requests.written(headers),
        ...conditionHeaders(condition, this.#dialect),
        'x-amz-copy-source': this.#requests.source(from),
        'x-amz-metadata-directive': headers === undefined ? 'COPY' : 'REPLACE',
        ...(ifMatch !== undefined && copyIfMatch !== undefined && { [copyIfMatch]: `"${ifMatch}"` }),
      },
      signal,
      failsLate: true,
      silence: longSilence,
    })
    if (isSuccess(answer)) {
      const { ETag: etag, LastModified: modified } = readFields(answer.bytes, 'CopyObjectResult', [
        'ETag',
        'LastModified',
      ])
      return { etag: unquoted(etag), modified: timeOf(modified) }
    }
    const failure = this.#requests.failure(answer)
    if (failure.kind === 'precondition' && answer.mayHaveBeenDone && condition !== undefined) {
      const [source, target] = await Promise.all([this.head(from, signal), this.head(to, signal)])
      if (source !== undefined && source.etag === target?.etag) return target
    }
    throw failure
  }

  async remove(
    key: string,
    { ifMatch, signal }: { readonly ifMatch?: string; readonly signal?: AbortSignal } = {},
  ): Promise<void> {
    const headers = ifMatch === undefined ? {} : conditionHeaders({ etag: ifMatch }, this.#dialect)
    const answer = await this.#requests.send({ method: 'DELETE', key, headers, signal })
    if (isSuccess(answer)) return
    const failure = this.#requests.failure(answer)
    if (failure.kind === 'not-found') return
    const isOwn = failure.kind === 'precondition' && answer.mayHaveBeenDone
    if (isOwn && (await this.head(key, signal)) === undefined) return
    throw failure
  }

  async removeMany(removals: readonly (string | Removal)[], signal?: AbortSignal): Promise<readonly RemovalFailure[]> {
    const wanted = removals.map((each): RemovalOf => (typeof each === 'string' ? { key: each } : each))
    const fit = wanted.filter(({ key }) => fitsXml(key))
    const failures: RemovalFailure[] = []
    if (fit.length > 0) {
      const judges = this.abilities.conditionalRemove
      const body = removalBody(
        fit.map(({ key, etag }) => ({
          key: this.#requests.absolute(key),
          ...(judges && etag !== undefined && { etag }),
        })),
      )
      const answer = await this.#requests.done({
        method: 'POST',
        query: { delete: '' },
        headers: { 'content-type': 'application/xml', 'content-md5': createHash('md5').update(body).digest('base64') },
        body: [body],
        signal,
        failsLate: true,
        silence: longSilence,
      })
      for (const { key, code } of readRemovalFailures(answer.bytes))
        if (code !== 'NoSuchKey') failures.push({ key: this.#requests.relative(key) ?? key, code })
    }
    for (const { key, etag } of wanted.filter((each) => !fitsXml(each.key)))
      await this.remove(key, {
        ...(this.abilities.conditionalRemove && etag !== undefined && { ifMatch: etag }),
        ...(signal && { signal }),
      }).catch((error: unknown) => {
        if (isFailure(error, 'precondition')) failures.push({ key, code: 'PreconditionFailed' })
        else if (isForbidden(error) || isFailure(error, 'locked')) failures.push({ key, code: 'AccessDenied' })
        else throw error
      })
    return failures
  }

  async list(request: ListRequest): Promise<ListPage> {
    const base = this.#requests.settings.prefix
    const { prefix = '', delimiter, after, token, max, signal } = request
    if (this.#isTooLong(prefix)) return { objects: [], prefixes: [], token: undefined }
    const query: Record<string, string> = { 'list-type': '2', 'encoding-type': 'url' }
    if (base + prefix !== '') query['prefix'] = this.#requests.absolute(prefix)
    if (delimiter !== undefined) query['delimiter'] = delimiter
    if (after !== undefined) query['start-after'] = this.#requests.absolute(after)
    if (token !== undefined) query['continuation-token'] = token
    if (max !== undefined) query['max-keys'] = String(max)
    const page = readListPage((await this.#requests.done({ method: 'GET', query, signal })).bytes)
    if (page.token !== undefined && page.token === token) throw goesRound()
    return {
      objects: page.objects.flatMap((object) => {
        const key = this.#requests.relative(object.key)
        return key === undefined ? [] : [key === object.key ? object : { ...object, key }]
      }),
      prefixes: page.prefixes.flatMap((each) => this.#requests.relative(each) ?? []),
      token: page.token,
    }
  }

  beginUpload(key: string, headers?: ObjectHeaders, signal?: AbortSignal): Promise<string> {
    return beginUpload(this.#requests, key, headers, signal)
  }

  putPart(upload: Upload, number: number, bytes: readonly Uint8Array[], signal?: AbortSignal): Promise<string> {
    return putPart(this.#requests, upload, number, bytes, signal)
  }

  copyPart(upload: Upload, number: number, from: PartSource, signal?: AbortSignal): Promise<string> {
    return copyPart(this.#requests, (key) => this.head(key, signal), upload, number, from, signal)
  }

  completeUpload(
    upload: Upload,
    parts: readonly { readonly number: number; readonly etag: string }[],
    { condition, signal }: { readonly condition?: WriteCondition; readonly signal?: AbortSignal } = {},
  ): Promise<StoredObject> {
    const head = (key: string): Promise<ObjectFacts | undefined> => this.head(key, signal)
    return completeUpload(this.#requests, head, upload, { parts, condition, signal })
  }

  abortUpload(upload: Upload): Promise<void> {
    return abortUpload(this.#requests, upload)
  }

  listUploads(signal?: AbortSignal): AsyncIterable<readonly OpenUpload[]> {
    return listUploads(this.#requests, signal)
  }

  presign({ method, key, expiresSeconds, headers, part, responses }: PresignedRequest): Promise<URL> {
    const { storageClass, encryption } = this.#requests.settings
    const query: Record<string, string> = {}
    if (part !== undefined) {
      query['partNumber'] = String(part.number)
      query['uploadId'] = part.uploadId
    } else if (method === 'PUT') {
      if (storageClass !== undefined) query['x-amz-storage-class'] = storageClass
      if (encryption !== undefined) query['x-amz-server-side-encryption'] = encryption.algorithm
      if (encryption?.kmsKeyId !== undefined) query['x-amz-server-side-encryption-aws-kms-key-id'] = encryption.kmsKeyId
    }
    // Over GET, what the answer says of itself: nothing of it is signed as a header.
    if (method === 'GET') Object.assign(query, responses)
    return this.#requests.presign({ method, key, query, ...(headers !== undefined && { headers }) }, expiresSeconds)
  }

  async close(): Promise<void> {
    this.#requests.close()
  }

  /** Nothing can be there: services call it a mistake to ask. Names in NFD are longer than those that a client has sent. */
  #isTooLong(key: string): boolean {
    const { prefix } = this.#requests.settings
    return (prefix.length + key.length) * 3 > maxKeyBytes && Buffer.byteLength(prefix + key) > maxKeyBytes
  }

  /** For services that do not: a change between this look and the copy goes unseen. */
  async #requireEtag(key: string, etag: string, signal: AbortSignal | undefined): Promise<void> {
    const facts = await this.head(key, signal)
    if (facts === undefined) throw new Failure('not-found', 'There is no such object.')
    if (facts.etag !== etag) throw new Failure('precondition', 'The object is another by now.')
  }

  /** Amazon says NoSuchKey where If-Match names an object that is gone. */
  #conditional(failure: Failure, condition: WriteCondition | undefined, code: string | undefined): Failure {
    return condition !== undefined && 'etag' in condition && code === 'NoSuchKey'
      ? new Failure('precondition', 'The object is another by now.', { cause: failure })
      : failure
  }

  /** Whether an object has just these bytes: by its ETag where that tells, else by reading it. */
  async #holds(key: string, { etag, size }: ObjectFacts, bytes: readonly Uint8Array[]): Promise<boolean> {
    if (size !== bytes.reduce((sum, piece) => sum + piece.length, 0)) return false
    const digest = createHash('md5')
    for (const piece of bytes) digest.update(piece)
    const expected = digest.digest('hex')
    if (etag === expected) return true
    if (this.abilities.etagIsMd5) return false
    const found = createHash('md5')
    for await (const chunk of (await this.get(key, { ifMatch: etag })).bytes) found.update(chunk)
    return found.digest('hex') === expected
  }
}
