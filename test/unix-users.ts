import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, chownSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** A user of this system whose files a test may look at. */
export interface UnixUser {
  readonly name: string
  readonly password: string
  readonly uid: number
  readonly gid: number
  readonly home: string
}

/** Real users, groups and PAM services of this system, for root only. All that it has made goes with `cleanUp`. */
export class UnixUsers {
  readonly #tag = `pt${randomBytes(3).toString('hex')}`
  readonly #users = new Set<string>()
  readonly #groups = new Set<string>()
  readonly #services = new Set<string>()

  /** The name that the system knows this one by. */
  nameOf(name: string): string {
    return `${this.#tag}${name}`
  }

  /** `options` are those of useradd(8). */
  add(name: string, password: string, ...options: readonly string[]): string {
    const user = this.nameOf(name)
    this.#users.add(user)
    system('useradd', ['-M', '-s', '/bin/sh', ...options, user])
    this.setPassword(user, password)
    return user
  }

  /** A user with a home of mode 0700 below a folder, under the user's name. `options` are those of useradd(8). */
  addWithHome(below: string, name: string, password: string, ...options: readonly string[]): UnixUser {
    const home = join(below, this.nameOf(name))
    const user = this.add(name, password, '-d', home, ...options)
    const { uid, gid } = idsOf(user)
    mkdirSync(home, { recursive: true })
    chownSync(home, uid, gid)
    chmodSync(home, 0o700)
    return { name: user, password, uid, gid, home }
  }

  addGroup(name: string): string {
    const group = this.nameOf(name)
    this.#groups.add(group)
    system('groupadd', [group])
    return group
  }

  setPassword(user: string, password: string): void {
    system('chpasswd', [], `${user}:${password}\n`)
  }

  remove(user: string): void {
    // -f: one with the id of root is always "in use".
    system('userdel', ['-f', user])
    this.#users.delete(user)
  }

  /** Writes a PAM service, or another content of it, and gives its name. */
  service(name: string, content: string): string {
    const service = `postern-${this.nameOf(name)}`
    this.#services.add(service)
    writeFileSync(`/etc/pam.d/${service}`, content)
    return service
  }

  removeService(service: string): void {
    rmSync(`/etc/pam.d/${service}`, { force: true })
  }

  cleanUp(): void {
    for (const service of this.#services) this.removeService(service)
    // Whatever of it fails, the others go.
    for (const user of this.#users) spawnSync('userdel', ['-f', user], { env })
    for (const group of [...this.#users, ...this.#groups]) spawnSync('groupdel', [group], { env })
  }
}

/** From the files of the system, where useradd(8) has put them. */
export function idsOf(user: string): { readonly uid: number; readonly gid: number } {
  const line = readFileSync('/etc/passwd', 'utf8').split('\n').find((each) => each.startsWith(`${user}:`)) // prettier-ignore
  const [, , uid, gid] = line?.split(':') ?? []
  if (uid === undefined || gid === undefined) throw new Error(`no user ${user}`)
  return { uid: Number(uid), gid: Number(gid) }
}

/** The number of a group in the files of the system. */
export function groupIdOf(group: string): number {
  const line = readFileSync('/etc/group', 'utf8').split('\n').find((each) => each.startsWith(`${group}:`)) // prettier-ignore
  if (line === undefined) throw new Error(`no group ${group}`)
  return Number(line.split(':')[2])
}

const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' }

/** Runs a program of the system; its failure is one. */
export function system(program: string, args: readonly string[], input = ''): void {
  const { status, stderr, error } = spawnSync(program, args, { env, input, encoding: 'utf8' })
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? stderr}`)
}
