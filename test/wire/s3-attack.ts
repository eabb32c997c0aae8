import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'vitest'
import { eventually, namesBelow, startServer } from '../harness.js'
import type { Server } from '../harness.js'
import type { Answer } from '../raw-http.js'
import { presignedRequest, signedRequest } from '../s3-signer.js'
import type { S3Key, S3Request, SentRequest } from '../s3-signer.js'

export type Asked = Partial<Omit<S3Request, 'host'>>
export type Attack = Omit<SentRequest, 'signature'>

/** The content of `/b/old`, which is what an attack is after, as `/c/secret` is. */
export const old = 'what was there before'

const keysAndGrants = {
  owner: 'rw:/**',
  dropper: 'create:/b/**',
  reader: 'read:/b/old',
  beside: 'rw:/b/**',
} as const

/** The real program with two buckets, and keys for callers who may do this and that. */
export class Target {
  readonly server: Server
  readonly keys: Readonly<Record<keyof typeof keysAndGrants, S3Key>>
  readonly #names: readonly string[]
  #open = 0

  private constructor(server: Server, keys: Target['keys'], names: readonly string[]) {
    this.server = server
    this.keys = keys
    this.#names = names
  }

  static async open(config = ''): Promise<Target> {
    const server = await startServer({ config, listensAsConfigured: config.includes('listen:') })
    for (const folder of ['b', 'c']) await mkdir(join(server.root, folder))
    await writeFile(join(server.root, 'b', 'old'), old)
    await writeFile(join(server.root, 'c', 'secret'), 'of others')
    const keys: Partial<Record<string, S3Key>> = {}
    for (const [name, grant] of Object.entries(keysAndGrants)) keys[name] = await keyOf(server, name, grant)
    return new Target(server, keys as Target['keys'], await namesBelow(server.root))
  }

  get host(): string {
    return `127.0.0.1:${this.server.port}`
  }

  /** A request of the owner for `/b/old`, or as it says, signed. */
  signed(asked: Asked): SentRequest {
    return signedRequest({ key: this.keys.owner, path: '/b/old', host: this.host, ...asked })
  }

  presigned(asked: Asked & { readonly expires?: number }): SentRequest {
    return presignedRequest({ key: this.keys.owner, path: '/b/old', host: this.host, ...asked })
  }

  send({ method, target, headers, body }: Attack): Promise<Answer> {
    return this.server.request(method, target, { headers, body, as: null })
  }

  ask(asked: Asked): Promise<Answer> {
    return this.send(this.signed(asked))
  }

  /** Sends what must not be done; gives what is answered, after it has looked whether anything was. */
  async refused(attack: Attack): Promise<string> {
    const answer = await this.send(attack)
    expect(answer.status).toBeGreaterThanOrEqual(400)
    expect(answer.header('content-type')).toBe(attack.method === 'HEAD' ? '' : 'application/xml')
    for (const secret of [...Object.values(this.keys).map((key) => key.secret), 'of others', 'AWS4-HMAC-SHA256\n'])
      expect(answer.text).not.toContain(secret)
    await this.isUntouched()
    return outcome(answer)
  }

  /** The same for what is signed as it is sent. */
  refusedAs(name: keyof Target['keys'], asked: Asked): Promise<string> {
    return this.refused(this.signed({ key: this.keys[name], ...asked }))
  }

  /** Every name and the old content are as they were; parts are where an upload is open. */
  async isUntouched(): Promise<void> {
    await eventually('nothing is left', async () => {
      const names = await namesBelow(this.server.root)
      const shown = this.#open === 0 ? names : names.filter((name) => !name.includes('.postern-'))
      return shown.join() === this.#names.join()
    })
    expect(await readFile(join(this.server.root, 'b', 'old'), 'utf8')).toBe(old)
  }

  /** Throws where a log has shown a secret. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]()
  }

  /** An upload of the owner, given up in the end; gives its id to whoever attacks it. */
  async withUpload(use: (uploadId: string) => Promise<void>, path = '/b/old'): Promise<void> {
    const begun = await this.ask({ method: 'POST', path, query: [['uploads', '']] })
    const uploadId = /<UploadId>(.*)<\/UploadId>/.exec(begun.text)?.[1] ?? ''
    expect(uploadId).not.toBe('')
    this.#open++
    try {
      await use(uploadId)
    } finally {
      this.#open--
      expect(outcome(await this.ask({ method: 'DELETE', path, query: [['uploadId', uploadId]] }))).toBe('204')
    }
  }
}

/** `403 AccessDenied` */
export function outcome({ status, text }: Answer): string {
  return [status, ...(/<Code>([^<]*)</.exec(text)?.slice(1) ?? [])].join(' ')
}

async function keyOf(server: Server, name: string, grant: string): Promise<S3Key> {
  const done = await server.cli(['s3-key', 'issue', name, '--grant', grant, '--json'])
  expect(done.code, done.stderr).toBe(0)
  const { accessKeyId = '', secretAccessKey = '' } = JSON.parse(done.stdout) as Record<string, string>
  server.useSecret(secretAccessKey)
  return { id: accessKeyId, secret: secretAccessKey }
}
