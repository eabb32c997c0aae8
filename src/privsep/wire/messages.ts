import { decodeFailure, encodeFailure } from './failures.js'
import type { Failure } from '../../core/failure.js'
import type { Head } from './link.js'

/** What the head of a frame says, once it has the right shape; what stands in `head` has not been looked at. */
export type Message =
  | { readonly kind: 'ask'; readonly id: number; readonly name: string; readonly head: Head }
  | { readonly kind: 'tell'; readonly name: string; readonly head: Head }
  | { readonly kind: 'answer'; readonly id: number; readonly head: Head; readonly descriptor: number | undefined }
  | { readonly kind: 'failure'; readonly id: number; readonly failure: Failure }
  /** Nobody waits for the answer any more; it comes all the same. */
  | { readonly kind: 'cancel'; readonly id: number }

export function askHead(id: number, name: string, head: Head | undefined): string {
  return `{"ask":${id},"name":${JSON.stringify(name)}${headText(head)}}`
}

export function tellHead(name: string, head: Head | undefined): string {
  return `{"tell":${JSON.stringify(name)}${headText(head)}}`
}

export function answerHead(id: number, head: Head | undefined, descriptor: number | undefined): string {
  return `{"answer":${id}${descriptor === undefined ? '' : `,"fd":${descriptor}`}${headText(head)}}`
}

export function failureHead(id: number, error: unknown): string {
  return `{"failure":${id},"of":${JSON.stringify(encodeFailure(error))}}`
}

export function cancelHead(id: number): string {
  return `{"cancel":${id}}`
}

/** Undefined where it is none of these. */
export function readMessage(bytes: Buffer): Message | undefined {
  let read: unknown
  try {
    read = JSON.parse(bytes.toString())
  } catch {
    return undefined
  }
  if (!isHead(read)) return undefined
  const { ask, answer, tell, failure, cancel, fd, name, head = none } = read
  if (!isHead(head)) return undefined
  if (isNumber(answer))
    return fd === undefined || isNumber(fd) ? { kind: 'answer', id: answer, head, descriptor: fd } : undefined
  if (isNumber(ask)) return typeof name === 'string' ? { kind: 'ask', id: ask, name, head } : undefined
  if (typeof tell === 'string') return { kind: 'tell', name: tell, head }
  if (isNumber(failure)) return { kind: 'failure', id: failure, failure: decodeFailure(read['of']) }
  return isNumber(cancel) ? { kind: 'cancel', id: cancel } : undefined
}

const none: Head = Object.freeze({})

function headText(head: Head | undefined): string {
  return head === undefined ? '' : `,"head":${JSON.stringify(head)}`
}

function isHead(value: unknown): value is Head {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}
