import type { Body } from '../../store/store.js'

/** Where drops go. It gives nothing back of what is there, and never replaces it. */
export interface Deposits {
  /**
   * Stores the bytes under a name that must be free, all or none of them; what `body` throws is passed on. Throws
   * `precondition` where the name is taken, `unavailable` where the medium cannot be reached or refuses, `no-space`.
   */
  put(name: string, body: Body, options: DepositOptions): Promise<Deposited>
  /** What a receipt calls that name. */
  keyOf(name: string): string
  /** Where a sender may put the bytes itself; absent where the medium takes them only from us. */
  readonly presign?: ((name: string, request: PresignedDeposit) => Promise<PresignedPut>) | undefined
}

export interface DepositOptions {
  /** As the sender says it. */
  readonly type?: string | undefined
  /** The name stands for an idempotency key: what is there under it may be an earlier drop. */
  readonly keyed?: boolean
  readonly signal: AbortSignal
}

/** What has been stored. */
export interface Deposited {
  /** As the medium names it: the object's key, or the path of the file without a slash in front. */
  readonly key: string
  readonly size: number
  /** Of all the bytes. */
  readonly sha256: Uint8Array
}

/** The headers under which S3 takes just what was promised, and only where nothing is (PutObject, Amazon S3 API Reference). */
export function promiseHeaders({
  size,
  sha256,
  type,
}: Omit<PresignedDeposit, 'expiresSeconds'>): Record<string, string> {
  return {
    'content-length': String(size),
    'if-none-match': '*',
    'x-amz-checksum-sha256': Buffer.from(sha256).toString('base64'),
    ...(type !== undefined && { 'content-type': type }),
  }
}

/** What will be put: the medium takes nothing else. */
export interface PresignedDeposit {
  readonly size: number
  readonly sha256: Uint8Array
  readonly type?: string | undefined
  readonly expiresSeconds: number
}

export interface PresignedPut {
  readonly key: string
  readonly url: URL
  /** All of them are signed: they must be sent as they are. */
  readonly headers: Readonly<Record<string, string>>
}
