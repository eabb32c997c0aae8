import * as crypto from 'node:crypto'
import { Failure } from '../core/failure.js'
import type { Argon2, Argon2Cost } from './argon2.js'

/** `crypto.argon2Sync` and `crypto.argon2`, of Node 24.7 and up. */
interface NodeArgon2 {
  argon2(algorithm: 'argon2id', given: NodeGiven, done: (error: Error | null, hash: Buffer) => void): void
  argon2Sync(algorithm: 'argon2id', given: NodeGiven): Buffer
}

interface NodeGiven {
  readonly message: Uint8Array
  readonly nonce: Uint8Array
  readonly parallelism: number
  readonly tagLength: number
  readonly memory: number
  readonly passes: number
}

/** `Algorithm.Argon2id` of the package. */
const argon2id = 2
const saltBytes = 16

interface Parsed extends Argon2Cost {
  readonly salt: Buffer
  readonly output: Buffer
}

/** That of Node. Its functions throw `unavailable` where this Node has none. */
export function builtInArgon2(): Argon2 {
  return {
    async hash(password, cost) {
      const salt = crypto.randomBytes(saltBytes)
      const output = await asked(givenFor(password, salt, cost))
      const { memoryCost, timeCost, parallelism } = cost
      return `$argon2id$v=19$m=${memoryCost},t=${timeCost},p=${parallelism}$${bare(salt)}$${bare(output)}`
    },
    async verify(stored, password) {
      const { salt, output, ...cost } = parsed(stored)
      return crypto.timingSafeEqual(await asked(givenFor(password, salt, cost)), output)
    },
    verifySync(stored, password) {
      const { salt, output, ...cost } = parsed(stored)
      return crypto.timingSafeEqual(node().argon2Sync('argon2id', givenFor(password, salt, cost)), output)
    },
    parseOptions(stored) {
      const { memoryCost, timeCost, parallelism, outputLen, salt } = parsed(stored)
      return { memoryCost, timeCost, parallelism, outputLen, algorithm: argon2id, saltLen: salt.length }
    },
  }
}

function parsed(stored: string): Parsed {
  const [, memory, time, lanes, salt = '', output = ''] =
    /^\$argon2id\$v=19\$m=(\d{1,10}),t=(\d{1,10}),p=(\d{1,10})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/.exec(stored) ?? []
  if (memory === undefined) throw new Failure('invalid', 'This is no argon2id hash.')
  const bytes = Buffer.from(output, 'base64')
  return {
    memoryCost: Number(memory),
    timeCost: Number(time),
    parallelism: Number(lanes),
    outputLen: bytes.length,
    salt: Buffer.from(salt, 'base64'),
    output: bytes,
  }
}

function givenFor(password: string, nonce: Uint8Array, cost: Argon2Cost): NodeGiven {
  const { parallelism, outputLen, memoryCost, timeCost } = cost
  return {
    message: Buffer.from(password),
    nonce,
    parallelism,
    tagLength: outputLen,
    memory: memoryCost,
    passes: timeCost,
  }
}

function asked(given: NodeGiven): Promise<Buffer> {
  const found = node()
  return new Promise((resolve, reject) => {
    found.argon2('argon2id', given, (error, hash) => {
      if (error === null) resolve(hash)
      else reject(error)
    })
  })
}

function node(): NodeArgon2 {
  if (!has(crypto))
    throw new Failure(
      'unavailable',
      'Passwords cannot be checked here: that needs Node 24.7, or the package @node-rs/argon2.',
    )
  return crypto
}

function has(found: object): found is NodeArgon2 {
  return 'argon2' in found && 'argon2Sync' in found
}

function bare(bytes: Buffer): string {
  return bytes.toString('base64').replaceAll('=', '')
}
