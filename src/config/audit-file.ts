import { closeSync, constants, fstatSync, openSync, renameSync, statSync, writeSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import type { Audit, AuditEvent } from '../auth/audit.js'
import type { Clock } from '../core/clock.js'
import { Failure } from '../core/failure.js'
import { readEnvironment } from './environment.js'

/** An audit log that can be closed. */
export interface AuditFile extends Audit {
  close(): void
}

export interface AuditFileOptions {
  /** The state directory. */
  readonly state: string
  readonly clock: Clock
  /** Told when the file cannot be written, once until it can be again. */
  readonly onTrouble: (error: unknown) => void
  /** From so many bytes on, a new file is begun; 64 MiB without it. */
  readonly maxBytes?: number
}

export const auditFileName = 'audit.log'

/** How often it is looked whether somebody has moved the file away, as logrotate does. */
const lookMilliseconds = 1000

/**
 * Opens `audit.log` in the state directory, mode 0600. Any number of processes write to it, whole lines of JSON, each in
 * one write. At `maxBytes` the file becomes `audit.log.1`, in place of the one before. Throws `unavailable`.
 */
export function openAuditFile(options: AuditFileOptions): AuditFile {
  const { state, clock, onTrouble, maxBytes = 64 * 1024 * 1024 } = options
  const path = join(state, auditFileName)
  let descriptor = openLines(path)
  let lookedAt = clock.now()
  let isBroken = false

  function look(): void {
    const now = clock.now()
    if (Math.abs(now - lookedAt) < lookMilliseconds) return
    lookedAt = now
    const own = fstatSync(descriptor)
    const named = statSync(path, { throwIfNoEntry: false })
    const isSame = named !== undefined && named.ino === own.ino && named.dev === own.dev
    if (isSame && own.size < maxBytes) return
    if (isSame) renameSync(path, `${path}.1`)
    const next = openLines(path)
    closeSync(descriptor)
    descriptor = next
  }

  return {
    write(event) {
      try {
        look()
        writeSync(descriptor, auditLine(event, clock.now()))
        isBroken = false
      } catch (error) {
        if (!isBroken) onTrouble(error)
        isBroken = true
      }
    },
    close: () => closeSync(descriptor),
  }
}

function openLines(path: string): number {
  try {
    return openSync(path, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW, 0o600)
  } catch (cause) {
    throw new Failure('unavailable', `The audit log ${path} cannot be written.`, { cause })
  }
}

/** An event as a line of the audit log; `now` in milliseconds since the epoch. */
export function auditLine(event: AuditEvent, now: number): string {
  const { cause, ...facts } = { cause: undefined, ...event }
  const why = cause instanceof Error ? { why: cause.message } : {}
  return `${JSON.stringify({ time: new Date(now).toISOString(), ...facts, ...why })}\n`
}

/**
 * Who gives a command, for the audit log: `command:alice`. To be asked before the process becomes the owner of the state;
 * who stands behind `sudo` is named too.
 */
export function commandUser(environment = readEnvironment()): string {
  const behind = environment.SUDO_USER
  const isName = process.getuid?.() === 0 && behind !== undefined && /^[\w.@-]{1,64}$/.test(behind)
  return `command:${systemUser()}${isName ? ` (sudo: ${behind})` : ''}`
}

function systemUser(): string {
  try {
    return userInfo().username
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}`
  }
}
