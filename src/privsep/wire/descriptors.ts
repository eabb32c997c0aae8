import { Failure } from '../../core/failure.js'
import { fileFact, fileFactsLength } from '../../store/native.js'
import type { ProcessCalls } from '../../store/native.js'
import type { Mounted } from './mounted.js'

/** Open files on their way between two processes (SCM_RIGHTS), beside a link. */
export interface DescriptorChannel {
  /**
   * Sends a copy; the number goes into the frame that follows. Undefined where it cannot be sent now, for the other side has
   * not taken many that were sent before; throws `unavailable` where it never can.
   */
  send(descriptor: number): number | undefined
  /**
   * The open file that was sent with this number, a regular one that can be read without asking any other program. Throws
   * `unavailable`, with the rule that was broken for the log, where that is not what comes next; the channel is of no use then.
   */
  receive(number: number): number
  close(): void
}

/** Descriptors over a connected socket (of `connectUnix`, or inherited), which nobody else may read or write, and `close` closes. */
export function openDescriptors(socket: number, calls: ProcessCalls, mounted: Mounted): DescriptorChannel {
  return new SocketChannel(socket, calls, mounted)
}

const eagain = -11
const etoomanyrefs = -109

class SocketChannel implements DescriptorChannel {
  readonly #socket: number
  readonly #calls: ProcessCalls
  readonly #mounted: Mounted
  readonly #facts = new Float64Array(fileFactsLength)
  #number = 0
  #open = true

  constructor(socket: number, calls: ProcessCalls, mounted: Mounted) {
    this.#socket = socket
    this.#calls = calls
    this.#mounted = mounted
  }

  send(descriptor: number): number | undefined {
    const number = this.#number
    const result = this.#open ? this.#calls.sendDescriptor(this.#socket, descriptor, number) : -1
    if (result === eagain || result === etoomanyrefs) return undefined
    if (result < 0) throw new Failure('unavailable', 'An open file cannot be handed over.', { cause: result })
    this.#number += 1
    return number
  }

  receive(number: number): number {
    const descriptor = this.#open ? this.#calls.receiveDescriptor(this.#socket, this.#facts) : -1
    if (descriptor < 0) throw new Failure('unavailable', `a descriptor that did not come (errno ${-descriptor})`)
    const sent = this.#facts[fileFact.number]
    const mount = this.#facts[fileFact.mount] ?? -1
    const wrong =
      sent !== number
        ? `descriptor ${sent} in place of ${number}`
        : this.#mounted.isPlain(mount)
          ? undefined
          : `a descriptor of a file system of the kind ${this.#mounted.kindOf(mount) ?? 'unknown'}`
    if (wrong === undefined) return descriptor
    this.#calls.closeDetached(descriptor)
    throw new Failure('unavailable', wrong)
  }

  close(): void {
    if (!this.#open) return
    this.#open = false
    // What nobody has taken is closed with it, of whatever kind it is.
    this.#calls.closeDetached(this.#socket)
  }
}
