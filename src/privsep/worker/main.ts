import { readFileSync } from 'node:fs'
import { Socket } from 'node:net'
import { loadNative, type ProcessCalls } from '../../store/native.js'
import type { WorkerSettings } from '../settings.js'
import { powersLeft } from '../powers.js'
import { openDescriptors } from '../wire/descriptors.js'
import { openLink } from '../wire/link.js'
import { openMounted } from '../wire/mounted.js'
import { serveWorker } from './serve.js'

const linkDescriptor = 3
const channelDescriptor = 4
const answerBytes = 256 * 1024
const hourMilliseconds = 3600_000
/** More than the other side ever asks at once: a question of its own never waits behind another. */
const maxAtOnce = 4096

/**
 * The whole of a process that is one user: serves files to the process on the network as the kernel lets that user, over
 * the socket it was born with, to its end. Its settings come on standard input. Ends at once, with code 70 and a word about
 * why, where it could be anybody else, has a capability, or could gain one by running another program.
 */
export async function serveUnixWorker(): Promise<void> {
  // Of the broker, which is trusted.
  const settings = JSON.parse(readFileSync(0, 'utf8')) as WorkerSettings
  const native = loadNative()
  native?.seclude(linkDescriptor, channelDescriptor)
  const wrong = isOnly(settings.uid) ? powersLeft(readFileSync('/proc/self/status', 'utf8')) : ['it is not its user']
  if (wrong.length > 0) {
    process.stderr.write(`This process could do more than its user may, and ends: ${wrong.join(', ')}.\n`)
    process.exit(70)
  }
  process.umask(settings.umask)
  const channel = native === undefined ? undefined : channelOf(native)
  const socket = new Socket({ fd: linkDescriptor, readable: true, writable: true })
  // What is put in order at the end may wait for timers that keep no process alive.
  setInterval(() => undefined, hourMilliseconds)
  const end = await serveWorker(settings, {
    connect: (table) =>
      openLink(socket, {
        table,
        maxAnswerBytes: answerBytes,
        maxAtOnce,
        ...(channel !== undefined && { descriptors: channel.descriptors }),
        onFault: (error, name) => process.stderr.write(`${name}: ${String(error)}\n`),
      }),
    mayPass: channel === undefined ? undefined : channel.mayPass,
    now: Date.now,
  })
  process.exit(end.how === 'violation' ? 1 : 0)
}

function channelOf(native: ProcessCalls): {
  readonly descriptors: ReturnType<typeof openDescriptors>
  readonly mayPass: (fd: number) => boolean
} {
  const mounted = openMounted(native)
  return {
    descriptors: openDescriptors(channelDescriptor, native, mounted),
    mayPass: (fd) => mounted.mayTravel(fd),
  }
}

/** This process is that user, and can become nobody else, root least of all. */
function isOnly(uid: number): boolean {
  if (process.getuid?.() !== uid || process.geteuid?.() !== uid || uid === 0 || process.getgid?.() === 0) return false
  return !gets(() => process.setuid?.(0)) && !gets(() => process.setgid?.(0)) && !gets(() => process.setgroups?.([0]))
}

function gets(privilege: () => void): boolean {
  try {
    privilege()
    return true
  } catch {
    return false
  }
}
