import bcrypt from 'bcryptjs'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { parseKeysConf } from '../../src/auth/directory/keys-conf.js'
import { putfsKeysDirectory } from '../../src/auth/directory/putfs-keys.js'
import { s3KeysDirectory } from '../../src/auth/directory/s3-keys.js'
import { htpasswdDirectory } from '../../src/auth/directory/htpasswd.js'
import { parseHtpasswd } from '../../src/auth/directory/htpasswd-file.js'
import { liveFile } from '../../src/auth/directory/live-file.js'
import { createPasswordHasher } from '../../src/auth/password-hash.js'
import { openPasswordChecks } from '../../src/auth/password-formats/password-checks.js'
import { directoryContract } from './directory.js'

const warn = (): void => undefined

directoryContract({
  name: 'htpasswd',
  kinds: ['password'],
  open: async () => {
    const folder = mkdtempSync(join(tmpdir(), 'postern-htpasswd-'))
    const path = join(folder, 'htpasswd')
    writeFileSync(path, '')
    const checks = openPasswordChecks(createPasswordHasher())
    const file = liveFile({ file: path, maxBytes: 1_000_000, parse: parseHtpasswd, warn })
    const change = async (edit: (text: string) => string): Promise<void> => {
      writeFileSync(path, edit(readFileSync(path, 'utf8')))
      await turn()
    }
    const lineOf = (name: string): RegExp => new RegExp(`^${name}:.*\n`, 'm')
    const put = (name: string, password: string): string => `${name}:${bcrypt.hashSync(password, 4)}\n`
    return {
      directory: htpasswdDirectory({ name: 'htpasswd', file, grants: ['rw:/home/{user}/**'], checks }),
      hold: async (_kind, name, password) => {
        await change((text) => text + put(name, password))
        return { name, right: { kind: 'password', name, password } }
      },
      change: async ({ name }) => {
        await change((text) => text.replace(lineOf(name), () => put(name, 'another')))
        return { kind: 'password', name, password: 'another' }
      },
      disable: async ({ name }) => change((text) => text.replace(`${name}:`, `${name}:!`)),
      remove: async ({ name }) => change((text) => text.replace(lineOf(name), '')),
      breakDown: async () => {
        unlinkSync(path)
        await turn()
      },
      close: async () => {
        await checks.close()
        rmSync(folder, { recursive: true })
      },
    }
  },
})

directoryContract({
  name: 'putfs-keys',
  kinds: ['api-key'],
  open: async () => {
    const folder = mkdtempSync(join(tmpdir(), 'postern-keys-conf-'))
    const path = join(folder, 'keys.conf')
    const secrets = new Map<string, string>()
    const save = async (): Promise<void> => {
      const keys = Array.from(secrets, ([id, secret]) => `${JSON.stringify(`${id}:${secret}`)} 1;`)
      const scopes = Array.from(secrets.keys(), (id) => `"~^${id}:[^:]+:/acme/" 1;`)
      writeFileSync(
        path,
        `map "$http_x_api_key:$http_x_api_secret" $key_ok { default 0; ${keys.join('\n')} }
         map "$http_x_api_key:$request_method:$uri" $auth_ok { default 0; ${scopes.join('\n')} }`,
      )
      await turn()
    }
    await save()
    return {
      directory: putfsKeysDirectory({
        name: 'putfs-keys',
        file: liveFile({ file: path, maxBytes: 1_000_000, parse: parseKeysConf, warn }),
      }),
      hold: async (_kind, name, secret) => {
        secrets.set(name, secret)
        await save()
        return { name, right: { kind: 'api-key', id: name, secret } }
      },
      change: async ({ name }) => {
        secrets.set(name, 'another')
        await save()
        return { kind: 'api-key', id: name, secret: 'another' }
      },
      remove: async ({ name }) => {
        secrets.delete(name)
        await save()
      },
      breakDown: async () => {
        unlinkSync(path)
        await turn()
      },
      close: async () => rmSync(folder, { recursive: true }),
    }
  },
  cannot: { disable: 'a key is in the file or it is not' },
})

directoryContract({
  name: 's3-keys',
  kinds: [],
  open: async () => {
    const folder = mkdtempSync(join(tmpdir(), 'postern-s3-keys-'))
    const keys = join(folder, 'keys')
    mkdirSync(keys)
    return {
      directory: s3KeysDirectory({ name: 's3-keys', folder: keys, warn }),
      hold: async () => Promise.reject(new Error('it takes no credential')),
      close: async () => rmSync(folder, { recursive: true }),
    }
  },
})
