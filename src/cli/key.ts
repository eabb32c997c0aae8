import type { Command } from 'commander'
import { addIssued } from './issued.js'
import { addKeyImport } from './key-import.js'

/** `postern key …`. */
export function addKey(program: Command, finish: (code: number) => void): void {
  const command = addIssued(program, {
    kind: 'key',
    word: 'key',
    verb: 'issue',
    description: 'manage API keys: an id and a secret',
    json: ({ issued, secret }) => ({ id: issued.id, secret }),
    lines: ({ issued, secret }) => [
      `A key for ${issued.name}. The secret is shown only now:`,
      `  X-Api-Key: ${issued.id}`,
      `  X-Api-Secret: ${secret}`,
    ],
    examples: `  postern key issue reports --grant 'r:/acme/**' --expires 30d
  postern key rotate pstnk_... --overlap 7d
  postern key revoke pstnk_...
  postern key import keys.conf             takes over the keys of PutFS`,
  })
  addKeyImport(command, finish)
}
