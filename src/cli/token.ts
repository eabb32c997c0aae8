import { hash, randomBytes } from 'node:crypto'
import type { Command } from 'commander'
import { Failure } from '../core/failure.js'
import { addIssued, issue, withIssueOptions } from './issued.js'
import type { IssuedCommand, IssueOptions } from './issued.js'
import { print } from './terminal.js'

const about: IssuedCommand = {
  kind: 'token',
  word: 'token',
  verb: 'create',
  description: 'manage bearer tokens',
  json: ({ issued, secret }) => ({ token: secret, id: issued.id }),
  lines: ({ issued, secret }) => [
    `A token for ${issued.name}. It is shown only now:`,
    `  ${secret}`,
    `Clients send it as "Authorization: Bearer …". Its id, to revoke or rotate it, is ${issued.id}.`,
  ],
  examples: `  postern token create sensor --grant 'create:/inbox/**' --expires 90d
  postern token rotate pstnt_... --overlap 7d
  postern token revoke pstnt_...
  postern token create --s3-dropbox        a pair as s3-dropbox has it; nothing is stored`,
}

/** `postern token …`. */
export function addToken(program: Command): void {
  const command = addIssued(program, about)
  withIssueOptions(
    command.command('create').description('create a token').argument('[name]'),
    `\nExamples:\n${about.examples}`,
  )
    .option('--s3-dropbox', 'print a client token and its hash as s3-dropbox does; takes no name and stores nothing')
    .action(async (name: string | undefined, options: IssueOptions & { readonly s3Dropbox?: boolean }) => {
      if (options.s3Dropbox === true) printPair(name, options)
      else if (name === undefined)
        throw new Failure('invalid', `Say whom it is for: postern token create NAME --grant 'create:/inbox/**'`)
      else await issue(about, name, options)
    })
}

/** As `create_token.py` of s3-dropbox: 64 random bytes as base64url, and the base64 SHA-256 of that text. */
function printPair(name: string | undefined, { grant, expires, json }: IssueOptions): void {
  if (name !== undefined || grant !== undefined || expires !== undefined)
    throw new Failure('invalid', '--s3-dropbox takes no name, no --grant and no --expires: nothing is stored.')
  const clientToken = randomBytes(64).toString('base64url')
  const serverToken = hash('sha256', clientToken, 'base64')
  if (json === true) {
    print(JSON.stringify({ clientToken, serverToken }))
    return
  }
  print(`Client token (plain text):          ${clientToken}`)
  print(`Server token (hashed client token): ${serverToken}`)
}
