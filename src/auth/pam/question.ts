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
export function questionFrame(question: PamQuestion, password = ''): Buffer {
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
export function readQuestion(bytes: Buffer): { readonly question: PamQuestion; readonly password: Buffer } {
  const end = passwordHeadBytes + bytes.readUInt16BE(0)
  const question = JSON.parse(bytes.toString('utf8', end)) as PamQuestion
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
  if (!('stamp' in value) || typeof value.stamp !== 'string') return 'nonsense'
  const { stamp } = value
  if (kind === 'stamp') return { kind, stamp }
  if (kind !== 'accepted' || !('name' in value) || typeof value.name !== 'string') return 'nonsense'
  if (value.name === '' || !('groups' in value) || !Array.isArray(value.groups)) return 'nonsense'
  const groups: readonly unknown[] = value.groups
  if (!groups.every((group) => typeof group === 'string')) return 'nonsense'
  return { kind, name: value.name, groups, stamp }
}
