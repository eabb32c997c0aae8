import { readSync, writeSync } from 'node:fs'
import { loadNative } from '../../store/native.js'
import type { NativeCalls } from '../../store/native.js'
import { decide } from './decide.js'
import { answerDescriptor, answerFrame, maxQuestionBytes, questionDescriptor, readQuestion } from './question.js'
import type { PamAnswer } from './question.js'
import { hasPamService } from './service.js'

/**
 * The whole of a process that asks PAM: one question after the other from one descriptor, its answer to another, to the
 * end of the questions. All of it blocks, and modules may do here what they like.
 */
export function servePam(): void {
  const addon = loadNative()
  addon?.seclude(questionDescriptor, answerDescriptor)
  // A socket that was accepted by an event loop does not wait by itself.
  for (const descriptor of [questionDescriptor, answerDescriptor]) addon?.setBlocking(descriptor)
  const head = Buffer.alloc(4)
  while (readFully(head)) {
    const length = head.readUInt32BE(0)
    if (length > maxQuestionBytes) return
    const bytes = Buffer.alloc(length)
    if (!readFully(bytes)) return
    const frame = answerFrame(answerTo(bytes, addon))
    for (let sent = 0; sent < frame.length;) sent += writeSync(answerDescriptor, frame, sent)
  }
}

function answerTo(bytes: Buffer, addon: NativeCalls | undefined): PamAnswer {
  try {
    if (addon === undefined) return { kind: 'failed', why: 'the native part of Postern is not built' }
    const { question, password } = readQuestion(bytes)
    const system = {
      pamLogin: addon.pamLogin.bind(addon),
      account: addon.account.bind(addon),
      hasService: hasPamService,
    }
    return decide(question, password.length === 0 ? undefined : password, system)
  } finally {
    bytes.fill(0)
  }
}

/** False at the end of the input. */
function readFully(bytes: Buffer): boolean {
  for (let got = 0; got < bytes.length;) {
    const count = readSync(questionDescriptor, bytes, got, bytes.length - got, null)
    if (count === 0) return false
    got += count
  }
  return true
}
