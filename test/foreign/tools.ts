import { accessSync, constants, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { describe, it } from 'vitest'

/** What a foreign test can need: a program by name, a file of the system, or a right of this machine. */
export type Need = 'right: root' | 'right: mount' | 'right: fuse' | `program: ${string}` | `file: ${string}`

/** With `POSTERN_REQUIRE_FOREIGN=1` nothing may be skipped: a missing tool or right is a failure. */
export const everythingRequired = process.env.POSTERN_REQUIRE_FOREIGN === '1'

/** A `describe` that is skipped where a tool or a right is missing, with the reason in its name; or fails where none may be. */
export function describeForeign(name: string, needs: readonly Need[], body: () => void): void {
  const missing = needs.map(missingNeed).filter((reason) => reason !== undefined)
  if (missing.length === 0) {
    describe(name, body)
  } else if (everythingRequired) {
    describe(name, () => {
      it('has what it needs', () => {
        throw new Error(`${missing.join('; ')}; scripts/install-test-tools.sh installs the programs`)
      })
    })
  } else {
    describe.skip(`${name} [skipped: ${missing.join('; ')}]`, body)
  }
}

/** Why a need is not met; undefined when it is. */
function missingNeed(need: Need): string | undefined {
  switch (need) {
    case 'right: root':
      return process.getuid?.() === 0 ? undefined : 'root is needed'
    case 'right: mount':
      return maySysAdmin() ? undefined : 'the right to mount is needed'
    case 'right: fuse':
      return accessible('/dev/fuse', constants.R_OK | constants.W_OK) ? undefined : '/dev/fuse is needed'
    default: {
      if (need.startsWith('file: '))
        return accessible(need.slice('file: '.length), constants.R_OK)
          ? undefined
          : `${need.slice('file: '.length)} is missing`
      const program = need.slice('program: '.length)
      return onPath(program) ? undefined : `${program} is not installed`
    }
  }
}

function onPath(program: string): boolean {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin', '/usr/libexec', '/usr/lib/gvfs']
  return folders.some((folder) => accessible(join(folder, program), constants.X_OK))
}

/** Bit 21 of the effective capabilities is CAP_SYS_ADMIN (capabilities(7)). */
function maySysAdmin(): boolean {
  if (process.platform !== 'linux') return false
  const mask = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'
  return (BigInt(`0x${mask}`) & (1n << 21n)) !== 0n
}

function accessible(path: string, mode: number): boolean {
  try {
    accessSync(path, mode)
    return true
  } catch {
    return false
  }
}
