import { closeSync, constants, existsSync, fchownSync, fstatSync, mkdirSync, openSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Failure } from '../core/failure.js'
import { claim } from '../privsep/broker/claim.js'
import type { BrokerOptions, ServerUsers } from '../privsep/broker/options.js'
import type { ProcessUser } from '../privsep/broker/spawn.js'
import type { PrivsepSettings, WorkerMount } from '../privsep/settings.js'
import type { AuthConfig } from './auth-process.js'
import type { Config } from './load.js'
import { isPerUser } from './privsep-settings.js'
import { separatedMounts } from './separated-mounts.js'
import type { Setup } from './setup.js'

/** A configuration under privilege separation. */
export type SeparatedConfig = Config & { readonly privsep: PrivsepSettings }

/** What the process that knows all callers is told of a configuration. */
export function authConfigOf({
  state,
  catalog,
  secret,
  identity,
  mounts,
  basePath,
  s3,
  anonymous,
  basicRealm,
  durability,
  log,
}: Config): AuthConfig {
  return {
    state,
    ...(catalog && { catalog }),
    ...(secret && { secret }),
    identity,
    mounts,
    basePath,
    s3,
    ...(anonymous && { anonymous }),
    basicRealm,
    durability,
    log,
  }
}

/**
 * What the process on the network is told: no source of identities, no secret of one, and records in a place of its own.
 * `opened` are the listeners whose sockets it is started with, behind those that this process was started with.
 */
export function frontSetupOf(
  { config, pair }: Setup & { readonly config: SeparatedConfig },
  opened: readonly { readonly listener: string }[],
): Setup {
  const { privsep } = config
  // The process on the network must not know these.
  const own = Object.entries(config).filter(([key]) => key !== 'catalog' && key !== 'secret')
  const front = { runtime: privsep.runtime, idleSeconds: privsep.workers.idleSeconds }
  return {
    config: {
      ...(Object.fromEntries(own) as unknown as Config),
      file: undefined,
      identity: [],
      state: privsep.records,
      warnings: [],
      handed: handedOn(config, opened),
      front,
    },
    ...(pair && { pair }),
  }
}

/** The sockets that the process on the network is started with: from 3 on, in this order. */
function handedOn({ handed }: Config, opened: readonly { readonly listener: string }[]): Config['handed'] {
  const all = [...handed.map(({ name }) => ({ name })), ...opened.map(({ listener }) => ({ name: listener, listener }))]
  return all.map((socket, index) => ({ fd: 3 + index, ...socket }))
}

/** What processes of users serve, by their numbers. */
export function workerMounts({ mounts }: Config): readonly WorkerMount[] {
  return separatedMounts(mounts).map(({ mount: { directory, durability, symlinks } }) => ({
    directory,
    durability,
    symlinks,
  }))
}

/** Program, arguments and files of the processes. */
export function programParts(): Pick<BrokerOptions, 'workerCommand' | 'program'> & {
  readonly serverCommand: (part: 'front' | 'auth-process') => readonly string[]
} {
  const at = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url))
  return {
    workerCommand: [process.execPath, '--v8-pool-size=1', '--max-old-space-size=192', at('bin/unix-worker.cjs')],
    serverCommand: (part) => [process.execPath, at('bin/postern.js'), part],
    program: [
      process.execPath,
      at('bin'),
      at('dist/program'),
      at('native'),
      ...packagesAbove(at('dist/program')),
    ].filter((path) => existsSync(path)),
  }
}

/** Wherever Node looks for the packages of a program. */
function packagesAbove(path: string): readonly string[] {
  const above = dirname(path)
  return above === path ? [] : [join(above, 'node_modules'), ...packagesAbove(above)]
}

/**
 * Makes the directories of the server's own processes where they are missing, leaves those alone that are there, and keeps them
 * for this process as long as it lives. Throws `invalid` where one belongs to somebody else, with the command that helps, and
 * where a served directory is missing; `conflict` where another server has one.
 */
export function prepareFolders(config: SeparatedConfig, { front, auth }: ServerUsers): void {
  for (const { mount } of separatedMounts(config.mounts))
    if (!isPerUser(mount) && statSync(mount.directory, { throwIfNoEntry: false }) === undefined)
      throw new Failure(
        'invalid',
        `The directory ${mount.directory} is not there. Make it, and give it to those who may work in it: the kernel decides by its owner and mode.`,
      )
  giveFolder(config.state, auth, 'state')
  giveFolder(config.privsep.records, front, 'directory of records')
  claim(config.state, 'state directory')
  claim(config.privsep.records, 'directory of records')
}

function giveFolder(path: string, { uid, gid }: ProcessUser, what: string): void {
  const found = statSync(path, { throwIfNoEntry: false })
  if (found === undefined) {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 })
    mkdirSync(path, { mode: 0o700 })
    // Where others can write above, it may be another one by now, or a link.
    const descriptor = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
    try {
      if (fstatSync(descriptor).uid !== 0)
        throw new Failure('invalid', `The ${what} ${path} was made by somebody else.`)
      fchownSync(descriptor, uid, gid)
    } finally {
      closeSync(descriptor)
    }
  } else if (found.uid !== uid)
    throw new Failure(
      'invalid',
      `The ${what} ${path} belongs to the user with the id ${found.uid}, and privilege separation needs another: chown -R ${uid}:${gid} ${path}`,
    )
}
