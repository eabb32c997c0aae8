import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { parseKeysConf } from '../auth/directory/keys-conf.js'
import type { KeysConf } from '../auth/directory/keys-conf.js'
import { scopeGrant } from '../auth/scope/scope-map.js'
import type { Credentials, Issued } from '../catalog/credentials.js'
import { reasonOf } from '../config/state.js'
import { Failure, isFailure } from '../core/failure.js'
import { withCommonOptions, withCredentials } from './issued.js'
import type { IssueOptions } from './issued.js'
import { noteKey } from './state.js'
import { print } from './terminal.js'

const help = `
FILE is a keys.conf of PutFS: its maps of nginx say which keys there are and what each may do. Ids and secrets stay as they
are, and so does what a key may do; each is named after its id. What is there already is left alone, so the command can be
given again. FILE itself is not needed any more.

Example:
  postern key import /etc/nginx/keys.conf`

/** Fewer characters than this could be guessed, for failures with a key slow nobody. */
const fewestSafeCharacters = 24

/** What became of the keys of a file. */
interface Imported {
  readonly imported: string[]
  /** Those that were there before. */
  readonly present: string[]
  readonly refused: { readonly id: string; readonly why: string }[]
  /** Those with a secret that is too short. */
  readonly weak: string[]
}

/** `postern key import`. */
export function addKeyImport(key: Command, finish: (code: number) => void): void {
  withCommonOptions(key.command('import').description('take over the keys of a keys.conf of PutFS').argument('<file>'))
    .addHelpText('after', help)
    .action(async (file: string, options: IssueOptions) => {
      const { facts, problems } = read(file)
      await withCredentials(options, async (credentials, state) => {
        const done = await importAll(credentials, facts, (issued) => noteKey(state, { what: 'imported' }, issued))
        if (done.refused.length > 0) finish(1)
        if (options.json === true) print(JSON.stringify({ ...done, problems }))
        else for (const line of report(done, file, problems)) print(line)
      })
    })
}

interface Problem {
  readonly line: number
  readonly why: string
}

function read(file: string): { readonly facts: KeysConf; readonly problems: readonly Problem[] } {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    throw new Failure('not-found', `${file} cannot be read: ${reasonOf(cause)}.`, { cause })
  }
  const { facts, unfinished, problems } = parseKeysConf(text)
  if (facts === undefined) throw new Failure('invalid', `${file}: ${unfinished ?? 'it is not understood'}`)
  if (facts.secrets.size === 0)
    throw new Failure(
      'invalid',
      `${file}: there is no key in it; keys stand in map "$http_x_api_key:$http_x_api_secret".`,
    )
  return { facts, problems }
}

async function importAll(credentials: Credentials, facts: KeysConf, note: (issued: Issued) => void): Promise<Imported> {
  const done: Imported = { imported: [], present: [], refused: [], weak: [] }
  for (const [id, [secret = '', ...others]] of facts.secrets) {
    if (others.length > 0) {
      done.refused.push({ id, why: 'it has several secrets, and a key here has one; leave the one that is to stay' })
      continue
    }
    try {
      note(await credentials.importKey(id, secret, { name: id, grants: [scopeGrant(facts.scopesOf(id))] }))
      done.imported.push(id)
      if (secret.length < fewestSafeCharacters) done.weak.push(id)
    } catch (error) {
      if (isFailure(error, 'exists')) done.present.push(id)
      else if (isFailure(error, 'invalid')) done.refused.push({ id, why: error.message })
      else throw error
    }
  }
  return done
}

function report(done: Imported, file: string, problems: readonly Problem[]): readonly string[] {
  const { imported, present, refused, weak } = done
  return [
    ...imported.map((id) => `Imported ${id}.`),
    ...present.map((id) => `${id} is there already.`),
    ...weak.map((id) => `The secret of ${id} is so short that it could be guessed. Replace it: postern key rotate ${id} --overlap 7d`), // prettier-ignore
    ...refused.map(({ id, why }) => `Not imported: ${JSON.stringify(id)}: ${why}`),
    ...problems.map(({ line, why }) => `${file}:${line}: ${why}`),
  ]
}
