/** What a process that asks PAM is told and answers: plain data in length-prefixed frames. */

/** Who may come in, whatever PAM says. The user id 0 and the group 0 never may. */
export interface PamRules {
  readonly minimumUid: number
  /** Where one of the two is not empty, a user must stand in it or be in a group that does. */
  readonly allowedUsers: readonly string[]
  readonly allowedGroups: readonly string[]
  readonly deniedUsers: readonly string[]
  readonly deniedGroups: readonly string[]
}

/** Is this the password of that user? Without a password: the account's stamp alone is wanted. */
export interface PamQuestion {
  readonly ask: 'login' | 'stamp'
  /** The name of a file below /etc/pam.d. */
  readonly service: string
  readonly user: string
  /** Of the client. */
  readonly address?: string
  readonly rules: PamRules
  /** What stamps are made with, in base64: without it they would say something about a hash. */
  readonly stampKey: string
}

/** What does the system know of that name? */
export interface AccountQuestion {
  readonly ask: 'account'
  readonly user: string
}

/** An account as the system has it, without its secrets. */
export interface KnownAccount {
  /** As the system writes it. */
  readonly name: string
  readonly uid: number
  readonly gid: number
  /** All, by name and by number; the primary one is among them. */
  readonly groups: readonly string[]
  readonly groupIds: readonly number[]
  /** As the system has it; may be empty. */
  readonly home: string
  /** The day after which nobody may use it is over (shadow(5)). */
  readonly expired: boolean
}

export type PamAnswer =
  | {
      readonly kind: 'accepted'
      /** As the system writes it. */
      readonly name: string
      readonly groups: readonly string[]
      /** Another one when the account, its groups or its password have changed. */
      readonly stamp: string
    }
  /** The system has no such user. */
  | { readonly kind: 'unknown' }
  | { readonly kind: 'refused'; readonly why: string }
  /** PAM cannot say. */
  | { readonly kind: 'failed'; readonly why: string }
  | { readonly kind: 'stamp'; readonly stamp: string }
  | { readonly kind: 'account'; readonly account: KnownAccount }

/** Longest password that PAM takes, in bytes of UTF-8 (PAM_MAX_RESP_SIZE with its end). */
export const maxPasswordBytes = 511
export const maxQuestionBytes = 1024 * 1024
export const maxAnswerBytes = 1024 * 1024

/** The descriptors of the process for questions and answers: modules may print what they like. */
export const questionDescriptor = 3
export const answerDescriptor = 4

const headBytes = 4
const passwordHeadBytes = 2

/** Length (4 bytes), length of the password (2), password, the rest as JSON. Whoever has sent it should fill it with zeros. */
export function questionFrame(question: PamQuestion | AccountQuestion, password = ''): Buffer {
  const text = JSON.stringify(question)
  const passwordBytes = Buffer.byteLength(password)
  const length = passwordHeadBytes + passwordBytes + Buffer.byteLength(text)
  const frame = Buffer.alloc(headBytes + length)
  frame.writeUInt32BE(length, 0)
  frame.writeUInt16BE(passwordBytes, headBytes)
  frame.write(password, headBytes + passwordHeadBytes)
  frame.write(text, headBytes + passwordHeadBytes + passwordBytes)
  return frame
}

/** Reads what stands behind the length; the password is a view of it. */
export function readQuestion(bytes: Buffer): {
  readonly question: PamQuestion | AccountQuestion
  readonly password: Buffer
} {
  const end = passwordHeadBytes + bytes.readUInt16BE(0)
  const question = JSON.parse(bytes.toString('utf8', end)) as PamQuestion | AccountQuestion
  return { question, password: bytes.subarray(passwordHeadBytes, end) }
}

/** Length (4 bytes), JSON. */
export function answerFrame(answer: PamAnswer): Buffer {
  const text = JSON.stringify(answer)
  const frame = Buffer.alloc(headBytes + Buffer.byteLength(text))
  frame.writeUInt32BE(frame.length - headBytes, 0)
  frame.write(text, headBytes)
  return frame
}

/**
 * The answer at the beginning of what a process has sent so far: undefined while it is not complete, `nonsense` where it
 * will never be one.
 */
export function readAnswer(received: Buffer): PamAnswer | 'nonsense' | undefined {
  if (received.length < headBytes) return undefined
  const length = received.readUInt32BE(0)
  if (length > maxAnswerBytes || received.length > headBytes + length) return 'nonsense'
  if (received.length < headBytes + length) return undefined
  try {
    return asAnswer(JSON.parse(received.toString('utf8', headBytes)))
  } catch {
    return 'nonsense'
  }
}

function asAnswer(value: unknown): PamAnswer | 'nonsense' {
  if (typeof value !== 'object' || value === null || !('kind' in value)) return 'nonsense'
  const { kind } = value
  if (kind === 'unknown') return { kind }
  if ((kind === 'refused' || kind === 'failed') && 'why' in value && typeof value.why === 'string')
    return { kind, why: value.why }
  if (kind === 'account') {
    const account = 'account' in value ? asAccount(value.account) : undefined
    return account === undefined ? 'nonsense' : { kind, account }
  }
  if (!('stamp' in value) || typeof value.stamp !== 'string') return 'nonsense'
  const { stamp } = value
  if (kind === 'stamp') return { kind, stamp }
  if (kind !== 'accepted' || !('name' in value) || typeof value.name !== 'string') return 'nonsense'
  if (value.name === '' || !('groups' in value) || !Array.isArray(value.groups)) return 'nonsense'
  const groups: readonly unknown[] = value.groups
  if (!groups.every((group) => typeof group === 'string')) return 'nonsense'
  return { kind, name: value.name, groups, stamp }
}

function asAccount(value: unknown): KnownAccount | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { name, uid, gid, groups, groupIds, home, expired } = value as Readonly<Record<keyof KnownAccount, unknown>>
  if (typeof name !== 'string' || name === '' || typeof home !== 'string' || typeof expired !== 'boolean')
    return undefined
  if (!isId(uid) || !isId(gid) || !Array.isArray(groups) || !Array.isArray(groupIds)) return undefined
  const [names, ids]: readonly [readonly unknown[], readonly unknown[]] = [groups, groupIds]
  if (!names.every((group) => typeof group === 'string') || !ids.every(isId)) return undefined
  return { name, uid, gid, groups: names, groupIds: ids, home, expired }
}

/** Of a user or a group: 32 bits without a sign. */
function isId(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0xffffffff
}
