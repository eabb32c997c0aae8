import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { readEnvironment } from './environment.js'

/** What the environment says to `postern put`. */
export interface PutEnvironment {
  readonly user: string | undefined
  readonly password: string | undefined
  readonly token: string | undefined
  readonly apiKey: string | undefined
  readonly apiSecret: string | undefined
  /** The text of `.netrc`, or of the file that `NETRC` names; undefined where there is none. */
  readonly netrc: string | undefined
  /** Where is kept which uploads were broken off (XDG Base Directory Specification, `XDG_STATE_HOME`). */
  readonly stateDirectory: string
}

/** Reads the variables, and `.netrc`. */
export function putEnvironment(): PutEnvironment {
  const environment = readEnvironment()
  const said = (name: string): string | undefined => environment[name] || undefined
  const state = said('XDG_STATE_HOME') ?? join(homedir(), '.local', 'state')
  return {
    user: said('POSTERN_USER'),
    password: said('POSTERN_PASSWORD'),
    token: said('POSTERN_TOKEN'),
    apiKey: said('POSTERN_API_KEY'),
    apiSecret: said('POSTERN_API_SECRET'),
    netrc: textOf(said('NETRC') ?? join(homedir(), '.netrc')),
    stateDirectory: join(state, 'postern', 'put'),
  }
}

function textOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}
