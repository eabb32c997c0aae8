import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { Crc32c, Crc64Nvme } from './crc.js'
import type { DigestName, Digests } from './store.js'

/** Every digest that can be asked for. */
export const digestNames: readonly DigestName[] = ['md5', 'sha1', 'sha256', 'sha512', 'crc32', 'crc32c', 'crc64nvme']

/** Bytes of each digest. */
export const digestBytes: Readonly<Record<DigestName, number>> = {
  md5: 16,
  sha1: 20,
  sha256: 32,
  sha512: 64,
  crc32: 4,
  crc32c: 4,
  crc64nvme: 8,
}

interface Running {
  update(chunk: Uint8Array): unknown
  value(): Uint8Array
}

/** Computes the asked digests, and no others, over bytes as they come. Of a repeated name one is computed. */
export class Digester {
  readonly #running: readonly (readonly [DigestName, Running])[]
  #done: Digests | undefined

  constructor(names: readonly DigestName[]) {
    this.#running = [...new Set(names)].map((name) => [name, begin(name)] as const)
  }

  /** Not to be called after `digests`. */
  update(chunk: Uint8Array): void {
    for (const [, running] of this.#running) running.update(chunk)
  }

  /** The digests of all that came; the same object each time. */
  digests(): Digests {
    return (this.#done ??= Object.fromEntries(this.#running.map(([name, running]) => [name, running.value()])))
  }
}

function begin(name: DigestName): Running {
  switch (name) {
    case 'crc32':
      return beginCrc32()
    case 'crc32c':
      return new Crc32c()
    case 'crc64nvme':
      return new Crc64Nvme()
    default: {
      const hash = createHash(name)
      return { update: (chunk) => hash.update(chunk), value: () => new Uint8Array(hash.digest()) }
    }
  }
}

function beginCrc32(): Running {
  let sum = 0
  return {
    update: (chunk) => (sum = crc32(chunk, sum)),
    value: () => {
      const bytes = new Uint8Array(4)
      new DataView(bytes.buffer).setUint32(0, sum)
      return bytes
    },
  }
}
