import bcrypt from 'bcryptjs'
import { mkdtempSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
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
