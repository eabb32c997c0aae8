import { forwardDirectory } from '../../src/auth/directory/forward.js'
import { openAuthService } from '../../src/auth/directory/forward-service.js'
import type { Credential } from '../../src/auth/identity.js'
import { ManualClock } from '../../src/core/clock.js'
import type { Heard } from '../auth-service.js'
import { toyService } from '../auth-service.js'
import { directoryContract } from './directory.js'

/** What a service finds in the headers that show this credential. */
function shown(credential: Credential): string {
  switch (credential.kind) {
    case 'password':
      return `Basic ${Buffer.from(`${credential.name}:${credential.password}`).toString('base64')}`
    case 'api-key':
      return `${credential.id}\n${credential.secret}`
    case 'bearer':
      return `Bearer ${credential.token}`
  }
}

const found = ({ headers }: Heard): string =>
  headers['authorization'] ?? `${headers['x-api-key'] ?? ''}\n${headers['x-api-secret'] ?? ''}`

directoryContract({
  name: 'forward',
  kinds: ['password', 'api-key', 'bearer'],
  cannot: { tellUnknown: 'auth_request has one word for both' },
  async open() {
    const callers = new Map<string, string>()
    const toy = await toyService((heard, response) => {
      const name = callers.get(found(heard))
      response.writeHead(name === undefined ? 401 : 200, name === undefined ? {} : { 'remote-user': name }).end()
    })
    const service = openAuthService({ url: toy.url, timeoutSeconds: 5 })
    const hold = (kind: Credential['kind'], name: string, secret: string): Credential => {
      const plain = Buffer.from(secret).toString('base64url')
      const right: Credential =
        kind === 'password'
          ? { kind, name, password: secret }
          : kind === 'api-key'
            ? { kind, id: name, secret: plain }
            : { kind, token: plain }
      callers.set(shown(right), name)
      return right
    }
    return {
      directory: forwardDirectory({
        name: 'forward',
        service,
        clock: new ManualClock(),
        secret: new Uint8Array(32),
        cacheSeconds: 0,
        basePath: '',
        headers: new Map(),
        nameHeaders: ['remote-user'],
        groupHeaders: ['remote-groups'],
        grants: ['rw:/home/{user}/**'],
        groupGrants: new Map(),
      }),
      hold: async (kind, name, secret) => ({ right: hold(kind, name, secret), name }),
      change: async ({ right, name }) => {
        callers.delete(shown(right))
        return hold(right.kind, name, `another of ${name}`)
      },
      disable: async ({ right }) => void callers.delete(shown(right)),
      remove: async ({ right }) => void callers.delete(shown(right)),
      breakDown: () => toy.stop(),
      close: async () => {
        service.close()
        await toy.stop()
      },
    }
  },
})
