import { closeSync, readdirSync, readFileSync } from 'node:fs'

const closeOnExec = 0o2000000

/**
 * Closes what this process was started with beside its standard descriptors and would hand on, unknown, to every process that
 * it starts. Node has marked its own, and those from 3 on that come one after the other, as systemd hands them over.
 */
export function closeInherited(): void {
  for (const name of readdirSync('/proc/self/fd')) {
    const descriptor = Number(name)
    if (descriptor <= 2 || !isHandedOn(descriptor)) continue
    try {
      closeSync(descriptor)
    } catch {
      // It was that of the listing.
    }
  }
}

function isHandedOn(descriptor: number): boolean {
  try {
    const flags = /^flags:\s+([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8'))?.[1]
    return flags !== undefined && (Number.parseInt(flags, 8) & closeOnExec) === 0
  } catch {
    return false
  }
}
