import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

type Collect = (options: { readonly type: 'minor' }) => void

/** So much of bodies may come in before what is left of them is collected, in bytes. */
const dueBytes = 8 * 1024 * 1024

let since = 0
let collect: Collect | undefined
let isSought = false

/**
 * Counts what has come in of bodies, and now and then lets the young generation of the heap be collected. Each piece is a
 * small object that holds 64 KiB outside of the heap: left alone, V8 sees those only when they have become so many that it
 * goes through the whole heap for them, which takes a third of the time of a large upload and more memory than this.
 */
export function countBodyBytes(bytes: number): void {
  since += bytes
  if (since < dueBytes) return
  since = 0
  if (!isSought) {
    isSought = true
    collect = findCollect()
  }
  collect?.({ type: 'minor' })
}

/** The function that `--expose-gc` would make, in this place only. */
function findCollect(): Collect | undefined {
  setFlagsFromString('--expose-gc')
  const found: unknown = runInNewContext('globalThis.gc')
  setFlagsFromString('--no-expose-gc')
  return typeof found === 'function' ? (found as Collect) : undefined
}
